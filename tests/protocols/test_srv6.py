# SPDX-License-Identifier: GPL-2.0-only
"""Segment routing over IPv6 (RFC 8754, RFC 8986): encapsulation, End, End.DT6, End.DX6, End.DX4."""

from __future__ import annotations

import itertools
import socket

import pytest
from topologies import FAMILY, MS, SECOND, largest_frames, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETHERNET, IP6, UDP = 14, 40, 8
# Routing header: 8 bytes, and 16 for each segment (RFC 8754 2).
SRH, SEGMENT = 8, 16
versions = pytest.mark.parametrize("version", [4, 6])


def address(node, version, link=0):
    return node.addresses[2 * link + (version == 6)]


def segments_path(net, version, segments, last="End.DT6", mode="encap"):
    """a - r1 - r2 - r3 - b: r1 puts what goes to b behind segments, r3 takes them off.

    The routers know each other's segments fc00:N::/32 only; the way back has plain routes.
    """
    nodes = [net.node(name) for name in ("a", "r1", "r2", "r3", "b")]
    a, r1, r2, r3, b = nodes
    for first, second in itertools.pairwise(nodes):
        net.link(first, second, delay_ms=DELAY_NS / MS)
    for node in (r1, r2, r3):
        node.forward()
        for name in ("all", "eth0", "eth1"):
            node.sysctl[f"net.ipv6.conf.{name}.seg6_enabled"] = 1
    family, target = FAMILY[version], address(b, version)
    for node, router, link in ((a, r1, 0), (r3, r2, 1), (b, r3, 1), (r2, r1, 1)):
        with node.iproute() as ip:
            gateway = address(router, version, link)
            ip.route("add", dst="default", family=family, gateway=gateway)
    with r1.iproute() as ip:
        # pyroute2 takes segments as the header has them: the last one first.
        encap = {"type": "seg6", "mode": mode, "segs": ",".join(reversed(segments))}
        ip.route("add", dst=target, family=family, oif=r1.if_nametoindex("eth1"), encap=encap)
        ip.route("add", dst="fc00:2::/32", gateway=address(r2, 6))
        ip.route("add", dst="fc00:3::/32", gateway=address(r2, 6))
    with r2.iproute() as ip:
        ip.route("add", dst="fc00:3::/32", gateway=address(r3, 6))
        ip.route(
            "add", dst="fc00:2::1/128", oif=r2.if_nametoindex("eth0"),
            encap={"type": "seg6local", "action": "End"},
        )  # fmt: skip
    with r3.iproute() as ip:
        how = {"End.DT6": {"table": 254}, "End.DX4": {"nh4": target}, "End.DX6": {"nh6": target}}
        ip.route(
            "add", dst="fc00:3::1/128", oif=r3.if_nametoindex("eth0"),
            encap={"type": "seg6local", "action": last, **how[last]},
        )  # fmt: skip
    return nodes, target


@pytest.mark.parametrize(("version", "last"), [(6, "End.DT6"), (6, "End.DX6"), (4, "End.DX4")])
@pytest.mark.parametrize("count", [1, 2])
def test_segments_lead_packets_and_are_taken_off(net, version, last, count, tmp_path):
    segments = ["fc00:2::1", "fc00:3::1"][-count:]
    nodes, target = segments_path(net, version, segments, last)
    a, _, _, _, b = nodes
    assert round_trip_ns(net, a, b, target) == 8 * DELAY_NS
    sizes = largest_frames(net, tmp_path, a, target)
    plain = ETHERNET + (20 if version == 4 else 40) + UDP + 1000
    more = IP6 + SRH + SEGMENT * count
    assert sizes == [plain, plain + more, plain + more, plain]


def test_inline_mode_inserts_the_header(net, tmp_path):
    nodes, target = segments_path(net, 6, ["fc00:2::1"], mode="inline")
    a, _, r2, r3, b = nodes
    with r2.iproute() as ip:
        ip.route("add", dst=target, gateway=address(r3, 6))
    for name in ("all", "eth0"):
        b.sysctl[f"net.ipv6.conf.{name}.seg6_enabled"] = 1
    assert round_trip_ns(net, a, b, target) == 8 * DELAY_NS
    sizes = largest_frames(net, tmp_path, a, target)
    plain = ETHERNET + IP6 + UDP + 1000
    # The segment and the true destination: two entries.  No one takes the header off but b.
    assert sizes == [plain] + [plain + SRH + 2 * SEGMENT] * 3


def test_router_without_srv6_drops_foreign_segments(net):
    nodes, target = segments_path(net, 6, ["fc00:2::1", "fc00:3::1"])
    with nodes[2].iproute() as ip:
        ip.route("del", dst="fc00:2::1/128")
    before = net.links[2].stats().bytes
    with nodes[0].socket(socket.AF_INET6, socket.SOCK_DGRAM) as here:
        here.sendto(b"x" * 1000, (target, 9))
        net.run_for(SECOND)
    assert net.links[2].stats().bytes - before < 1000


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        nodes, target = segments_path(net, 6, ["fc00:2::1", "fc00:3::1"])
        net.links[1].capture(path)
        round_trip_ns(net, nodes[0], nodes[4], target, 1000)

    assert repeats(build, tmp_path, scenario)
