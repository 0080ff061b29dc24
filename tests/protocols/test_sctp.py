# SPDX-License-Identifier: GPL-2.0-only
"""SCTP (RFC 9260): associations, streams, one-to-many sockets, how they start and end."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
import sctp_options as sctp
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, ip_of, keep, pattern, repeats

DELAY_NS = 5 * MS
# include/net/sctp/constants.h
RTO_INITIAL_MS, RTO_MIN_MS, MAX_INIT_RETRANS = 3000, 1000, 8
versions = pytest.mark.parametrize("version", [4, 6])


def pair(net, **settings):
    a, b = net.node("a"), net.node("b")
    return a, b, net.link(a, b, **{"delay_ms": DELAY_NS / MS, **settings})


def associate(net, a, b, version, *, events=("data",), **options):
    """An association from a to b, both ends, a second old."""
    with sctp.listen(b, version, [ip_of(b, version)], **options) as server:
        conn = sctp.make(a, version, events=events, **options)
        conn.connect((ip_of(b, version), 9))
        peer = keep(server.accept()[0])
    net.run_for(SECOND)
    return conn, peer


@versions
def test_association_takes_two_round_trips(net, version):
    a, b, _ = pair(net)
    with sctp.listen(b, version, [ip_of(b, version)]) as server:
        for neighbour_ns in (2 * DELAY_NS, 0):  # of ARP or neighbour discovery, once
            start = net.now_ns
            with sctp.make(a, version) as conn:
                # INIT, INIT ACK, COOKIE ECHO, COOKIE ACK.
                conn.connect((ip_of(b, version), 9))
                assert net.now_ns - start == neighbour_ns + 4 * DELAY_NS
                server.accept()[0].close()
                net.run_for(SECOND)
    assert a.counters()["SctpActiveEstabs"] == 2
    assert b.counters()["SctpPassiveEstabs"] == 2


@versions
def test_messages_keep_their_bounds_streams_and_ppid(net, version):
    a, b, _ = pair(net)
    conn, peer = associate(net, a, b, version)
    for number in range(10):
        sctp.send(conn, pattern(100 * number + 1), number, ppid=1000 + number)
    for number in range(10):
        data, stream, ppid, _ = sctp.receive(peer)
        assert (data, stream, ppid) == (pattern(100 * number + 1), number, 1000 + number)


@versions
def test_stream_that_was_not_negotiated_is_refused(net, version):
    a, b, _ = pair(net)
    conn, _peer = associate(net, a, b, version, streams=4)
    sctp.send(conn, b"x", 3)
    with pytest.raises(OSError, match="Invalid argument"):
        sctp.send(conn, b"x", 4)


@versions
def test_large_message_is_fragmented_and_put_together(net, version):
    a, b, link = pair(net)
    conn, peer = associate(net, a, b, version)
    before = link.stats().frames
    sctp.send(conn, pattern(30_000), 1)
    received = b""
    while len(received) < 30_000:
        received += sctp.receive(peer)[0]
    assert received == pattern(30_000)
    # MTU less IP header, SCTP common header (12) and DATA chunk header (16), to 4 bytes.
    room = 1500 - (20 if version == 4 else 40) - 12 - 16
    assert a.counters()["SctpFragUsrMsgs"] == 1
    assert link.stats().frames - before >= -(-30_000 // room)


@versions
@pytest.mark.parametrize("same_stream", [True, False])
def test_lost_message_holds_up_its_own_stream_only(net, version, same_stream):
    a, b, link = pair(net)
    conn, peer = associate(net, a, b, version)
    sctp.send(conn, b"warm")
    sctp.receive(peer)
    net.run_for(SECOND)
    start = net.now_ns
    link.set(direction=0, loss_pct=100)
    sctp.send(conn, b"first", 1)
    net.run_for(MS)
    link.set(direction=0, loss_pct=0)
    sctp.send(conn, b"second", 1 if same_stream else 2)
    # The round trip is far below RTO.Min, so that is the timeout of the lost one.
    again_ns = wheel_ns(start, RTO_MIN_MS) + DELAY_NS
    arrivals = [(sctp.receive(peer)[0], net.now_ns) for _ in range(2)]
    if same_stream:
        assert arrivals == [(b"first", again_ns), (b"second", again_ns)]
    else:
        assert arrivals == [(b"second", start + MS + DELAY_NS), (b"first", again_ns)]
    assert a.counters()["SctpT3RtxExpireds"] == 1


def test_unordered_message_overtakes(net):
    a, b, link = pair(net)
    conn, peer = associate(net, a, b, 4)
    link.set(direction=0, loss_pct=100)
    sctp.send(conn, b"lost", 1)
    net.run_for(MS)
    link.set(direction=0, loss_pct=0)
    sctp.send(conn, b"ordered", 1)
    sctp.send(conn, b"unordered", 1, flags=sctp.UNORDERED)
    assert [sctp.receive(peer)[0] for _ in range(3)] == [b"unordered", b"lost", b"ordered"]


@versions
def test_one_to_many_socket_serves_many_associations(net, version):
    a, b, _ = pair(net)
    c = net.node("c")
    net.link(c, b, delay_ms=1)
    with sctp.make(b, version, socket.SOCK_SEQPACKET) as server:
        server.bind(("", 9))
        server.listen()
        clients = []
        for node, address in ((a, ip_of(b, version)), (c, b.addresses[2 + (version == 6)])):
            client = sctp.make(node, version, socket.SOCK_SEQPACKET)
            sctp.send(client, node.name.encode(), to=(address, 9))  # associates by itself
            clients.append(client)
        seen = {}
        for _ in clients:
            data, _, _, association = sctp.receive(server)
            seen[data] = association
        assert len(set(seen.values())) == 2
        for name, association in seen.items():
            sctp.send(server, b"hello " + name, 2, association=association)
        assert sctp.receive(clients[0])[:2] == (b"hello a", 2)
        assert sctp.receive(clients[1])[:2] == (b"hello c", 2)


def test_peeled_off_association_gets_a_socket_of_its_own(net):
    a, b, _ = pair(net)
    with sctp.make(b, 4, socket.SOCK_SEQPACKET) as server:
        server.bind(("", 9))
        server.listen()
        with sctp.make(a, 4) as client:
            client.connect((b.ip, 9))
            sctp.send(client, b"one")
            association = sctp.receive(server)[3]
            request = bytearray(struct.pack("=ii", association, -1))
            size = bytearray(struct.pack("=I", 8))
            fd = b.syscall(
                "getsockopt", server.fileno(), sctp.SOL_SCTP, sctp.PEELOFF, request, size
            )
            with b.socket(socket.AF_INET, socket.SOCK_STREAM, 132, fileno=fd) as own:
                sctp.send(client, b"two")
                assert sctp.receive(own)[0] == b"two"
                server.setblocking(False)
                with pytest.raises(BlockingIOError):
                    server.recv(10)


@versions
def test_closed_port_refuses_after_one_round_trip(net, version):
    a, b, _ = pair(net)
    with sctp.make(a, version) as conn:
        start = net.now_ns
        with pytest.raises(ConnectionRefusedError):
            conn.connect((ip_of(b, version), 9))
        assert net.now_ns - start == 4 * DELAY_NS  # the neighbour, then INIT and ABORT
    assert b.counters()["SctpOutOfBlues"] == 1


@versions
def test_unanswered_init_is_repeated_and_given_up_in_exact_time(net, version):
    a, b, link = pair(net)
    with sctp.make(a, version) as conn:
        with pytest.raises(ConnectionRefusedError):
            conn.connect((ip_of(b, version), 9))
    link.set(loss_pct=100)
    with sctp.make(a, version) as conn:
        conn.setsockopt(sctp.SOL_SCTP, sctp.INITMSG, struct.pack("=HHHH", 0, 0, 3, 0))
        start = end = net.now_ns
        with pytest.raises(TimeoutError) as caught:
            conn.connect((ip_of(b, version), 9))
        assert caught.value.errno == errno.ETIMEDOUT
    # T1-init: the first INIT and three more, the RTO doubled each time up to RTO.Max.
    for attempt in range(4):
        end = wheel_ns(end, min(RTO_INITIAL_MS << attempt, 60_000))
    assert net.now_ns == end
    assert 45 * SECOND <= end - start < 45 * SECOND * 9 / 8


@versions
@pytest.mark.parametrize("how", ["linger", "message"])
def test_abort_reaches_the_peer_in_one_trip(net, version, how):
    a, b, _ = pair(net)
    with sctp.listen(b, version, [ip_of(b, version)]) as server:
        conn = sctp.make(a, version, socket.SOCK_SEQPACKET if how == "message" else 1)
        conn.connect((ip_of(b, version), 9))
        peer = keep(server.accept()[0])
    net.run_for(SECOND)
    start = net.now_ns
    if how == "linger":
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        conn.close()
    else:  # one-to-many sockets only
        sctp.send(conn, b"", flags=sctp.ABORT, to=(ip_of(b, version), 9))
    with pytest.raises(ConnectionResetError):
        peer.recv(10)
    assert net.now_ns - start == DELAY_NS
    assert a.counters()["SctpAborteds"] == 1
    assert b.counters()["SctpCurrEstab"] == 0


@versions
def test_shutdown_delivers_everything_first(net, version):
    a, b, _ = pair(net)
    conn, peer = associate(net, a, b, version, events=("association", "data"))
    assert sctp.notification(conn) == (sctp.ASSOC_CHANGE, sctp.COMM_UP)
    start = net.now_ns
    sctp.send(conn, b"last words", 3)
    conn.shutdown(socket.SHUT_WR)
    assert sctp.receive(peer)[0] == b"last words"
    assert net.now_ns - start == DELAY_NS
    assert peer.recv(10) == b""
    # SACK back, SHUTDOWN there.
    assert net.now_ns - start == 3 * DELAY_NS
    assert sctp.notification(conn) == (sctp.ASSOC_CHANGE, sctp.SHUTDOWN_COMP)
    assert net.now_ns - start == 4 * DELAY_NS
    net.run_for(SECOND)
    for node in (a, b):
        assert node.counters()["SctpShutdowns"] == 1
        assert node.counters()["SctpCurrEstab"] == 0


@versions
def test_lossy_transfer_arrives_intact(net, version):
    a, b, link = pair(net, loss_pct=3, rate_mbit=50)
    conn, peer = associate(net, a, b, version)
    size, total = 1200, 200

    def send():
        for number in range(total):
            sctp.send(conn, struct.pack("=I", number) + pattern(size), number % 10)
        conn.shutdown(socket.SHUT_WR)

    a.spawn(send)
    last = dict.fromkeys(range(10), -1)
    count = 0
    while data := peer.recvmsg(70000, 256):
        if not data[0]:
            break
        count += 1
        (number,) = struct.unpack_from("=I", data[0])
        assert data[0][4:] == pattern(size)
        assert number > last[number % 10]
        last[number % 10] = number
    assert count == total
    assert link.stats().lost > 0


@versions
def test_udp_encapsulation_carries_associations(net, version):
    a, b, _ = pair(net)
    for node in (a, b):
        node.sysctl["net.sctp.udp_port"] = 9899
        node.sysctl["net.sctp.encap_port"] = 9899
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as probe:
        with pytest.raises(OSError, match="Address already in use"):
            probe.bind(("", 9899))
    conn, peer = associate(net, a, b, version)
    sctp.send(conn, b"within UDP")
    assert sctp.receive(peer)[0] == b"within UDP"


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b, link = pair(net, loss_pct=2)
        link.capture(path)
        conn, peer = associate(net, a, b, 4)
        for number in range(50):
            sctp.send(conn, pattern(1000), number % 10)
        for _ in range(50):
            sctp.receive(peer)

    assert repeats(build, tmp_path, scenario)
