# SPDX-License-Identifier: GPL-2.0-only
"""The few rtnetlink(7) requests that links and boot need; for all else there is pyroute2."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._process import Process

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE = 1, 4, 0x400, 0x100
NLMSG_ERROR = 2
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 20, 24
IFF_UP = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 2
IFLA_MTU = 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def attribute(kind: int, data: bytes) -> bytes:
    """Build one attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data.ljust((len(data) + 3) & ~3, b"\0")


def request(process: Process, kind: int, flags: int, body: bytes) -> None:
    """Send one rtnetlink request and wait for its acknowledgement.

    Raises:
        OSError: the kernel refused.
    """
    message = _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST | NLM_F_ACK, 1, 0)
    with process.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as channel:
        channel.sendto(message + body, (0, 0))
        reply = channel.recv(65536)
    _, reply_kind, _, _, _ = _HEADER.unpack_from(reply)
    if reply_kind == NLMSG_ERROR:
        (error,) = struct.unpack_from("=i", reply, _HEADER.size)
        if error:
            raise OSError(-error, os.strerror(-error))


def set_link(process: Process, index: int, *, up: bool, mtu: int | None = None) -> None:
    """Bring an interface up or down; set its MTU in bytes."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP)
    if mtu is not None:
        body += attribute(IFLA_MTU, struct.pack("=I", mtu))
    request(process, RTM_NEWLINK, 0, body)


def add_address(process: Process, index: int, address: Interface) -> None:
    """Give an interface an address; an IPv6 one is usable at once (no duplicate detection)."""
    ipv6 = address.version == 6
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    body = struct.pack("=BBBBI", family, address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
    if ipv6:
        body += attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD))
    elif address.network.prefixlen < 31:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    request(process, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body)


def add_route(
    process: Process,
    destination: Network,
    *,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    index: int = 0,
) -> None:
    """Add a route through a gateway, or onto an interface."""
    family = socket.AF_INET6 if destination.version == 6 else socket.AF_INET
    scope = RT_SCOPE_UNIVERSE if gateway else RT_SCOPE_LINK
    body = struct.pack(
        "=BBBBBBBBI",
        family,
        destination.prefixlen,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
        0,
    )
    body += attribute(RTA_DST, destination.network_address.packed)
    if gateway:
        body += attribute(RTA_GATEWAY, gateway.packed)
    if index:
        body += attribute(RTA_OIF, struct.pack("=i", index))
    request(process, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)
