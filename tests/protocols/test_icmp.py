# SPDX-License-Identifier: GPL-2.0-only
"""ICMP and ICMPv6: echo, unreachable destinations, time exceeded, traceroute, redirects."""

from __future__ import annotations

import errno
import select
import socket
import struct

import pytest
from datagrams import ends
from icmp import (
    ECHO_REPLY,
    HOPS,
    LEVEL,
    PORT_UNREACHABLE,
    PROTOCOL,
    RECV_HOPS,
    RECVERR,
    TIME_EXCEEDED,
    UNREACHABLE,
    echo,
    queued_error,
)
from topologies import FAMILY, MS, SECOND, chain, ip_of
from wire import keep

both = pytest.mark.parametrize("version", [4, 6])
DELAY = 3 * MS


def raw_socket(node, version):
    sock = keep(node.socket(FAMILY[version], socket.SOCK_RAW, PROTOCOL[version]))
    sock.settimeout(5)
    return sock


def received(sock, version):
    """The next message of a raw socket, without an IP header; whom it is from."""
    data, address = sock.recvfrom(2000)
    return (data[(data[0] & 15) * 4 :] if version == 4 else data), address[0]


def warm_up(net, node, address, version):
    """Let all neighbours on the way be known."""
    with node.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", (address, 9))
    net.run_for(SECOND)


# --- Echo ---


@both
def test_echo_through_a_raw_socket_takes_a_round_trip(net, version):
    a, _, b = chain(net, "arb", delay_ms=3)
    warm_up(net, a, ip_of(b, version), version)
    sock = raw_socket(a, version)
    if version == 6:
        # ICMP6_FILTER (RFC 3542, 3.2): block all but echo replies.
        blocked = bytearray(b"\xff" * 32)
        blocked[ECHO_REPLY[6] // 8] &= ~(1 << ECHO_REPLY[6] % 8)
        sock.setsockopt(PROTOCOL[6], 1, bytes(blocked))
    start_ns = net.now_ns
    sock.sendto(echo(version, 77, 1, b"payload"), (ip_of(b, version), 0))
    while True:
        message, source = received(sock, version)
        if message[0] == ECHO_REPLY[version]:
            break
    assert net.now_ns - start_ns == 4 * DELAY
    assert source == ip_of(b, version)
    assert struct.unpack(">HH", message[4:8]) == (77, 1)
    assert message[8:] == b"payload"


@both
def test_echo_through_a_ping_socket_needs_no_rights_and_fills_in_its_identifier(net, version):
    a, _, b = chain(net, "arb", delay_ms=3)
    a.sysctl["net.ipv4.ping_group_range"] = "0 0"
    warm_up(net, a, ip_of(b, version), version)
    with a.socket(FAMILY[version], socket.SOCK_DGRAM, PROTOCOL[version]) as sock:
        sock.settimeout(5)
        option, control_type = RECV_HOPS[version]
        sock.setsockopt(LEVEL[version], option, 1)
        sock.connect((ip_of(b, version), 0))
        start_ns = net.now_ns
        sock.send(echo(version, 0, 1, b"payload"))
        message, control, _, _ = sock.recvmsg(2000, 100)
        assert net.now_ns - start_ns == 4 * DELAY
        assert message[0] == ECHO_REPLY[version]
        assert struct.unpack(">H", message[4:6])[0] == sock.getsockname()[1]
        assert message[8:] == b"payload"
        # One router took one of 64 hops.
        assert control == [(LEVEL[version], control_type, struct.pack("=i", 63))]


def test_ping_sockets_are_refused_to_other_groups(net):
    a = net.node("a", **{"net.ipv4.ping_group_range": "1 0"})
    with pytest.raises(PermissionError):
        a.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)


# --- Unreachable ---


