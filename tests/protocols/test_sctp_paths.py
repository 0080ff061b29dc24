# SPDX-License-Identifier: GPL-2.0-only
"""SCTP's multi-homing: failover and return in exact time, heartbeats, the death of all paths."""

from __future__ import annotations

import errno

import pytest
import sctp_options as sctp
from timer_wheel import wheel_ns
from topologies import MS, SECOND, keep, pattern, repeats, round_trip_ns

DELAY_NS = 5 * MS
RTO_MIN_MS = 1000  # include/net/sctp/constants.h: SCTP_RTO_MIN, with round trips of 10 ms
versions = pytest.mark.parametrize("version", [4, 6])


def addresses(node, version):
    return node.addresses[version == 6 :: 2]


def pair(net, version, paths=2, **sysctls):
    """An association over several paths, whose round trips are known; heartbeats are off."""
    a, b = (net.node(name, **sysctls) for name in "ab")
    links = [net.link(a, b, delay_ms=DELAY_NS / MS) for _ in range(paths)]
    # Which end asks the second path first is chance (sctp_transport_timeout()), and if it has to
    # resolve the other first, then that counts as a part of the round trip.
    for address in addresses(b, version):
        assert round_trip_ns(net, a, b, address) == 2 * DELAY_NS
    with sctp.listen(b, version, addresses(b, version)) as server:
        conn = sctp.make(a, version, events=("data", "address"))
        sctp.bind_all(conn, addresses(a, version), 0)
        conn.connect((addresses(b, version)[0], 9))
        peer = keep(server.accept()[0])
    for _ in range(1, paths):
        assert sctp.notification(conn) == (sctp.PEER_ADDR_CHANGE, sctp.ADDR_CONFIRMED)
    # The other end does not even acknowledge over a path that it has not confirmed itself
    # (sctp_outq_select_transport()).
    net.run_until(
        lambda: all(
            sctp.path_info(peer, address)["state"] == sctp.ACTIVE
            for address in addresses(a, version)
        )
    )
    for sock in (conn, peer):
        sctp.set_path(sock, heartbeat_ms=0)
    sctp.send(conn, b"warm")
    sctp.receive(peer)
    net.run_for(4 * SECOND)
    for address in addresses(b, version):
        info = sctp.path_info(conn, address)
        assert (info["state"], info["srtt"], info["rto"]) == (sctp.ACTIVE, 10, RTO_MIN_MS)
    return conn, peer, links


def exchange(net, conn, peer):
    """Send a message; return the time of its arrival."""
    sctp.send(conn, b"x", 1)
    assert sctp.receive(peer)[0] == b"x"
    return net.now_ns


@versions
def test_first_timeout_moves_traffic_to_the_other_path(net, version):
    conn, peer, links = pair(net, version)
    links[0].set(loss_pct=100)
    first = wheel_ns(net.now_ns, RTO_MIN_MS)
    assert exchange(net, conn, peer) == first + DELAY_NS
    # RFC 7829: after pf_retrans (0) errors a path is potentially failed, and not used.
    primary = conn.getpeername()[0]
    assert sctp.path_info(conn, primary)["state"] == sctp.POTENTIALLY_FAILED
    for _ in range(5):
        start = net.now_ns
        assert exchange(net, conn, peer) == start + DELAY_NS
    assert conn.process.counters()["SctpT3Retransmits"] == 1


@versions
def test_path_dies_after_its_maximum_of_timeouts(net, version):
    conn, peer, links = pair(net, version, **{"net.sctp.pf_enable": 0})
    sctp.set_path(conn, max_retrans=2)
    links[0].set(loss_pct=100)
    for error in range(3):
        # RFC 9260 6.3.3: the RTO doubles; the message goes out again over the other path.
        timeout = wheel_ns(net.now_ns, RTO_MIN_MS << error)
        assert exchange(net, conn, peer) == timeout + DELAY_NS
    assert sctp.notification(conn) == (sctp.PEER_ADDR_CHANGE, sctp.ADDR_UNREACHABLE)
    info = sctp.path_info(conn, conn.getpeername()[0])
    assert (info["state"], info["rto"]) == (sctp.INACTIVE, 8 * RTO_MIN_MS)
    start = net.now_ns
    assert exchange(net, conn, peer) == start + DELAY_NS


