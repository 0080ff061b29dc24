# SPDX-License-Identifier: GPL-2.0-only
"""What can be told of a kernel source tree by looking at it; nothing here writes to one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tool_error import SourceError

MAKE_VERSION = re.compile(
    r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(.*)$", re.MULTILINE
)
LEFT_BY_A_BUILD = (".config", "include/config", "include/generated")


def kernel_version(tree: Path) -> str:
    """The version that a tree's Makefile states, for example '6.12.117' or '7.4.0-rc2'."""
    text = (tree / "Makefile").read_text(encoding="utf-8", errors="replace")
    values: dict[str, str] = dict(MAKE_VERSION.findall(text))
    numbers = ".".join(values.get(key, "") for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    return numbers + values.get("EXTRAVERSION", "").strip()


def kernel_series(tree: Path) -> str:
    """The series of a tree: the first two numbers of its version."""
    return ".".join(kernel_version(tree).split(".")[:2])


def is_kernel_tree(tree: Path) -> bool:
    """Whether a folder looks like the top of a kernel source tree."""
    wanted = ("Makefile", "Kconfig", "Kbuild", "arch/Kconfig", "init/main.c")
    return all((tree / name).is_file() for name in wanted)


def check_tree(tree: Path) -> None:
    """Refuses what Kbuild could not build from in a folder of its own."""
    if not tree.is_dir():
        raise SourceError(
            f"There is no folder {tree}; give KERNEL a series such as 6.12, or the path of a "
            "kernel source tree."
        )
    if not is_kernel_tree(tree):
        raise SourceError(
            f"{tree} is not a kernel source tree (no Makefile, Kconfig and init/main.c at its "
            "top); give the folder that `git clone` or `tar` made."
        )
    left = [name for name in LEFT_BY_A_BUILD if (tree / name).exists()]
    if left:
        raise SourceError(
            f"{tree} holds the output of an earlier build ({left[0]}), which Kbuild would pick "
            f"up; run `make -C {tree} mrproper`, or give a clean checkout."
        )


def git_commit(tree: Path) -> str:
    """The commit that a tree has checked out; '' if it is not the top of a git checkout."""
    if not (tree / ".git").exists():
        return ""
    answer = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
