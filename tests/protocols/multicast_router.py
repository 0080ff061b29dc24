# SPDX-License-Identifier: GPL-2.0-only
"""A multicast routing daemon in few lines: it joins interfaces and enters routes (MRT_INIT)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from topologies import FAMILY
from wire import keep

import pylibos

# include/uapi/linux/mroute.h and mroute6.h: the numbers are the same for both.
INIT, DONE, ADD_INTERFACE, DELETE_INTERFACE, ADD_ROUTE, DELETE_ROUTE = range(200, 206)
NO_ROUTE = 1
_USE_IFINDEX = 8
_MAX_INTERFACES = 32
_LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
_PROTOCOL = {4: socket.IPPROTO_IGMP, 6: 58}


@dataclass(frozen=True)
class Upcall:
    """What the kernel asks the daemon (struct igmpmsg, mrt6msg)."""

    type: int
    interface: int
    source: str
    group: str


class MulticastRouter:
    """The daemon of a node.

    Args:
        devices: its interfaces, numbered in this order.
    """

    def __init__(self, node: pylibos.Node, version: int, devices: Iterable[str]) -> None:
        self.version = version
        self.socket = keep(node.socket(FAMILY[version], socket.SOCK_RAW, _PROTOCOL[version]))
        if version == 6:
            self.socket.setsockopt(58, 1, b"\xff" * 32)  # ICMP6_FILTER: only upcalls
        self._set(INIT, struct.pack("=i", 1))
        for number, device in enumerate(devices):
            index = node.if_nametoindex(device)
            if version == 4:
                vif = struct.pack("=HBBIi4x", number, _USE_IFINDEX, 1, 0, index)
            else:
                vif = struct.pack("=HBBHxxI", number, 0, 1, index, 0)
            self._set(ADD_INTERFACE, vif)

    def _set(self, option: int, value: bytes) -> None:
        self.socket.setsockopt(_LEVEL[self.version], option, value)

    def _route(
        self, source: str, group: str, incoming: int, outgoing: Iterable[int], threshold: int = 1
    ) -> bytes:
        packed = [ipaddress.ip_address(address).packed for address in (source, group)]
        if self.version == 4:
            hops = bytearray(_MAX_INTERFACES)
            for interface in outgoing:
                hops[interface] = threshold
            return struct.pack("=4s4sH32sxxIIIi", *packed, incoming, bytes(hops), 0, 0, 0, 0)
        wanted = sum(1 << interface for interface in outgoing)
        names = b"".join(struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, p, 0) for p in packed)
        return names + struct.pack("=HxxI28x", incoming, wanted)

    def add(
        self, source: str, group: str, incoming: int, outgoing: Iterable[int], threshold: int = 1
    ) -> None:
        """Enter a route; IPv4 sends on what has more hops left than the threshold."""
        self._set(ADD_ROUTE, self._route(source, group, incoming, outgoing, threshold))

    def delete(self, source: str, group: str, incoming: int) -> None:
        """Remove a route."""
        self._set(DELETE_ROUTE, self._route(source, group, incoming, ()))

    def done(self) -> None:
        """Stop routing."""
        self._set(DONE, struct.pack("=i", 0))

    def upcall(self) -> Upcall:
        """Wait for the next question of the kernel."""
        while True:
            data = self.socket.recv(2000)
            if self.version == 4:
                kind, zero, interface = struct.unpack_from("=8xBBB", data)
                if zero == 0:  # else an IGMP packet, whose IP header has its protocol there
                    return Upcall(kind, interface, *_texts(data[12:16], data[16:20]))
            elif data[0] == 0:
                kind, interface = struct.unpack_from("=xBH", data)
                return Upcall(kind, interface, *_texts(data[8:24], data[24:40]))


def _texts(*packed: bytes) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(item)) for item in packed)
