# SPDX-License-Identifier: GPL-2.0-only
"""Bridges: spanning tree (IEEE 802.1D) with its exact delays, learning, VLANs (802.1Q)."""

from __future__ import annotations

import socket
import struct

import pytest
from pcapng import read
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, keep, repeats

ETH_P_ALL = 3
DISABLED, LISTENING, LEARNING, FORWARDING, BLOCKING = range(5)  # BR_STATE_*
FORWARD_DELAY, MAX_AGE, HELLO = 15, 20, 2
NETWORKS = {4: "10.5.0.{}/24", 6: "fd05::{}/64"}
versions = pytest.mark.parametrize("version", [4, 6])


def make_bridge(net, name, *, stp=False, **attributes):
    node = net.node(name, **{"net.ipv6.conf.default.disable_ipv6": 1})
    with node.iproute() as ip:
        ip.link("add", ifname="br0", kind="bridge")
    base = "/sys/class/net/br0/bridge"
    node.write_text(f"{base}/multicast_snooping", "0")
    if stp:
        node.write_text(f"{base}/stp_state", "1")
    for key, value in attributes.items():
        node.write_text(f"{base}/{key}", str(value))
    with node.iproute() as ip:
        ip.link("set", index=ip.link_lookup(ifname="br0")[0], state="up")
    return node


def plug(net, first, second, **settings):
    """Link two nodes; the ends at bridges become ports."""
    link = net.link(first, second, subnet=(), **settings)
    for end in link.ends:
        if "br0" in [name for _, name in end.kernel.if_nameindex()]:
            with end.kernel.iproute() as ip:
                ip.link("set", index=end.device.index, master=ip.link_lookup(ifname="br0")[0])
    return link


def host(net, name, number, bridge, **settings):
    node = net.node(name)
    link = plug(net, node, bridge, **settings)
    for network in NETWORKS.values():
        node.add_address("eth0", network.format(number))
    return node, link


def state(link, end):
    device = link.ends[end].device
    return int(device.kernel.read_text(f"/sys/class/net/{device.name}/brport/state"))


def ring(net, *, stp=True, **attributes):
    """Three bridges in a ring, s1 with the best priority, and a host at each of two."""
    bridges = [
        make_bridge(net, f"s{number}", stp=stp, priority=4096 * number, **attributes)
        for number in (1, 2, 3)
    ]
    s1, s2, s3 = bridges
    links = [plug(net, s1, s2), plug(net, s1, s3), plug(net, s2, s3)]
    a, _ = host(net, "a", 1, s2)
    b, _ = host(net, "b", 2, s3)
    return bridges, links, a, b


def reaches(net, a, b, version, seconds=1):
    """Whether a datagram gets through within some seconds."""
    target = NETWORKS[version].format(2).partition("/")[0]
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        there.settimeout(seconds)
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            here.sendto(b"x", (target, 9))
            try:
                return there.recv(10) == b"x"
            except TimeoutError:
                return False


def reached_at(net, condition):
    """The time at which a condition first holds."""
    net.run_until(condition)
    return net.now_ns


@versions
def test_spanning_tree_breaks_the_loop(net, version):
    _, links, a, b = ring(net)
    net.run_for(2 * FORWARD_DELAY * SECOND + SECOND)
    states = [(state(link, 0), state(link, 1)) for link in links]
    # The root's links forward; of the third one the end at the worse bridge blocks.
    assert states == [(FORWARDING,) * 2, (FORWARDING,) * 2, (FORWARDING, BLOCKING)]
    assert reaches(net, a, b, version)
    before = [link.stats().frames + link.stats(1).frames for link in links]
    net.run_for(10 * SECOND)
    after = [link.stats().frames + link.stats(1).frames for link in links]
    # Hellos only, every two seconds, and nothing that goes in circles.
    assert all(new - old <= 5 + 4 for new, old in zip(after, before, strict=True))


def test_port_forwards_after_two_forward_delays(net):
    bridge = make_bridge(net, "s", stp=True)
    start = net.now_ns
    _, link = host(net, "a", 1, bridge)
    assert state(link, 1) == LISTENING
    learning = reached_at(net, lambda: state(link, 1) == LEARNING)
    forwarding = reached_at(net, lambda: state(link, 1) == FORWARDING)
    assert learning == wheel_ns(start, FORWARD_DELAY * 1000)
    assert forwarding == wheel_ns(learning, FORWARD_DELAY * 1000)


@versions
def test_blocked_link_takes_over_after_a_failure(net, version):
    _, links, a, b = ring(net)
    net.run_for(2 * FORWARD_DELAY * SECOND + SECOND)
    assert reaches(net, a, b, version)
    start = net.now_ns
    links[1].down()  # s3 loses its root port, and takes the way over s2
    listening = reached_at(net, lambda: state(links[2], 1) == LISTENING)
    assert listening - start <= SECOND  # net/core/link_watch.c
    assert not reaches(net, a, b, version)
    forwarding = reached_at(net, lambda: state(links[2], 1) == FORWARDING)
    learning = wheel_ns(listening, FORWARD_DELAY * 1000)
    assert forwarding == wheel_ns(learning, FORWARD_DELAY * 1000)
    # Learnt addresses lead astray until they are forgotten, after two forward delays at the
    # latest (__br_set_topology_change()), or until somebody is asked for by broadcast.
    assert any(reaches(net, a, b, version) for _ in range(2 * FORWARD_DELAY))


