# SPDX-License-Identifier: GPL-2.0-only
"""Turns this process into a program on a stack, and starts the stack's own process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from pylibos._errors import PylibosError, StackError
from pylibos._library import host, last_error

if TYPE_CHECKING:
    from pylibos._stack_server import StackServer

READY = b"+"
# What Python sets otherwise than a shell would (signal(7)).
_PYTHONS_SIGNALS = ("SIGPIPE", "SIGXFSZ")


def find_program(file: str) -> str:
    """Find a program as a shell does.

    Raises:
        StackError: there is none, or it is not executable; with the shell's status (127, 126)
            as its second argument.
    """
    # shutil.which() does the same, and takes longer to load than a kernel to boot.
    paths = [file] if "/" in file else [f"{folder}/{file}" for folder in os.get_exec_path()]
    there = [path for path in paths if os.path.isfile(path)]  # noqa: PTH113
    for path in there:
        if os.access(path, os.X_OK):
            return path
    if there:
        raise StackError(f"{there[0]} is not executable.", 126)
    raise StackError(f"There is no program {file}.", 127)


def exec_program(
    connection: socket.socket, argv: Sequence[str], environment: Mapping[str, str]
) -> NoReturn:
    """Become a program whose network is the stack at the other end of a connection.

    Args:
        connection: to a stack's server; closed.
        argv: the program, found in PATH, and its arguments.
        environment: of the program.

    Raises:
        StackError: it could not become the program; the process is no good for anything else.
    """
    program = find_program(argv[0])
    arguments = _texts([os.fsencode(item) for item in argv])
    variables = _texts([os.fsencode(f"{key}={value}") for key, value in environment.items()])
    for name in _PYTHONS_SIGNALS:
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    error = host().plh_nuse_exec(connection.fileno(), os.fsencode(program), arguments, variables)
    if error in (-2, -13, -8):  # ENOENT, EACCES, ENOEXEC: an interpreter that is missing, say
        raise StackError(f"{program} cannot be executed: {os.strerror(-error)}.", 126)
    raise StackError(last_error())


def _texts(items: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(items) + 1))(*items, None)


# --- The process of a stack ---


def start_server(
    boot: Callable[[], StackServer],
    serve: Callable[[StackServer], None],
    *,
    stderr_fd: int = 2,
    keep: Sequence[int] = (),
) -> None:
    """Run a stack in a process of its own, which outlives this one.

    Args:
        boot: makes the stack, in that process.
        serve: gets the stack when it is ready, and returns when it may end.
        stderr_fd: where its messages go.
        keep: descriptors that it keeps; all others are closed.

    Raises:
        StackError: the stack could not be made; its own words.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        # Not a child of what comes here, which may wait for all of its children.
        if os.fork():
            os._exit(0)
        _be_server(theirs, boot, serve, stderr_fd, keep)
    theirs.close()
    os.waitpid(child, 0)
    with ours:
        words = b""
        while data := ours.recv(4096):
            words += data
    if words != READY:
        raise StackError(words.decode(errors="replace") or "The stack's process died.")


def _be_server(
    starter: socket.socket,
    boot: Callable[[], StackServer],
    serve: Callable[[StackServer], None],
    stderr_fd: int,
    keep: Sequence[int],
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        _close_others({*keep, starter.fileno()}, stderr_fd)
        os.chdir("/")
        server = boot()
        # Before it is ready nobody may come; afterwards nobody waits for a word.
        starter.sendall(READY)
        starter.close()
        serve(server)
        server.close()
        status = 0
    except PylibosError as error:
        message = str(error)
        with contextlib.suppress(OSError):
            starter.sendall(message.encode())
        print(f"pylibos: the stack has ended: {message}", file=sys.stderr, flush=True)
    except BaseException:
        import traceback

        text = traceback.format_exc()
        with contextlib.suppress(OSError):
            starter.sendall(text.encode())
        print(f"pylibos: the stack has ended:\n{text}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _close_others(keep: set[int], stderr_fd: int) -> None:
    """Nobody's pipe stays open because of us; only our messages go on."""
    null = os.open(os.devnull, os.O_RDWR)
    if stderr_fd != 2:
        os.dup2(stderr_fd, 2)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        number = int(name)
        if number > 2 and number not in keep:
            with contextlib.suppress(OSError):
                os.close(number)
