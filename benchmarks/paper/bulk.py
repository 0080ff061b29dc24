# SPDX-License-Identifier: GPL-2.0-only
"""Bulk TCP between a program of the host and the box.

Run as a program it is the worker of the host's side, which listens: ``take MS`` reads from the
next connection, ``give MS`` writes to it.  The box does the opposite by the same functions, on
a socket of our stack.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import socket
import struct
import sys
from typing import Any, Protocol

from benchmarks.paper.programs import socket_loops

PORT = 5001
WAIT_S = 10


class Moved(ctypes.Structure):
    """struct moved of socket_loops.c."""

    _fields_ = (
        ("bytes", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("errno", ctypes.c_int64),
    )


class Caller(Protocol):
    """Who makes the system calls: the host's kernel or ours."""

    def run(self, name: str, result: ctypes.Structure, fd: int, *counts: Any) -> None:
        """Run a loop of socket_loops.c on a descriptor."""


class HostCaller:
    """The host's kernel."""

    def __init__(self) -> None:
        self._loops = ctypes.CDLL(str(socket_loops()))

    def run(self, name: str, result: ctypes.Structure, fd: int, *counts: Any) -> None:
        """Run a loop of socket_loops.c on a descriptor."""
        loop = getattr(self._loops, name)
        loop(self._loops.host_call, None, None, fd, *counts, ctypes.byref(result))


def _bounded(conn: Any) -> int:
    """Let no call wait for ever; the descriptor."""
    conn.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        conn.setsockopt(socket.SOL_SOCKET, option, struct.pack("qq", WAIT_S, 0))
    fd: int = conn.fileno()
    return fd


def _answer(moved: Moved) -> dict[str, Any]:
    if moved.errno:
        raise OSError(-moved.errno, os.strerror(-moved.errno))
    gbit = moved.bytes * 8 / max(moved.seconds, 1e-9) / 1e9
    return {"bytes": moved.bytes, "seconds": moved.seconds, "gbit": gbit}


def take(caller: Caller, conn: Any) -> dict[str, Any]:
    """Read until the other side closes."""
    moved = Moved()
    caller.run("take_loop", moved, _bounded(conn))
    return _answer(moved)


def give(caller: Caller, conn: Any, ms: int) -> dict[str, Any]:
    """Write for so long, then close."""
    moved = Moved()
    caller.run("give_loop", moved, _bounded(conn), ctypes.c_uint64(ms))
    conn.shutdown(socket.SHUT_WR)
    return _answer(moved)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper.bulk", description=__doc__)
    parser.add_argument("--core", type=int, required=True)
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG
    os.sched_setaffinity(0, {options.core})
    caller = HostCaller()
    with socket.create_server(("", PORT)) as server:
        server.settimeout(WAIT_S)
        print('{"ready": true}', flush=True)
        for line in sys.stdin:
            name, ms = line.split()
            with server.accept()[0] as conn:
                try:
                    own = take(caller, conn) if name == "take" else give(caller, conn, int(ms))
                except OSError as error:
                    own = {"error": str(error)}
            print(json.dumps(own), flush=True)


if __name__ == "__main__":
    main()
