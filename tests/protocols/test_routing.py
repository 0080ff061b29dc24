# SPDX-License-Identifier: GPL-2.0-only
"""Policy routing, VRF and equal-cost multipath, IPv4 and IPv6."""

from __future__ import annotations

import errno
import socket

import pytest
from topologies import FAMILY, MS, SECOND, chain, ip_of, keep, repeats

versions = pytest.mark.parametrize("version", [4, 6])
SO_MARK, SO_BINDTODEVICE = 36, 25


def diamond(net, delays_ms=(1, 10)):
    """a and d, joined by way of b and c; d has an address of its own behind both."""
    a, b, c, d = (net.node(name) for name in "abcd")
    near = [net.link(a, b, delay_ms=delays_ms[0]), net.link(a, c, delay_ms=delays_ms[1])]
    far = [net.link(node, d) for node in (b, c)]
    give_own(d, 99)
    net.route_all()
    for node in (b, c):
        with node.iproute() as ip:
            for version, bits in ((4, 32), (6, 128)):
                gateway = address(d, version, 0 if node is b else 1)
                ip.route("add", dst=f"{own(version)}/{bits}", gateway=gateway)
    return a, b, c, d, near, far


def address(node, version, link):
    return node.addresses[2 * link + (version == 6)]


def own(version, number=99):
    return f"10.{number}.0.1" if version == 4 else f"fd{number}::1"


def give_own(node, number):
    """Give a node addresses that no link has."""
    with node.iproute() as ip:
        ip.link("add", ifname="own", kind="dummy", state="up")
    for version, bits in ((4, 32), (6, 128)):
        node.add_address("own", f"{own(version, number)}/{bits}")


def default(version):
    return {"dst": "default", "family": FAMILY[version]}


def echo_ns(net, a, d, version, *, source=None, mark=0):
    """How long a datagram to d's own address and its echo take; the way back is over b."""

    def answer():
        data, peer = there.recvfrom(100)
        there.sendto(data, peer)

    family = FAMILY[version]
    with d.socket(family, socket.SOCK_DGRAM) as there:
        there.bind((own(version), 7))
        with a.socket(family, socket.SOCK_DGRAM) as here:
            if source:
                here.bind((source, 0))
            if mark:
                here.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            here.settimeout(5)
            for _ in range(2):  # the first one resolves neighbours
                d.spawn(answer)
                start = net.now_ns
                here.sendto(b"x", (own(version), 7))
                here.recv(100)
            return net.now_ns - start


def table(a, b, c, version):
    """Main table: by way of b; table 100: by way of c."""
    with a.iproute() as ip:
        ip.route("replace", gateway=address(b, version, 0), **default(version))
        ip.route("add", gateway=address(c, version, 0), table=100, **default(version))


@versions
def test_rule_by_mark_chooses_a_table(net, version):
    a, b, c, d, _, _ = diamond(net)
    table(a, b, c, version)
    with a.iproute() as ip:
        ip.rule("add", fwmark=5, table=100, priority=10, family=FAMILY[version])
    # There by way of b (1 ms) or c (10 ms); the way back is over the link of the source address.
    first, second = address(a, version, 0), address(a, version, 1)
    assert echo_ns(net, a, d, version, source=first) == (1 + 1) * MS
    assert echo_ns(net, a, d, version, source=first, mark=5) == (10 + 1) * MS
    assert echo_ns(net, a, d, version, source=second, mark=5) == (10 + 10) * MS
    assert echo_ns(net, a, d, version, source=second, mark=6) == (1 + 10) * MS


@versions
def test_rule_by_source_chooses_a_table(net, version):
    a, b, c, d, _, _ = diamond(net)
    table(a, b, c, version)
    second = address(a, version, 1)
    with a.iproute() as ip:
        bits = 32 if version == 4 else 128
        ip.rule("add", src=second, src_len=bits, table=100, family=FAMILY[version])
    assert echo_ns(net, a, d, version, source=address(a, version, 0)) == 2 * MS
    assert echo_ns(net, a, d, version, source=second) == 20 * MS


@versions
def test_rule_by_incoming_interface_chooses_a_table(net, version):
    a, b, c, _, near, _ = diamond(net)
    table(a, b, c, version)
    hosts = []
    for name in "xy":
        host = net.node(name)
        net.link(host, a)
        hosts.append(host)
    a.forward()
    for number, host in enumerate(hosts, 2):
        with host.iproute() as ip:
            ip.route("add", gateway=address(a, version, number), **default(version))
    with a.iproute() as ip:
        ip.rule("add", iifname="eth3", table=100, family=FAMILY[version])
    for host, link in zip(hosts, near, strict=True):
        with host.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
            net.run_for(SECOND)
            before = [it.stats().frames for it in near]
            for _ in range(10):
                sock.sendto(b"x" * 50, (own(version), 9))
            net.run_for(100 * MS)
            after = [it.stats().frames for it in near]
        for old, new, it in zip(before, after, near, strict=True):
            assert (new - old >= 10) == (it is link)


