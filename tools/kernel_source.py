# SPDX-License-Identifier: GPL-2.0-only
"""Finds or fetches a kernel source tree: SERIES or PATH in, the path of a prepared tree out.

A path is used as it is. A series (6.12, 7.3) comes from the submodule kernel-src/ where that
is checked out, else from the distribution's package linux-source-SERIES, which is fetched,
verified and unpacked once into ${PYLIBOS_CACHE:-~/.cache/pylibos}.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kernel_lock import Lock, LockedSeries, read_lock, write_lock
from kernel_tree import check_tree, git_commit, is_kernel_tree, kernel_series, kernel_version
from private_apt import OWN_TREE_HINT, Package, PrivateApt
from progress import say
from tool_error import SourceError, run_tool
from unpack_source import UnpackedSource, check_deb, read_record, tree_name, unpack

REPOSITORY = Path(__file__).resolve().parent.parent
SERIES = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class KernelSource:
    """A tree that can be built from, and where it came from."""

    path: str
    id: str
    version: str
    origin: str
    """'path', 'submodule' or 'package'."""
    package: str = ""
    package_version: str = ""
    deb: str = ""
    """The verified package file in the cache; '' unless the origin is 'package'."""
    deb_sha256: str = ""
    commit: str = ""

    @property
    def identity(self) -> str:
        """Changes whenever the files of the tree may have changed under the same path."""
        return json.dumps([self.path, self.version, self.package_version, self.commit])


def cache_directory() -> Path:
    """Where packages and trees are kept between runs and between clones."""
    configured = os.environ.get("PYLIBOS_CACHE", "")
    return Path(configured).resolve() if configured else Path.home() / ".cache/pylibos"


def kernel_id(kernel: str) -> str:
    """The part of a build folder's name that stands for the kernel: a series, or name and hash."""
    if SERIES.fullmatch(kernel):
        return kernel
    path = Path(kernel).resolve()
    name = re.sub(r"[^A-Za-z0-9._]+", "-", path.name) or "tree"
    return f"{name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


