# SPDX-License-Identifier: GPL-2.0-only
"""The few rtnetlink(7) requests that links and boot need; for all else there is pyroute2."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._socket import Socket

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NEXT_HOP = struct.Struct("=HBBi")  # struct rtnexthop
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x100, 0x200, 0x400
NLMSG_NOOP, NLMSG_ERROR = 1, 2
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_DELROUTE = 16, 20, 24, 25
IFF_UP = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 2
IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 3, 4, 10, 18
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH = 1, 4, 5, 9
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
# Requests of one sendmsg(2), and the sequence number of the one that ends them.
_BATCH_BYTES, _LAST = 30_000, 1

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def attribute(kind: int, data: bytes) -> bytes:
    """Build one attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data.ljust((len(data) + 3) & ~3, b"\0")


Message = tuple[int, int, bytes]
"""A request: its type, its flags and what follows the header."""


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


def request_all(process: Process, messages: Iterable[Message]) -> None:
    """Send many rtnetlink requests at once, which is much cheaper than one by one.

    Raises:
        OSError: the kernel refused one of them; the others were carried out.
    """
    failure = 0
    batch = bytearray()
    with process.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as channel:
        for kind, flags, body in messages:
            batch += _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, 0, 0)
            batch += body
            if len(batch) > _BATCH_BYTES:
                failure = failure or _send_batch(channel, batch)
                batch.clear()
        failure = failure or _send_batch(channel, batch)
    if failure:
        raise OSError(failure, os.strerror(failure))


def _send_batch(channel: Socket, batch: bytearray) -> int:
    """Send requests and wait until all were handled; return the errno of the first that failed."""
    # Errors come without being asked for, so only an empty request behind them is acknowledged.
    end = _HEADER.pack(_HEADER.size, NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, _LAST, 0)
    channel.sendto(batch + end, (0, 0))
    failure = 0
    while True:
        reply = channel.recv(65536)
        _, kind, _, sequence, _ = _HEADER.unpack_from(reply)
        if kind == NLMSG_ERROR and sequence != _LAST:
            failure = failure or -struct.unpack_from("=i", reply, _HEADER.size)[0]
        if sequence == _LAST:
            return failure


def set_link(
    process: Process, index: int, *, up: bool, mtu: int | None = None, master: int = 0
) -> None:
    """Bring an interface up or down; set its MTU in bytes, or the bridge that it is a port of."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP)
    if mtu is not None:
        body += attribute(IFLA_MTU, struct.pack("=I", mtu))
    if master:
        body += attribute(IFLA_MASTER, struct.pack("=I", master))
    request(process, RTM_NEWLINK, 0, body)


def address_message(index: int, address: Interface) -> Message:
    """The request that gives an interface an address; an IPv6 one is usable at once."""
    ipv6 = address.version == 6
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    body = struct.pack("=BBBBI", family, address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
    if ipv6:
        body += attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD))
    elif address.network.prefixlen < 31:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    return RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body


def add_address(process: Process, index: int, address: Interface) -> None:
    """Give an interface an address; an IPv6 one is usable at once (no duplicate detection)."""
    kind, flags, body = address_message(index, address)
    request(process, kind, flags, body)


def add_link(process: Process, name: str, kind: str, data: bytes = b"") -> None:
    """Make an interface of a kind, such as "bridge"; data are its own attributes.

    Raises:
        OSError: EOPNOTSUPP, the kernel has no such kind.
    """
    info = attribute(IFLA_INFO_KIND, kind.encode() + b"\0") + attribute(IFLA_INFO_DATA, data)
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
    body += attribute(IFLA_IFNAME, name.encode() + b"\0") + attribute(IFLA_LINKINFO, info)
    request(process, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def route_message(
    destination: Network,
    gateways: Sequence[Address] = (),
    *,
    index: int = 0,
    kind: int = RTM_NEWROUTE,
) -> Message:
    """The request that adds a route through one or several gateways, or onto an interface.

    Args:
        kind: RTM_NEWROUTE, or RTM_DELROUTE to remove it.
    """
    family = socket.AF_INET6 if destination.version == 6 else socket.AF_INET
    scope, protocol, route_type = RT_SCOPE_UNIVERSE, RTPROT_STATIC, RTN_UNICAST
    if kind == RTM_DELROUTE:
        scope, protocol, route_type = RT_SCOPE_NOWHERE, 0, 0  # any of these
    elif not gateways:
        scope = RT_SCOPE_LINK
    head = (family, destination.prefixlen, 0, 0, RT_TABLE_MAIN, protocol, scope, route_type, 0)
    body = struct.pack("=BBBBBBBBI", *head)
    body += attribute(RTA_DST, destination.network_address.packed)
    if len(gateways) == 1:
        body += attribute(RTA_GATEWAY, gateways[0].packed)
    elif gateways:
        hops = b""
        for gateway in gateways:
            via = attribute(RTA_GATEWAY, gateway.packed)
            hops += _NEXT_HOP.pack(_NEXT_HOP.size + len(via), 0, 0, 0) + via
        body += attribute(RTA_MULTIPATH, hops)
    if index:
        body += attribute(RTA_OIF, struct.pack("=i", index))
    return kind, NLM_F_CREATE | NLM_F_REPLACE if kind == RTM_NEWROUTE else 0, body


def add_route(
    process: Process, destination: Network, *, gateway: Address | None = None, index: int = 0
) -> None:
    """Add a route through a gateway, or onto an interface."""
    kind, flags, body = route_message(destination, (gateway,) if gateway else (), index=index)
    request(process, kind, flags, body)
