# SPDX-License-Identifier: GPL-2.0-only
"""A stack for programs, in a process of its own: ``python stack_server.py SOCKET [CONFIG...]``.

Each connection to SOCKET sends one byte: L with the listener of a program (plh_nuse_exec), or S
for the server's counters as JSON.  It ends with its standard input.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
from pathlib import Path

import pylibos
from pylibos import _abi
from pylibos._library import host, last_error

WAKE = 0  # PLH_OK


def stats_of(nuse: int) -> dict[str, int]:
    stats = _abi.plh_nuse_stats()
    host().plh_nuse_stats(nuse, ctypes.byref(stats))
    return {name: getattr(stats, name) for name, *_ in stats._fields_}


def serve_one(nuse: int, server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        what, descriptors, *_ = socket.recv_fds(connection, 1, 1)
        if what == b"L":
            host().plh_nuse_add(nuse, descriptors[0])
            connection.send(b"\1")
        elif what == b"S":
            connection.sendall(json.dumps(stats_of(nuse)).encode())


def main(path: str, options: str, trace: str) -> None:
    kernel = pylibos.boot(clock="real", **json.loads(options))
    trace_fd = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if trace else -1
    config = _abi.plh_nuse_config(owner_uid=os.getuid(), log_fd=2, trace_fd=trace_fd)
    nuse = host().plh_nuse_create(kernel._machine.open_handle, ctypes.byref(config))
    if not nuse:
        sys.exit(last_error())
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen(64)
    Path(path + ".new").rename(path)
    wake = select.epoll()
    wake.register(server, select.EPOLLIN)
    wake.register(0, select.EPOLLIN)
    while host().plh_nuse_run(nuse, wake.fileno(), 0) == WAKE:
        for fd, _ in wake.poll(0):
            if fd == 0:
                host().plh_nuse_destroy(nuse)
                kernel.halt()
                return
            serve_one(nuse, server)
    sys.exit(last_error())


if __name__ == "__main__":
    main(*sys.argv[1:])
