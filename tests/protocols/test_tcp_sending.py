# SPDX-License-Identifier: GPL-2.0-only
"""When TCP sends: Nagle, corks, delayed ACKs, slow start, restart after idling, pacing."""

from __future__ import annotations

import itertools
import socket

import pytest
from flight import ONE_WAY, ROUND_TRIP
from frames import segments
from timer_wheel import wheel_ns
from topologies import MS, SECOND, pattern
from wire import Chosen, connect, read_exactly, wire

SO_MAX_PACING_RATE = 47
both = pytest.mark.parametrize("version", [4, 6])
TCP = socket.IPPROTO_TCP


def pair_of(net, version=4, **sysctls):
    pair = wire(net, Chosen(), sysctls=sysctls)
    return pair, *connect(net, pair.a, pair.b, pair.address(version))


def sent(capture, start_ns):
    """(ns since the start, bytes) of each segment with data."""
    return [(item.time_ns - start_ns, item.size) for item in segments(capture) if item.size]


@both
def test_small_write_waits_for_the_acknowledgement_of_the_one_before(net, tmp_path, version):
    pair, here, there = pair_of(net, version)
    here.setsockopt(TCP, socket.TCP_NODELAY, 0)
    there.setsockopt(TCP, socket.TCP_QUICKACK, 1)
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    for part in (b"one", b"two", b"three"):
        here.send(part)
    assert read_exactly(there, 11) == b"onetwothree"
    # RFC 896: what was written meanwhile goes in one segment.
    assert sent(capture, start_ns) == [(0, 3), (ROUND_TRIP, 8)]


@both
def test_without_nagle_each_write_goes_at_once(net, tmp_path, version):
    # Else what is written while the device still holds the one before is gathered.
    pair, here, there = pair_of(net, version, **{"net.ipv4.tcp_autocorking": 0})
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    for part in (b"one", b"two", b"three"):
        here.send(part)
    assert read_exactly(there, 11) == b"onetwothree"
    assert sent(capture, start_ns) == [(0, 3), (0, 3), (0, 5)]


def test_nagle_and_a_delayed_acknowledgement_cost_40_ms(net, tmp_path):
    pair, here, there = pair_of(net)
    here.setsockopt(TCP, socket.TCP_NODELAY, 0)
    # The peer is interactive from its first answer on, and delays its ACKs.
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    here.send(b"one")
    here.send(b"two")
    assert read_exactly(there, 6) == b"onetwo"
    # TCP_ATO_MIN, from the arrival of the first.
    acknowledged_ns = wheel_ns(start_ns + ONE_WAY, 40) + ONE_WAY
    assert sent(capture, start_ns) == [(0, 3), (acknowledged_ns - start_ns, 3)]
    assert pair.b.counters()["TcpExtDelayedACKs"] == 1


@both
def test_cork_holds_a_part_of_a_segment_for_a_timeout(net, tmp_path, version):
    pair, here, there = pair_of(net, version)
    mss = here.tcp_info().snd_mss_bytes
    here.setsockopt(TCP, socket.TCP_CORK, 1)
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    here.send(pattern(mss + 100))
    net.run_until(start_ns + 100 * MS)
    rto_ms = here.tcp_info().rto_us // 1000
    assert read_exactly(there, mss + 100) == pattern(mss + 100)
    # tcp(7) says 200 ms; it is the timer of window probes, armed by the delayed ACK of the rest.
    acknowledged_ns = wheel_ns(start_ns + ONE_WAY, 40) + ONE_WAY
    pushed_ns = wheel_ns(acknowledged_ns, rto_ms)
    assert sent(capture, start_ns) == [(0, mss), (pushed_ns - start_ns, 100)]
    assert net.now_ns == pushed_ns + ONE_WAY


def test_uncorking_sends(net, tmp_path):
    pair, here, there = pair_of(net)
    here.setsockopt(TCP, socket.TCP_CORK, 1)
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    here.send(b"header")
    net.run_for(50 * MS)
    here.send(b"body")
    here.setsockopt(TCP, socket.TCP_CORK, 0)
    assert read_exactly(there, 10) == b"headerbody"
    assert sent(capture, start_ns) == [(50 * MS, 10)]


@both
def test_slow_start_doubles_the_window_each_round_trip(net, tmp_path, version):
    pair, here, there = pair_of(net, version, **{"net.ipv4.tcp_congestion_control": "reno"})
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    mss = here.tcp_info().snd_mss_bytes
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    pair.a.spawn(here.sendall, pattern(70 * mss))
    assert read_exactly(there, 70 * mss) == pattern(70 * mss)
    rounds = {}
    for time_ns, size in sent(capture, start_ns):
        turn = time_ns // ROUND_TRIP
        rounds[turn] = rounds.get(turn, 0) + size
    # RFC 5681, 3.1: 10, 20, 40 segments in three round trips.
    assert rounds == {0: 10 * mss, 1: 20 * mss, 2: 40 * mss}
    assert here.tcp_info().snd_ssthresh is None


@pytest.mark.parametrize(("restart", "window"), [(1, 10), (0, 80)])
def test_idle_connection_starts_slowly_again(net, restart, window):
    pair, here, there = pair_of(
        net,
        **{
            "net.ipv4.tcp_slow_start_after_idle": restart,
            "net.ipv4.tcp_congestion_control": "reno",
        },
    )
    mss = here.tcp_info().snd_mss_bytes
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    pair.a.spawn(here.sendall, pattern(70 * mss))
    read_exactly(there, 70 * mss)
    net.run_for(60 * SECOND)
    assert here.tcp_info().snd_cwnd == 80
    here.send(b"x")
    # tcp_cwnd_restart(): halved for each timeout that has passed, down to the initial window.
    assert here.tcp_info().snd_cwnd == window


def test_pacing_spreads_segments_evenly(net, tmp_path):
    pair, here, there = pair_of(net)
    mss = here.tcp_info().snd_mss_bytes
    here.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 144_800)
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    pair.a.spawn(here.sendall, pattern(60 * mss))
    assert read_exactly(there, 60 * mss) == pattern(60 * mss)
    times = sorted({time_ns for time_ns, _ in sent(capture, start_ns)})
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # tcp_tso_autosize(): two segments at a time, whose bytes take 20 ms at this rate.
    assert gaps[-5:] == [2 * mss * SECOND // 144_800] * 5
    assert here.tcp_info().max_pacing_rate_bytes_s == 144_800


def test_segments_are_no_larger_than_asked_for(net, tmp_path):
    pair = wire(net, Chosen())
    with pair.b.create_server(("", 7)) as server, pair.a.socket() as here:
        here.setsockopt(TCP, socket.TCP_MAXSEG, 500)
        capture = pair.capture(tmp_path)
        here.connect((pair.b.ip, 7))
        with server.accept()[0] as there:
            # The option in the SYN limits the peer, too; time stamps take 12 of 500.
            for sender, receiver in ((here, there), (there, here)):
                sender.send(pattern(2000))
                assert read_exactly(receiver, 2000) == pattern(2000)
                assert sender.tcp_info().snd_mss_bytes == 488
        assert segments(capture)[0].option(2) == (500).to_bytes(2)
        assert max(item.size for item in segments(capture)) == 488
