# SPDX-License-Identifier: GPL-2.0-only
"""The command line: demo, info, dmesg, gdb-script, plot, run, shell, stack, up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from pylibos._errors import PylibosError

_COMMANDS = {
    "demo": "demo",
    "info": "info",
    "dmesg": "dmesg",
    "gdb-script": "gdb_script",
    "plot": "plot",
    "run": "run",
    "shell": "shell",
    "stack": "stack",
    "up": "up",
}


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser.

    Args:
        only: the command that is meant, if that is known: the others are not loaded then.
    """
    top = argparse.ArgumentParser(
        prog="python -m pylibos", description="The Linux kernel in this process."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module_name in _COMMANDS.items():
        if only in _COMMANDS and name != only:
            continue
        module = import_module(f"pylibos._cli.{module_name}")
        summary = (module.__doc__ or "").strip().partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(words[0] if words else None).parse_args(words)
    try:
        status: int = options.run(options)
    except PylibosError as error:
        from rich.console import Console
        from rich.markup import escape

        message = f"[red]{type(error).__name__}:[/] {escape(str(error))}"
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return status
