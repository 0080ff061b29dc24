# SPDX-License-Identifier: GPL-2.0-only
"""L2TPv3 pseudowires, VXLAN with several ends, 6rd, and what tunnels refuse."""

from __future__ import annotations

import socket
import struct

import pytest
from pyroute2.netlink.generic.l2tp import L2tp
from topologies import FAMILY, MS, SECOND, chain, ip_of, keep, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETHERNET, IP4, IP6, UDP = 14, 20, 40, 8
versions = pytest.mark.parametrize("version", [4, 6])


def l2tp(net, version, encap="udp", l2spec="default"):
    """Two nodes with a router between them, and an Ethernet pseudowire through it."""
    a, _, b = chain(net, "arb", delay_ms=DELAY_NS / MS)
    for number, (node, other) in enumerate(((a, b), (b, a))):
        ports = {"udp_sport": 5000, "udp_dport": 5000} if encap == "udp" else {}
        with node.pyroute2(L2tp) as channel:
            channel.create_tunnel(
                10 + number,
                11 - number,
                local=ip_of(node, version),
                remote=ip_of(other, version),
                encap=encap,
                **ports,
            )
            channel.create_session(
                10 + number,
                20 + number,
                21 - number,
                ifname="wire",
                l2spec_type=l2spec,
            )
        with node.iproute() as ip:
            ip.link("set", index=ip.link_lookup(ifname="wire")[0], state="up")
        node.add_address("wire", f"192.168.5.{number + 1}/24")
        node.add_address("wire", f"fd05::{number + 1}/64")
    return a, b


@versions
@pytest.mark.parametrize("encap", ["udp", "ip"])
@pytest.mark.parametrize("l2spec", ["default", "none"])
def test_pseudowire_adds_its_headers(net, version, encap, l2spec):
    a, b = l2tp(net, version, encap, l2spec)
    for target in ("192.168.5.2", "fd05::2"):
        assert round_trip_ns(net, a, b, target) == 4 * DELAY_NS
    before = net.links[1].stats().bytes
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.sendto(b"x" * 100, ("192.168.5.2", 9))
        net.run_for(2 * DELAY_NS)
    # RFC 3931 4.1: over UDP flags and version go before the session, which is 4 bytes; the
    # default layer-2 sublayer comes then.
    header = (UDP + 4 if encap == "udp" else 0) + 4
    header += 4 if l2spec == "default" else 0
    outer = ETHERNET + (IP4 if version == 4 else IP6)
    inner = ETHERNET + IP4 + UDP + 100
    assert net.links[1].stats().bytes - before == outer + header + inner


def test_unknown_session_is_dropped(net):
    a, b = l2tp(net, 4)
    assert round_trip_ns(net, a, b, "192.168.5.2") == 4 * DELAY_NS
    with b.pyroute2(L2tp) as channel:
        channel.delete_session(11, 21)
        net.run_for(SECOND)
        channel.create_session(11, 99, 20, ifname="wire")
    with b.iproute() as ip:
        ip.link("set", index=ip.link_lookup(ifname="wire")[0], state="up")
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.sendto(b"x", ("192.168.5.2", 9))
        net.run_for(SECOND)
    assert b.read_text("/sys/class/net/wire/statistics/rx_packets").strip() == "0"


def vxlan(net, version, count=3, mode="static"):
    """Nodes around a router, one VXLAN segment over all of them."""
    r = net.node("r")
    nodes = [net.node(f"n{number}") for number in range(count)]
    for node in nodes:
        net.link(node, r, delay_ms=DELAY_NS / MS)
    net.route_all()
    for number, node in enumerate(nodes):
        with node.iproute() as ip:
            local = {"vxlan_local" if version == 4 else "vxlan_local6": ip_of(node, version)}
            ip.link("add", ifname="vx", kind="vxlan", vxlan_id=5, vxlan_port=4789, **local)
            (index,) = ip.link_lookup(ifname="vx")
            ip.link("set", index=index, state="up")
            for other in nodes:
                if other is not node:
                    ip.fdb(
                        "append", ifindex=index, lladdr="00:00:00:00:00:00",
                        dst=ip_of(other, version),
                    )  # fmt: skip
        node.add_address("vx", f"192.168.6.{number + 1}/24")
        node.add_address("vx", f"fd06::{number + 1}/64")
    return r, nodes


@versions
def test_vxlan_floods_what_is_unknown_and_learns(net, version):
    _, nodes = vxlan(net, version)
    assert round_trip_ns(net, nodes[0], nodes[2], "192.168.6.3") == 4 * DELAY_NS
    net.run_for(SECOND)
    # Learnt now: nothing goes to the third node any more.
    before = [link.stats(direction=1).frames for link in net.links]
    for _ in range(5):
        round_trip_ns(net, nodes[0], nodes[2], "192.168.6.3")
    after = [link.stats(direction=1).frames for link in net.links]
    assert [new - old for new, old in zip(after, before, strict=True)] == [10, 0, 10]
    mac = nodes[2].read_text("/sys/class/net/vx/address").strip()
    with nodes[0].iproute() as ip:
        entries = ip.fdb("dump", ifindex=ip.link_lookup(ifname="vx")[0], lladdr=mac)
        assert [entry.get("dst") for entry in entries] == [ip_of(nodes[2], version)]


