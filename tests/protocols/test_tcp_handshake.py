# SPDX-License-Identifier: GPL-2.0-only
"""How TCP connections begin: fast open, SYN cookies, simultaneous open, deferred accept."""

from __future__ import annotations

import socket

import dpkt
import pytest
from frames import segments
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND
from wire import Chosen, keep, wire

import pylibos

ONE_WAY = 10 * MS
ROUND_TRIP = 2 * ONE_WAY
SYN, ACK, RST = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK, dpkt.tcp.TH_RST
FAST_OPEN_OPTION = 34  # RFC 7413, 4.1.1
SYN_DATA = pylibos.TcpOptions.SYN_DATA

both = pytest.mark.parametrize("version", [4, 6])


def joined(net, version=4, judge=None, **sysctls):
    """A wire whose ends know each other's addresses already."""
    pair = wire(net, judge or Chosen(), sysctls=sysctls)
    with pair.a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", (pair.address(version), 9))
    net.run_for(SECOND)
    return pair


def server(pair, version, **options):
    listener = keep(pair.b.create_server(("", 7), family=FAMILY[version]))
    for name, value in options.items():
        listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return listener


@both
def test_handshake_takes_one_round_trip(net, tmp_path, version):
    pair = joined(net, version)
    listener = server(pair, version)
    start_ns = net.now_ns
    keep(pair.a.create_connection((pair.address(version), 7)))
    assert net.now_ns - start_ns == ROUND_TRIP
    keep(listener.accept()[0])
    assert net.now_ns - start_ns == ROUND_TRIP + ONE_WAY


@both
def test_closed_port_refuses_after_one_round_trip(net, version):
    pair = joined(net, version)
    start_ns = net.now_ns
    with pytest.raises(ConnectionRefusedError):
        pair.a.create_connection((pair.address(version), 7))
    assert net.now_ns - start_ns == ROUND_TRIP
    assert pair.b.counters()["TcpOutRsts"] == 1


def fast_open(net, pair, listener, version):
    """Send five bytes with the SYN: the client's socket, when they arrived, the server's."""

    def receive():
        peer = keep(listener.accept()[0])
        assert peer.recv(10) == b"hello"
        return net.now_ns, peer

    client = keep(pair.a.socket(FAMILY[version]))
    start_ns = net.now_ns
    receiver = pair.b.spawn(receive)
    client.sendto(b"hello", socket.MSG_FASTOPEN, (pair.address(version), 7))
    arrived_ns, peer = receiver.result()
    net.run_for(SECOND)
    return client, arrived_ns - start_ns, peer


@both
def test_fast_open_saves_a_round_trip_from_the_second_time_on(net, tmp_path, version):
    # As a client 1, as a server 2 (ip-sysctl.rst).
    pair = joined(net, version, **{"net.ipv4.tcp_fastopen": 3})
    listener = server(pair, version, TCP_FASTOPEN=5)
    capture = pair.capture(tmp_path)
    client, took_ns, peer = fast_open(net, pair, listener, version)
    assert took_ns == ROUND_TRIP + ONE_WAY
    assert not client.tcp_info().options & SYN_DATA
    second, took_ns, second_peer = fast_open(net, pair, listener, version)
    assert took_ns == ONE_WAY
    assert second.tcp_info().options & SYN_DATA
    assert second_peer.tcp_info().options & SYN_DATA
    asked, opened = (item for item in segments(capture) if item.has(SYN))
    given, _ = (item for item in segments(capture, sent=False) if item.has(SYN))
    # RFC 7413, 3.1: asked for with an empty option, given, and used.
    assert asked.option(FAST_OPEN_OPTION) == b""
    assert len(given.option(FAST_OPEN_OPTION)) == 8
    assert opened.option(FAST_OPEN_OPTION) == given.option(FAST_OPEN_OPTION)
    assert (asked.size, opened.size) == (0, 5)
    assert pair.a.counters()["TcpExtTCPFastOpenActive"] == 1
    assert pair.b.counters()["TcpExtTCPFastOpenPassive"] == 1
    assert pair.b.counters()["TcpExtTCPFastOpenCookieReqd"] == 1
    assert peer.getpeername()[0] == second_peer.getpeername()[0]


def test_fast_open_falls_back_when_the_cookie_is_no_longer_good(net, tmp_path):
    pair = joined(net, **{"net.ipv4.tcp_fastopen": 3})
    listener = server(pair, 4, TCP_FASTOPEN=5)
    fast_open(net, pair, listener, 4)
    pair.b.sysctl["net.ipv4.tcp_fastopen_key"] = "01234567-89abcdef-01234567-89abcdef"
    client, took_ns, _ = fast_open(net, pair, listener, 4)
    assert took_ns == ROUND_TRIP + ONE_WAY
    assert not client.tcp_info().options & SYN_DATA
    assert pair.b.counters()["TcpExtTCPFastOpenPassiveFail"] == 1
    assert pair.a.counters()["TcpExtTCPFastOpenActiveFail"] == 1


