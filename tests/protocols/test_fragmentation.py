# SPDX-License-Identifier: GPL-2.0-only
"""IP fragments: cut by senders and routers, put together, and given up in time."""

from __future__ import annotations

import errno
import socket

import dpkt
import pytest
from datagrams import ends
from frames import packets
from icmp import LEVEL, MTU_DISCOVER, PMTUDISC_DO, PMTUDISC_DONT, RECVERR, queued_error
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, chain, ip_of, pattern
from wire import Late, wire

ONE_WAY = 10 * MS
both = pytest.mark.parametrize("version", [4, 6])
PREFIX = {4: "Ip", 6: "Ip6"}


def fragment_of(frame):
    """Offset in bytes and whether more follow, of a frame that is a fragment; else None."""
    ip = dpkt.ethernet.Ethernet(frame).data
    if isinstance(ip, dpkt.ip.IP) and (ip.mf or ip.offset):
        return ip.offset * 8, bool(ip.mf)
    if isinstance(ip, dpkt.ip6.IP6):
        for header in ip.all_extension_headers:
            if isinstance(header, dpkt.ip6.IP6FragmentHeader):
                return header.frag_off * 8, bool(header.m_flag)
    return None


class Fragments:
    """A judge of fragments by their offsets."""

    def __init__(self, fate):
        self.fate = fate

    def __call__(self, direction, frame):
        found = fragment_of(frame)
        return [frame] if found is None else self.fate(found[0], frame)


def pair_of(net, version, fate=lambda offset, frame: [frame]):
    """A wire with such a judge, and UDP sockets of both ends; neighbours are known."""
    pair = wire(net, Fragments(fate))
    here, there = ends(pair.a, pair.b, pair.address(version))
    here.send(b"warm up")
    there.recv(10)
    return pair, here, there


@both
def test_large_datagram_is_cut_at_multiples_of_eight_bytes(net, tmp_path, version):
    pair, here, there = pair_of(net, version)
    capture = pair.capture(tmp_path)
    before = [node.counters() for node in (pair.a, pair.b)]
    start_ns = net.now_ns
    here.send(pattern(4000))
    assert there.recv(5000) == pattern(4000)
    assert net.now_ns - start_ns == ONE_WAY
    found = [fragment_of(packet.data) for packet in packets(capture, sent=True)]
    # 1500 less the header, and less 8 for IPv6's fragment header; UDP's header is data here.
    step = 1480 if version == 4 else 1448
    assert [item for item in found if item] == [(0, True), (step, True), (2 * step, False)]
    sender, receiver = (
        node.counters() - old for node, old in zip((pair.a, pair.b), before, strict=True)
    )
    assert sender[PREFIX[version] + "FragOKs"] == 1
    assert sender[PREFIX[version] + "FragCreates"] == 3
    assert receiver[PREFIX[version] + "ReasmReqds"] == 3
    assert receiver[PREFIX[version] + "ReasmOKs"] == 1


@both
def test_fragments_may_come_in_any_order_and_twice(net, version):
    def fate(offset, frame):
        return [Late(frame, (3000 - offset) * 1000)] * 2 if offset < 2000 else [frame]

    _, here, there = pair_of(net, version, fate)
    here.send(pattern(4000))
    assert there.recv(5000) == pattern(4000)
    there.settimeout(1)
    with pytest.raises(TimeoutError):
        there.recv(5000)


@pytest.mark.parametrize(("version", "limit_s"), [(4, 30), (6, 60)])
@pytest.mark.parametrize("lost", ["first", "last"])
def test_reassembly_ends_in_time(net, version, limit_s, lost):
    def fate(offset, frame):
        return [] if (offset == 0) == (lost == "first") else [frame]

    pair, here, _ = pair_of(net, version, fate)
    here.setsockopt(LEVEL[version], RECVERR[version], 1)
    start_ns = net.now_ns + ONE_WAY
    here.send(pattern(2000))
    name = PREFIX[version] + "ReasmFails"
    net.run_until(lambda: pair.b.counters()[name] == 1)
    # ipfrag_time and ip6frag_time, from the first fragment that arrives.
    assert net.now_ns == wheel_ns(start_ns, limit_s * 1000)
    assert pair.b.counters()[PREFIX[version] + "ReasmTimeout"] == 1
    net.run_for(SECOND)
    icmp = pair.b.counters()
    sent = icmp["IcmpOutTimeExcds"] if version == 4 else icmp["Icmp6OutTimeExcds"]
    # RFC 792 and RFC 8200, 4.5: only who has the first fragment can tell.
    assert sent == (0 if lost == "first" else 1)


