# SPDX-License-Identifier: GPL-2.0-only
"""Builds a tree of links that Kbuild takes for a kernel tree with one more architecture.

    TARGET/<entry>      -> SOURCE/<entry>        for each top-level entry
    TARGET/arch/<entry> -> SOURCE/arch/<entry>   for each architecture
    TARGET/arch/lib     -> the project's arch_lib/
    TARGET/out/            Kbuild's own output folder, not touched here

SOURCE is never written to. The output folder lies directly below the tree, since Kbuild then
names every source by a relative path ("../net/core/dev.c"): the objects do not depend on
where the clone lies, and a compiler cache serves every clone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kernel_tree import check_tree
from progress import say
from tool_error import BuildError, run_tool

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = "out"

# Without .git, setlocalversion does not append a commit to the kernel's release.
NOT_LINKED = {".git", "arch", OUTPUT}


def wanted_links(source: Path, repository: Path) -> dict[str, Path]:
    """Every link of the tree: its path relative to the tree, and what it points to."""
    links = {entry.name: entry for entry in source.iterdir() if entry.name not in NOT_LINKED}
    for entry in (source / "arch").iterdir():
        links[f"arch/{entry.name}"] = entry
    if "arch/lib" in links:
        raise BuildError(
            f"{source} already has an arch/lib; give a kernel tree without one, since the "
            "project adds its own."
        )
    links["arch/lib"] = repository / "arch_lib"
    return links


def update_link_tree(source: Path, target: Path, repository: Path = REPOSITORY) -> bool:
    """Makes `target` mirror `source`; returns whether anything had to change."""
    check_place(target)
    wanted = wanted_links(source, repository)
    (target / "arch").mkdir(parents=True, exist_ok=True)
    changed = False
    for folder in (target, target / "arch"):
        for entry in folder.iterdir():
            name = str(entry.relative_to(target))
            if entry.is_symlink() and entry.readlink() != wanted.get(name):
                entry.unlink()
                changed = True
    for name, destination in wanted.items():
        link = target / name
        if not link.is_symlink():
            try:
                link.symlink_to(destination)
            except FileExistsError:
                raise BuildError(
                    f"{link} is not a link, so it is not this project's; remove the folder "
                    f"{target} and run the command again."
                ) from None
            changed = True
    return changed


def check_place(target: Path) -> None:
    """Refuses a folder whose name Kbuild cannot cope with."""
    bad = sorted({character for character in str(target.resolve()) if character in " :'\""})
    if bad:
        raise BuildError(
            f"Kbuild cannot work in {target.resolve()}: the path holds {bad[0]!r}; move the "
            "checkout to a path without spaces, colons and quotes."
        )


def main() -> int:
    """The command line: SOURCE TARGET."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="a kernel source tree")
    parser.add_argument("target", type=Path, help="the tree of links to build or to update")
    options = parser.parse_args()
    source = options.source.resolve()
    check_tree(source)
    changed = update_link_tree(source, options.target.resolve())
    say(f"{options.target}: {'updated' if changed else 'up to date'}")
    return 0


if __name__ == "__main__":
    run_tool(main)
