# SPDX-License-Identifier: GPL-2.0-only
"""Where stacks that many programs join are found: a socket in a folder of their user's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any

from pylibos._errors import StackError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ANSWER_S = 10.0


def folder() -> Path:
    """The folder of this user's stacks; made if it is missing.

    ``PYLIBOS_RUN_DIR``, or ``pylibos`` in ``XDG_RUNTIME_DIR``, ``/run`` (root) or ``/tmp``.

    Raises:
        StackError: it cannot be made, or somebody else could put sockets there.
    """
    if chosen := os.environ.get("PYLIBOS_RUN_DIR"):
        path = Path(chosen)
    elif os.geteuid() == 0:
        path = Path("/run/pylibos")
    elif runtime := os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "pylibos"
    else:
        path = Path(f"/tmp/pylibos-{os.geteuid()}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise StackError(
            f"The folder of stacks, {path}, cannot be made ({error.strerror}); "
            "choose another one by PYLIBOS_RUN_DIR."
        ) from None
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & stat.S_IWOTH:
        raise StackError(
            f"The folder of stacks, {path}, belongs to somebody else or can be written by "
            "everybody; choose another one by PYLIBOS_RUN_DIR."
        )
    return path


def socket_path(name: str) -> Path:
    """The socket of a stack; ValueError if it cannot be a name."""
    if not _NAME.fullmatch(name):
        raise StackError(
            f"A stack's name has up to 64 letters, digits, dots, dashes and underscores, not "
            f"{name!r}."
        )
    return folder() / f"{name}.sock"


def connect(name: str) -> socket.socket:
    """Connect to a stack's server.

    Raises:
        StackError: there is no such stack, or it is another user's.
    """
    path = socket_path(name)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        if isinstance(error, PermissionError):
            reason = "its socket does not let this user in"
        elif isinstance(error, FileNotFoundError):
            reason = f"'pylibos stack start {name}' makes one"
        elif isinstance(error, ConnectionRefusedError):
            reason = f"it has ended without a farewell; 'pylibos stack start {name}' makes another"
        else:
            reason = str(error.strerror)
        raise StackError(f"There is no stack {name} to join: {reason}.") from None
    return connection


def ask(name: str, **request: Any) -> dict[str, Any]:
    """Send a request to a stack's server; return its answer.

    Raises:
        StackError: it cannot be reached, or says why not.
    """
    with connect(name) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        except TimeoutError:
            raise StackError(f"The stack {name} does not answer within {ANSWER_S:g} s.") from None
        except OSError as error:
            raise StackError(f"The stack {name} went away: {error.strerror}.") from None
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        raise StackError(f"The stack {name} closed the connection without an answer.") from None
    if "error" in answer:
        raise StackError(f"The stack {name}: {answer['error']}")
    return answer


def names() -> list[str]:
    """Names of this user's stacks that live; sockets that nobody serves are removed."""
    found = []
    for path in sorted(folder().glob("*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            except OSError:
                continue
        found.append(path.stem)
    return found
