# SPDX-License-Identifier: GPL-2.0-only
"""An IPv6 router's daemon, as radvd is: router advertisements over a raw socket (RFC 4861)."""

from __future__ import annotations

import ipaddress
import socket
import struct

from wire import keep

import pylibos

IPPROTO_ICMPV6 = 58
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
ON_LINK, AUTONOMOUS = 0x80, 0x40
PREFERENCES = {"low": 0x18, "medium": 0, "high": 0x08}  # RFC 4191, 2.1
_ICMP6_FILTER = 1


def prefix_option(
    prefix: str, valid_s: int, preferred_s: int, flags: int = ON_LINK | AUTONOMOUS
) -> bytes:
    """Prefix information, RFC 4861, 4.6.2."""
    network = ipaddress.IPv6Network(prefix)
    head = struct.pack(">BBBBIII", 3, 4, network.prefixlen, flags, valid_s, preferred_s, 0)
    return head + network.network_address.packed


def mtu_option(mtu: int) -> bytes:
    """RFC 4861, 4.6.4."""
    return struct.pack(">BBHI", 5, 1, 0, mtu)


def route_option(prefix: str, lifetime_s: int, preference: str = "medium") -> bytes:
    """Route information, RFC 4191, 2.3."""
    network = ipaddress.IPv6Network(prefix)
    head = struct.pack(">BBBBI", 24, 3, network.prefixlen, PREFERENCES[preference], lifetime_s)
    return head + network.network_address.packed


def advertisement(
    *options: bytes, lifetime_s: int = 1800, hop_limit: int = 64, preference: str = "medium"
) -> bytes:
    """A router advertisement; the kernel fills in the checksum."""
    head = struct.pack(
        ">BBHBBHII",
        ROUTER_ADVERTISEMENT,
        0,
        0,
        hop_limit,
        PREFERENCES[preference],
        lifetime_s,
        0,
        0,
    )
    return head + b"".join(options)


class RouterDaemon:
    """Answers solicitations on an interface, and advertises when told to.

    Args:
        node: becomes a router.
        device: its interface.
        message: the advertisement; b"": say nothing.
        answer: whether to answer solicitations.
    """

    def __init__(
        self, node: pylibos.Node, device: str, message: bytes, *, answer: bool = True
    ) -> None:
        node.forward()
        self.node, self.device, self.message = node, device, message
        self._index = node.if_nametoindex(device)
        self._socket = keep(node.socket(socket.AF_INET6, socket.SOCK_RAW, IPPROTO_ICMPV6))
        wanted = bytearray(b"\xff" * 32)
        wanted[ROUTER_SOLICITATION // 8] &= ~(1 << ROUTER_SOLICITATION % 8)
        self._socket.setsockopt(IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(wanted))
        # RFC 4861, 6.1.2: hosts believe a hop limit of 255 only.
        self.set_hops(255)
        group = ipaddress.IPv6Address(ALL_ROUTERS).packed + struct.pack("=I", self._index)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self.solicitations_ns: list[int] = []
        if answer:
            node.spawn(self._answer)

    def set_hops(self, hops: int) -> None:
        """Change the hop limit of what is sent from now on."""
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)

    def _answer(self) -> None:
        while True:
            self._socket.recv(2000)
            self.solicitations_ns.append(self.node.now_ns)
            if self.message:
                self.advertise()

    def advertise(self, message: bytes | None = None) -> None:
        """Send the advertisement, or another one, to all nodes."""
        self._socket.sendto(message or self.message, (ALL_NODES, 0, 0, self._index))


def link_local(node: pylibos.Node, device: str) -> str:
    """An interface's link-local address."""
    (found,) = (address for address, _ in addresses6(node, device) if address.startswith("fe80"))
    return found


def addresses6(node: pylibos.Node, device: str) -> list[tuple[str, int]]:
    """An interface's IPv6 addresses with their flags, out of /proc/net/if_inet6."""
    found = []
    for line in node.read_text("/proc/net/if_inet6").splitlines():
        digits, _, _, _, flags, name = line.split()
        if name == device:
            found.append((str(ipaddress.IPv6Address(bytes.fromhex(digits))), int(flags, 16)))
    return found


def eui64(prefix: str, hardware: bytes) -> str:
    """The address that RFC 4291, appendix A, makes of a prefix and a card's address."""
    identifier = bytes([hardware[0] ^ 2]) + hardware[1:3] + b"\xff\xfe" + hardware[3:]
    network = ipaddress.IPv6Network(prefix).network_address.packed
    return str(ipaddress.IPv6Address(network[:8] + identifier))