@versions
def test_vxlan_broadcast_reaches_all_ends(net, version):
    _, nodes = vxlan(net, version, 4)
    listeners = []
    for node in nodes[1:]:
        sock = keep(node.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(("", 9))
        sock.settimeout(1)
        listeners.append(sock)
    with nodes[0].socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        here.sendto(b"all", ("192.168.6.255", 9))
    assert [sock.recv(10) for sock in listeners] == [b"all"] * 3


def test_vxlan_of_another_network_is_not_heard(net):
    _, nodes = vxlan(net, 4, 2)
    with nodes[1].iproute() as ip:
        ip.link("del", index=ip.link_lookup(ifname="vx")[0])
        ip.link("add", ifname="vx", kind="vxlan", vxlan_id=6, vxlan_port=4789)
        ip.link("set", index=ip.link_lookup(ifname="vx")[0], state="up")
    nodes[1].add_address("vx", "192.168.6.2/24")
    with nodes[0].socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.sendto(b"x", ("192.168.6.2", 9))
    net.run_for(5 * SECOND)
    assert nodes[1].read_text("/sys/class/net/vx/statistics/rx_packets").strip() == "0"
    assert nodes[0].counters()["IpOutRequests"] >= 1


def test_multicast_group_carries_vxlan(net):
    switch = net.switch("s")
    nodes = [net.node(name) for name in "abc"]
    for number, node in enumerate(nodes):
        net.link(node, switch, delay_ms=1)
        with node.iproute() as ip:
            ip.link(
                "add", ifname="vx", kind="vxlan", vxlan_id=5, vxlan_port=4789,
                vxlan_group="239.1.1.1", vxlan_link=ip.link_lookup(ifname="eth0")[0],
            )  # fmt: skip
            ip.link("set", index=ip.link_lookup(ifname="vx")[0], state="up")
        node.add_address("vx", f"192.168.6.{number + 1}/24")
    assert round_trip_ns(net, nodes[0], nodes[2], "192.168.6.3") == 4 * MS


def test_6rd_finds_the_tunnel_end_in_the_address(net):
    """RFC 5969: the IPv4 address stands in the IPv6 one, behind the operator's prefix."""
    a, r, b = chain(net, "arb", delay_ms=DELAY_NS / MS)
    for node in (a, b):
        with node.iproute() as ip:
            ip.link(
                "add", ifname="tun", kind="sit", sit_local=node.ip, sit_6rd_prefix="2001:db8::",
                sit_6rd_prefixlen=32,
            )  # fmt: skip
            ip.link("set", index=ip.link_lookup(ifname="tun")[0], state="up")
        first, second = struct.unpack("!HH", socket.inet_aton(node.ip))
        node.add_address("tun", f"2001:db8:{first:x}:{second:x}::1/32")
    first, second = struct.unpack("!HH", socket.inet_aton(b.ip))
    took = round_trip_ns(net, a, b, f"2001:db8:{first:x}:{second:x}::1")
    assert took == 4 * DELAY_NS
    assert r.counters()["IpForwDatagrams"] == 4


@pytest.mark.parametrize(("kind", "ends"), [("gre", 4), ("ip6gre", 6)])
def test_packet_for_no_tunnel_is_answered_by_icmp(net, kind, ends):
    a, _, b = chain(net, "arb", delay_ms=DELAY_NS / MS)
    a.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1  # no router solicitations inside
    with a.iproute() as ip:
        options = {f"{kind}_local": ip_of(a, ends), f"{kind}_remote": ip_of(b, ends)}
        ip.link("add", ifname="tun", kind=kind, **options)
        ip.link("set", index=ip.link_lookup(ifname="tun")[0], state="up")
    with b.iproute() as ip:
        options = {f"{kind}_local": ip_of(b, ends), f"{kind}_remote": "10.250.0.1"}
        if ends == 6:
            options[f"{kind}_remote"] = "fdff::1"
        ip.link("add", ifname="tun", kind=kind, **options)
        ip.link("set", index=ip.link_lookup(ifname="tun")[0], state="up")
    a.add_address("tun", "192.168.5.1/24")
    before = b.counters()
    with a.socket(FAMILY[4], socket.SOCK_DGRAM) as here:
        here.sendto(b"x", ("192.168.5.2", 9))
        net.run_for(4 * DELAY_NS)
    grown = b.counters() - before
    assert grown["IcmpOutDestUnreachs" if ends == 4 else "Icmp6OutDestUnreachs"] == 1


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b = l2tp(net, 6)
        net.links[0].capture(path)
        for target in ("192.168.5.2", "fd05::2"):
            round_trip_ns(net, a, b, target, 1200)

    assert repeats(build, tmp_path, scenario)
