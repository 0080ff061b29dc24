# SPDX-License-Identifier: GPL-2.0-only
"""A flight of ten segments through a cable whose middle loses, delays or doubles some of them."""

from __future__ import annotations

import struct

import dpkt
from frames import segments
from topologies import MS, SECOND
from wire import connect, read_exactly, wire

ONE_WAY = 10 * MS
ROUND_TRIP = 2 * ONE_WAY
# SACKs one by one: no waiting for up to 1 ms (tcp_comp_sack_delay_ns).
PLAIN = {"net.ipv4.tcp_comp_sack_nr": 0}


class Flight:
    """A flight of ten segments from a to b through a judge, from its start to quiet."""

    def __init__(self, net, judge, path, *, version=4, count=10, **sysctls):
        self.wire = wire(net, judge, sysctls=PLAIN | sysctls)
        a, b = self.wire.a, self.wire.b
        self.here, self.there = connect(net, a, b, self.wire.address(version))
        self.mss = self.here.tcp_info().snd_mss_bytes
        self.window = self.here.tcp_info().snd_cwnd
        before = [node.counters() for node in (a, b)]
        judge.reset()
        self.capture = self.wire.capture(path)
        self.start_ns = net.now_ns
        data = bytes(range(256)) * 100
        data = data[: count * self.mss]
        self.here.send(data)
        assert read_exactly(self.there, len(data)) == data
        self.took_ns = net.now_ns - self.start_ns
        net.run_for(3 * SECOND)
        self.info = self.here.tcp_info()
        self.counts, self.peer_counts = (
            node.counters() - old for node, old in zip((a, b), before, strict=True)
        )

    def resent(self):
        """What went out after the first ten segments: (ns since the start, number)."""
        return [
            (item.time_ns - self.start_ns, item.offset // self.mss)
            for item in segments(self.capture)
            if item.size and item.time_ns > self.start_ns
        ]

    def sacks(self):
        """Blocks of each ACK that came in, as segment numbers from and to."""
        first = segments(self.capture)[0].tcp.seq
        found = []
        for item in segments(self.capture, sent=False):
            edges = item.option(dpkt.tcp.TCP_OPT_SACK) or b""
            numbers = [
                ((edge - first) % 2**32) // self.mss for (edge,) in struct.iter_unpack(">I", edges)
            ]
            found.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
        return found
