# SPDX-License-Identifier: GPL-2.0-only
"""Messages of sendmsg(2) and recvmsg(2): struct msghdr, iovec and control messages.

Layouts for 64-bit processors, from ``include/linux/socket.h``.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from pylibos._arguments import address_of, c_int, pin

_HEADER = struct.Struct("=qii")
HEADER_BYTES = 16


class MessageHeader(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


def align(size: int) -> int:
    """CMSG_ALIGN."""
    return (size + 7) & ~7


def pack_control(messages: Iterable[Any]) -> bytes:
    """Build control data from (level, type, data) tuples.

    Raises:
        TypeError, OSError: as socket.sendmsg().
    """
    try:
        items = list(messages)
    except TypeError:
        raise TypeError("sendmsg() argument 2 must be iterable") from None
    parts = []
    for item in items:
        if not isinstance(item, Sequence) or len(item) != 3:
            raise TypeError("[sendmsg() ancillary data items] must be sequences of length 3")
        level, kind, data = item
        body = bytes(memoryview(data))
        parts.append(_HEADER.pack(HEADER_BYTES + len(body), c_int(level), c_int(kind)))
        parts.append(body.ljust(align(len(body)), b"\0"))
    return b"".join(parts)


def unpack_control(data: bytes) -> list[tuple[int, int, bytes]]:
    """Split control data into (level, type, data) tuples; what was truncated comes short."""
    messages = []
    place = 0
    while place + HEADER_BYTES <= len(data):
        size, level, kind = _HEADER.unpack_from(data, place)
        if size < HEADER_BYTES:
            break
        end = min(place + size, len(data))
        messages.append((level, kind, data[place + HEADER_BYTES : end]))
        place += align(size)
    return messages


class Message:
    """A struct msghdr with everything it points at, kept in place.

    Attributes:
        header: the MessageHeader.
        address: of the header.
    """

    def __init__(self, name_bytes: int, control_bytes: int) -> None:
        self.alive: list[Any] = []
        self.header = MessageHeader()
        self.address = ctypes.addressof(self.header)
        self.name = ctypes.create_string_buffer(max(name_bytes, 1))
        self.control = ctypes.create_string_buffer(max(control_bytes, 1))
        if name_bytes:
            self.header.name = ctypes.addressof(self.name)
            self.header.namelen = name_bytes
        if control_bytes:
            self.header.control = ctypes.addressof(self.control)
            self.header.controllen = control_bytes

    def set_buffers(self, buffers: Iterable[Any], *, writable: bool) -> int:
        """Point the iovec at buffers; return their total size in bytes.

        Raises:
            TypeError: one is no buffer, or not writable.
        """
        views = list(buffers)
        vector = (Vector * max(len(views), 1))()
        total = 0
        for place, buffer in enumerate(views):
            size = memoryview(buffer).nbytes
            address, keep = pin(buffer) if writable else address_of(buffer)
            self.alive.append(keep)
            vector[place].base = address
            vector[place].len = size
            total += size
        self.alive.append(vector)
        self.header.iov = ctypes.addressof(vector)
        self.header.iovlen = len(views)
        return total

    def received_name(self) -> bytes:
        """The sender's struct sockaddr."""
        return self.name.raw[: min(self.header.namelen, len(self.name))]

    def received_control(self) -> list[tuple[int, int, bytes]]:
        """The control messages that came."""
        return unpack_control(self.control.raw[: self.header.controllen])
