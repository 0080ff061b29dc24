# SPDX-License-Identifier: GPL-2.0-only
"""Python with a booted kernel at hand."""

from __future__ import annotations

import argparse
import code
import contextlib
import socket

import pylibos
from pylibos._cli.boot_options import add_boot_arguments, boot_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kernel's options and the clock."""
    add_boot_arguments(parser)
    parser.add_argument("--clock", default="virtual", choices=("virtual", "real"))


def run(options: argparse.Namespace) -> int:
    """Boot a kernel and read Python from the terminal."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing
    with pylibos.boot(**boot_arguments(options), clock=options.clock) as kernel:
        banner = (
            f"{kernel.image.banner}\n"
            f"booted in {kernel.stats().boot_wall_ns / 1e6:.1f} ms, {options.clock} clock; "
            "try kernel.dmesg(), kernel.listdir('/proc/net'), "
            "kernel.create_server(('127.0.0.1', 7))"
        )
        names = {"kernel": kernel, "pylibos": pylibos, "socket": socket}
        code.interact(banner=banner, local=names, exitmsg="")
    return 0
