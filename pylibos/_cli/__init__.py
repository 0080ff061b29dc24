# SPDX-License-Identifier: GPL-2.0-only
"""The command line: demo, info, dmesg, gdb-script, plot, shell, up."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pylibos._cli import demo, dmesg, gdb_script, info, plot, shell, up
from pylibos._errors import PylibosError

_COMMANDS = {
    "demo": demo,
    "info": info,
    "dmesg": dmesg,
    "gdb-script": gdb_script,
    "plot": plot,
    "shell": shell,
    "up": up,
}


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m pylibos", description="The Linux kernel in this process."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        summary = (module.__doc__ or "").strip().partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except PylibosError as error:
        from rich.console import Console
        from rich.markup import escape

        message = f"[red]{type(error).__name__}:[/] {escape(str(error))}"
        Console(stderr=True).print(message, highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return status