def errors_of(net, node, address, version, port=7):
    """Send a datagram with IP_RECVERR; the errno of the next call, and the queued error."""
    sock = keep(node.socket(FAMILY[version], socket.SOCK_DGRAM))
    sock.setsockopt(LEVEL[version], RECVERR[version], 1)
    sock.settimeout(30)
    sock.connect((address, port))
    sock.send(b"lost")
    with pytest.raises(OSError, match=".") as failed:
        sock.recv(10)
    return failed.value.errno, queued_error(sock)


@both
def test_port_unreachable_comes_from_the_host(net, version):
    a, _, b = chain(net, "arb", delay_ms=3)
    number, queued = errors_of(net, a, ip_of(b, version), version)
    assert number == queued.error == errno.ECONNREFUSED
    assert (queued.type, queued.code) == (UNREACHABLE[version], PORT_UNREACHABLE[version])
    assert queued.origin == (2 if version == 4 else 3)
    assert queued.offender == queued.destination == ip_of(b, version)
    assert queued.data == b"lost"


@both
def test_no_route_comes_from_the_router(net, version):
    a, r, _ = chain(net, "arb", delay_ms=3)
    gateway = r.addresses[0 if version == 4 else 1]  # a's default route by route_all()
    address = "192.0.2.1" if version == 4 else "2001:db8::1"
    number, queued = errors_of(net, a, address, version)
    # Code 0, network or "no route".
    assert (queued.type, queued.code) == (UNREACHABLE[version], 0)
    assert number == queued.error == errno.ENETUNREACH
    assert queued.offender == gateway


@both
def test_host_unreachable_comes_when_the_router_has_asked_for_three_seconds(net, version):
    a, r, b = chain(net, "arb", delay_ms=3)
    address = str(ip_of(b, version)).rpartition("." if version == 4 else ":")[0]
    address += ".77" if version == 4 else ":77"
    warm_up(net, a, ip_of(b, version), version)
    start_ns = net.now_ns
    number, queued = errors_of(net, a, address, version)
    assert number == queued.error == errno.EHOSTUNREACH
    # Code 1 and code 3: host and address unreachable.
    assert (queued.type, queued.code) == (UNREACHABLE[version], 1 if version == 4 else 3)
    assert queued.offender == r.addresses[0 if version == 4 else 1]
    # mcast_solicit: three, each a second apart; HZ is 1000 and the wheel's grain 64 ms there.
    assert 3 * SECOND < net.now_ns - start_ns - 2 * DELAY < 3 * SECOND + 3 * 64 * MS


@pytest.mark.parametrize(
    ("kind", "codes", "errors"),
    [
        ("prohibit", {4: 13, 6: 1}, {4: errno.EHOSTUNREACH, 6: errno.EACCES}),
        ("unreachable", {4: 1, 6: 0}, {4: errno.EHOSTUNREACH, 6: errno.ENETUNREACH}),
    ],
)
@both
def test_routes_that_refuse_say_why(net, version, kind, codes, errors):
    a, r, b = chain(net, "arb", delay_ms=3)
    with r.iproute() as ip:
        length = 32 if version == 4 else 128
        destination = f"{ip_of(b, version)}/{length}"
        ip.route("add", dst=destination, type=kind, family=FAMILY[version])
    number, queued = errors_of(net, a, ip_of(b, version), version)
    assert (queued.type, queued.code) == (UNREACHABLE[version], codes[version])
    assert number == queued.error == errors[version]


def test_unknown_protocol_is_refused(net):
    a, b = chain(net, "ab", delay_ms=3)
    with a.socket(socket.AF_INET, socket.SOCK_RAW, 253) as sock:  # RFC 3692: for experiments
        sock.setsockopt(LEVEL[4], RECVERR[4], 1)
        sock.connect((b.ip, 0))
        sock.send(b"at least 8 bytes")  # RFC 792: so many come back, and the kernel wants them
        sock.settimeout(5)
        with pytest.raises(OSError, match="Protocol not available") as refused:
            sock.recv(10)
        assert refused.value.errno == errno.ENOPROTOOPT
        assert (queued_error(sock).type, b.counters()["IpInUnknownProtos"]) == (3, 1)


