# SPDX-License-Identifier: GPL-2.0-only
"""Kernel configuration from fragments: merging them, and checking what came of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tool_error import BuildError

SET = re.compile(r"CONFIG_(\w+)=(.*)")
NOT_SET = re.compile(r"# CONFIG_(\w+) is not set")
DEFINED = re.compile(r"^[ \t]*(?:menu)?config[ \t]+(\w+)[ \t]*$", re.MULTILINE)


def parse_config(text: str, name: str = "") -> dict[str, str]:
    """The values of a .config or fragment by symbol; 'n' for one that is not set."""
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if (found := SET.fullmatch(line)) is not None:
            values[found.group(1)] = found.group(2).strip()
        elif (found := NOT_SET.fullmatch(line)) is not None:
            values[found.group(1)] = "n"
        elif line and not line.startswith("#"):
            raise BuildError(
                f"{name}:{number}: {line!r} is neither CONFIG_X=value nor a comment; correct it."
            )
    return values


def merge_fragments(fragments: list[Path]) -> dict[str, str]:
    """All fragments as one; a later one overrides an earlier one."""
    merged: dict[str, str] = {}
    for fragment in fragments:
        try:
            text = fragment.read_text(encoding="utf-8")
        except FileNotFoundError:
            offered = sorted(path.stem for path in fragment.parent.glob("*.config"))
            profiles = ", ".join(name for name in offered if name != "base") or "none"
            raise BuildError(
                f"There is no profile {fragment.stem!r} (no {fragment.name} in "
                f"{fragment.parent}); choose one of: {profiles}."
            ) from None
        merged.update(parse_config(text, fragment.name))
    return merged


def format_config(values: dict[str, str]) -> str:
    """The text of a .config."""
    return "".join(
        f"# CONFIG_{symbol} is not set\n" if value == "n" else f"CONFIG_{symbol}={value}\n"
        for symbol, value in values.items()
    )


@dataclass
class Outcome:
    """What became of the requested options."""

    dropped: dict[str, str] = field(default_factory=dict)
    """Symbols that the tree knows but that ended with another value: 'wanted y, got n'."""
    unknown: list[str] = field(default_factory=list)
    """Symbols that the tree does not know at all: they belong to another series."""


def check_outcome(wanted: dict[str, str], result: dict[str, str], tree: Path) -> Outcome:
    """Compares what was requested with the .config that Kconfig made of it."""
    outcome = Outcome()
    missing = {
        symbol: value
        for symbol, value in wanted.items()
        if not _same(value, result.get(symbol, "n"))
    }
    known = defined_symbols(tree) if missing else set()
    for symbol, value in missing.items():
        if symbol in known:
            outcome.dropped[symbol] = f"wanted {value}, got {result.get(symbol, 'n')}"
        else:
            outcome.unknown.append(symbol)
    return outcome


def _same(wanted: str, got: str) -> bool:
    """Whether two values mean the same; numbers may be written in hex or decimal."""
    if wanted == got:
        return True
    try:
        return int(wanted, 0) == int(got, 0)
    except ValueError:
        return False


NO_KCONFIG_OF_OURS = {"Documentation", "tools", "arch", "out", ".git"}


def defined_symbols(tree: Path) -> set[str]:
    """Every symbol that a Kconfig file of a link tree defines for this architecture."""
    files = [tree / "Kconfig", tree / "arch/Kconfig"]
    folders = [p for p in tree.iterdir() if p.is_dir() and p.name not in NO_KCONFIG_OF_OURS]
    for folder in [*folders, tree / "arch/lib"]:
        # The entries of a link tree are links themselves, which rglob would not follow.
        files += [path for path in folder.resolve().rglob("Kconfig*") if path.is_file()]
    symbols: set[str] = set()
    for file in files:
        symbols.update(DEFINED.findall(file.read_text(encoding="utf-8", errors="replace")))
    return symbols
