# SPDX-License-Identifier: GPL-2.0-only
"""Print the path of gdb's commands for kernels: gdb -x "$(python -m pylibos gdb-script)"."""

from __future__ import annotations

import argparse
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "_gdb_commands.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001
    """Print it."""
    print(SCRIPT)
    return 0
