# SPDX-License-Identifier: GPL-2.0-only
"""Start, list and stop stacks that many programs join."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time

from pylibos._cli.stack_options import add_stack_arguments, stack_config
from pylibos._errors import StackError

STOP_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add start, list, stop and exec."""
    commands = parser.add_subparsers(dest="stack_command", required=True, metavar="COMMAND")
    start = commands.add_parser("start", help="start a stack")
    start.add_argument("name", help="letters, digits, dots, dashes, underscores")
    start.add_argument("--log", metavar="FILE", help="of its messages; default: beside its socket")
    start.add_argument("--trace", metavar="FILE", help="write each network call to a file")
    start.add_argument(
        "--mode", type=lambda text: int(text, 8), default=0o600, help="of its socket, octal"
    )
    start.add_argument("--foreground", action="store_true", help="stay until it is stopped")
    add_stack_arguments(start)
    commands.add_parser("list", help="list the stacks of this user")
    stop = commands.add_parser("stop", help="stop a stack; its programs lose their network")
    stop.add_argument("name")
    program = commands.add_parser("exec", help="run a program on a stack")
    program.add_argument("name")
    program.add_argument("program", nargs=argparse.REMAINDER, help="-- PROGRAM ARGUMENTS")


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    functions = {"start": _start, "list": _list, "stop": _stop, "exec": _exec}
    return functions[options.stack_command](options)


def _exec(options: argparse.Namespace) -> int:
    from pylibos._cli import run as command

    rest = argparse.Namespace(**vars(options), stack=options.name, trace=None)
    for name in ("config", "kernel", "profile", "memory_mib"):
        setattr(rest, name, None)
    for name in ("device", "address", "gateway", "nameserver"):
        setattr(rest, name, [])
    rest.nat = False
    return command.run(rest)


def _start(options: argparse.Namespace) -> int:
    from pylibos import _stack_place
    from pylibos._stack_exec import start_server
    from pylibos._stack_server import StackServer, boot_server

    path = _stack_place.socket_path(options.name)
    if options.name in _stack_place.names():
        raise StackError(f"There is a stack {options.name} already.")
    config = stack_config(options)
    log = options.log or str(path.with_suffix(".log"))
    log_fd = 2 if options.foreground else _open(log)
    trace_fd = _open(options.trace) if options.trace else -1

    def boot() -> StackServer:
        server = boot_server(config, name=options.name, nat=options.nat, trace_fd=trace_fd)
        entrance = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o777 & ~options.mode)
        try:
            entrance.bind(str(path))
        except OSError as error:
            raise StackError(f"The socket {path} cannot be made: {error.strerror}.") from None
        finally:
            os.umask(before)
        entrance.listen(128)
        server.listen(entrance)
        entrances.append(entrance)
        return server

    def serve(server: StackServer) -> None:
        try:
            server.run()
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    entrances: list[socket.socket] = []
    if options.foreground:
        server = boot()
        print(f"{options.name} is up", flush=True)
        serve(server)
        server.close()
        return 0
    keep = [number for number in (trace_fd,) if number > 2]
    start_server(boot, serve, stderr_fd=log_fd, keep=keep)
    return 0


def _open(path: str) -> int:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from None


def _list(_options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from pylibos import _stack_place

    names = _stack_place.names()
    if not names:
        print("no stack; 'pylibos stack start NAME' makes one", file=sys.stderr)
        return 0
    table = Table("stack", "pid", "kernel", "up", "devices", "programs", "sockets", "calls")
    for name in names:
        answer = _stack_place.ask(name, do="status")
        stats = answer["stats"]
        table.add_row(
            name,
            str(answer["pid"]),
            answer["release"],
            f"{answer['up_s']:.0f} s",
            ", ".join(answer["devices"]) or "lo only",
            str(len(answer["programs"])),
            str(stats["sockets"]),
            str(stats["calls"]),
        )
    Console().print(table)
    return 0


def _stop(options: argparse.Namespace) -> int:
    from pylibos import _stack_place

    path = _stack_place.socket_path(options.name)
    _stack_place.ask(options.name, do="stop")
    end_s = time.monotonic() + STOP_S
    while path.exists():
        if time.monotonic() > end_s:
            raise StackError(f"The stack {options.name} has not ended within {STOP_S:g} s.")
        time.sleep(0.01)
    return 0
