# SPDX-License-Identifier: GPL-2.0-only
"""The rate of a link to the nanosecond, and the queue in front of it to the packet and byte."""

from __future__ import annotations

import socket

import pytest
from pcapng import read
from quiet_link import HEADERS, quiet_pair

MS = 1_000_000
UDP_SEGMENT = 103


def arrivals(pair, path, count, size):
    """Send a burst; when each frame arrives, from the burst on in ns."""
    with pair.link.ends[1].device.capture(path):
        start = pair.a.now_ns
        pair.send(count, size)
        pair.received()
    return [packet.time_ns - start for packet in read(path).packets]


@pytest.mark.parametrize("rate_mbit", [0.3, 10, 97.654321, 1000])
@pytest.mark.parametrize("size", [4, 1000])
def test_frames_leave_at_the_rate_to_the_nanosecond(boot, tmp_path, rate_mbit, size):
    with quiet_pair(boot, rate_mbit=rate_mbit, delay_ms=3) as pair:
        times = arrivals(pair, tmp_path / "b", 30, size)
    bits, bps = (size + HEADERS) * 8, round(rate_mbit * 10**6)
    assert times == [
        3 * MS + number * bits * 10**9 // bps
        for number in range(1, 31)
        if number * bits * 10**9 // bps < 10**9 - 3 * MS
    ]


def test_queue_holds_so_many_packets_besides_the_one_on_the_wire(boot):
    with quiet_pair(boot, rate_mbit=1, queue_packets=10) as pair:
        assert pair.exchange(50, 100) == list(range(11))
        assert pair.link.stats(0).queue_drops == 39


def test_queue_holds_so_many_bytes_besides_the_packet_on_the_wire(boot):
    frame = 1000 + HEADERS
    with quiet_pair(boot, rate_mbit=1, queue_bytes=4 * frame) as pair:
        assert pair.exchange(50, 1000) == list(range(5))
        assert pair.link.stats(0).queue_drops == 45
        pair.link.set(queue_bytes=4 * frame - 1)
        assert pair.exchange(50, 1000) == list(range(4))
        # A packet that is small enough still fits behind large ones.
        pair.send(10, 1000)
        pair.send(1, 1)
        assert pair.received() == [0, 1, 2, 3, 0]


def test_burst_longer_than_the_short_rings_of_a_slow_link_arrives(boot):
    # The receiver has room for 32 frames at a time.
    with quiet_pair(boot, rate_mbit=100, queue_packets=1000, delay_ms=5, jitter_ms=0) as pair:
        assert pair.exchange(200, 10) == list(range(200))
        stats = pair.link.stats(0)
        assert (stats.queue_drops, stats.rx_full, stats.lost) == (0, 0, 0)


def test_queue_drains_at_the_rate(boot):
    frame = 1000 + HEADERS
    with quiet_pair(boot, rate_mbit=8 * frame / 1000, queue_packets=5) as pair:  # 1 ms a frame
        pair.send(20, 1000)
        assert pair.link.stats(0).queue_drops == 14
        pair.a.world.run_for(2 * MS)
        pair.send(20, 1000)
        assert pair.link.stats(0).queue_drops == 14 + 18
        assert len(pair.received()) == 8


def test_shorter_queue_is_full_until_it_has_drained(boot):
    with quiet_pair(boot, rate_mbit=1, queue_packets=10) as pair:
        pair.send(11, 100)
        pair.link.set(queue_packets=4)
        pair.send(1, 100)
        assert pair.link.stats(0).queue_drops == 1
        assert pair.received() == list(range(11))
        assert pair.exchange(11, 100) == list(range(5))


def test_queue_is_empty_after_the_cable_was_pulled(boot):
    with quiet_pair(boot, rate_mbit=1, queue_packets=10) as pair:
        pair.send(11, 100)
        pair.link.down()
        pair.link.up()
        assert pair.exchange(11, 100) == list(range(11))
        assert pair.link.stats(0).down_drops == 11


def test_rate_that_is_lifted_keeps_the_order(boot):
    with quiet_pair(boot, rate_mbit=1) as pair:
        pair.send(10, 100)
        pair.link.set(rate_mbit=0)
        pair.send(10, 100)
        assert pair.received() == [*range(10), *range(10)]


def test_duplicates_take_their_share_of_the_rate(boot, tmp_path):
    bits = (100 + HEADERS) * 8
    with quiet_pair(boot, rate_mbit=1, duplicate_pct=100) as pair:
        times = arrivals(pair, tmp_path / "b", 5, 100)
    assert times == [number * bits * 1000 for number in range(1, 11)]


@pytest.mark.parametrize("offload", [True, None])
def test_whole_segment_takes_as_long_as_its_packets_would(boot, tmp_path, offload):
    frame, segments = 1000 + HEADERS, 10
    with quiet_pair(boot) as pair:
        a, b = pair.a, pair.b
        link = a.link_to(b, subnet="10.0.9.0/24", rate_mbit=1, offload=offload)
        with a.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("10.0.9.2", 9))  # and ARP
            a.world.run_for(10**9)
            sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            with link.ends[1].device.capture(tmp_path / "b"):
                start = a.now_ns
                sock.sendto(bytes(1000 * segments), ("10.0.9.2", 9))
                a.world.run_for(10**9)
    packets = [packet for packet in read(tmp_path / "b").packets if packet.inbound]
    assert len(packets) == (1 if offload else segments)
    assert packets[-1].time_ns - start == segments * frame * 8 * 1000


@pytest.mark.parametrize("offload", [True, None])
def test_tcp_is_not_faster_than_its_packets(boot, offload):
    with quiet_pair(boot) as pair:
        a, b = pair.a, pair.b
        a.link_to(b, subnet="10.0.9.0/24", rate_mbit=10, offload=offload)
        with b.create_server(("10.0.9.2", 80)) as server:
            with a.create_connection(("10.0.9.2", 80)) as conn:
                peer, _ = server.accept()
                start = a.now_ns
                conn.sendall(bytes(100_000))
                received = 0
                while received < 100_000:
                    received += len(peer.recv(1 << 16))
                duration_ns = a.now_ns - start
                peer.close()
    # In 70 packets of at most 1,448 bytes, with 66 bytes of headers each.
    assert duration_ns >= (100_000 + 70 * 66) * 8 * 100
