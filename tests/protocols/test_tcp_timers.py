# SPDX-License-Identifier: GPL-2.0-only
"""Every timer of TCP at its exact time: retransmission, SYN, keepalive, zero window, TIME_WAIT.

Times are computed as the kernel does: jiffies of 1 ms, rounded up by the timer wheel.
"""

from __future__ import annotations

import errno
import socket

import dpkt
import pytest
from frames import segments
from timer_wheel import wheel_ns
from topologies import MS, SECOND
from wire import Chosen, connect, keep, segment_of, wire

ONE_WAY = 10 * MS
ROUND_TRIP = 2 * ONE_WAY
# TCP_RTO_MIN, which the kernel adds to a smoothed round trip without deviation, and in ms.
RTO_MS = 20 + 200

both = pytest.mark.parametrize("version", [4, 6])


def timer_times(start_ns, delays_ms):
    """When a timer goes off that is armed again and again, each time it goes off."""
    times = []
    for delay_ms in delays_ms:
        start_ns = wheel_ns(start_ns, delay_ms)
        times.append(start_ns)
    return times


def times(capture, *, flags=0, sent=True):
    return [item.time_ns for item in segments(capture, sent=sent) if item.has(flags)]


def without_tcp(direction, frame):
    """A judge that passes everything but TCP, so that neighbours stay known."""
    return [] if segment_of(frame) else [frame]


@both
def test_unanswered_data_is_sent_again_with_doubled_waits_until_retries2(net, tmp_path, version):
    lost = Chosen(...)
    pair = wire(net, lost, sysctls={"net.ipv4.tcp_retries2": 5})
    here, _ = connect(net, pair.a, pair.b, pair.address(version))
    assert here.tcp_info().rto_us == RTO_MS * 1000
    lost.reset()
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    here.send(b"x")
    with pytest.raises(TimeoutError):
        here.recv(1)
    # A tail loss probe after one RTO; then RFC 6298, 5.5: each wait is twice the one before.
    *expected, end_ns = timer_times(start_ns, [RTO_MS, *(RTO_MS << n for n in range(6))])
    assert times(capture) == [start_ns, *expected]
    assert net.now_ns == end_ns
    # retransmits_timed_out(): after (2 << 5) - 1 minimal timeouts since the first one.
    given_up_ns = expected[1] + ((2 << 5) - 1) * 200 * MS
    assert expected[-1] < given_up_ns <= end_ns


def test_waits_end_at_120_seconds(net, tmp_path):
    lost = Chosen(...)
    pair = wire(net, lost)
    here, _ = connect(net, pair.a, pair.b, pair.b.ip)
    lost.reset()
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    here.send(b"x")
    with pytest.raises(TimeoutError):
        here.recv(1)
    # TCP_RTO_MAX; with tcp_retries2 of 15 the hypothetical timeout is 924.6 s (ip-sysctl.rst).
    waits = [RTO_MS, *(min(RTO_MS << n, 120_000) for n in range(16))]
    *expected, end_ns = timer_times(start_ns, waits)
    assert times(capture) == [start_ns, *expected]
    assert net.now_ns == end_ns
    assert end_ns - expected[1] >= 924_600 * MS


@both
def test_answer_ends_the_back_off(net, tmp_path, version):
    lost = Chosen(0, 1, 2, 3)
    pair = wire(net, lost)
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    lost.reset()
    start_ns = net.now_ns
    here.send(b"x")
    assert there.recv(1) == b"x"
    fourth_ns = timer_times(start_ns, [RTO_MS, RTO_MS, 2 * RTO_MS, 4 * RTO_MS])[-1]
    assert net.now_ns == fourth_ns + ONE_WAY
    assert here.tcp_info().backoff == 3
    net.run_for(SECOND)
    assert here.tcp_info().backoff == 0
    assert here.tcp_info().total_retrans == 4


@both
def test_syn_is_sent_four_times_a_second_apart_and_then_with_doubled_waits(net, tmp_path, version):
    pair = wire(net, without_tcp)
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    with pytest.raises(TimeoutError):
        pair.a.create_connection((pair.address(version), 7))
    # tcp_syn_linear_timeouts is 4, tcp_syn_retries 6; the first SYN waits for its neighbour.
    waits = [1000] * 5 + [2000, 4000, 8000, 16_000, 32_000, 64_000]
    *expected, end_ns = timer_times(start_ns, waits)
    assert times(capture, flags=dpkt.tcp.TH_SYN) == [start_ns + ROUND_TRIP, *expected]
    assert net.now_ns == end_ns


