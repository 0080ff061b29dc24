# SPDX-License-Identifier: GPL-2.0-only
"""Redirects: a router that is on the way in vain tells of the better one."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from topologies import FAMILY, SECOND

both = pytest.mark.parametrize("version", [4, 6])


def link_local(node, device):
    """An interface's link-local address, out of /proc/net/if_inet6."""
    for line in node.read_text("/proc/net/if_inet6").splitlines():
        digits, _, _, scope, _, name = line.split()
        if (scope, name) == ("20", device):
            return str(ipaddress.ip_address(bytes.fromhex(digits)))
    raise AssertionError(f"{device} of {node.name} has no link-local address")


class Segment:
    """a's default router is r1, but b is behind r2, which is on a's own segment."""

    def __init__(self, net, version):
        self.net, self.version = net, version
        switch = net.switch("s", subnet=["10.1.0.0/24", "fd01::/64"])
        self.a, self.r1, self.r2, self.b = (net.node(name) for name in ("a", "r1", "r2", "b"))
        for node in (self.a, self.r1, self.r2):
            net.link(node, switch, delay_ms=2)
        net.link(self.r2, self.b, subnet=["10.2.0.0/24", "fd02::/64"], delay_ms=2)
        for router in (self.r1, self.r2):
            router.forward()
        place = 0 if version == 4 else 1
        self.target = self.b.addresses[place]
        self.gateways = [
            node.ip if version == 4 else link_local(node, "eth0") for node in (self.r1, self.r2)
        ]
        host = f"{self.target}/{32 if version == 4 else 128}"
        self.route(self.a, "default", self.gateways[0])
        self.route(self.r1, host, self.gateways[1])
        self.route(self.b, "default", self.r2.addresses[2 + place])

    def route(self, node, destination, gateway):
        options = {"dst": destination, "gateway": gateway, "oif": node.if_nametoindex("eth0")}
        with node.iproute() as ip:
            ip.route("add", family=FAMILY[self.version], **options)

    def gateway(self):
        """Which router a uses for b."""
        with self.a.iproute() as ip:
            (route,) = ip.route("get", dst=self.target)
            return route.get_attr("RTA_GATEWAY")

    def send(self):
        with self.a.socket(FAMILY[self.version], socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", (self.target, 9))
        self.net.run_for(SECOND)


@both
def test_redirect_moves_the_route_to_the_better_router(net, version):
    segment = Segment(net, version)
    assert segment.gateway() == segment.gateways[0]
    prefix = "Icmp" if version == 4 else "Icmp6"
    # IPv4: __ip_do_redirect() first asks who the new router is, and takes the next redirect.
    needed = 2 if version == 4 else 1
    for _ in range(needed):
        assert segment.gateway() == segment.gateways[0]
        segment.send()
    assert segment.r1.counters()[prefix + "OutRedirects"] == needed
    assert segment.a.counters()[prefix + "InRedirects"] == needed
    assert segment.gateway() == segment.gateways[1]
    before = segment.r1.counters()
    segment.send()
    forwarded = "IpForwDatagrams" if version == 4 else "Ip6OutForwDatagrams"
    assert (segment.r1.counters() - before)[forwarded] == 0


@both
def test_host_that_does_not_accept_redirects_stays(net, version):
    segment = Segment(net, version)
    for where in ("all", "eth0"):
        segment.a.sysctl[f"net.ipv{version}.conf.{where}.accept_redirects"] = 0
    for _ in range(3):
        segment.send()
    assert segment.gateway() == segment.gateways[0]


def test_router_that_sends_no_redirects_forwards_all(net):
    segment = Segment(net, 4)
    for where in ("all", "eth0"):
        segment.r1.sysctl[f"net.ipv4.conf.{where}.send_redirects"] = 0
    for _ in range(3):
        segment.send()
    counters = segment.r1.counters()
    assert (counters["IpForwDatagrams"], counters["IcmpOutRedirects"]) == (3, 0)


def test_ipv6_redirect_is_only_for_link_local_routers(net):
    segment = Segment(net, 6)
    host = f"{segment.target}/128"
    with segment.r1.iproute() as ip:
        ip.route("del", dst=host, family=FAMILY[6])
    segment.route(segment.r1, host, segment.r2.addresses[1])
    segment.send()
    # RFC 4861, 8: the target address must be a router's link-local one.
    counters = segment.r1.counters()
    assert (counters["Ip6OutForwDatagrams"], counters["Icmp6OutRedirects"]) == (1, 0)
