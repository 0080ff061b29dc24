# SPDX-License-Identifier: GPL-2.0-only
"""Generate pylibos/_syscalls.py from the system call tables of kernel trees.

    python tools/syscall_mirror.py TREE...          write pylibos/_syscalls.py
    python tools/syscall_mirror.py --check TREE...  fail if a tree has calls that it lacks

x86-64 has a table of its own (arch/x86/entry/syscalls/syscall_64.tbl); aarch64 uses the
common one (scripts/syscall.tbl, without the calls of 32-bit processors).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "pylibos" / "_syscalls.py"

# File in the tree, and the ABI column's values that apply.
TABLES = {
    "x86_64": ("arch/x86/entry/syscalls/syscall_64.tbl", {"common", "64"}),
    "aarch64": (
        "scripts/syscall.tbl",
        {"common", "64", "renameat", "rlimit", "memfd_secret"},
    ),
}


def read_table(tree: Path, machine: str) -> dict[str, int]:
    """Read the numbers of one machine from a tree, name to number."""
    path, kinds = TABLES[machine]
    numbers = {}
    for line in (tree / path).read_text().splitlines():
        match = re.match(r"(\d+)\s+(\w+)\s+(\w+)", line)
        if match and match[2] in kinds:
            numbers[match[3]] = int(match[1])
    return numbers


def merge(trees: list[Path], machine: str) -> dict[str, int]:
    """Merge the tables of several trees; a number never means two things."""
    merged: dict[str, int] = {}
    for tree in trees:
        for name, nr in read_table(tree, machine).items():
            if merged.setdefault(name, nr) != nr:
                raise SystemExit(f"{name} is {merged[name]} and {nr} in different trees")
    return dict(sorted(merged.items(), key=lambda item: item[1]))


def generate(trees: list[Path]) -> str:
    """Return the text of pylibos/_syscalls.py."""
    lines = [
        "# SPDX-License-Identifier: GPL-2.0-only",
        '"""System call numbers by name; made by tools/syscall_mirror.py, do not edit."""',
        "",
        "import platform",
        "from typing import Final",
        "",
    ]
    for machine in TABLES:
        lines.append(f"{machine.upper()}: Final[dict[str, int]] = {{")
        lines += [f'    "{name}": {nr},' for name, nr in merge(trees, machine).items()]
        lines += ["}", ""]
    lines += [
        "# The table of this processor",
        'NUMBERS: Final = AARCH64 if platform.machine() == "aarch64" else X86_64',
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("tree", nargs="+", type=Path, help="kernel source tree")
    options = parser.parse_args()
    if not options.check:
        TARGET.write_text(generate(options.tree))
        return 0
    known: dict[str, dict[str, int]] = {}
    exec(compile(TARGET.read_text(), str(TARGET), "exec"), known)
    for machine in TABLES:
        missing = merge(options.tree, machine).items() - known[machine.upper()].items()
        if missing:
            print(f"pylibos/_syscalls.py lacks {sorted(missing)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