@both
def test_errors_are_readable_by_poll(net, version):
    a, b = chain(net, "ab", delay_ms=3)
    here, there = ends(a, b, ip_of(b, version))
    there.close()
    here.setsockopt(LEVEL[version], RECVERR[version], 1)
    here.send(b"x")
    poll = a.poll()
    poll.register(here, 0)
    assert poll.poll(1000) == [(here.fileno(), select.POLLERR)]
    assert queued_error(here).error == errno.ECONNREFUSED
    # The last one has been read: there is no error any more.
    assert here.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert poll.poll(0) == []


def test_unreachables_are_limited_to_six_at_once_and_one_a_second(net):
    a, b = chain(net, "ab", delay_ms=3)
    warm_up(net, a, b.ip, 4)
    net.run_for(10 * SECOND)
    before = b.counters()

    def send(count):
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(count):
                sock.sendto(b"x", (b.ip, 7))
        net.run_for(SECOND)
        return (b.counters() - before)["IcmpOutDestUnreachs"]

    # XRLIM_BURST_FACTOR of net/ipv4/route.c, and icmp_ratelimit of 1000 ms.
    assert send(20) == 6
    assert send(20) == 7
    net.run_for(3 * SECOND)
    assert send(20) == 11


# --- Hops ---


def traceroute(node, address, version, probes=1):
    """What traceroute(8) does: (router or host, round trip in ns, whether it has arrived)."""
    for hops in range(1, 31):
        with node.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
            sock.setsockopt(LEVEL[version], RECVERR[version], 1)
            sock.setsockopt(LEVEL[version], HOPS[version], hops)
            sock.connect((address, 33434 + hops))
            start_ns = node.now_ns
            sock.send(b"probe")
            poll = node.poll()
            poll.register(sock, 0)
            assert poll.poll(5000)
            error = queued_error(sock)
            arrived = (error.type, error.code) == (UNREACHABLE[version], PORT_UNREACHABLE[version])
            assert arrived or (error.type, error.code) == (TIME_EXCEEDED[version], 0)
            yield error.offender, node.now_ns - start_ns
            if arrived:
                return


@both
def test_traceroute_names_every_router_with_its_round_trip(net, version):
    nodes = chain(net, "abcdef", delay_ms=3)
    address = ip_of(nodes[-1], version)
    warm_up(net, nodes[0], address, version)
    # A router answers from the address of the interface that the packet came in by.
    expected = [node.addresses[0 if version == 4 else 1] for node in nodes[1:]]
    found = nodes[0].spawn(lambda: list(traceroute(nodes[0], address, version))).result()
    assert [router for router, _ in found] == expected
    assert [took_ns for _, took_ns in found] == [2 * DELAY * (n + 1) for n in range(5)]


@both
def test_traceroute_with_echoes_over_a_raw_socket(net, version):
    nodes = chain(net, "abcd", delay_ms=3)
    address = ip_of(nodes[-1], version)
    warm_up(net, nodes[0], address, version)
    sock = raw_socket(nodes[0], version)
    found = []
    for hops in range(1, 4):
        sock.setsockopt(LEVEL[version], HOPS[version], hops)
        sock.sendto(echo(version, 7, hops, b""), (address, 0))
        wanted = (TIME_EXCEEDED[version], ECHO_REPLY[version])
        while (answer := received(sock, version))[0][0] not in wanted:
            pass
        found.append((answer[0][0], answer[1]))
    assert found == [
        (TIME_EXCEEDED[version], nodes[1].addresses[0 if version == 4 else 1]),
        (TIME_EXCEEDED[version], nodes[2].addresses[0 if version == 4 else 1]),
        (ECHO_REPLY[version], address),
    ]
