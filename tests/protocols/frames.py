# SPDX-License-Identifier: GPL-2.0-only
"""Captures as decoded headers, with their times in exact nanoseconds of virtual time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

import dpkt
from pcapng import Packet
from pcapng import read as read_file

import pylibos

T = TypeVar("T")


@dataclass(frozen=True)
class Segment:
    """A TCP segment of a capture.

    Attributes:
        time_ns: when it crossed the device.
        offset: of its first byte in the stream since the first segment of the capture.
        ip, tcp: its headers.
    """

    time_ns: int
    offset: int
    ip: Any
    tcp: dpkt.tcp.TCP

    @property
    def size(self) -> int:
        """Bytes of data."""
        return len(self.tcp.data)

    def has(self, flags: int) -> bool:
        """Whether all of some flags are set, such as dpkt.tcp.TH_SYN."""
        return self.tcp.flags & flags == flags

    def option(self, kind: int) -> bytes | None:
        """Contents of a TCP option."""
        return dict(dpkt.tcp.parse_opts(self.tcp.opts)).get(kind)


def layer(data: bytes, kind: type[T]) -> T | None:
    """The innermost header of a dpkt class in a frame."""
    found, header = None, dpkt.ethernet.Ethernet(data)
    while isinstance(header, dpkt.Packet):
        if isinstance(header, kind):
            found = header
        header = header.data
    return found


def packets(capture: pylibos.Capture, *, sent: bool | None = None) -> list[Packet]:
    """What a capture of a device holds so far; sent: only what the device sent, or received."""
    capture.flush()
    return [p for p in read_file(capture.path).packets if sent in (None, not p.inbound)]


def segments(capture: pylibos.Capture, *, sent: bool = True) -> list[Segment]:
    """The TCP segments that a device sent, or received, so far."""
    found: list[Segment] = []
    first: int | None = None
    for packet in packets(capture, sent=sent):
        ip = layer(packet.data, dpkt.ip.IP) or layer(packet.data, dpkt.ip6.IP6)
        tcp = layer(packet.data, dpkt.tcp.TCP)
        if tcp is not None:
            if first is None:
                first = tcp.seq
            offset = (tcp.seq - first + 2**31) % 2**32 - 2**31
            found.append(Segment(packet.time_ns, offset, ip, tcp))
    return found


def digest(capture: pylibos.Capture) -> str:
    """SHA-256 of a capture so far, to compare two runs."""
    capture.flush()
    return hashlib.sha256(capture.path.read_bytes()).hexdigest()
