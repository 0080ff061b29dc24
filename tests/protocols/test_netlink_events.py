# SPDX-License-Identifier: GPL-2.0-only
"""Notifications of rtnetlink: what changed, and when, in exact virtual time."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

import pytest
from topologies import MS, SECOND, chain, ip_of, keep, round_trip_ns

LINK, NEIGHBOUR, ADDRESS4, ROUTE4, ADDRESS6, ROUTE6 = 1, 4, 0x10, 0x40, 0x100, 0x400
NEWLINK, DELLINK, NEWADDR, DELADDR, NEWROUTE, DELROUTE, NEWNEIGH = 16, 17, 20, 21, 24, 25, 28
REACHABLE, STALE = 2, 4  # NUD_*
IFF_UP, IFF_LOWER_UP = 1, 0x10000
versions = pytest.mark.parametrize("version", [4, 6])


def watch(node, groups):
    sock = keep(node.netlink())
    sock.bind((0, groups))
    return sock


def events(net, sock, seconds=2):
    """(ns since now, type, what follows the header) of all that is told within some seconds."""
    found = []
    start = net.now_ns
    end = start + seconds * SECOND
    while net.now_ns < end:
        sock.settimeout((end - net.now_ns) / SECOND)
        try:
            data = sock.recv(65536)
        except TimeoutError:
            return found
        at = 0
        while at < len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            found.append((net.now_ns - start, kind, data[at + 16 : at + size]))
            at += size + 3 & ~3
    return found


@versions
def test_address_is_told_when_it_comes_and_goes(net, version):
    a, _ = chain(net, "ab")
    sock = watch(a, ADDRESS4 if version == 4 else ADDRESS6)
    address = "10.77.0.1" if version == 4 else "fd77::1"
    bits = 24 if version == 4 else 64
    with a.iproute() as ip:
        index = a.if_nametoindex("eth0")
        ip.addr("add", index=index, address=address, prefixlen=bits)
        ip.addr("del", index=index, address=address, prefixlen=bits)
    told = [(kind, body) for _, kind, body in events(net, sock)]
    packed = ipaddress.ip_address(address).packed
    assert [kind for kind, body in told if packed in body] in (
        [NEWADDR, DELADDR],
        [NEWADDR, NEWADDR, DELADDR],
    )


@versions
def test_route_is_told_when_it_comes_and_goes(net, version):
    a, b = chain(net, "ab")
    sock = watch(a, ROUTE4 if version == 4 else ROUTE6)
    network = "10.88.0.0/16" if version == 4 else "fd88::/64"
    with a.iproute() as ip:
        ip.route("add", dst=network, gateway=ip_of(b, version))
        ip.route("del", dst=network, gateway=ip_of(b, version))
    packed = ipaddress.ip_network(network).network_address.packed
    assert [kind for _, kind, body in events(net, sock) if packed in body] == [NEWROUTE, DELROUTE]


def test_lost_carrier_is_told_within_a_second(net):
    a, _ = chain(net, "ab")
    net.run_for(5 * SECOND)
    sock = watch(a, LINK)
    net.links[0].down()
    lost = [
        (time, flags)
        for time, kind, body in events(net, sock)
        if kind == NEWLINK and not (flags := struct.unpack_from("=I", body, 8)[0]) & IFF_LOWER_UP
    ]
    assert lost[0][0] <= SECOND  # net/core/link_watch.c: at most one event a second
    assert lost[0][1] & IFF_UP
    net.links[0].up()
    back = [struct.unpack_from("=I", body, 8)[0] for _, _, body in events(net, sock)]
    assert back[-1] & IFF_LOWER_UP


def test_new_and_removed_device_are_told(net):
    node = net.node("a")
    sock = watch(node, LINK)
    with node.iproute() as ip:
        ip.link("add", ifname="d0", kind="dummy")
        ip.link("del", index=ip.link_lookup(ifname="d0")[0])
    told = [kind for _, kind, body in events(net, sock) if b"d0\0" in body]
    assert told[0] == NEWLINK
    assert told[-1] == DELLINK


@versions
def test_neighbour_is_told_after_one_round_trip(net, version):
    a, b = chain(net, "ab", delay_ms=7)
    sock = watch(a, NEIGHBOUR)
    start = net.now_ns
    with a.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as here:
        here.sendto(b"x", (ip_of(b, version), 9))
        packed = ipaddress.ip_address(ip_of(b, version)).packed
        for time, kind, body in events(net, sock):
            if kind == NEWNEIGH and packed in body:
                assert struct.unpack_from("=H", body, 8)[0] == REACHABLE
                assert time == 14 * MS
                break
        else:
            pytest.fail("The neighbour was never told.")
    assert net.now_ns > start


def test_events_of_other_groups_are_not_told(net):
    a, b = chain(net, "ab")
    sock = watch(a, LINK)
    with a.iproute() as ip:
        ip.route("add", dst="10.88.0.0/16", gateway=b.ip)
    assert events(net, sock) == []


def test_overrun_is_told_and_over_then(net):
    node = net.node("a")
    sock = watch(node, LINK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with node.iproute() as ip:
        for number in range(20):
            ip.link("add", ifname=f"d{number}", kind="dummy")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        sock.recv(65536)
    assert caught.value.errno == errno.ENOBUFS
    assert b"d0\0" in sock.recv(65536)


def test_two_nodes_do_not_hear_each_other(net):
    a, b = chain(net, "ab")
    net.run_for(5 * SECOND)
    sock = watch(b, LINK | ROUTE4 | ADDRESS4)
    with a.iproute() as ip:
        ip.link("add", ifname="d0", kind="dummy", state="up")
    assert events(net, sock) == []
    assert round_trip_ns(net, a, b, b.ip) == 0
