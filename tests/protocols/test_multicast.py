# SPDX-License-Identifier: GPL-2.0-only
"""Multicast on a segment: delivery, and what IGMP and MLD say of joins, leaves and queries."""

from __future__ import annotations

import socket
import struct

import pytest
from frames import packets
from groups import (
    ALLOW_NEW,
    GROUP,
    IS_EXCLUDE,
    PORT,
    TO_EXCLUDE,
    TO_INCLUDE,
    join_source,
    leave,
    listener,
    messages,
    sender,
)
from icmp import checksum
from routers import link_local
from topologies import FAMILY, MS, SECOND, chain
from wire import keep

both = pytest.mark.parametrize("version", [4, 6])
REPORT = {4: 0x22, 6: 143}  # RFC 3376, RFC 3810
ROUTERS = {4: "224.0.0.22", 6: "ff02::16"}


class Segment:
    """Two nodes that have settled, and a capture of what the first sends."""

    def __init__(self, net, path):
        self.net = net
        self.a, self.b = chain(net, "ab", delay_ms=10)
        net.run_for(20 * SECOND)
        self.capture = self.a.links[0].ends[0].device.capture(path / "a.pcapng")
        self.start_ns = net.now_ns

    def said(self, version):
        return messages(self.capture, version)


@both
def test_datagram_for_a_group_reaches_those_who_joined(net, version):
    switch = net.switch("s")
    nodes = [net.node(name) for name in "abcd"]
    for node in nodes:
        net.link(node, switch, delay_ms=1)
    joined = [listener(node, version) for node in nodes[1:3]]
    other = keep(nodes[3].socket(FAMILY[version], socket.SOCK_DGRAM))
    other.bind(("", PORT))
    other.settimeout(1)
    start_ns = net.now_ns
    sender(nodes[0], version).sendto(b"x", (GROUP[version], PORT))
    for sock in joined:
        assert sock.recv(10) == b"x"
        assert net.now_ns - start_ns == 2 * MS
    with pytest.raises(TimeoutError):
        other.recv(10)


@both
def test_group_has_a_hardware_address_of_its_own(net, tmp_path, version):
    segment = Segment(net, tmp_path)
    sender(segment.a, version).sendto(b"x", (GROUP[version], PORT))
    net.run_for(SECOND)
    sent = [packet.data[:6].hex(":") for packet in packets(segment.capture, sent=True)]
    # RFC 1112, 6.4: 23 bits of the group; RFC 2464, 7: 32.
    assert ("01:00:5e:01:02:03" if version == 4 else "33:33:00:02:00:03") in sent


@both
def test_join_is_reported_twice_and_leave_too(net, tmp_path, version):
    segment = Segment(net, tmp_path)
    sock = listener(segment.a, version)
    net.run_for(20 * SECOND)
    reports = segment.said(version)
    assert [item.records for item in reports] == [((TO_EXCLUDE, GROUP[version], ()),)] * 2
    assert {(item.type, item.destination) for item in reports} == {
        (REPORT[version], ROUTERS[version])
    }
    # Robustness variable of 2, within the unsolicited report interval of 1 s.
    assert reports[0].time_ns - segment.start_ns < 20 * MS
    assert reports[1].time_ns - reports[0].time_ns < 1.1 * SECOND
    leave(sock, segment.a, version)
    net.run_for(20 * SECOND)
    assert [item.records for item in segment.said(version)[2:]] == [
        ((TO_INCLUDE, GROUP[version], ()),)
    ] * 2


@both
def test_group_is_left_with_its_last_socket(net, tmp_path, version):
    segment = Segment(net, tmp_path)
    first = listener(segment.a, version)
    second = listener(segment.a, version, port=PORT + 1)
    net.run_for(20 * SECOND)
    before = len(segment.said(version))
    first.close()
    net.run_for(20 * SECOND)
    assert segment.said(version)[before:] == []
    second.close()
    net.run_for(20 * SECOND)
    assert [item.records[0][0] for item in segment.said(version)[before:]] == [TO_INCLUDE] * 2


