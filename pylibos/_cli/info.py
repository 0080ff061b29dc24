# SPDX-License-Identifier: GPL-2.0-only
"""Show the libraries that are installed or built."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from pylibos import _library
from pylibos._errors import PylibosError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def run(options: argparse.Namespace) -> int:
    """Print a table of all images; 1 if something is missing or does not load."""
    del options
    console = Console()
    status = 0
    try:
        console.print(f"host library: {_library.host()._name}", soft_wrap=True, highlight=False)
    except PylibosError as error:
        console.print(f"host library: [red]{error}[/]", highlight=False)
        return 1
    table = Table("kernel", "profile", "release", "MB", "file")
    for image in _library.images():
        try:
            release = _library.open_image(image.path, "").release
        except PylibosError as error:
            release, status = f"[red]{error}[/]", 1
        size = f"{image.path.stat().st_size / 1e6:.1f}"
        table.add_row(image.kernel, image.profile, release, size, str(image.path))
    if not table.row_count:
        console.print("No kernel is built; run 'make liblinux.so'.")
        return 1
    console.print(table)
    return status
