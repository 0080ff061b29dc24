# SPDX-License-Identifier: GPL-2.0-only
"""Packets of captures: just what the pictures need, fast enough for a million of them."""

from __future__ import annotations

import socket
import struct
from functools import cache
from typing import NamedTuple

from pylibos._capture_file import Frame
from pylibos._socket_record import Endpoint

# Where the network layer begins, and its EtherType, by LINKTYPE_.
_ETHERNET, _RAW, _LINUX_SLL, _LINUX_SLL2 = 1, 101, 113, 276
_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN = (0x8100, 0x88A8, 0x9100)
# IPv6 extension headers; the fragment header has a fixed length, AH counts in words of four.
_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY = 0, 43, 44, 51, 60, 135
_EXTENSIONS = (_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY)
TCP = 6
PROTOCOLS = {
    1: "ICMP",
    TCP: "TCP",
    17: "UDP",
    33: "DCCP",
    47: "GRE",
    50: "ESP",
    58: "ICMPv6",
    132: "SCTP",
    136: "UDP-Lite",
}
_WITH_PORTS = (TCP, 17, 33, 132, 136)
_OPTION_WSCALE, _OPTION_SACK = 3, 5
_TCP_HEADER = struct.Struct("!HHIIBBH")
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Packet(NamedTuple):
    """An IP packet of a capture.

    Attributes:
        frame: where it was found.
        protocol: number of the protocol that the IP header carries.
        source, target: its ends; port 0 where there are none.
        ip_bytes: its length with the IP header.
        offset: where the protocol's own header begins in frame.data.
        body_bytes: from there on, also what was not kept.
    """

    frame: Frame
    protocol: int
    source: Endpoint
    target: Endpoint
    ip_bytes: int
    offset: int
    body_bytes: int


class Segment(NamedTuple):
    """A TCP segment.

    Attributes:
        packet: where it was found.
        seq, ack, window: as in its header.
        flags: FIN, SYN, ...
        payload_bytes: how much data it carries.
        wscale: shift of the window that its sender tells in a SYN; None: not told.
        sack: blocks of sequence numbers, [left, right).
    """

    packet: Packet
    seq: int
    ack: int
    window: int
    flags: int
    payload_bytes: int
    wscale: int | None
    sack: tuple[tuple[int, int], ...]


@cache
def _text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


@cache
def _endpoint(address: bytes, port: int) -> Endpoint:
    return Endpoint(_text(address), port)


def _network(frame: Frame) -> tuple[int, int]:
    """EtherType and offset of the network layer; 0 if it cannot be told."""
    data, kind = frame.data, frame.interface.link_type
    if kind == _ETHERNET:
        offset = 14
        ethertype = int.from_bytes(data[12:14], "big")
        while ethertype in _VLAN:
            ethertype = int.from_bytes(data[offset + 2 : offset + 4], "big")
            offset += 4
        return ethertype, offset
    if kind == _LINUX_SLL:
        return int.from_bytes(data[14:16], "big"), 16
    if kind == _LINUX_SLL2:
        return int.from_bytes(data[:2], "big"), 20
    if kind == _RAW and data:
        return (_IPV4 if data[0] >> 4 == 4 else _IPV6), 0
    return 0, 0


def parse_packet(frame: Frame) -> Packet | None:
    """Find the IP packet in a frame; None if there is none, or only a later fragment."""
    ethertype, at = _network(frame)
    data = frame.data
    if ethertype == _IPV4 and len(data) >= at + 20:
        offset = at + (data[at] & 15) * 4
        # A packet with segmentation left to others may be longer than the field can say.
        ip_bytes = int.from_bytes(data[at + 2 : at + 4], "big") or frame.length - at
        protocol = data[at + 9]
        if int.from_bytes(data[at + 6 : at + 8], "big") & 0x1FFF:
            return None
        source, target = data[at + 12 : at + 16], data[at + 16 : at + 20]
    elif ethertype == _IPV6 and len(data) >= at + 40:
        length = int.from_bytes(data[at + 4 : at + 6], "big")
        ip_bytes = length + 40 if length else frame.length - at
        protocol, offset = data[at + 6], at + 40
        source, target = data[at + 8 : at + 24], data[at + 24 : at + 40]
        while protocol in _EXTENSIONS and len(data) >= offset + 8:
            if protocol == _FRAGMENT and int.from_bytes(data[offset + 2 : offset + 4], "big") >> 3:
                return None
            words = data[offset + 1]
            size = 8 if protocol == _FRAGMENT else words * 8 + 8
            size = words * 4 + 8 if protocol == _AUTHENTICATION else size
            protocol, offset = data[offset], offset + size
    else:
        return None
    ports = (0, 0)
    if protocol in _WITH_PORTS:
        if len(data) < offset + 4:
            return None
        ports = struct.unpack_from("!HH", data, offset)
    return Packet(
        frame,
        protocol,
        _endpoint(source, ports[0]),
        _endpoint(target, ports[1]),
        ip_bytes,
        offset,
        ip_bytes - (offset - at),
    )


def parse_segment(packet: Packet) -> Segment | None:
    """Read the TCP header of a packet; None if it is cut off."""
    data, offset = packet.frame.data, packet.offset
    if len(data) < offset + 20:
        return None
    _, _, seq, ack, words, flags, window = _TCP_HEADER.unpack_from(data, offset)
    header_bytes = (words >> 4) * 4
    wscale, sack = _options(data[offset + 20 : offset + header_bytes])
    payload_bytes = packet.body_bytes - header_bytes
    return Segment(packet, seq, ack, window, flags, payload_bytes, wscale, sack)


def _options(data: bytes) -> tuple[int | None, tuple[tuple[int, int], ...]]:
    wscale: int | None = None
    sack: tuple[tuple[int, int], ...] = ()
    offset = 0
    while offset + 1 < len(data):
        kind, size = data[offset], data[offset + 1]
        if kind == 0:
            break
        if kind == 1:
            offset += 1
            continue
        if size < 2:
            break
        if kind == _OPTION_WSCALE and size == 3:
            wscale = data[offset + 2]
        elif kind == _OPTION_SACK and offset + size <= len(data):
            edges = struct.unpack_from(f"!{(size - 2) // 4}I", data, offset + 2)
            sack = tuple(zip(edges[::2], edges[1::2], strict=False))
        offset += size
    return wscale, sack