@both
def test_source_that_is_wanted_is_reported_and_others_are_not_heard(net, tmp_path, version):
    segment = Segment(net, tmp_path)
    here = keep(segment.a.socket(FAMILY[version], socket.SOCK_DGRAM))
    here.bind(("", PORT))
    here.settimeout(2)
    wanted = "10.0.1.2" if version == 4 else "fd00:0:0:1::2"
    join_source(here, segment.a, version, wanted)
    net.run_for(5 * SECOND)
    assert segment.said(version)[0].records == ((ALLOW_NEW, GROUP[version], (wanted,)),)
    out = sender(segment.b, version)
    for source in (wanted, "10.0.1.99" if version == 4 else "fd00:0:0:1::99"):
        if source != wanted:
            segment.b.add_address("eth0", source + ("/24" if version == 4 else "/64"))
            out = sender(segment.b, version)
        out.bind((source, 0))
        out.sendto(source.encode(), (GROUP[version], PORT))
    assert here.recv(100) == wanted.encode()
    with pytest.raises(TimeoutError):
        here.recv(100)


@pytest.mark.parametrize(
    ("version", "old", "report", "done", "routers"),
    [(4, 2, 0x16, 0x17, "224.0.0.2"), (6, 1, 131, 132, "ff02::2")],
)
def test_older_version_reports_to_the_group_itself(
    net, tmp_path, version, old, report, done, routers
):
    segment = Segment(net, tmp_path)
    name = "force_igmp_version" if version == 4 else "force_mld_version"
    segment.a.sysctl[f"net.ipv{version}.conf.eth0.{name}"] = old
    sock = listener(segment.a, version)
    net.run_for(20 * SECOND)
    group = GROUP[version]
    said = [(item.type, item.destination, item.group) for item in segment.said(version)]
    # RFC 2236, 3, and RFC 2710, 4: at once and once more within 10 s.
    assert said == [(report, group, group)] * 2
    leave(sock, segment.a, version)
    net.run_for(SECOND)
    last = segment.said(version)[-1]
    assert (last.type, last.destination, last.group) == (done, routers, group)


def query(node, version, group=None, *, seconds=10):
    """Send a query of IGMPv3 or MLDv2, general or for a group, as a router does."""
    index = node.if_nametoindex("eth0")
    if version == 4:
        packed = socket.inet_aton(group or "0.0.0.0")
        body = struct.pack(">BBH4sBBH", 0x11, seconds * 10, 0, packed, 2, 125, 0)
        body = body[:2] + struct.pack(">H", checksum(body)) + body[4:]
        with node.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
            sock.setsockopt(socket.IPPROTO_IP, 4, b"\x94\x04\0\0")  # router alert, RFC 2113
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            where = struct.pack("=4s4si", bytes(4), bytes(4), index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, where)
            sock.sendto(body, (group or "224.0.0.1", 0))
        return
    packed = socket.inet_pton(socket.AF_INET6, group or "::")
    body = struct.pack(">BBHHH16sBBH", 130, 0, 0, seconds * 1000, 0, packed, 2, 125, 0)
    with node.socket(socket.AF_INET6, socket.SOCK_RAW, 58) as sock:
        # A hop-by-hop header with router alert (RFC 2711), which MLD asks for.
        header = bytes([0, 0, 5, 2, 0, 0, 1, 0])
        control = [(socket.IPPROTO_IPV6, 54, header)]
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        # RFC 3810, 5.1.14: only a link-local source is believed.
        sock.bind((link_local(node, "eth0"), 0, 0, index))
        sock.sendmsg([body], control, 0, (group or "ff02::1", 0, 0, index))


@pytest.mark.parametrize("specific", [False, True], ids=["general", "group"])
@both
def test_query_is_answered_in_time(net, tmp_path, version, specific):
    segment = Segment(net, tmp_path)
    listener(segment.a, version)
    net.run_for(20 * SECOND)
    before = len(segment.said(version))
    query(segment.b, version, GROUP[version] if specific else None, seconds=4)
    asked_ns = net.now_ns + 10 * MS
    net.run_for(20 * SECOND)
    (answer,) = segment.said(version)[before:]
    assert (IS_EXCLUDE, GROUP[version], ()) in answer.records
    # At random within the time that the query gives, and what the timer wheel adds.
    assert asked_ns <= answer.time_ns <= asked_ns + 4 * SECOND + 512 * MS


@both
def test_query_for_a_group_that_nobody_joined_is_not_answered(net, tmp_path, version):
    segment = Segment(net, tmp_path)
    query(segment.b, version, GROUP[version])
    net.run_for(20 * SECOND)
    assert segment.said(version) == []
