# SPDX-License-Identifier: GPL-2.0-only
"""Which packets a kernel dropped, where and why: its drop monitor (net/core/drop_monitor.c)."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from pylibos._errors import PylibosError
from pylibos._genetlink import Family, attributes, find_family, messages, open_channel, request
from pylibos._netlink import attribute

if TYPE_CHECKING:
    from pylibos._kernel import Kernel
    from pylibos._socket import Socket

# include/uapi/linux/net_dropmon.h
_CONFIG, _START, _STOP, _PACKET_ALERT, _STATS_GET = 2, 3, 4, 5, 8
_ALERT_MODE, _PC, _SYMBOL, _IN_PORT, _TIMESTAMP, _PROTO, _PAYLOAD = 1, 2, 3, 4, 5, 6, 7
_TRUNC_LEN, _ORIG_LEN, _QUEUE_LEN, _STATS, _REASON = 9, 10, 11, 12, 23
_PORT_IFINDEX = 0
_STATS_DROPPED = 0
_MODE_PACKET = 1
_GROUP = "events"
_VERSION = 2

_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE, _SO_MEMINFO, _SK_MEMINFO_DROPS = 33, 55, 8
_ROOM_BYTES = 4 << 20
_QUEUE_PACKETS = 10_000


@dataclass(frozen=True)
class Drop:
    """A packet that the kernel dropped.

    Attributes:
        time_ns: when, on the clock of the kernel's world.
        reason: why, as enum skb_drop_reason names it without its prefix ("NO_SOCKET").
        protocol: its EtherType, such as 0x0800; 0 if it had none.
        symbol: where in the kernel, such as "__udp4_lib_rcv+0x2a1/0x9c0".
        payload: its bytes from the link-layer header on, cut to what drops() was told.
        length_bytes: how long it was.
        ifindex: of the interface that it came in by; 0 for one of the kernel's own.
    """

    time_ns: int
    reason: str
    protocol: int
    symbol: str
    payload: bytes
    length_bytes: int
    ifindex: int


class Drops:
    """The drops of a kernel while the block runs; iterate for those seen since the last time.

    Iterating does not wait and does not move the clock.
    """

    def __init__(self, kernel: Kernel, payload_bytes: int) -> None:
        if payload_bytes < 0:
            raise ValueError("payload_bytes is how much to keep of a packet, 0 for all of it.")
        self._kernel = kernel
        self._payload_bytes = payload_bytes
        self._channel: Socket | None = None
        self._family: Family | None = None
        self._offset_ns = 0

    def __enter__(self) -> Drops:
        kernel = self._kernel
        try:
            self._family = find_family(kernel, "NET_DM")
        except FileNotFoundError:
            raise PylibosError(
                f"{kernel.image.path} has no drop monitor; use the profile defconfig, or build "
                "with CONFIG_LIB_TRACEPOINTS=y and CONFIG_NET_DROP_MONITOR=y."
            ) from None
        self._offset_ns = self._realtime_ns() - kernel.now_ns
        body = attribute(_ALERT_MODE, bytes([_MODE_PACKET]))
        body += attribute(_TRUNC_LEN, struct.pack("=I", self._payload_bytes))
        body += attribute(_QUEUE_LEN, struct.pack("=I", _QUEUE_PACKETS))
        self._ask(_CONFIG, body)
        channel = open_channel(kernel)
        try:
            channel.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)
            channel.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, self._family.groups[_GROUP])
            channel.setblocking(False)
            self._ask(_START)
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and self._kernel.alive():
            self._ask(_STOP)
            channel.close()

    def __iter__(self) -> Iterator[Drop]:
        channel = self._open_channel()
        # The kernel reports by a work item of its own, which runs when it becomes idle.
        self._kernel.world.run_for(0)
        while True:
            try:
                data = channel.recv(1 << 17)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # what is missing is counted, see lost_packets
            for _, command, body in messages(data):
                if command == _PACKET_ALERT:
                    yield self._parse(body)

    @property
    def lost_packets(self) -> int:
        """Drops that were not reported, since too many came between two iterations."""
        memory = self._open_channel().getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        (lost,) = struct.unpack_from("=I", memory, 4 * _SK_MEMINFO_DROPS)
        for kind, data in attributes(self._ask(_STATS_GET)):
            if kind == _STATS:
                counted = dict(attributes(data))[_STATS_DROPPED]
                lost += struct.unpack("=Q", counted)[0]
        return int(lost)

    def _open_channel(self) -> Socket:
        if self._channel is None:
            raise PylibosError("Drops are watched inside 'with kernel.drops() as drops:' only.")
        return self._channel

    def _ask(self, command: int, body: bytes = b"") -> bytes:
        assert self._family is not None
        with open_channel(self._kernel) as channel:
            return request(channel, self._family.number, command, _VERSION, body)

    def _realtime_ns(self) -> int:
        room = bytearray(16)
        self._kernel.syscall("clock_gettime", time.CLOCK_REALTIME, room)
        seconds, nanoseconds = struct.unpack("=qq", room)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)

    def _parse(self, body: bytes) -> Drop:
        fields = dict(attributes(body))
        port = dict(attributes(fields.get(_IN_PORT, b"")))
        return Drop(
            time_ns=int.from_bytes(fields[_TIMESTAMP], "little") - self._offset_ns,
            reason=_text(fields[_REASON]),
            protocol=int.from_bytes(fields.get(_PROTO, b""), "little"),
            symbol=_text(fields[_SYMBOL]),
            payload=fields.get(_PAYLOAD, b""),
            length_bytes=int.from_bytes(fields[_ORIG_LEN], "little"),
            ifindex=int.from_bytes(port.get(_PORT_IFINDEX, b""), "little"),
        )


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