def test_silent_root_is_forgotten_after_max_age(net):
    (s1, s2, _), links, _, _ = ring(net)
    net.run_for(2 * FORWARD_DELAY * SECOND + SECOND)
    root = s1.read_text("/sys/class/net/br0/bridge/bridge_id")
    assert s2.read_text("/sys/class/net/br0/bridge/root_id") == root
    for link in links[:2]:
        link.set(loss_pct=100)
    start = net.now_ns
    at = reached_at(net, lambda: s2.read_text("/sys/class/net/br0/bridge/root_id") != root)
    assert (MAX_AGE - HELLO) * SECOND <= at - start <= (MAX_AGE + 1) * SECOND


def test_topology_change_is_told_by_the_root(net):
    bridges, links, _, _ = ring(net)

    def changing():
        path = "/sys/class/net/br0/bridge/topology_change"
        return [int(bridge.read_text(path)) for bridge in bridges]

    net.run_for(120 * SECOND)
    assert changing() == [0, 0, 0]
    links[1].down()
    net.run_for(2 * FORWARD_DELAY * SECOND + 3 * SECOND)
    assert changing() == [1, 1, 1]
    # 802.1D: the root says so for a forward delay and a maximal age.
    net.run_for((FORWARD_DELAY + MAX_AGE + 3) * SECOND)
    assert changing() == [0, 0, 0]


@versions
def test_learnt_address_is_not_flooded(net, version):
    bridge = make_bridge(net, "s")
    a, _ = host(net, "a", 1, bridge)
    b, _ = host(net, "b", 2, bridge)
    _, third = host(net, "c", 3, bridge)
    net.run_for(60 * SECOND)
    assert reaches(net, a, b, version)
    before = third.stats(direction=1).bytes
    target = NETWORKS[version].format(2).partition("/")[0]
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        for _ in range(10):
            here.sendto(b"x" * 1000, (target, 9))
        net.run_for(MS)
    assert third.stats(direction=1).bytes - before < 1000


def test_learnt_address_is_forgotten_after_the_ageing_time(net):
    bridge = make_bridge(net, "s", ageing_time=1000)  # in 1/100 s
    a, _ = host(net, "a", 1, bridge)
    b, _ = host(net, "b", 2, bridge)
    for node in (a, b):
        node.sysctl["net.ipv6.conf.eth0.disable_ipv6"] = 1
    reaches(net, a, b, 4)
    mac = a.read_text("/sys/class/net/eth0/address").strip()

    def known():
        with bridge.iproute() as ip:
            return any(entry.get("lladdr") == mac for entry in ip.fdb("dump"))

    assert known()
    net.run_for(9 * SECOND)
    assert known()
    net.run_for(30 * SECOND)
    assert not known()


@versions
def test_vlan_device_tags_its_frames(net, version, tmp_path):
    a, b = net.node("a"), net.node("b")
    link = net.link(a, b, delay_ms=1)
    for number, node in enumerate((a, b), 1):
        with node.iproute() as ip:
            (lower,) = ip.link_lookup(ifname="eth0")
            ip.link("add", ifname="v7", kind="vlan", link=lower, vlan_id=7)
            ip.link("set", index=ip.link_lookup(ifname="v7")[0], state="up")
        node.add_address("v7", NETWORKS[version].format(number))
    capture = link.ends[0].device.capture(tmp_path / "a.pcapng")
    assert reaches(net, a, b, version)
    capture.flush()
    tagged = [p.data for p in read(capture.path).packets if p.data[12:14] == b"\x81\x00"]
    assert tagged
    assert all(struct.unpack_from("!H", frame, 14)[0] & 0xFFF == 7 for frame in tagged)
    kinds = {frame[16:18] for frame in tagged}
    assert (b"\x08\x00" if version == 4 else b"\x86\xdd") in kinds


@versions
def test_vlan_aware_bridge_keeps_vlans_apart(net, version):
    """A trunk with tags to a; access ports of VLAN 10 to b and of VLAN 20 to c."""
    bridge = make_bridge(net, "s", vlan_filtering=1)
    a = net.node("a")
    trunk = plug(net, a, bridge)
    b, to_b = host(net, "b", 2, bridge)
    c, to_c = host(net, "c", 2, bridge)
    with bridge.iproute() as ip:
        for link, vlan in ((to_b, 10), (to_c, 20)):
            port = link.ends[1].device.index
            ip.vlan_filter("del", index=port, vlan_info={"vid": 1})
            ip.vlan_filter("add", index=port, vlan_info={"vid": vlan, "flags": 6})  # pvid untagged
            ip.vlan_filter("add", index=trunk.ends[1].device.index, vlan_info={"vid": vlan})
    with a.iproute() as ip:
        for vlan in (10, 20):
            (lower,) = ip.link_lookup(ifname="eth0")
            ip.link("add", ifname=f"v{vlan}", kind="vlan", link=lower, vlan_id=vlan)
            ip.link("set", index=ip.link_lookup(ifname=f"v{vlan}")[0], state="up")
    for vlan, here, other in ((10, b, c), (20, c, b)):
        a.add_address(f"v{vlan}", NETWORKS[version].format(1))
        listener = keep(other.socket(FAMILY[version], socket.SOCK_DGRAM))
        listener.bind(("", 9))
        assert reaches(net, a, here, version)
        assert other.select([listener], [], [], 0)[0] == []
        listener.close()
        with a.iproute() as ip:
            ip.link("del", index=ip.link_lookup(ifname=f"v{vlan}")[0])


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        _, links, a, b = ring(net)
        links[2].capture(path)
        net.run_for(35 * SECOND)
        links[1].down()
        reaches(net, a, b, 4, 40)

    assert repeats(build, tmp_path, scenario)
