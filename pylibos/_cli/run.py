# SPDX-License-Identifier: GPL-2.0-only
"""Run an unmodified program whose network is a stack of its own, or one that others share."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from pylibos._cli.stack_options import add_stack_arguments, is_plain, stack_config
from pylibos._errors import StackError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --stack, --trace, what a new stack is, and the program."""
    parser.add_argument("--stack", metavar="NAME", help="join a stack of 'pylibos stack start'")
    parser.add_argument(
        "--trace",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write each network call to a file, or to standard error",
    )
    add_stack_arguments(parser)
    parser.add_argument("program", nargs=argparse.REMAINDER, help="-- PROGRAM ARGUMENTS")


def run(options: argparse.Namespace) -> int:
    """Become the program; returns only if that fails, with the status a shell would give."""
    from pylibos._stack_exec import exec_program, find_program

    argv = options.program[1:] if options.program[:1] == ["--"] else options.program
    try:
        if not argv:
            raise StackError("Which program? As in: pylibos run -- curl http://10.0.0.1/")
        find_program(argv[0])
        exec_program(_connect(options), argv, dict(os.environ))
    except StackError as error:
        print(f"pylibos run: {error.args[0]}", file=sys.stderr)
        return int(error.args[1]) if len(error.args) > 1 else 125


def _connect(options: argparse.Namespace) -> socket.socket:
    from pylibos import _stack_place

    if options.stack is None:
        return _own_stack(options)
    if not is_plain(options):
        raise StackError("A stack that is joined has its own configuration: leave it out.")
    if options.trace:
        raise StackError("The calls of a joined stack are traced by 'pylibos stack start --trace'.")
    return _stack_place.connect(options.stack)


def _own_stack(options: argparse.Namespace) -> socket.socket:
    """Start a stack that ends with its programs; return the connection for the first one."""
    from pylibos._stack_exec import start_server
    from pylibos._stack_server import StackServer, boot_plain_server, boot_server

    trace_fd = -1
    if options.trace == "-":
        trace_fd = 2
    elif options.trace:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            trace_fd = os.open(options.trace, flags, 0o644)
        except OSError as error:
            raise StackError(f"{options.trace}: {error.strerror}") from None
    ours, theirs = socket.socketpair()

    def serve(server: StackServer) -> None:
        server.serve(theirs)
        server.run()

    def boot() -> StackServer:
        if config is None:
            return boot_plain_server(trace_fd=trace_fd)
        return boot_server(config, nat=options.nat, trace_fd=trace_fd)

    config = None if is_plain(options) else stack_config(options)
    keep = [theirs.fileno(), *([trace_fd] if trace_fd > 2 else [])]
    start_server(boot, serve, keep=keep)
    theirs.close()
    return ours
