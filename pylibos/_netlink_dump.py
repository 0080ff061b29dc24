# SPDX-License-Identifier: GPL-2.0-only
"""Netlink dumps that leave no trace in a run: what counters, socket tables and probes read.

The socket has a port id of its own choice, since the kernel may draw a random number for a
socket that has none.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from ctypes import addressof, create_string_buffer
from types import TracebackType

from pylibos._arguments import bytes_address
from pylibos._caller import fail
from pylibos._syscalls import NUMBERS

_SOCKET = NUMBERS["socket"]
_BIND = NUMBERS["bind"]
_SENDTO = NUMBERS["sendto"]
_RECVFROM = NUMBERS["recvfrom"]
_CLOSE = NUMBERS["close"]
_FCNTL = NUMBERS["fcntl"]
_F_DUPFD_CLOEXEC = 1030
_HIGH_FD = 1000  # below the usual limit of 1024

_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ADDRESS = struct.Struct("=HHII")
_ERROR = struct.Struct("=i")
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 1, 0x300, 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_TYPE_MASK = 0x3FFF
_EADDRINUSE = -98
# The kernel makes no larger message for a dump.
_ROOM_BYTES = 1 << 16
# Process ids, which the kernel prefers for port ids, do not reach this.
FIRST_PORT_ID = 0x70000000

Call6 = Callable[[int, int, int, int, int, int, int], int]


def attributes(data: bytes | memoryview, offset: int = 0) -> dict[int, bytes]:
    """Split netlink attributes that begin at an offset; the last of a kind wins."""
    found = {}
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE_MASK] = bytes(data[offset + _ATTRIBUTE.size : offset + size])
        offset += (size + 3) & ~3
    return found


class DumpSocket:
    """A netlink socket for dumps.

    Args:
        call6: makes a system call of six numbers; returns its result or -errno.
        protocol: NETLINK_ROUTE and the like.
        high: take a descriptor that no program would get.

    Attributes:
        port_id: its own.

    Raises:
        OSError: the kernel does not have the protocol.
    """

    def __init__(self, call6: Call6, protocol: int, *, high: bool = False) -> None:
        self._call = call6
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._fd = self._check(call6(_SOCKET, socket.AF_NETLINK, kind, protocol, 0, 0, 0))
        if high:
            low = self._fd
            self._fd = call6(_FCNTL, low, _F_DUPFD_CLOEXEC, _HIGH_FD, 0, 0, 0)
            call6(_CLOSE, low, 0, 0, 0, 0, 0)
            self._check(self._fd)
        self.port_id = FIRST_PORT_ID
        while (result := self._bind()) == _EADDRINUSE:
            self.port_id += 1
        if result < 0:
            self.close()
            raise fail(result)
        self._room = create_string_buffer(_ROOM_BYTES)

    def _bind(self) -> int:
        name = _ADDRESS.pack(socket.AF_NETLINK, 0, self.port_id, 0)
        return self._call(_BIND, self._fd, bytes_address(name), len(name), 0, 0, 0)

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            raise fail(result)
        return result

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Ask for a dump; return the bodies of all its messages.

        Raises:
            OSError: the kernel refuses.
        """
        while True:
            flags = NLM_F_REQUEST | NLM_F_DUMP
            request = _MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, 1, 0) + body
            at = bytes_address(request)
            self._check(self._call(_SENDTO, self._fd, at, len(request), 0, 0, 0))
            bodies: list[bytes] = []
            consistent = True
            done = False
            while not done:
                done, whole = self._receive(bodies)
                consistent &= whole
            if consistent:
                return bodies

    def _receive(self, bodies: list[bytes]) -> tuple[bool, bool]:
        """Take one datagram: whether it is the last, and whether nothing changed meanwhile."""
        at = addressof(self._room)
        size = self._check(self._call(_RECVFROM, self._fd, at, _ROOM_BYTES, 0, 0, 0))
        data = memoryview(self._room)[:size]
        consistent = True
        offset = 0
        while offset + _MESSAGE.size <= size:
            length, kind, flags, _, _ = _MESSAGE.unpack_from(data, offset)
            consistent &= not flags & NLM_F_DUMP_INTR
            body = data[offset + _MESSAGE.size : offset + length]
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                (error,) = _ERROR.unpack_from(body) if len(body) >= _ERROR.size else (0,)
                if error:
                    raise OSError(-error, os.strerror(-error))
                return True, consistent
            bodies.append(bytes(body))
            offset += (length + 3) & ~3
        return False, consistent

    def close(self) -> None:
        """Close it.  Closing twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._call(_CLOSE, fd, 0, 0, 0, 0, 0)

    def __enter__(self) -> DumpSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