@both
def test_syn_cookies_keep_no_state_and_work(net, tmp_path, version):
    # 2: always, not only when the queue is full.
    pair = joined(net, version, **{"net.ipv4.tcp_syncookies": 2})
    listener = server(pair, version)
    client = keep(pair.a.create_connection((pair.address(version), 7)))
    client.send(b"x")
    peer = keep(listener.accept()[0])
    assert peer.recv(1) == b"x"
    counters = pair.b.counters()
    assert counters["TcpExtSyncookiesSent"] == counters["TcpExtSyncookiesRecv"] == 1
    assert counters["TcpExtSyncookiesFailed"] == 0
    # What the cookie has no room for went through the time stamp.
    options = pylibos.TcpOptions
    agreed = options.TIMESTAMPS | options.SACK | options.WSCALE
    assert peer.tcp_info().options & agreed == agreed


def test_syn_cookies_come_when_the_queue_is_full(net, tmp_path):
    def judge(direction, frame):
        # Clients never finish their handshakes.
        ethernet = dpkt.ethernet.Ethernet(frame)
        ip = ethernet.data
        lost = direction == 0 and isinstance(ip, dpkt.ip.IP) and isinstance(ip.data, dpkt.tcp.TCP)
        return [] if lost and not ip.data.flags & SYN else [frame]

    pair = joined(net, judge=judge)
    listener = keep(pair.b.socket())
    listener.bind(("", 7))
    listener.listen(3)
    for _ in range(8):
        client = keep(pair.a.socket())
        client.setblocking(False)
        client.connect_ex((pair.b.ip, 7))
        net.run_for(ONE_WAY)
    # inet_csk_reqsk_queue_is_full(): one more than the backlog waits, the others get cookies.
    counters = pair.b.counters()
    assert counters["TcpExtTCPReqQFullDoCookies"] == 8 - 4
    assert counters["TcpExtSyncookiesSent"] == 8 - 4


@both
def test_simultaneous_open_makes_one_connection_without_a_server(net, tmp_path, version):
    pair = joined(net, version)
    capture = pair.capture(tmp_path)
    here, there = (keep(node.socket(FAMILY[version])) for node in (pair.a, pair.b))
    mine = (pair.a.ip if version == 4 else pair.a.ip6, 5000)
    theirs = (pair.address(version), 6000)
    here.bind(mine)
    there.bind(theirs)
    start_ns = net.now_ns
    programs = [
        pair.a.spawn(here.connect, theirs),
        pair.b.spawn(there.connect, mine),
    ]
    for program in programs:
        program.result()
    # RFC 9293, figure 7: the SYNs cross, and so do the SYN-ACKs.
    assert net.now_ns - start_ns == ROUND_TRIP
    for sent, first_ns in ((True, 0), (False, ONE_WAY)):
        syn, syn_ack = segments(capture, sent=sent)[:2]
        assert (syn.tcp.flags, syn.time_ns - start_ns) == (SYN, first_ns if sent else ONE_WAY)
        assert syn_ack.tcp.flags == SYN | ACK
    here.send(b"a")
    there.send(b"b")
    assert (here.recv(1), there.recv(1)) == (b"b", b"a")


@both
def test_deferred_accept_waits_for_data(net, version):
    pair = joined(net, version)
    listener = server(pair, version, TCP_DEFER_ACCEPT=10)
    start_ns = net.now_ns
    client = keep(pair.a.create_connection((pair.address(version), 7)))
    net.after(SECOND // 2, client.send, b"x")
    peer = keep(listener.accept()[0])
    assert net.now_ns - start_ns == ROUND_TRIP + SECOND // 2 + ONE_WAY
    assert peer.recv(1) == b"x"


def test_full_accept_queue_lets_the_client_try_again(net):
    pair = joined(net)
    listener = keep(pair.b.socket())
    listener.bind(("", 7))
    listener.listen(0)
    keep(pair.a.create_connection((pair.b.ip, 7)))
    net.run_for(SECOND)
    start_ns = net.now_ns
    net.after(3 * SECOND, listener.accept)
    keep(pair.a.create_connection((pair.b.ip, 7)))
    # sk_acceptq_is_full(): SYNs are dropped until the first one has been taken.
    third_ns = start_ns
    for _ in range(3):
        third_ns = wheel_ns(third_ns, 1000)
    assert net.now_ns == third_ns + ROUND_TRIP
    assert pair.b.counters()["TcpExtListenOverflows"] == 3