def test_number_of_syns_is_an_option(net, tmp_path):
    pair = wire(net, without_tcp, sysctls={"net.ipv4.tcp_syn_linear_timeouts": 0})
    capture = pair.capture(tmp_path)
    with pair.a.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 2)
        start_ns = net.now_ns
        assert sock.connect_ex((pair.b.ip, 7)) == errno.ETIMEDOUT
    assert len(times(capture)) == 3
    assert net.now_ns == timer_times(start_ns, [1000, 2000, 4000])[-1]


@both
def test_syn_ack_is_sent_again_five_times(net, tmp_path, version):
    def judge(direction, frame):
        segment = segment_of(frame)
        lost = direction == 0 and segment and not segment.flags & dpkt.tcp.TH_SYN
        return [] if lost else [frame]

    pair = wire(net, judge)
    capture = pair.capture(tmp_path)
    keep(
        pair.b.create_server(("", 7), family=(socket.AF_INET6 if version == 6 else socket.AF_INET))
    )
    keep(pair.a.create_connection((pair.address(version), 7)))
    sent_ns = net.now_ns - ONE_WAY
    net.run_for(100 * SECOND)
    waits = [1000 << n for n in range(5)]
    expected = [time_ns + ONE_WAY for time_ns in timer_times(sent_ns, waits)]
    assert times(capture, flags=dpkt.tcp.TH_SYN, sent=False) == [sent_ns + ONE_WAY, *expected]
    # The sixth timeout is the end.
    assert pair.b.counters()["TcpExtTCPTimeouts"] == 6


