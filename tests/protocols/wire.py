# SPDX-License-Identifier: GPL-2.0-only
"""Two nodes and a cable with a program in its middle that judges every frame."""

from __future__ import annotations

import ctypes
import itertools
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

import dpkt
from topologies import SECOND, family_of, keep

import pylibos

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_SO_RCVBUFFORCE = 33
_FORWARD_BUFFER_BYTES = 1 << 22
_SIOCETHTOOL = 0x8946
_ETHTOOL_SGRO = 0x2C


@dataclass(frozen=True)
class Late:
    """A frame that a judge passes on later."""

    frame: bytes
    delay_ns: int


# Takes a direction (0: from a to b, 1: back) and a frame; returns the frames to pass on.
Judge = Callable[[int, bytes], Iterable[bytes | Late]]


@dataclass(frozen=True)
class Wire:
    """Two nodes in one subnet, joined through a program that judges every frame.

    Attributes:
        a, b: the nodes.
        links: from a to the middle, and from the middle to b.
    """

    a: pylibos.Node
    b: pylibos.Node
    links: tuple[pylibos.Link, pylibos.Link]

    def address(self, version: int) -> str:
        """The address of b."""
        return self.b.ip if version == 4 else self.b.ip6

    def capture(self, path: Path) -> pylibos.Capture:
        """Capture what a's device sends and receives."""
        return self.links[0].ends[0].device.capture(path / "a.pcapng")


def wire(
    net: pylibos.Network,
    judge: Judge,
    *,
    delay_ms: float = 10,
    sysctls: dict[str, object] | None = None,
    **settings: float,
) -> Wire:
    """Join two new nodes, a and b, by a cable in whose middle a program judges every frame.

    Args:
        judge: see Judge.
        delay_ms: one way, from a to b.
        sysctls: of both nodes.
        settings: of the link between a and the middle, see Network.link().
    """
    a, b = (net.node(name, **(sysctls or {})) for name in "ab")
    middle = net.node("middle", **{"net.ipv6.conf.default.disable_ipv6": 1})
    links = (
        net.link(a, middle, subnet=(), delay_ms=delay_ms, offload=False, **settings),
        net.link(middle, b, subnet=(), offload=False),
    )
    for number, node in enumerate((a, b), 1):
        for address in (f"10.0.0.{number}/24", f"fd00::{number}/64"):
            node.add_address("eth0", address)
    ends = []
    for device in ("eth0", "eth1"):
        end = middle.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _FORWARD_BUFFER_BYTES)
        end.bind((device, _ETH_P_ALL))
        disable_gro(middle, device)
        ends.append(keep(end))

    def forward(direction: int) -> None:
        while True:
            for item in judge(direction, ends[direction].recv(65536)):
                if isinstance(item, Late):
                    net.after(item.delay_ns, ends[not direction].send, item.frame)
                else:
                    ends[not direction].send(item)

    for direction in (0, 1):
        middle.spawn(forward, direction)
    return Wire(a, b, links)


def disable_gro(node: pylibos.Node, device: str) -> None:
    """Keep a node from merging the frames that a device receives: ethtool -K DEVICE gro off."""
    value = (ctypes.c_uint32 * 2)(_ETHTOOL_SGRO, 0)
    request = bytearray(struct.pack("@16sP16x", device.encode(), ctypes.addressof(value)))
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.ioctl(_SIOCETHTOOL, request)


def segment_of(frame: bytes) -> dpkt.tcp.TCP | None:
    """The TCP segment in a frame."""
    layer = dpkt.ethernet.Ethernet(frame).data
    while isinstance(layer, dpkt.ip.IP | dpkt.ip6.IP6):
        layer = layer.data
    return layer if isinstance(layer, dpkt.tcp.TCP) else None


class Chosen:
    """A judge that does something to some of the data segments from a to b.

    Args:
        numbers: of those segments, counted from 0 from reset() on; ``...``: all of them.
        fate: takes a frame and returns what to pass on; by default nothing.
    """

    def __init__(
        self,
        *numbers: int | EllipsisType,
        fate: Callable[[bytes], Iterable[bytes | Late]] = lambda frame: (),
    ) -> None:
        self._numbers, self._fate = numbers, fate
        self._counter: Iterator[int] | None = None

    def reset(self) -> None:
        """Count from now on."""
        self._counter = itertools.count()

    def __call__(self, direction: int, frame: bytes) -> Iterable[bytes | Late]:
        segment = segment_of(frame) if direction == 0 and self._counter else None
        if not segment or not segment.data or self._counter is None:
            return [frame]
        number = next(self._counter)
        return self._fate(frame) if ... in self._numbers or number in self._numbers else [frame]


# --- TCP ---


def connect(
    net: pylibos.Network, client: pylibos.Node, server: pylibos.Node, address: str
) -> tuple[pylibos.Socket, pylibos.Socket]:
    """A connection from a client to a port of its own on a server: both of its ends.

    Neighbours were resolved before, so that the handshake takes one round trip, and a byte has gone
    to and fro.
    """
    with client.socket(family_of(address), socket.SOCK_DGRAM) as first:
        first.sendto(b"", (address, 9))
        net.run_for(SECOND)
    with server.create_server((address, 0), family=family_of(address)) as listener:
        here = client.create_connection(listener.getsockname()[:2])
        there, _ = listener.accept()
    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for sender, receiver in ((here, there), (there, here)):
        sender.send(b"x")
        receiver.recv(1)
    net.run_for(SECOND)
    return keep(here), keep(there)


def read_exactly(sock: pylibos.Socket, size: int) -> bytes:
    """Receive a number of bytes, or what comes before the end of the stream."""
    received = bytearray()
    while len(received) < size and (data := sock.recv(size - len(received))):
        received += data
    return bytes(received)
