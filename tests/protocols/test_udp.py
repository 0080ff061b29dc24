# SPDX-License-Identifier: GPL-2.0-only
"""UDP: checksums, segmentation offload, corking, refusals."""

from __future__ import annotations

import errno
import socket
import struct

import dpkt
import pytest
from datagrams import Damage, ends
from frames import layer, packets
from topologies import MS, SECOND, chain, ip_of, pattern
from wire import wire

ONE_WAY = 10 * MS
ROUND_TRIP = 2 * ONE_WAY
UDP_CORK, UDP_SEGMENT, UDP_GRO = 1, 103, 104  # include/uapi/linux/udp.h
SO_NO_CHECK = 11

both = pytest.mark.parametrize("version", [4, 6])


def datagrams(capture):
    """UDP headers that a device sent."""
    found = (layer(packet.data, dpkt.udp.UDP) for packet in packets(capture, sent=True))
    return [header for header in found if header is not None and header.dport == 7]


@both
def test_datagram_takes_the_delay_of_the_path(net, version):
    a, b = chain(net, "ab", delay_ms=10)
    here, there = ends(a, b, ip_of(b, version))
    here.send(b"warm up")
    there.recv(10)
    start_ns = net.now_ns
    here.send(b"x" * 1000)
    assert there.recv(2000) == b"x" * 1000
    assert net.now_ns - start_ns == ONE_WAY


@both
def test_closed_port_refuses_a_connected_socket(net, version):
    a, b = chain(net, "ab", delay_ms=10)
    here, there = ends(a, b, ip_of(b, version))
    here.send(b"warm up")
    there.recv(10)
    there.close()
    start_ns = net.now_ns
    here.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        here.recv(10)
    assert net.now_ns - start_ns == ROUND_TRIP
    grown = b.counters()
    assert grown["UdpNoPorts" if version == 4 else "Udp6NoPorts"] == 1


@both
def test_datagram_with_a_wrong_checksum_is_dropped(net, version):
    damage = Damage()
    pair = wire(net, damage)
    here, there = ends(pair.a, pair.b, pair.address(version))
    here.send(b"warm up")
    there.recv(10)
    damage.place = 0
    here.send(b"x" * 100)
    with pytest.raises(TimeoutError):
        there.recv(200)
    assert pair.b.counters()["UdpInCsumErrors" if version == 4 else "Udp6InCsumErrors"] == 1


def test_datagram_without_a_checksum_is_taken_as_it_is(net, tmp_path):
    damage = Damage()
    pair = wire(net, damage)
    here, there = ends(pair.a, pair.b, pair.b.ip)
    capture = pair.capture(tmp_path)
    here.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    damage.place = 0
    here.send(b"x" * 3)
    assert there.recv(200) == b"yxx"
    assert [header.sum for header in datagrams(capture)] == [0]


# --- Segmentation ---


@both
def test_one_send_becomes_many_datagrams(net, tmp_path, version):
    a, b = chain(net, "ab", delay_ms=10, offload=False)
    here, there = ends(a, b, ip_of(b, version))
    with a.links[0].ends[0].device.capture(tmp_path / "a.pcapng") as capture:
        here.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        data = pattern(10_300)
        assert here.send(data) == len(data)
        got = [there.recv(70_000) for _ in range(11)]
        assert [len(part) for part in got] == [1000] * 10 + [300]
        assert b"".join(got) == data
        assert [len(header.data) for header in datagrams(capture)] == [1000] * 10 + [300]


@both
def test_large_datagrams_cross_a_link_whole(net, tmp_path, version):
    a, b = chain(net, "ab", delay_ms=10)
    here, there = ends(a, b, ip_of(b, version))
    with a.links[0].ends[0].device.capture(tmp_path / "a.pcapng") as capture:
        size = struct.pack("=H", 1000)
        here.sendmsg([pattern(10_000)], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)])
        assert b"".join(there.recv(70_000) for _ in range(10)) == pattern(10_000)
        # USO: the receiver's kernel cuts them.
        assert [len(header.data) for header in datagrams(capture)] == [10_000]
    assert b.counters()["UdpInDatagrams" if version == 4 else "Udp6InDatagrams"] == 10


@both
def test_gro_gives_many_datagrams_at_once_and_their_size(net, version):
    a, b = chain(net, "ab", delay_ms=10)
    here, there = ends(a, b, ip_of(b, version))
    there.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    here.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
    here.send(pattern(5500))
    data, control, _, _ = there.recvmsg(70_000, 100)
    assert data == pattern(5500)
    assert control == [(socket.IPPROTO_UDP, UDP_GRO, struct.pack("=i", 1000))]


@both
def test_segment_that_would_need_fragments_is_refused(net, version):
    a, b = chain(net, "ab")
    here, _ = ends(a, b, ip_of(b, version))
    here.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1500)
    with pytest.raises(OSError, match="Invalid argument|Message too long") as refused:
        here.send(bytes(4000))
    assert refused.value.errno in (errno.EINVAL, errno.EMSGSIZE)


@both
def test_cork_gathers_sends_into_one_datagram(net, version):
    a, b = chain(net, "ab")
    here, there = ends(a, b, ip_of(b, version))
    here.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
    for part in (b"one ", b"two ", b"three"):
        here.send(part)
    here.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 0)
    assert there.recv(100) == b"one two three"


@both
def test_datagrams_beyond_the_receive_buffer_are_dropped_and_counted(net, version):
    a, b = chain(net, "ab")
    here, there = ends(a, b, ip_of(b, version))
    here.send(b"warm up")
    there.recv(10)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    before = b.counters()
    for _ in range(100):
        here.send(bytes(1000))
    net.run_for(SECOND)
    there.setblocking(False)
    got = 0
    try:
        while there.recv(2000):
            got += 1
    except BlockingIOError:
        pass
    prefix = "Udp" if version == 4 else "Udp6"
    grown = b.counters() - before
    assert grown[prefix + "RcvbufErrors"] == 100 - got > 0
    assert grown[prefix + "InDatagrams"] == got > 0