class SourceFinder:
    """Prepares source trees; the cache and the lock file can be given for tests."""

    def __init__(
        self,
        cache: Path | None = None,
        repository: Path = REPOSITORY,
        apt: PrivateApt | None = None,
    ) -> None:
        self.cache = cache_directory() if cache is None else cache
        self.repository = repository
        self._apt = PrivateApt(self.cache / "apt") if apt is None else apt

    @property
    def lock(self) -> Lock:
        """The lock file as it stands now."""
        return read_lock(self.repository / "kernel.lock.toml")

    def prepare(self, kernel: str = "", locked: bool = False) -> KernelSource:
        """Returns a tree for a series or a path; '' means the lock file's default series."""
        kernel = kernel or self.lock.default
        if not SERIES.fullmatch(kernel):
            return self._from_path(Path(kernel).resolve(), "path", kernel_id(kernel))
        submodule = self.repository / "kernel-src"
        if is_kernel_tree(submodule) and kernel_series(submodule) == kernel:
            return self._from_path(submodule, "submodule", kernel)
        entry = self.lock.entry(kernel)
        if locked and not entry.version:
            raise SourceError(
                f"kernel.lock.toml does not name series {kernel}; pin it with "
                f"`make update-lock KERNEL={kernel}`, or leave out --locked."
            )
        record = self._cached(entry, locked)
        if record is None:
            with self._exclusive():
                # Another run may have prepared the tree while this one waited.
                record = self._cached(entry, locked) or self._fetch(entry, locked)
        return self._from_record(record)

    def update_lock(self, kernel: str = "") -> None:
        """Pins the newest version that the distribution has now of one series, or of all."""
        lock = self.lock
        for series in [kernel] if kernel else list(lock.series):
            entry = lock.entry(series)
            newest = replace(entry, version="", deb_sha256="", tar_sha256="")
            with self._exclusive():
                record = self._fetch(newest, locked=False)
            say(f"{series}: {entry.version or 'not pinned'} -> {record.version}")
            lock = lock.with_entry(
                replace(
                    entry,
                    version=record.version,
                    deb_sha256=record.deb_sha256,
                    tar_sha256=record.tar_sha256,
                )
            )
        write_lock(lock)

    def _from_path(self, path: Path, origin: str, name: str) -> KernelSource:
        check_tree(path)
        return KernelSource(str(path), name, kernel_version(path), origin, commit=git_commit(path))

    def _from_record(self, record: UnpackedSource) -> KernelSource:
        tree = self.cache / tree_name(record.version)
        return KernelSource(
            path=str(tree),
            id=record.series,
            version=kernel_version(tree),
            origin="package",
            package=record.package,
            package_version=record.version,
            deb=str(self._debs / record.deb),
            deb_sha256=record.deb_sha256,
        )

    @property
    def _debs(self) -> Path:
        return self.cache / "debs"

    def _cached(self, entry: LockedSeries, locked: bool) -> UnpackedSource | None:
        """The unpacked tree that serves an entry without a look at the network."""
        if entry.version:
            record = read_record(self.cache / tree_name(entry.version))
            if record is not None and record.deb_sha256 == entry.deb_sha256:
                return record
        if locked:
            return None
        newest: UnpackedSource | None = None
        for path in self.cache.glob("linux-*.json"):
            record = read_record(path.with_suffix(""))
            if (
                record is not None
                and record.series == entry.series
                and is_newer(record.version, newest.version if newest else entry.version)
            ):
                newest = record
        if newest is not None and entry.version:
            say(moved_on(entry, newest.version))
        return newest

    def _fetch(self, entry: LockedSeries, locked: bool) -> UnpackedSource:
        """Fetches, verifies and unpacks; the caller holds the cache's lock."""
        stored = self._stored_deb(entry)
        if stored is not None:
            deb, version, deb_sha256 = stored, entry.version, entry.deb_sha256
        else:
            package, suite = self._look_up(entry, locked)
            version, deb_sha256 = package.version, package.sha256
            record = read_record(self.cache / tree_name(version))
            if record is not None and record.deb_sha256 == deb_sha256:
                return record
            deb = self._download(package, suite)
        pinned = version == entry.version
        return unpack(
            deb,
            self.cache,
            UnpackedSource(
                series=entry.series,
                package=entry.package,
                version=version,
                deb=deb.name,
                deb_sha256=deb_sha256,
                tar_sha256=entry.tar_sha256 if pinned else "",
            ),
        )

    def _stored_deb(self, entry: LockedSeries) -> Path | None:
        """The locked package file, if an earlier run has fetched it; verified."""
        if not entry.version:
            return None
        found = sorted(self._debs.glob(f"{entry.package}_*.deb"))
        for deb in found:
            if deb.name.split("_")[1].replace("%3a", ":") == entry.version:
                check_deb(deb, entry.deb_sha256)
                return deb
        return None

    def _look_up(self, entry: LockedSeries, locked: bool) -> tuple[Package, str]:
        """The version to take: the locked one if it is still offered, else the newest."""
        offered: list[str] = []
        newest: tuple[Package, str] | None = None
        for suite in entry.suites:
            say(f"Asking the distribution's lists ({suite}) for {entry.package}.")
            for package in self._apt.look_up(entry.package, suite):
                if package.version == entry.version:
                    if package.sha256 != entry.deb_sha256:
                        raise SourceError(
                            f"The checksum of {entry.package} {entry.version} differs: the "
                            f"lock file has SHA-256 {entry.deb_sha256}, the distribution "
                            f"offers {package.sha256}. Nothing was fetched; find out why "
                            "before you run `make update-lock`."
                        )
                    return package, suite
                if newest is None or is_newer(package.version, newest[0].version):
                    newest = package, suite
            if newest is not None and not entry.version:
                break
            offered += self._apt.offered_series(suite)
        if newest is None:
            raise SourceError(
                f"The distribution has no kernel series {entry.series} (it offers "
                f"{', '.join(sorted(set(offered))) or 'none'}); choose one of these, "
                f"{OWN_TREE_HINT}."
            )
        if entry.version and locked:
            raise SourceError(
                f"{moved_on(entry, newest[0].version)} --locked takes no other version; pin "
                f"the new one with `make update-lock`, {OWN_TREE_HINT}."
            )
        if entry.version:
            say(moved_on(entry, newest[0].version))
        return newest

    def _download(self, package: Package, suite: str) -> Path:
        """Fetches a package file, unless a verified copy is there already."""
        final = self._debs / package.file_name
        partial = self._debs / "partial"
        partial.mkdir(parents=True, exist_ok=True)
        if final.exists():
            check_deb(final, package.sha256)
            return final
        for leftover in partial.iterdir():
            size = leftover.stat().st_size
            say(f"An earlier fetch of {leftover.name} ended after {size >> 20} MiB; starting anew.")
            leftover.unlink()
        fetched = self._apt.download(package, suite, partial)
        check_deb(fetched, package.sha256)
        os.rename(fetched, final)
        return final

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keeps a second run out of the cache while this one fills it."""
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            file = (self.cache / "lock").open("w")
        except OSError as error:
            raise SourceError(
                f"The cache {self.cache} cannot be written ({error.strerror}); give another "
                "place with PYLIBOS_CACHE=/other/folder."
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another run is preparing a kernel source; waiting for it to end.")
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            except OSError as error:
                raise self._storage_failure(error) from None

    def _storage_failure(self, error: OSError) -> SourceError:
        if error.errno == errno.ENOSPC:
            return SourceError(
                f"The disk is full: the kernel source could not be stored in {self.cache}; free "
                "about 2.5 GiB, or move the cache with PYLIBOS_CACHE=/other/folder."
            )
        return SourceError(
            f"The kernel source could not be stored in {self.cache} ({error}); give another "
            "place with PYLIBOS_CACHE=/other/folder."
        )


def is_newer(version: str, than: str) -> bool:
    """Compares two package versions by the distribution's own rules."""
    answer = subprocess.run(["dpkg", "--compare-versions", version, "gt", than], check=False)
    return answer.returncode == 0


def moved_on(entry: LockedSeries, version: str) -> str:
    """The sentence that says that the lock file lags behind."""
    return (
        f"The distribution has moved on within series {entry.series}: the lock file names "
        f"{entry.version}, now there is {version}."
    )


def main() -> int:
    """The command line; prints the tree's path, or its record as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kernel", nargs="?", default="", help="series or path of a tree")
    parser.add_argument("--locked", action="store_true", help="take only the locked version")
    parser.add_argument("--update-lock", action="store_true", help="pin what there is now")
    parser.add_argument("--json", action="store_true", help="print all that is known")
    parser.add_argument("--id", action="store_true", help="print the build folder's name part")
    options = parser.parse_args()
    finder = SourceFinder()
    if options.id:
        print(kernel_id(options.kernel or finder.lock.default))
        return 0
    if options.update_lock:
        finder.update_lock(options.kernel)
        return 0
    source = finder.prepare(options.kernel, options.locked)
    print(json.dumps(asdict(source), indent=2) if options.json else source.path)
    return 0


if __name__ == "__main__":
    run_tool(main)
