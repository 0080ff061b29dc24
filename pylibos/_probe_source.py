# SPDX-License-Identifier: GPL-2.0-only
"""Where a probe's samples come from: one socket, or all TCP connections that a filter takes."""

from __future__ import annotations

import errno
import socket
import weakref
from collections.abc import Callable
from ctypes import addressof, c_uint32, create_string_buffer
from typing import TYPE_CHECKING, Protocol

from pylibos._address import unpack_address
from pylibos._netlink_dump import DumpSocket
from pylibos._probe_row import Sample, sample_of
from pylibos._quiet_call import QuietCalls
from pylibos._sock_diag import NETLINK_SOCK_DIAG, dump_tcp_info
from pylibos._socket_record import Endpoint, SocketRecord
from pylibos._syscalls import NUMBERS
from pylibos._tcp_info import ROOM_BYTES, TcpState

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._socket import Socket

_GETSOCKOPT = NUMBERS["getsockopt"]
_GETSOCKNAME = NUMBERS["getsockname"]
_GETPEERNAME = NUMBERS["getpeername"]
_NAME_BYTES = 128
_NOWHERE = Endpoint("", 0)


class Source(Protocol):
    """Gives the samples of one time.

    Attributes:
        ending: the samples given last are the last ones.
    """

    ending: bool

    def look(self) -> list[Sample] | None:
        """Look; None: there is nothing to look at any more."""

    def close(self) -> None:
        """Give back what it holds."""


class SocketSource:
    """One TCP socket, until it is closed."""

    def __init__(self, sock: Socket) -> None:
        self._socket = weakref.ref(sock)
        self._calls = QuietCalls(sock.process)
        self._room = create_string_buffer(ROOM_BYTES)
        self._size = c_uint32()
        self._ends: tuple[Endpoint, Endpoint] | None = None
        self._opened = False
        self.ending = False

    def look(self) -> list[Sample] | None:
        """See Source."""
        sock = self._socket()
        fd = sock.fileno() if sock is not None else -1
        if fd < 0 or self.ending:
            return None
        try:
            return self._ask(fd)
        finally:
            self._calls.even_out()

    def _ask(self, fd: int) -> list[Sample] | None:
        self._size.value = ROOM_BYTES
        at, size_at = addressof(self._room), addressof(self._size)
        option = (socket.IPPROTO_TCP, socket.TCP_INFO)
        result = self._calls.call6(_GETSOCKOPT, fd, *option, at, size_at, 0)
        if result < 0:
            return [] if result == -errno.EAGAIN else None
        data = self._room.raw[: self._size.value]
        closed = data[0] == TcpState.CLOSE
        self.ending = closed and self._opened
        self._opened = not closed
        ends = self._ends or (self._name(_GETSOCKNAME, fd), self._name(_GETPEERNAME, fd))
        if ends[1] != _NOWHERE:
            self._ends = ends
        return [sample_of(*ends, data)]

    def _name(self, nr: int, fd: int) -> Endpoint:
        self._size.value = _NAME_BYTES
        at, size_at = addressof(self._room), addressof(self._size)
        if self._calls.call6(nr, fd, at, size_at, 0, 0, 0) < 0:
            return _NOWHERE
        address = unpack_address(self._calls.process, self._room.raw[: self._size.value])
        return Endpoint(address[0], address[1])

    def close(self) -> None:
        """See Source."""


class FilterSource:
    """All TCP connections of a process's namespace that a function takes."""

    def __init__(self, process: Process, wanted: Callable[[SocketRecord], object]) -> None:
        self._calls = QuietCalls(process)
        self._wanted = wanted
        self._channel: DumpSocket | None = None
        self.ending = False

    def look(self) -> list[Sample] | None:
        """See Source."""
        try:
            if self._channel is None:
                self._channel = DumpSocket(self._calls.call6, NETLINK_SOCK_DIAG, high=True)
            found = list(dump_tcp_info(self._channel))
        except OSError as error:
            return [] if error.errno == errno.EAGAIN else None
        finally:
            self._calls.even_out()
        return [
            sample_of(row.local, row.remote, data)
            for row, data in found
            if data[0] != TcpState.LISTEN and self._wanted(row)
        ]

    def close(self) -> None:
        """See Source."""
        if self._channel is not None:
            self._channel.close()
            self._calls.even_out()
