# SPDX-License-Identifier: GPL-2.0-only
"""Sockets of UDP and its kin, and a judge that damages what they send."""

from __future__ import annotations

import socket

import dpkt
from wire import family_of, keep

import pylibos

IPPROTO_UDPLITE = 136
HEADER_BYTES = 8


def ends(
    node_a: pylibos.Node, node_b: pylibos.Node, address: str, protocol: int = 0
) -> tuple[pylibos.Socket, pylibos.Socket]:
    """A socket of a that is connected to one of b, which is bound to port 7; of 10 s patience."""
    there = keep(node_b.socket(family_of(address), socket.SOCK_DGRAM, protocol))
    there.bind((address, 7))
    here = keep(node_a.socket(family_of(address), socket.SOCK_DGRAM, protocol))
    here.connect((address, 7))
    for sock in (here, there):
        sock.settimeout(10)
    return here, there


def flipped(frame: bytes, place: int) -> bytes:
    """A frame of UDP with a bit of the data at a place flipped."""
    ip = dpkt.ethernet.Ethernet(frame).data
    start = 14 + (20 if isinstance(ip, dpkt.ip.IP) else 40) + HEADER_BYTES
    changed = bytearray(frame)
    changed[start + place] ^= 1
    return bytes(changed)


class Damage:
    """A judge that flips a bit of the data of each datagram, at a place, once that is set."""

    place: int | None = None

    def __call__(self, direction: int, frame: bytes) -> list[bytes]:
        ip = dpkt.ethernet.Ethernet(frame).data
        protocol = ip.p if isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6) else None
        hit = protocol in (socket.IPPROTO_UDP, IPPROTO_UDPLITE)
        return [flipped(frame, self.place) if hit and self.place is not None else frame]
