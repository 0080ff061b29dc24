# SPDX-License-Identifier: GPL-2.0-only
"""Options that say which kernel to boot."""

from __future__ import annotations

import argparse
from typing import Any


def add_boot_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --kernel, --profile, --memory-mib and --cmdline."""
    parser.add_argument("--kernel", default="6.12", help="series, or path of a liblinux.so")
    parser.add_argument("--profile", default="defconfig", help="defconfig, lean or debug")
    parser.add_argument("--memory-mib", type=int, default=64, help="memory of the kernel")
    parser.add_argument("--cmdline", default="", help="kernel parameters")


def boot_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Turn the options into arguments of boot()."""
    return {
        "kernel": options.kernel,
        "profile": options.profile,
        "memory": options.memory_mib << 20,
        "cmdline": options.cmdline,
    }
