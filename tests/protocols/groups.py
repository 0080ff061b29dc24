# SPDX-License-Identifier: GPL-2.0-only
"""Multicast groups: joining, sending, and the messages of IGMP and MLD."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

import dpkt
from frames import layer, packets
from topologies import FAMILY
from wire import keep

import pylibos

GROUP = {4: "239.1.2.3", 6: "ff05::1:2:3"}
PORT = 9999
# Types of records, RFC 3376, 4.2.12, and RFC 3810, 5.2.12.
IS_INCLUDE, IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW_NEW, BLOCK_OLD = range(1, 7)
_LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
_JOIN = {4: socket.IP_ADD_MEMBERSHIP, 6: socket.IPV6_JOIN_GROUP}
_LEAVE = {4: socket.IP_DROP_MEMBERSHIP, 6: socket.IPV6_LEAVE_GROUP}
# include/uapi/linux/in.h
_MCAST_JOIN_SOURCE_GROUP, _MCAST_LEAVE_SOURCE_GROUP = 46, 47


def _request(node: pylibos.Node, version: int, device: str, group: str) -> bytes:
    packed = ipaddress.ip_address(group).packed
    index = node.if_nametoindex(device)
    if version == 6:
        return packed + struct.pack("=I", index)
    return packed + bytes(4) + struct.pack("=i", index)


def listener(
    node: pylibos.Node,
    version: int,
    device: str = "eth0",
    group: str | None = None,
    port: int = PORT,
) -> pylibos.Socket:
    """A socket that has joined a group; of 5 s patience."""
    sock = keep(node.socket(FAMILY[version], socket.SOCK_DGRAM))
    sock.bind(("", port))
    sock.settimeout(5)
    request = _request(node, version, device, group or GROUP[version])
    sock.setsockopt(_LEVEL[version], _JOIN[version], request)
    return sock


def leave(sock: pylibos.Socket, node: pylibos.Node, version: int, device: str = "eth0") -> None:
    """Leave the group."""
    request = _request(node, version, device, GROUP[version])
    sock.setsockopt(_LEVEL[version], _LEAVE[version], request)


def _sockaddr(address: str) -> bytes:
    packed = ipaddress.ip_address(address).packed
    if len(packed) == 4:
        return struct.pack("=HH4s120x", socket.AF_INET, 0, packed)
    return struct.pack("=HHI16s104x", socket.AF_INET6, 0, 0, packed)


def join_source(
    sock: pylibos.Socket, node: pylibos.Node, version: int, source: str, device: str = "eth0"
) -> None:
    """Listen to a source of the group only (RFC 3678: struct group_source_req)."""
    index = struct.pack("=I4x", node.if_nametoindex(device))
    request = index + _sockaddr(GROUP[version]) + _sockaddr(source)
    sock.setsockopt(_LEVEL[version], _MCAST_JOIN_SOURCE_GROUP, request)


def sender(node: pylibos.Node, version: int, device: str = "eth0", hops: int = 8) -> pylibos.Socket:
    """A socket that sends to groups by a device; it does not hear itself."""
    sock = keep(node.socket(FAMILY[version], socket.SOCK_DGRAM))
    index = node.if_nametoindex(device)
    if version == 4:
        where = struct.pack("=4s4si", bytes(4), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, where)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return sock


@dataclass(frozen=True)
class Message:
    """A message of IGMP or MLD.

    Attributes:
        time_ns: when it was sent.
        destination: of the packet.
        type: of the message.
        group: that it is about; "" in a report of version 3 of IGMP, 2 of MLD.
        records: of such a report: type, group, sources.
    """

    time_ns: int
    destination: str
    type: int
    group: str
    records: tuple[tuple[int, str, tuple[str, ...]], ...]


def messages(capture: pylibos.Capture, version: int, *, sent: bool = True) -> list[Message]:
    """The messages about groups that a device sent or received, but for link-local groups."""
    found = []
    for packet in packets(capture, sent=sent):
        if version == 4:
            ip = layer(packet.data, dpkt.ip.IP)
            body = bytes(ip.data) if ip and ip.p == socket.IPPROTO_IGMP else b""
        else:
            ip = layer(packet.data, dpkt.ip6.IP6)
            icmp = layer(packet.data, dpkt.icmp6.ICMP6)
            body = bytes(icmp) if icmp and icmp.type in (130, 131, 132, 143) else b""
        if body:
            item = _message(packet.time_ns, _text(ip.dst), body, version)
            if item.group not in _QUIET and (item.type not in (0x22, 143) or item.records):
                found.append(item)
    return found


# Groups that every node is in for reasons of its own.
_QUIET = ("ff02::1", "ff02::2", "ff02::6a", "ff05::2", "ff01::2", "224.0.0.106")


def _text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _message(time_ns: int, destination: str, body: bytes, version: int) -> Message:
    size = 4 if version == 4 else 16
    records = []
    if body[0] not in (0x22, 143):
        at = 4 if version == 4 else 8
        return Message(time_ns, destination, body[0], _text(body[at : at + size]), ())
    at = 8
    for _ in range(int.from_bytes(body[6:8])):
        kind, extra, count = struct.unpack_from(">BBH", body, at)
        at += 4
        group, *sources = (
            _text(body[at + size * n : at + size * (n + 1)]) for n in range(count + 1)
        )
        at += size * (count + 1) + extra * 4
        if group not in _QUIET and not group.startswith("ff02::1:ff"):
            records.append((kind, group, tuple(sources)))
    return Message(time_ns, destination, body[0], "", tuple(records))
