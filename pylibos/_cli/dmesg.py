# SPDX-License-Identifier: GPL-2.0-only
"""Boot a kernel and print its log."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.text import Text

from pylibos._cli.boot_options import add_boot_arguments, boot_arguments
from pylibos._kernel import boot

_STYLES = {0: "bold red", 1: "bold red", 2: "bold red", 3: "red", 4: "yellow", 5: "bold", 7: "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kernel's options and --level."""
    add_boot_arguments(parser)
    parser.add_argument(
        "--level", type=int, default=7, help="least important level to show, 0 to 7"
    )


def run(options: argparse.Namespace) -> int:
    """Print the log of a fresh kernel."""
    console = Console()
    with boot(**boot_arguments(options)) as kernel:
        for record in kernel.dmesg():
            if record.level <= options.level:
                console.print(Text(str(record), _STYLES.get(record.level, "")), soft_wrap=True)
    return 0
