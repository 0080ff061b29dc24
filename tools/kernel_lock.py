# SPDX-License-Identifier: GPL-2.0-only
"""kernel.lock.toml: which package of each kernel series this project is built and tested with."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from tool_error import SourceError

OWN_LISTS = "own"
"""Stands for the suites that the machine's own apt settings name."""

SUITES_FOR_ANY_SERIES = (OWN_LISTS, "trixie-backports", "sid")
"""Where a series is looked for that the lock file does not name, in this order."""

HEADER = """\
# SPDX-License-Identifier: GPL-2.0-only
# The kernel source packages that this project is built and tested with.
# Rewrite it with `make update-lock`; docs/pinning.md explains each field.
"""


@dataclass(frozen=True)
class LockedSeries:
    """One series; an empty version or checksum means that nothing is pinned."""

    series: str
    package: str
    suites: tuple[str, ...]
    version: str = ""
    deb_sha256: str = ""
    tar_sha256: str = ""


@dataclass(frozen=True)
class Lock:
    """The whole file."""

    path: Path
    default: str
    series: dict[str, LockedSeries]

    def entry(self, series: str) -> LockedSeries:
        """What is locked for a series; an unpinned entry if the file does not name it."""
        known = self.series.get(series)
        if known is not None:
            return known
        return LockedSeries(series, f"linux-source-{series}", SUITES_FOR_ANY_SERIES)

    def with_entry(self, entry: LockedSeries) -> Lock:
        """A copy of the lock in which one series is replaced."""
        return replace(self, series={**self.series, entry.series: entry})


def read_lock(path: Path) -> Lock:
    """Reads a lock file; SourceError if it is missing or malformed."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        series = {
            name: LockedSeries(
                series=name,
                package=table["package"],
                suites=tuple(table["suites"]),
                version=table["version"],
                deb_sha256=table["deb_sha256"],
                tar_sha256=table["tar_sha256"],
            )
            for name, table in data["series"].items()
        }
        return Lock(path, data["default"], series)
    except FileNotFoundError:
        raise SourceError(
            f"The lock file {path} is missing; restore it with `git checkout {path.name}`."
        ) from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"The lock file {path} cannot be read ({error}); "
            f"restore it with `git checkout {path.name}`."
        ) from None


def write_lock(lock: Lock) -> None:
    """Writes the lock file in one step, so that a reader sees the old or the new one."""
    lines = [HEADER, f'default = "{lock.default}"\n']
    for name in sorted(lock.series, key=lambda s: [int(n) for n in s.split(".")]):
        entry = lock.series[name]
        suites = ", ".join(f'"{suite}"' for suite in entry.suites)
        lines.append(
            f'\n[series."{name}"]\n'
            f'package = "{entry.package}"\n'
            f"suites = [{suites}]\n"
            f'version = "{entry.version}"\n'
            f'deb_sha256 = "{entry.deb_sha256}"\n'
            f'tar_sha256 = "{entry.tar_sha256}"\n'
        )
    temporary = lock.path.with_suffix(".tmp")
    temporary.write_text("".join(lines), encoding="utf-8")
    os.replace(temporary, lock.path)
