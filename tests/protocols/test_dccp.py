# SPDX-License-Identifier: GPL-2.0-only
"""DCCP (RFC 4340): in kernels before 6.16, which removed it; later ones refuse its sockets."""

from __future__ import annotations

import errno
import functools
import struct

import pytest
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, ip_of, keep, repeats

SOCK_DCCP, IPPROTO_DCCP, SOL_DCCP = 6, 33, 269
SERVICE, CUR_MPS, CCID, TX_CCID = 2, 5, 13, 14  # DCCP_SOCKOPT_*
DELAY_NS = 5 * MS
versions = pytest.mark.parametrize("version", [4, 6])


def where_there_is_dccp(test):
    """Run a test on kernels before 6.16; on later ones assert that sockets are refused."""

    @functools.wraps(test)
    def run(*, net, **arguments):
        node = net.node("probe")
        if tuple(map(int, node.release.split(".")[:2])) < (6, 16):
            test(net=net, **arguments)
            return
        for version in (4, 6):
            with pytest.raises(OSError, match="Socket type not supported") as caught:
                node.socket(FAMILY[version], SOCK_DCCP, IPPROTO_DCCP)
            assert caught.value.errno == errno.ESOCKTNOSUPPORT

    return run


def make(node, version, service=42, ccid=None):
    sock = keep(node.socket(FAMILY[version], SOCK_DCCP, IPPROTO_DCCP))
    sock.setsockopt(SOL_DCCP, SERVICE, struct.pack("!I", service))
    if ccid is not None:
        sock.setsockopt(SOL_DCCP, CCID, bytes([ccid]))
    return sock


def pair(net, version, **settings):
    a, b = net.node("a"), net.node("b")
    link = net.link(a, b, **{"delay_ms": DELAY_NS / MS, **settings})
    server = make(b, version, ccid=settings.get("ccid"))
    server.bind(("", 9))
    server.listen()
    return a, b, link, server


def connect(a, b, server, version, **options):
    conn = make(a, version, **options)
    conn.connect((ip_of(b, version), 9))
    return conn, keep(server.accept()[0])


@versions
@where_there_is_dccp
def test_connection_takes_one_round_trip(net, version):
    a, b, _, server = pair(net, version)
    for neighbour_ns in (2 * DELAY_NS, 0):
        start = net.now_ns
        conn = make(a, version)
        conn.connect((ip_of(b, version), 9))  # REQUEST, RESPONSE
        assert net.now_ns - start == neighbour_ns + 2 * DELAY_NS
        server.accept()[0].close()  # ACK
        assert net.now_ns - start == neighbour_ns + 3 * DELAY_NS
        conn.close()


@versions
@where_there_is_dccp
def test_datagrams_keep_their_bounds(net, version):
    a, b, _, server = pair(net, version)
    conn, peer = connect(a, b, server, version)
    for size in (1, 100, 1000):
        start = net.now_ns
        conn.send(b"x" * size)
        assert len(peer.recv(2000)) == size
        assert net.now_ns - start == DELAY_NS


@versions
@where_there_is_dccp
def test_datagram_above_the_maximum_is_refused(net, version):
    a, b, _, server = pair(net, version)
    conn, _ = connect(a, b, server, version)
    largest = conn.getsockopt(SOL_DCCP, CUR_MPS)
    assert 1500 - 40 - 120 < largest < 1500
    assert conn.send(b"x" * largest) == largest
    with pytest.raises(OSError, match="Message too long"):
        conn.send(b"x" * (largest + 1))


@versions
@where_there_is_dccp
def test_other_service_code_is_refused(net, version):
    a, b, _, _server = pair(net, version)
    start = net.now_ns
    with make(a, version, service=43) as conn, pytest.raises(OSError) as caught:  # noqa: PT011
        conn.connect((ip_of(b, version), 9))
    assert caught.value.errno == errno.EBADRQC  # RESET with "bad service code"
    assert net.now_ns - start == 4 * DELAY_NS  # the neighbour, then REQUEST and RESET


@versions
@where_there_is_dccp
def test_closed_port_refuses_after_one_round_trip(net, version):
    a, b, _, server = pair(net, version)
    server.close()
    with make(a, version) as conn, pytest.raises(ConnectionRefusedError):
        conn.connect((ip_of(b, version), 9))


@versions
@where_there_is_dccp
def test_close_ends_the_connection(net, version):
    a, b, _, server = pair(net, version)
    conn, peer = connect(a, b, server, version)
    start = net.now_ns
    conn.close()
    assert peer.recv(10) == b""
    assert net.now_ns - start == DELAY_NS


@versions
@where_there_is_dccp
def test_lost_datagrams_stay_lost(net, version):
    a, b, link, server = pair(net, version)
    conn, peer = connect(a, b, server, version)
    peer.settimeout(10)
    received = []
    for number in range(20):
        link.set(direction=0, loss_pct=100 if number % 5 == 2 else 0)
        conn.send(bytes([number]))
        net.run_for(SECOND)
    for _ in range(16):
        received.append(peer.recv(10)[0])
    assert received == [number for number in range(20) if number % 5 != 2]
    with pytest.raises(TimeoutError):
        peer.recv(10)


@where_there_is_dccp
def test_congestion_control_is_negotiated(net):
    a, b, _, _ = pair(net, 4)
    server = make(b, 4, ccid=3)
    server.bind(("", 10))
    server.listen()
    conn = make(a, 4, ccid=3)
    conn.connect((b.ip, 10))
    peer = keep(server.accept()[0])
    conn.send(b"rate controlled")
    assert peer.recv(100) == b"rate controlled"
    assert conn.getsockopt(SOL_DCCP, TX_CCID) == 3


@where_there_is_dccp
def test_unanswered_request_is_repeated_until_the_limit(net):
    a, b, link, server = pair(net, 4)
    connect(a, b, server, 4)
    a.sysctl["net.dccp.default.request_retries"] = 2
    link.set(loss_pct=100)
    end = net.now_ns
    with make(a, 4) as conn, pytest.raises(TimeoutError) as caught:
        conn.connect((b.ip, 9))
    assert caught.value.errno == errno.ETIMEDOUT
    # DCCP_TIMEOUT_INIT is 3 s, doubled by each repetition.
    for timeout_ms in (3000, 6000, 12_000):
        end = wheel_ns(end, timeout_ms)
    assert net.now_ns == end


@where_there_is_dccp
def test_same_seed_gives_the_same_capture(net, build, tmp_path):
    def scenario(net, path):
        a, b, link, server = pair(net, 4, loss_pct=5)
        link.capture(path)
        conn, _ = connect(a, b, server, 4)
        for _ in range(50):
            conn.send(bytes(100))
            net.run_for(20 * MS)

    assert repeats(build, tmp_path, scenario)