@both
def test_program_is_told_of_a_failed_reassembly_with_ipv6_only(net, version):
    pair, here, _ = pair_of(net, version, lambda offset, frame: [] if offset else [frame])
    here.setsockopt(LEVEL[version], RECVERR[version], 1)
    here.settimeout(70)
    here.send(pattern(2000))
    if version == 4:
        # icmp_unreach() counts ICMP_EXC_FRAGTIME and leaves it at that.
        with pytest.raises(TimeoutError, match="timed out"):
            here.recv(10)
        assert pair.a.counters()["IcmpInTimeExcds"] == 1
        return
    with pytest.raises(OSError, match="No route to host"):
        here.recv(10)
    error = queued_error(here)
    assert (error.error, error.type, error.code) == (errno.EHOSTUNREACH, 3, 1)
    assert error.offender == pair.b.ip6


@both
def test_sender_that_wants_no_fragments_is_told_the_mtu(net, version):
    a, b = chain(net, "ab")
    here, _ = ends(a, b, ip_of(b, version))
    here.setsockopt(LEVEL[version], MTU_DISCOVER[version], PMTUDISC_DO)
    here.setsockopt(LEVEL[version], RECVERR[version], 1)
    with pytest.raises(OSError, match="Message too long") as refused:
        here.send(bytes(1500))
    assert refused.value.errno == errno.EMSGSIZE
    error = queued_error(here)
    # SO_EE_ORIGIN_LOCAL
    assert (error.error, error.origin, error.info) == (errno.EMSGSIZE, 1, 1500)


def narrow(net):
    """Three nodes; the router's second link has an MTU of 1300."""
    a, r, b = (net.node(name) for name in "arb")
    net.link(a, r, delay_ms=10, offload=False)
    net.link(r, b, delay_ms=10, offload=False, mtu=1300)
    net.route_all()
    return a, r, b


def test_router_cuts_ipv4_that_allows_it(net, tmp_path):
    a, r, b = narrow(net)
    here, there = ends(a, b, b.ip)
    here.setsockopt(LEVEL[4], MTU_DISCOVER[4], PMTUDISC_DONT)
    with b.links[0].ends[1].device.capture(tmp_path / "b.pcapng") as capture:
        here.send(pattern(1400))
        assert there.recv(2000) == pattern(1400)
        found = [fragment_of(packet.data) for packet in packets(capture, sent=False)]
    # 1280 bytes of 1300 are room for data, and a multiple of 8.
    assert [item for item in found if item] == [(0, True), (1280, False)]
    assert r.counters()["IpFragOKs"] == 1
    assert r.counters()["IcmpOutDestUnreachs"] == 0


@both
def test_router_tells_the_mtu_of_what_it_may_not_cut(net, version):
    a, r, b = narrow(net)
    here, there = ends(a, b, ip_of(b, version))
    here.setsockopt(LEVEL[version], RECVERR[version], 1)
    here.send(b"warm up")
    there.recv(10)
    start_ns = net.now_ns
    here.send(pattern(1400))
    with pytest.raises(OSError, match="Message too long"):
        here.recv(10)
    assert net.now_ns - start_ns == 2 * ONE_WAY
    error = queued_error(here)
    # RFC 1191 and RFC 8201.
    assert (error.type, error.code) == ((3, 4) if version == 4 else (2, 0))
    assert error.info == 1300
    assert error.offender == r.addresses[0 if version == 4 else 1]
    # It is known now: the sender cuts.
    here.send(pattern(1400))
    assert there.recv(2000) == pattern(1400)
    assert a.counters()[PREFIX[version] + "FragCreates"] == 2


@both
def test_path_mtu_is_forgotten_after_ten_minutes(net, version):
    a, r, b = narrow(net)
    name = "IcmpOutDestUnreachs" if version == 4 else "Icmp6OutPktTooBigs"
    here, there = ends(a, b, ip_of(b, version))
    here.send(b"warm up")
    there.recv(10)

    def send():
        """Send what is too large; whether the router said so."""
        before = r.counters()
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
            sock.sendto(pattern(1400), (ip_of(b, version), 7))
        net.run_for(SECOND)
        return (r.counters() - before)[name] == 1

    learned_ns = net.now_ns + 2 * ONE_WAY
    assert send()
    assert not send()
    # net.ipv4.route.mtu_expires and net.ipv6.route.mtu_expires
    net.run_until(learned_ns + 598 * SECOND)
    assert not send()
    net.run_until(learned_ns + 600 * SECOND + MS)
    assert send()
