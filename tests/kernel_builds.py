# SPDX-License-Identifier: GPL-2.0-only
"""The kernel builds that are to be tested.

``PYLIBOS_BUILDS`` names them ("6.12-defconfig 7.3-lean"); ``make test`` sets it.  Without it all
builds that are there count.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pylibos

DEBUG = "debug"


@dataclass(frozen=True)
class Build:
    """A kernel build to test: the arguments of boot()."""

    kernel: str
    profile: str

    def __str__(self) -> str:
        return f"{self.kernel}-{self.profile}"

    @property
    def options(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "profile": self.profile}


def builds() -> list[Build]:
    """The builds to test, the default one first."""
    if wanted := os.environ.get("PYLIBOS_BUILDS"):
        pairs = [name.rpartition("-") for name in wanted.split()]
        return [Build(kernel, profile) for kernel, _, profile in pairs]
    found = [Build(image.kernel, image.profile) for image in pylibos.images()]
    return sorted(found, key=lambda build: (build.kernel, build.profile))


def main_builds() -> list[Build]:
    """One build of each kernel: the default profile where there is one."""
    best: dict[str, Build] = {}
    for build in builds():
        if build.profile == "defconfig" or (build.profile != DEBUG and build.kernel not in best):
            best[build.kernel] = build
    return list(best.values())
