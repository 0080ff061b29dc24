# SPDX-License-Identifier: GPL-2.0-only
"""MPLS (RFC 3031): labels pushed, swapped and popped over three routers."""

from __future__ import annotations

import itertools
import socket

import pytest
from topologies import FAMILY, MS, SECOND, largest_frames, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETHERNET, LABEL, UDP = 14, 4, 8
AF_MPLS = 28
IMPLICIT_NULL = 3
versions = pytest.mark.parametrize("version", [4, 6])


def address(node, version, link=0):
    return node.addresses[2 * link + (version == 6)]


def label_path(net, version):
    """a - r1 - r2 - r3 - b; the way from a to b has labels, the way back has plain routes.

    r1 pushes 100, r2 swaps it for 200, r3 pops that.  r2 has no route to b.
    """
    names = ("a", "r1", "r2", "r3", "b")
    nodes = [net.node(name, **{"net.mpls.platform_labels": 1000}) for name in names]
    a, r1, r2, r3, b = nodes
    for first, second in itertools.pairwise(nodes):
        net.link(first, second, delay_ms=DELAY_NS / MS)
    for node in (r1, r2, r3):
        node.forward()
        for device in ("eth0", "eth1"):
            node.sysctl[f"net.mpls.conf.{device}.input"] = 1
    family = FAMILY[version]
    target = address(b, version)
    with a.iproute() as ip:
        ip.route("add", dst="default", family=family, gateway=address(r1, version))
    with r1.iproute() as ip:
        encap = {"type": "mpls", "labels": "100"}
        ip.route("add", dst=target, family=family, gateway=address(r2, version), encap=encap)
    with r2.iproute() as ip:
        via = {"family": family, "addr": address(r3, version)}
        out = r2.if_nametoindex("eth1")
        ip.route("add", family=AF_MPLS, dst=100, newdst=[200], via=via, oif=out)
        ip.route("add", dst=address(a, version), family=family, gateway=address(r1, version, 1))
    with r3.iproute() as ip:
        via = {"family": family, "addr": target}
        ip.route("add", family=AF_MPLS, dst=200, via=via, oif=r3.if_nametoindex("eth1"))
        ip.route("add", dst="default", family=family, gateway=address(r2, version, 1))
    with b.iproute() as ip:
        ip.route("add", dst="default", family=family, gateway=address(r3, version, 1))
    return nodes, target


@versions
def test_labels_lead_past_a_router_without_a_route(net, version):
    nodes, target = label_path(net, version)
    assert round_trip_ns(net, nodes[0], nodes[4], target) == 8 * DELAY_NS
    with nodes[2].iproute() as ip:
        routes = [route.get("dst") for route in ip.get_routes(family=FAMILY[version], table=254)]
    assert target not in routes


@versions
def test_label_stands_between_ethernet_and_ip(net, version, tmp_path):
    nodes, target = label_path(net, version)
    round_trip_ns(net, nodes[0], nodes[4], target)
    sizes = largest_frames(net, tmp_path, nodes[0], target)
    plain = ETHERNET + (20 if version == 4 else 40) + UDP + 1000
    assert sizes == [plain, plain + LABEL, plain + LABEL, plain]


@versions
def test_two_labels_are_popped_one_by_one(net, version, tmp_path):
    nodes, target = label_path(net, version)
    _, r1, r2, r3, _ = nodes
    family = FAMILY[version]
    with r1.iproute() as ip:
        encap = {"type": "mpls", "labels": "300/200"}
        ip.route("replace", dst=target, family=family, gateway=address(r2, version), encap=encap)
    with r2.iproute() as ip:
        via = {"family": family, "addr": address(r3, version)}
        ip.route("add", family=AF_MPLS, dst=300, via=via, oif=r2.if_nametoindex("eth1"))
    round_trip_ns(net, nodes[0], nodes[4], target)
    sizes = largest_frames(net, tmp_path, nodes[0], target)
    plain = ETHERNET + (20 if version == 4 else 40) + UDP + 1000
    assert sizes == [plain, plain + 2 * LABEL, plain + LABEL, plain]


@versions
def test_unknown_label_is_dropped(net, version):
    nodes, target = label_path(net, version)
    with nodes[2].iproute() as ip:
        ip.route("del", family=AF_MPLS, dst=100)
    before = net.links[2].stats().bytes
    with nodes[0].socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        here.sendto(b"x" * 1000, (target, 9))
        net.run_for(SECOND)
    assert net.links[2].stats().bytes - before < 1000


@versions
def test_interface_without_mpls_input_drops_labels(net, version):
    nodes, target = label_path(net, version)
    nodes[2].sysctl["net.mpls.conf.eth0.input"] = 0
    with pytest.raises(TimeoutError):
        round_trip_ns(net, nodes[0], nodes[4], target)


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        nodes, target = label_path(net, 6)
        net.links[1].capture(path)
        round_trip_ns(net, nodes[0], nodes[4], target, 1000)

    assert repeats(build, tmp_path, scenario)
