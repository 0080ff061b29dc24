# SPDX-License-Identifier: GPL-2.0-only
"""The same seed gives the same bytes: a scenario of each protocol, run twice, captures compared.

Most of them use the kernel's randomness: times of reports and solicitations, identifiers of
fragments, temporary addresses, source ports.
"""

from __future__ import annotations

import socket

import pytest
import xfrm
from datagrams import ends
from groups import GROUP, PORT, leave, listener, sender
from icmp import LEVEL, MTU_DISCOVER, PMTUDISC_DONT
from multicast_router import MulticastRouter
from routers import RouterDaemon, advertisement, prefix_option
from topologies import FAMILY, SECOND, chain, ip_of, pattern, repeats
from wire import Chosen, connect, keep, read_exactly, wire

import pylibos

UDP_SEGMENT = 103


def resolution(net, path, version):
    a, b = chain(net, "ab", delay_ms=10)
    with a.links[0].capture(path):
        for address in (ip_of(b, version), "10.0.1.77" if version == 4 else "fd00:0:0:1::77"):
            with a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", (address, 9))
        net.run_for(100 * SECOND)


def fragments(net, path, version):
    a, _, b = chain(net, "arb", delay_ms=10, offload=False)
    here, there = ends(a, b, ip_of(b, version))
    here.setsockopt(LEVEL[version], MTU_DISCOVER[version], PMTUDISC_DONT)
    with a.links[0].capture(path):
        for size in (3000, 9000):
            here.send(pattern(size))
            assert there.recv(10_000) == pattern(size)


def segmented_datagrams(net, path, version):
    a, b = chain(net, "ab", delay_ms=10, offload=False)
    here, there = ends(a, b, ip_of(b, version))
    here.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
    with a.links[0].capture(path):
        here.send(pattern(20_000))
        assert sum(len(there.recv(70_000)) for _ in range(20)) == 20_000


def unreachable(net, path, version):
    a, r, b = chain(net, "arb", delay_ms=10)
    with a.links[0].capture(path):
        for number in range(1, 20):
            with a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
                sock.sendto(pattern(50), (ip_of(b, version), 33434 + number))
        net.run_for(10 * SECOND)
    assert r.alive()


def groups(net, path, version):
    a, b = chain(net, "ab", delay_ms=10)
    with a.links[0].capture(path):
        sock = listener(b, version)
        sender(a, version).sendto(pattern(100), (GROUP[version], PORT))
        assert sock.recv(200) == pattern(100)
        net.run_for(20 * SECOND)
        leave(sock, b, version)
        net.run_for(20 * SECOND)


def multicast_routes(net, path, version):
    a, r, b = chain(net, "arb", delay_ms=10)
    sock = listener(b, version)
    daemon = MulticastRouter(r, version, [r.device_to(a), r.device_to(b)])
    asked = r.spawn(daemon.upcall)
    with b.links[0].capture(path):
        for number in range(10):
            sender(a, version).sendto(bytes([number]) * 100, (GROUP[version], PORT))
        upcall = asked.result()
        daemon.add(upcall.source, upcall.group, upcall.interface, [1])
        net.run_for(20 * SECOND)
    assert sock.recv(200) == bytes(100)


def options_of_tcp(net, path, version):
    sysctls = {"net.ipv4.tcp_ecn": 1, "net.ipv4.tcp_syncookies": 2, "net.ipv4.tcp_fastopen": 3}
    pair = wire(net, Chosen(), sysctls=sysctls)
    server = keep(pair.b.create_server(("", 7), family=FAMILY[version]))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    with pair.links[0].capture(path):
        for _ in range(3):
            client = keep(pair.a.socket(FAMILY[version]))
            client.sendto(b"hello", socket.MSG_FASTOPEN, (pair.address(version), 7))
            assert keep(server.accept()[0]).recv(10) == b"hello"
        here, there = connect(net, pair.a, pair.b, pair.address(version))
        here.send(pattern(5000))
        assert read_exactly(there, 5000) == pattern(5000)


def autoconfiguration(net, path, version):
    sysctls = {"net.ipv6.conf.default.use_tempaddr": 2, "net.ipv6.conf.default.accept_dad": 1}
    host, router = net.node("host", **sysctls), net.node("router")
    with net.link(host, router, subnet=(), delay_ms=5).capture(path):
        RouterDaemon(router, "eth0", advertisement(prefix_option("2001:db8::/64", 3600, 1800)))
        net.run_for(100 * SECOND)


def mobility(net, path, version):
    a, b = chain(net, "ab", delay_ms=5)
    home = "2001:db8:100::1"
    a.add_address("lo", home + "/128")
    for node, direction in ((a, xfrm.OUT), (b, xfrm.IN)):
        xfrm.add_state(
            node,
            home,
            b.ip6,
            0,
            b"",
            mode=xfrm.ROUTE_OPTIMIZATION,
            protocol=xfrm.DESTINATION_OPTIONS,
            care_of=a.ip6,
        )
        protocol = xfrm.DESTINATION_OPTIONS
        xfrm.add_policy(node, home + "/128", b.ip6 + "/128", direction, protocol=protocol)
    with a.links[0].capture(path):
        here, there = ends(a, b, b.ip6)
        here = keep(a.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        here.bind((home, 0))
        for number in range(10):
            here.sendto(bytes([number]) * 100, (b.ip6, 7))
            assert there.recv(200) == bytes([number]) * 100


BOTH = (
    resolution,
    fragments,
    segmented_datagrams,
    unreachable,
    groups,
    multicast_routes,
    options_of_tcp,
)


@pytest.mark.parametrize(
    ("scenario", "version"),
    [(scenario, version) for scenario in BOTH for version in (4, 6)]
    + [(autoconfiguration, 6), (mobility, 6)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_capture_repeats(build, tmp_path, scenario, version):
    assert repeats(build, tmp_path, lambda net, path: scenario(net, path, version))


def test_capture_of_another_seed_differs(build, tmp_path):
    def with_seed(seed):
        path = tmp_path / f"{seed}.pcapng"
        with pylibos.Network(seed=seed, **build.options) as net:
            autoconfiguration(net, path, 6)
        return path.read_bytes()

    assert with_seed(1) != with_seed(2)
