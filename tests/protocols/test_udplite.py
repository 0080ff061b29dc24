# SPDX-License-Identifier: GPL-2.0-only
"""UDP-Lite (RFC 3828): checksums that cover a part.  Linux had it up to 7.0."""

from __future__ import annotations

import errno
import socket

import pytest
from datagrams import HEADER_BYTES, IPPROTO_UDPLITE, Damage, ends
from frames import packets
from topologies import FAMILY, SECOND
from wire import wire

SEND_COVERAGE, RECEIVE_COVERAGE = 10, 11  # include/net/udplite.h
COVERED = 12

both = pytest.mark.parametrize("version", [4, 6])


class Lite:
    """Two ends; the sender's checksum covers the header and 12 bytes."""

    def __init__(self, net, version):
        self.damage = Damage()
        self.pair = wire(net, self.damage)
        a, b = self.pair.a, self.pair.b
        self.here, self.there = ends(a, b, self.pair.address(version), IPPROTO_UDPLITE)
        self.here.setsockopt(IPPROTO_UDPLITE, SEND_COVERAGE, HEADER_BYTES + COVERED)
        self.here.send(b"warm up, at least 12 bytes")
        self.there.recv(100)
        self.prefix = "UdpLite" if version == 4 else "UdpLite6"


def refused(net, version):
    """Whether the kernel is too new for UDP-Lite: it says so with the right errno then."""
    node = net.node("probe")
    if tuple(map(int, node.release.split(".")[:2])) <= (7, 0):
        return False
    with pytest.raises(OSError, match="Protocol not supported") as error:
        node.socket(FAMILY[version], socket.SOCK_DGRAM, IPPROTO_UDPLITE)
    assert error.value.errno == errno.EPROTONOSUPPORT
    return True


@both
def test_damage_behind_the_coverage_arrives(net, version):
    if refused(net, version):
        return
    lite = Lite(net, version)
    lite.damage.place = COVERED
    lite.here.send(b"x" * 20)
    assert lite.there.recv(100) == b"x" * 12 + b"y" + b"x" * 7


@both
def test_damage_within_the_coverage_does_not(net, version):
    if refused(net, version):
        return
    lite = Lite(net, version)
    lite.damage.place = COVERED - 1
    lite.here.send(b"x" * 20)
    with pytest.raises(TimeoutError):
        lite.there.recv(100)
    assert lite.pair.b.counters()[lite.prefix + "InCsumErrors"] == 1


@both
def test_receiver_refuses_less_coverage_than_it_asks_for(net, version):
    if refused(net, version):
        return
    lite = Lite(net, version)
    lite.there.setsockopt(IPPROTO_UDPLITE, RECEIVE_COVERAGE, HEADER_BYTES + COVERED + 1)
    lite.here.send(b"x" * 20)
    with pytest.raises(TimeoutError):
        lite.there.recv(100)
    lite.here.setsockopt(IPPROTO_UDPLITE, SEND_COVERAGE, HEADER_BYTES + COVERED + 1)
    lite.here.send(b"y" * 20)
    assert lite.there.recv(100) == b"y" * 20
    assert lite.pair.b.counters()[lite.prefix + "InErrors"] == 1


@both
def test_header_holds_the_coverage_in_place_of_the_length(net, tmp_path, version):
    if refused(net, version):
        return
    lite = Lite(net, version)
    capture = lite.pair.capture(tmp_path)
    for coverage in (HEADER_BYTES + COVERED, HEADER_BYTES, 0):
        # 0 is all of it; RFC 3828, 3.1.
        lite.here.setsockopt(IPPROTO_UDPLITE, SEND_COVERAGE, coverage)
        lite.here.send(b"x" * 20)
    net.run_for(SECOND)
    start = 14 + (20 if version == 4 else 40)
    protocol_at = 23 if version == 4 else 20
    found = [
        int.from_bytes(packet.data[start + 4 : start + 6])
        for packet in packets(capture, sent=True)
        if packet.data[protocol_at] == IPPROTO_UDPLITE
    ]
    assert found == [HEADER_BYTES + COVERED, HEADER_BYTES, 0]
