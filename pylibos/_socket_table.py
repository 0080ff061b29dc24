# SPDX-License-Identifier: GPL-2.0-only
"""``kernel.sockets()``: the socket tables of a kernel, as ss(8) shows them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pylibos._netlink_dump import DumpSocket
from pylibos._sock_diag import (
    ABSENT,
    NETLINK_SOCK_DIAG,
    PROTOCOLS,
    dump_inet,
    dump_netlink,
    dump_packet,
    dump_unix,
)
from pylibos._socket_record import SocketRecord
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from rich.table import Table

    from pylibos._process import Process

_OTHERS = {"unix": dump_unix, "netlink": dump_netlink, "packet": dump_packet}
_READLINKAT = NUMBERS["readlinkat"]
_SOCKET_LINK = re.compile(rb"socket:\[(\d+)\]")
_AT_FDCWD = -100


class SocketTable(list[SocketRecord]):
    """Rows of a socket table; a list that also prints as a table."""

    def table(self) -> Table:
        """A rich table with ss(8)'s columns."""
        from rich.table import Table
        from rich.text import Text

        table = Table("protocol", "state")
        for name in ("rx queue", "tx queue"):
            table.add_column(name, justify="right")
        for name in ("local", "remote", "timer", "congestion"):
            table.add_column(name)
        for row in self:
            timer = f"{row.timer.kind}, {row.timer.expires_ms} ms" if row.timer else ""
            queues = (f"{row.rx_queue:,}", f"{row.tx_queue:,}")
            ends = (Text(str(row.local)), Text(str(row.remote)))  # brackets are no markup
            table.add_row(row.protocol, row.state, *queues, *ends, timer, row.congestion)
        return table

    def __rich__(self) -> Table:
        return self.table()


def dump_protocol(channel: DumpSocket, protocol: str) -> Iterator[SocketRecord]:
    """All sockets of one protocol; none if the kernel does not have it."""
    if protocol not in _OTHERS:
        yield from dump_inet(channel, protocol)
        return
    try:
        yield from _OTHERS[protocol](channel)
    except OSError as error:
        if error.errno not in ABSENT:
            raise


def _holders(process: Process) -> dict[int, list[tuple[int, int]]]:
    """Inode of a socket: the (pid, descriptor) of all processes that have it open."""
    found: dict[int, list[tuple[int, int]]] = {}
    room = bytearray(64)
    for pid in sorted(int(name) for name in process.listdir("/proc") if name.isdecimal()):
        try:
            numbers = process.listdir(f"/proc/{pid}/fd")
        except (FileNotFoundError, ProcessLookupError):
            continue  # a kernel thread, or it has just ended
        for number in sorted(map(int, numbers)):
            path = f"/proc/{pid}/fd/{number}"
            try:
                size = process.syscall(_READLINKAT, _AT_FDCWD, path, room, len(room))
            except FileNotFoundError:
                continue  # the descriptor that listed the folder
            if match := _SOCKET_LINK.fullmatch(room[:size]):
                found.setdefault(int(match[1]), []).append((pid, number))
    return found


def read_sockets(
    process: Process, protocols: tuple[str, ...], *, processes: bool = False
) -> SocketTable:
    """Read the tables of a process's network namespace; see Process.sockets()."""
    for name in protocols:
        if name not in PROTOCOLS:
            raise ValueError(f"There is no protocol {name!r}; known are {', '.join(PROTOCOLS)}.")
    table = SocketTable()
    with DumpSocket(process.call, NETLINK_SOCK_DIAG) as channel:
        for protocol in protocols or PROTOCOLS:
            table += dump_protocol(channel, protocol)
    if processes:
        holders = _holders(process)
        table[:] = [
            dataclasses.replace(row, processes=tuple(holders.get(row.inode, ()))) for row in table
        ]
    return table