@both
def test_keepalive_probes_an_idle_peer_and_gives_a_silent_one_up(net, tmp_path, version):
    silent = False
    pair = wire(net, lambda _, frame: [] if silent and segment_of(frame) else [frame])
    here, _ = connect(net, pair.a, pair.b, pair.address(version))
    heard_ns = net.now_ns - here.tcp_info().last_ack_recv_ms * MS
    capture = pair.capture(tmp_path)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 10),
        (socket.TCP_KEEPINTVL, 3),
        (socket.TCP_KEEPCNT, 4),
    ):
        here.setsockopt(socket.IPPROTO_TCP, option, value)
    timer_ns = wheel_ns(net.now_ns, 10_000 - (net.now_ns - heard_ns) // MS)
    probes = []
    # tcp_keepalive_timer(): an answer moves the end of the idle time, not the timer.
    for _ in range(2):
        probes.append(timer_ns)
        heard_ns = timer_ns + ROUND_TRIP
        timer_ns = wheel_ns(timer_ns, 3000)
        timer_ns = wheel_ns(timer_ns, 10_000 - (timer_ns - heard_ns) // MS)
    net.run_until(timer_ns - 1)
    silent = True
    with pytest.raises(TimeoutError):
        here.recv(1)
    *probes[2:], end_ns = [timer_ns, *timer_times(timer_ns, [3000] * 4)]
    assert times(capture) == [*probes, end_ns]
    assert net.now_ns == end_ns
    # RFC 9293, 3.8.4: a probe repeats the last byte's number; the end is a reset.
    *asked, reset = segments(capture)
    assert {(item.size, item.offset) for item in asked} == {(0, 0)}
    assert reset.has(dpkt.tcp.TH_RST)


@both
def test_closed_window_is_probed_with_doubled_waits_until_it_opens(net, tmp_path, version):
    # Without tail loss probes: one could cross the delayed ACK that closes the window, and its
    # answer would start the wait once more.  It does on 7.3, where net.core.rmem_max is 4 MiB and
    # not 208 KiB, so that windows are in units of 128 bytes, not 8, and end with other segments.
    pair = wire(net, Chosen(), sysctls={"net.ipv4.tcp_early_retrans": 0})
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    capture = pair.capture(tmp_path)
    here.settimeout(5)
    with pytest.raises(TimeoutError):
        here.sendall(bytes(1 << 20))
    net.run_for(60 * SECOND)
    assert here.tcp_info().snd_wnd_bytes == 0
    answers = segments(capture, sent=False)
    closed_ns = next(item.time_ns for item in answers if item.tcp.win == 0)
    probes = [item for item in segments(capture) if item.time_ns > closed_ns]
    # RFC 9293, 3.8.6.1: the first one after a timeout, then with doubled waits.  An answer starts
    # the wait anew; one within half a second of the one before is not given
    # (tcp_invalid_ratelimit).
    rto_ms, start_ns, answered_ns = here.tcp_info().rto_us // 1000, closed_ns, 0
    for number, probe in enumerate(probes):
        start_ns = wheel_ns(start_ns, rto_ms << number)
        assert probe.time_ns == start_ns
        if start_ns + ROUND_TRIP - answered_ns > SECOND // 2:
            start_ns = answered_ns = start_ns + ROUND_TRIP
            assert answered_ns in {item.time_ns for item in answers}
    assert len(probes) == here.tcp_info().backoff == 8
    # A probe of Linux has no data, and the number of the last byte that was acknowledged.
    acknowledged = here.tcp_info().bytes_acked - 1 - 1  # less the SYN, and the byte before
    assert {(item.size, item.offset) for item in probes} == {(0, acknowledged - 1)}
    there.recv(1 << 17)
    net.run_for(ROUND_TRIP)
    assert here.tcp_info().snd_wnd_bytes > 0


def test_user_timeout_ends_a_connection_early(net, tmp_path):
    lost = Chosen(...)
    pair = wire(net, lost)
    here, _ = connect(net, pair.a, pair.b, pair.b.ip)
    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)
    lost.reset()
    start_ns = net.now_ns
    here.send(b"x")
    with pytest.raises(TimeoutError):
        here.recv(1)
    # tcp_clamp_rto_to_user_timeout(): the last wait is what is left of 5 s from the first
    # retransmission on.
    expected = timer_times(start_ns, [RTO_MS, *(RTO_MS << n for n in range(4))])
    left_ms = 5000 - (expected[-1] - expected[1]) // MS
    assert net.now_ns == wheel_ns(expected[-1], left_ms)


@both
def test_time_wait_lasts_a_minute(net, version):
    pair = wire(net, Chosen())
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    here.close()
    assert there.recv(1) == b""
    there.close()

    def waiting():
        return int(pair.a.read_text("/proc/net/sockstat").split("tw ")[1].split()[0])

    net.run_until(lambda: waiting() == 1)
    start_ns = net.now_ns
    net.run_until(lambda: waiting() == 0)
    # TCP_TIMEWAIT_LEN, net/tcp.h.
    assert net.now_ns == wheel_ns(start_ns, 60_000)
    assert pair.b.read_text("/proc/net/sockstat").split("tw ")[1].split()[0] == "0"


def test_half_closed_orphan_waits_for_fin_timeout(net):
    pair = wire(net, Chosen(), sysctls={"net.ipv4.tcp_fin_timeout": 5})
    here, _ = connect(net, pair.a, pair.b, pair.b.ip)
    here.close()
    net.run_until(lambda: pair.a.counters()["TcpInSegs"] == 4)  # SYN-ACK, byte, ACK, ACK of FIN
    start_ns = net.now_ns
    net.run_until(lambda: "tw 0" in pair.a.read_text("/proc/net/sockstat"))
    assert "orphan 0" in pair.a.read_text("/proc/net/sockstat")
    assert net.now_ns == wheel_ns(start_ns, 5000)


@both
def test_data_for_a_closed_socket_is_answered_by_a_reset(net, version):
    pair = wire(net, Chosen())
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    here.close()
    assert there.recv(1) == b""
    there.send(b"x")
    start_ns = net.now_ns
    # RFC 9293, 3.10.7.4: what comes after the user has gone is answered by a reset.
    there.settimeout(5)
    poll = pair.b.poll()
    poll.register(there, 0)  # POLLERR and POLLHUP come unasked
    poll.poll()
    assert net.now_ns == start_ns + ROUND_TRIP
    with pytest.raises(BrokenPipeError):
        there.send(b"x")