@versions
@pytest.mark.parametrize(
    ("action", "number"),
    [
        ("FR_ACT_UNREACHABLE", errno.ENETUNREACH),
        ("FR_ACT_PROHIBIT", errno.EACCES),
        ("FR_ACT_BLACKHOLE", errno.EINVAL),
    ],
)
def test_rule_can_refuse(net, version, action, number):
    a, b = chain(net, "ab")
    with a.iproute() as ip:
        ip.rule(
            "add",
            dst=ip_of(b, version),
            dst_len=32 if version == 4 else 128,
            action=action,
            priority=5,
            family=FAMILY[version],
        )
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            sock.sendto(b"x", (ip_of(b, version), 9))
        assert caught.value.errno == number


@versions
def test_vrfs_keep_equal_addresses_apart(net, version):
    router = net.node("r")
    hosts = []
    for number, color in enumerate(("red", "blue")):
        host = net.node(color)
        net.link(router, host, delay_ms=1 + 9 * number, subnet=())
        with router.iproute() as ip:
            ip.link("add", ifname=f"vrf{number}", kind="vrf", vrf_table=10 + number, state="up")
            (master,) = ip.link_lookup(ifname=f"vrf{number}")
            ip.link("set", index=ip.link_lookup(ifname=f"eth{number}")[0], master=master)
        subnet = "10.7.0.{}/24" if version == 4 else "fd07::{}/64"
        router.add_address(f"eth{number}", subnet.format(1))
        host.add_address("eth0", subnet.format(2))
        hosts.append(host)
    target = "10.7.0.2" if version == 4 else "fd07::2"
    for number, host in enumerate(hosts):
        there = keep(host.socket(FAMILY[version], socket.SOCK_DGRAM))
        there.bind((target, 7))
        with router.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            here.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, f"vrf{number}\0".encode())
            start = net.now_ns
            here.sendto(host.name.encode(), (target, 7))
            assert there.recv(100) == host.name.encode()
            delay = 1 + 9 * number
            assert net.now_ns - start == 3 * delay * MS  # the neighbour first
    with router.socket(FAMILY[version], socket.SOCK_DGRAM) as outside:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            outside.sendto(b"x", (target, 7))
        assert caught.value.errno == errno.ENETUNREACH


def ecmp(net, version, weights=(1, 1)):
    """A diamond in which a has routes to d by way of b and c, chosen by five-tuples."""
    a, b, c, d, near, _ = diamond(net, (1, 1))
    give_own(a, 98)
    a.sysctl[f"net.ipv{version}.fib_multipath_hash_policy"] = 1
    with a.iproute() as ip:
        hops = [
            {"gateway": address(node, version, 0), "hops": weight - 1}
            for node, weight in zip((b, c), weights, strict=True)
        ]
        ip.route("add", dst=own(version), dst_len=32 if version == 4 else 128, multipath=hops)
    return a, d, near


def spread(net, a, d, near, version, flows=64, source=None):
    """Send a datagram of each flow, by default from a's own address; return their ways, 0 or 1."""
    ways = []
    with d.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind((own(version), 9))
        there.settimeout(1)
        for port in range(20_000, 20_000 + flows):
            with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
                here.bind((source or own(version, 98), port))
                before = [link.stats().bytes for link in near]
                here.sendto(b"x" * 400, (own(version), 9))
                try:
                    there.recv(500)
                except TimeoutError:
                    ways.append(None)
                    continue
                grown = [link.stats().bytes - old for link, old in zip(near, before, strict=True)]
                ways.append(int(grown[1] > grown[0]))
    return ways


@versions
def test_ecmp_spreads_flows_and_keeps_each_on_its_way(net, version):
    a, d, near = ecmp(net, version)
    spread(net, a, d, near, version, 8)
    first = spread(net, a, d, near, version)
    assert 16 < sum(first) < 48
    assert spread(net, a, d, near, version) == first


@versions
@pytest.mark.parametrize("link", [0, 1])
def test_ecmp_leaves_by_the_link_of_the_source_address_if_the_kernel_looks_at_it(
    net, version, link
):
    a, d, near = ecmp(net, version)
    source = address(a, version, link)
    spread(net, a, d, near, version, 8, source)
    ways = spread(net, a, d, near, version, source=source)
    # fib_select_multipath(), "ipv4: prefer multipath nexthop that matches source address" (6.16).
    if version == 4 and tuple(map(int, a.release.split(".")[:2])) >= (6, 16):
        assert ways == [link] * 64
    else:
        assert 16 < sum(ways) < 48


@versions
def test_ecmp_moves_the_flows_of_a_dead_next_hop(net, version):
    a, d, near = ecmp(net, version)
    for name in ("all", "eth0", "eth1"):
        a.sysctl[f"net.ipv{version}.conf.{name}.ignore_routes_with_linkdown"] = 1
    before = spread(net, a, d, near, version, 32)
    assert 0 < sum(before) < 32
    near[1].down()
    assert spread(net, a, d, near, version, 32) == [0] * 32
    near[1].up()
    after = spread(net, a, d, near, version, 32)
    assert after == before


@versions
def test_ecmp_follows_weights(net, version):
    a, d, near = ecmp(net, version, weights=(1, 7))
    ways = spread(net, a, d, near, version, 128)
    assert 128 * 0.75 < sum(ways) < 128  # 7 of 8


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, d, near = ecmp(net, 4)
        near[1].capture(path)
        spread(net, a, d, near, 4)

    assert repeats(build, tmp_path, scenario)