@versions
def test_mended_path_is_used_again_after_a_heartbeat(net, version):
    conn, peer, links = pair(net, version, **{"net.sctp.pf_enable": 0})
    sctp.set_path(conn, max_retrans=1)
    links[0].set(loss_pct=100)
    for _ in range(2):
        exchange(net, conn, peer)
    assert sctp.notification(conn) == (sctp.PEER_ADDR_CHANGE, sctp.ADDR_UNREACHABLE)
    links[0].set(loss_pct=0)
    before = links[0].stats().frames
    exchange(net, conn, peer)
    assert links[0].stats().frames == before
    start = net.now_ns
    sctp.set_path(conn, heartbeat_ms=10_000)
    assert sctp.notification(conn) == (sctp.PEER_ADDR_CHANGE, sctp.ADDR_AVAILABLE)
    # The interval and the RTO, half of that more or less by chance, and the wheel's rounding.
    assert net.now_ns - start < (10_000 + 1.5 * 4 * RTO_MIN_MS) * MS * 9 / 8
    before = links[0].stats().frames
    exchange(net, conn, peer)
    assert links[0].stats().frames > before


@versions
def test_idle_paths_are_asked_at_their_interval(net, version):
    conn, peer, _ = pair(net, version)
    sctp.set_path(conn, heartbeat_ms=5000)
    net.run_for(10 * SECOND)
    nodes = conn.process, peer.process
    before = [node.counters()["SctpOutCtrlChunks"] for node in nodes]
    net.run_for(600 * SECOND)
    after = [node.counters()["SctpOutCtrlChunks"] for node in nodes]
    asked, answered = (new - old for new, old in zip(after, before, strict=True))
    # RFC 9260 8.3: HB.interval and the RTO (1 s), 50 % of that more or less, on each path; the
    # timer wheel adds up to 512 ms.
    assert 2 * 600 / (6.5 + 0.512) - 2 <= asked <= 2 * 600 / 5.5 + 2
    assert abs(answered - asked) <= 2


@versions
def test_silent_peer_ends_the_association_in_exact_time(net, version):
    # Without the heartbeats of RFC 7829, which count too, and come by chance.
    sysctls = {"net.sctp.association_max_retrans": 3, "net.sctp.pf_enable": 0}
    conn, _, (link,) = pair(net, version, 1, **sysctls)
    link.set(loss_pct=100)
    end = net.now_ns
    sctp.send(conn, b"x")
    for attempt in range(4):  # the first transmission and three more
        end = wheel_ns(end, RTO_MIN_MS << attempt)
    with pytest.raises(TimeoutError) as caught:
        conn.recv(1)
    assert caught.value.errno == errno.ETIMEDOUT
    assert net.now_ns == end


@versions
def test_connectx_finds_the_address_that_works(net, version):
    a, b = net.node("a"), net.node("b")
    links = [net.link(a, b, delay_ms=DELAY_NS / MS) for _ in range(2)]
    links[0].set(loss_pct=100)
    with sctp.listen(b, version, addresses(b, version)) as server:
        conn = sctp.make(a, version)
        start = net.now_ns
        packed = b"".join(sctp.sockaddr(address, 9) for address in addresses(b, version))
        conn.setsockopt(sctp.SOL_SCTP, sctp.CONNECTX, packed)
        keep(server.accept()[0])
        # The second INIT, after RTO.Initial, goes to the next address, which has to be
        # resolved first; then the handshake takes two round trips.
        assert net.now_ns == wheel_ns(start, 3000) + 2 * DELAY_NS + 4 * DELAY_NS
        assert conn.getpeername()[0] == addresses(b, version)[1]


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        conn, peer, links = pair(net, 4)
        sctp.set_path(conn, heartbeat_ms=1000)
        links[1].capture(path)
        for number in range(20):
            sctp.send(conn, pattern(500))
            sctp.receive(peer)
            links[0].set(loss_pct=100 if number > 5 else 0)

    assert repeats(build, tmp_path, scenario)
