# SPDX-License-Identifier: GPL-2.0-only
"""Multicast routing: a program enters interfaces and routes, the kernel forwards."""

from __future__ import annotations

import errno

import pytest
from groups import GROUP, PORT, listener, sender
from icmp import LEVEL, RECV_HOPS
from multicast_router import NO_ROUTE, MulticastRouter, Upcall
from topologies import MS, SECOND, ip_of

both = pytest.mark.parametrize("version", [4, 6])


class Star:
    """A source a and two receivers b and c round a router, 5 ms each."""

    def __init__(self, net, version):
        self.net, self.version = net, version
        self.a, self.r, self.b, self.c = (net.node(name) for name in "arbc")
        for node in (self.a, self.b, self.c):
            net.link(self.r, node, delay_ms=5)
        net.route_all()
        self.group = GROUP[version]
        self.source = ip_of(self.a, version)
        self.receivers = [listener(node, version) for node in (self.b, self.c)]
        self.devices = [self.r.device_to(node) for node in (self.a, self.b, self.c)]
        self.daemon = MulticastRouter(self.r, version, self.devices)

    def send(self, data=b"x", node=None, hops=8):
        sender(node or self.a, self.version, hops=hops).sendto(data, (self.group, PORT))

    def heard(self):
        """What each receiver has got, after a second."""
        self.net.run_for(SECOND)
        found = []
        for sock in self.receivers:
            sock.setblocking(False)
            got = []
            try:
                while True:
                    got.append(sock.recv(100))
            except BlockingIOError:
                found.append(got)
        return found

    def cache(self):
        """Packets that each route has forwarded, and that came by a wrong interface."""
        name = "ip_mr_cache" if self.version == 4 else "ip6_mr_cache"
        lines = self.r.read_text(f"/proc/net/{name}").splitlines()[1:]
        return [(int(line.split()[3]), int(line.split()[5])) for line in lines]


@both
def test_packet_follows_the_route_to_the_interfaces_it_names(net, version):
    star = Star(net, version)
    star.daemon.add(star.source, star.group, 0, [1])
    option, _ = RECV_HOPS[version]
    star.receivers[0].setsockopt(LEVEL[version], option, 1)
    start_ns = net.now_ns
    star.send(hops=8)
    data, control, _, address = star.receivers[0].recvmsg(100, 100)
    assert (data, address[0]) == (b"x", star.source)
    assert net.now_ns - start_ns == 10 * MS
    assert int.from_bytes(control[0][2], "little") == 7
    assert star.heard() == [[], []]
    star.daemon.add(star.source, star.group, 0, [1, 2])
    star.send(b"y")
    assert star.heard() == [[b"y"], [b"y"]]
    assert star.cache() == [(2, 0)]


@both
def test_kernel_asks_for_a_route_and_keeps_the_packet_meanwhile(net, version):
    star = Star(net, version)
    asked = star.r.spawn(star.daemon.upcall)
    star.send()
    assert asked.result() == Upcall(NO_ROUTE, 0, star.source, star.group)
    assert star.heard() == [[], []]
    star.daemon.add(star.source, star.group, 0, [1, 2])
    assert star.heard() == [[b"x"], [b"x"]]


@both
def test_packet_without_a_route_is_kept_for_ten_seconds(net, version):
    star = Star(net, version)
    star.send()
    # ipmr_cache_alloc_unres(): 10 * HZ.
    net.run_for(11 * SECOND)
    star.daemon.add(star.source, star.group, 0, [1, 2])
    assert star.heard() == [[], []]
    star.send(b"y")
    assert star.heard() == [[b"y"], [b"y"]]


@both
def test_packet_that_comes_in_by_the_wrong_interface_is_dropped(net, version):
    star = Star(net, version)
    star.daemon.add(star.source, star.group, 1, [2])
    star.send()
    assert star.heard() == [[], []]
    assert star.cache() == [(1, 1)]


@both
def test_route_that_is_removed_ends(net, version):
    star = Star(net, version)
    star.daemon.add(star.source, star.group, 0, [1, 2])
    star.send()
    assert star.heard() == [[b"x"], [b"x"]]
    star.daemon.delete(star.source, star.group, 0)
    star.send()
    assert star.heard() == [[], []]
    with pytest.raises(OSError, match="No such file") as refused:
        star.daemon.delete(star.source, star.group, 0)
    assert refused.value.errno == errno.ENOENT


@both
def test_hops_are_counted_at_the_router(net, version):
    star = Star(net, version)
    star.daemon.add(star.source, star.group, 0, [1, 2])
    star.send(hops=1)
    assert star.heard() == [[], []]
    star.send(hops=2)
    assert star.heard() == [[b"x"], [b"x"]]


def test_threshold_keeps_a_group_near(net):
    star = Star(net, 4)
    star.daemon.add(star.source, star.group, 0, [1, 2], threshold=16)
    star.send(hops=16)
    assert star.heard() == [[], []]
    star.send(hops=17)
    assert star.heard() == [[b"x"], [b"x"]]


@both
def test_second_daemon_is_refused(net, version):
    star = Star(net, version)
    with pytest.raises(OSError, match="Address already in use"):
        MulticastRouter(star.r, version, star.devices)
    star.daemon.done()
    MulticastRouter(star.r, version, star.devices)


@both
def test_router_without_a_daemon_forwards_no_groups(net, version):
    star = Star(net, version)
    star.daemon.done()
    star.send()
    assert star.heard() == [[], []]
