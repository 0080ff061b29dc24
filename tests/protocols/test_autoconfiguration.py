# SPDX-License-Identifier: GPL-2.0-only
"""IPv6 hosts configure themselves: router advertisements, lifetimes, duplicate addresses."""

from __future__ import annotations

import errno
import itertools
import socket
import struct

import dpkt
import pytest
from frames import layer, packets
from routers import (
    RouterDaemon,
    addresses6,
    advertisement,
    eui64,
    link_local,
    mtu_option,
    prefix_option,
    route_option,
)
from timer_wheel import wheel_ns
from topologies import MS, SECOND

ONE_WAY = 5 * MS
PREFIX = "2001:db8:1::/64"
# include/uapi/linux/if_addr.h
TEMPORARY, DAD_FAILED, DEPRECATED, TENTATIVE = 0x01, 0x08, 0x20, 0x40
DAD = {"net.ipv6.conf.default.accept_dad": 1}
ELSEWHERE = "2001:db8:99::1"


def hardware(node, device="eth0"):
    return bytes.fromhex(
        node.read_text(f"/sys/class/net/{device}/address").strip().replace(":", "")
    )


def host_and_router(net, **sysctls):
    """A host and a router on a link without addresses."""
    host, router = net.node("host", **sysctls), net.node("router")
    net.link(host, router, subnet=(), delay_ms=5)
    return host, router


def default_routes(node):
    """Gateways of the default routes."""
    with node.iproute() as ip:
        return [r.get_attr("RTA_GATEWAY") for r in ip.get_default_routes(family=socket.AF_INET6)]


def sends(node, address=ELSEWHERE):
    """The errno of sending a datagram, 0 if it goes out."""
    with node.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        return sock.connect_ex((address, 9))


def globals_of(node):
    return [item for item in addresses6(node, "eth0") if not item[0].startswith("fe80")]


def test_host_asks_and_gets_an_address_and_a_default_route(net):
    host, router = host_and_router(net)
    daemon = RouterDaemon(router, "eth0", advertisement(prefix_option(PREFIX, 3600, 1800)))
    net.run_until(lambda: bool(daemon.solicitations_ns))
    asked_ns = net.now_ns
    assert globals_of(host) == []
    net.run_until(asked_ns + ONE_WAY)
    assert globals_of(host) == [(eui64(PREFIX, hardware(host)), 0)]
    assert default_routes(host) == [link_local(router, "eth0")]
    assert sends(host) == 0
    # One question has an answer: there is no second.
    net.run_for(60 * SECOND)
    assert len(daemon.solicitations_ns) == 1


def test_host_without_an_answer_asks_ever_more_rarely(net):
    _, router = host_and_router(net)
    daemon = RouterDaemon(router, "eth0", b"")
    net.run_for(2000 * SECOND)
    times = daemon.solicitations_ns
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # RFC 7559: about 4 s, and from there 1.9 to 2.1 times the one before; the wheel's grain,
    # an eighth of the time at most, comes on top.
    assert 3.6 * SECOND <= gaps[0] <= 4.4 * SECOND * 9 / 8
    for before, gap in itertools.pairwise(gaps):
        assert 1.9 * 8 / 9 <= gap / before <= 2.1 * 9 / 8
    assert len(gaps) == 8


@pytest.mark.parametrize("lifetime_s", [30, 600])
def test_default_route_ends_with_the_routers_lifetime(net, lifetime_s):
    host, router = host_and_router(net)
    message = advertisement(prefix_option(PREFIX, 3600, 1800), lifetime_s=lifetime_s)
    daemon = RouterDaemon(router, "eth0", message, answer=False)
    net.run_for(SECOND)
    daemon.advertise()
    heard_ns = net.now_ns + ONE_WAY
    net.run_until(heard_ns + lifetime_s * SECOND - MS)
    assert sends(host) == 0
    net.run_until(heard_ns + lifetime_s * SECOND + MS)
    assert sends(host) == errno.ENETUNREACH
    daemon.advertise()
    net.run_for(SECOND)
    assert sends(host) == 0


def test_router_that_retires_is_dropped_at_once(net):
    host, router = host_and_router(net)
    daemon = RouterDaemon(router, "eth0", advertisement(prefix_option(PREFIX, 3600, 1800)))
    net.run_for(5 * SECOND)
    assert sends(host) == 0
    # RFC 4861, 6.2.5: a lifetime of zero.
    daemon.advertise(advertisement(lifetime_s=0))
    net.run_for(ONE_WAY)
    assert sends(host) == errno.ENETUNREACH
    assert len(globals_of(host)) == 1


def keep_awake(node):
    """Let a timer of a program wake a node's processor ten times a second."""
    with node.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 100_000))
        while True:
            with pytest.raises(BlockingIOError):
                sock.recv(1)


def test_address_is_deprecated_and_then_removed(net):
    host, router = host_and_router(net)
    # addrconf_init_net() makes addr_chk_work deferrable: alone it does not wake the processor.
    host.spawn(keep_awake, host)
    message = advertisement(prefix_option(PREFIX, 60, 20))
    daemon = RouterDaemon(router, "eth0", message, answer=False)
    net.run_for(SECOND)
    daemon.advertise()
    heard_ns = net.now_ns + ONE_WAY
    address = eui64(PREFIX, hardware(host))
    net.run_until(heard_ns + 20 * SECOND - MS)
    assert globals_of(host) == [(address, 0)]
    # The wheel's grain is 512 ms where a timer is 20 s ahead, and the next tick is 0.1 s away.
    net.run_until(heard_ns + 21 * SECOND)
    assert globals_of(host) == [(address, DEPRECATED)]
    net.run_until(heard_ns + 60 * SECOND - MS)
    assert globals_of(host) == [(address, DEPRECATED)]
    # addrconf_verify() looks after it by a timer 40 s ahead, where the wheel's grain is 4.1 s.
    net.run_until(heard_ns + 65 * SECOND)
    assert globals_of(host) == []


def test_known_address_keeps_two_hours(net):
    host, router = host_and_router(net)
    daemon = RouterDaemon(router, "eth0", advertisement(prefix_option(PREFIX, 86400, 86400)))
    net.run_for(5 * SECOND)
    # RFC 4862, 5.5.3 e: a forged short lifetime cannot take an address away.
    daemon.advertise(advertisement(prefix_option(PREFIX, 10, 10)))
    net.run_for(7190 * SECOND)
    assert len(globals_of(host)) == 1
    net.run_for(20 * SECOND)
    assert globals_of(host) == []


def test_router_tells_mtu_and_hop_limit(net):
    host, router = host_and_router(net)
    RouterDaemon(router, "eth0", advertisement(mtu_option(1400), hop_limit=77))
    net.run_for(5 * SECOND)
    assert host.sysctl["net.ipv6.conf.eth0.mtu"] == "1400"
    assert host.sysctl["net.ipv6.conf.eth0.hop_limit"] == "77"


def test_router_with_a_higher_preference_is_taken(net):
    switch = net.switch("s", subnet=())
    host = net.node("host")
    net.link(host, switch)
    routers, daemons = {}, []
    for preference in ("low", "high", "medium"):
        node = net.node(preference)
        net.link(node, switch)
        message = advertisement(preference=preference)
        daemons.append(RouterDaemon(node, "eth0", message, answer=False))
        routers[preference] = link_local(node, "eth0")
    net.run_for(SECOND)
    # Not when asked: a host that hears one router does not ask for more (RFC 4861, 6.3.7).
    for daemon in daemons:
        daemon.advertise()
    net.run_for(SECOND)
    assert sorted(default_routes(host)) == sorted(routers.values())
    with host.iproute() as ip:
        (route,) = ip.route("get", dst=ELSEWHERE)
        assert route.get_attr("RTA_GATEWAY") == routers["high"]


def test_router_tells_of_more_specific_routes(net):
    host, router = host_and_router(net)
    host.sysctl["net.ipv6.conf.eth0.accept_ra_rt_info_max_plen"] = 64
    message = advertisement(route_option("2001:db8:99::/48", 100), lifetime_s=0)
    daemon = RouterDaemon(router, "eth0", message, answer=False)
    net.run_for(SECOND)
    daemon.advertise()
    heard_ns = net.now_ns + ONE_WAY
    net.run_for(SECOND)
    assert sends(host) == 0
    assert sends(host, "2001:db8:98::1") == errno.ENETUNREACH
    net.run_until(heard_ns + 100 * SECOND + MS)
    assert sends(host) == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("sysctls", "hops"),
    [
        ({}, 64),
        ({"net.ipv6.conf.default.accept_ra": 0}, 255),
        ({"net.ipv6.conf.all.forwarding": 1}, 255),
    ],
    ids=["hop limit", "accept_ra", "router"],
)
def test_advertisement_that_is_not_believed_changes_nothing(net, sysctls, hops):
    host, router = host_and_router(net, **sysctls)
    daemon = RouterDaemon(router, "eth0", advertisement(prefix_option(PREFIX, 3600, 1800)))
    daemon.set_hops(hops)
    net.run_for(SECOND)
    daemon.advertise()
    net.run_for(10 * SECOND)
    assert globals_of(host) == []
    assert default_routes(host) == []


def test_temporary_address_hides_the_card(net):
    host, router = host_and_router(net, **{"net.ipv6.conf.default.use_tempaddr": 2})
    RouterDaemon(router, "eth0", advertisement(prefix_option(PREFIX, 3600, 1800)))
    net.run_for(5 * SECOND)
    stable = eui64(PREFIX, hardware(host))
    found = dict(globals_of(host))
    assert found.pop(stable) & TEMPORARY == 0
    ((temporary, flags),) = found.items()
    # RFC 8981, and it is preferred as a source.
    assert flags & TEMPORARY
    with host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((ELSEWHERE, 9))
        assert sock.getsockname()[0] == temporary


# --- Duplicate address detection, RFC 4862, 5.4 ---


def solicited(capture):
    """Times and targets of neighbour solicitations with no source, of which DAD is made."""
    found = []
    for packet in packets(capture, sent=True):
        icmp, ip = layer(packet.data, dpkt.icmp6.ICMP6), layer(packet.data, dpkt.ip6.IP6)
        if icmp and icmp.type == 135 and not any(ip.src):
            found.append((packet.time_ns, socket.inet_ntop(socket.AF_INET6, bytes(icmp)[8:24])))
    return found


def add_with_detection(node, address):
    with node.iproute() as ip:
        ip.addr("add", index=node.if_nametoindex("eth0"), address=address, prefixlen=64)


def test_address_is_tentative_for_a_second(net, tmp_path):
    host, _ = host_and_router(net, **DAD)
    net.run_for(5 * SECOND)
    capture = host.links[0].ends[0].device.capture(tmp_path / "host.pcapng")
    add_with_detection(host, "fd00::1")
    net.run_until(lambda: bool(solicited(capture)))
    ((asked_ns, target),) = solicited(capture)
    assert target == "fd00::1"
    # One question (dad_transmits), and retrans_time_ms for an answer.
    end_ns = wheel_ns(asked_ns, 1000)
    net.run_until(end_ns - 1)
    assert dict(addresses6(host, "eth0"))["fd00::1"] & TENTATIVE
    with host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="."):
        sock.bind(("fd00::1", 9))
    net.run_until(end_ns)
    assert not dict(addresses6(host, "eth0"))["fd00::1"] & TENTATIVE


def test_address_that_is_taken_is_not_used(net, tmp_path):
    host, other = host_and_router(net, **DAD)
    other.add_address("eth0", "fd00::1/64")
    net.run_for(5 * SECOND)
    capture = host.links[0].ends[0].device.capture(tmp_path / "host.pcapng")
    add_with_detection(host, "fd00::1")
    net.run_until(lambda: bool(solicited(capture)))
    net.run_for(2 * ONE_WAY)
    flags = dict(addresses6(host, "eth0"))["fd00::1"]
    assert flags & DAD_FAILED
    assert flags & TENTATIVE
    card = hardware(other).hex(":")
    text = f"IPv6: eth0: IPv6 duplicate address fd00::1 used by {card} detected!"
    assert text in [record.text for record in host.dmesg()]


def test_two_that_ask_before_they_hear_of_each_other_both_lose(net):
    host, other = (net.node(name, **DAD) for name in ("host", "other"))
    # Each asks within the first second.
    net.link(host, other, subnet=(), delay_ms=1500)
    net.run_for(10 * SECOND)
    for node in (host, other):
        node.sysctl["net.ipv6.conf.eth0.dad_transmits"] = 3
        add_with_detection(node, "fd00::1")
    net.run_for(5 * SECOND)
    for node in (host, other):
        assert dict(addresses6(node, "eth0"))["fd00::1"] & DAD_FAILED


def test_taken_link_local_address_turns_ipv6_off_if_so_set(net):
    host, other = net.node("host"), net.node("other")
    link = net.link(host, other, subnet=(), delay_ms=5)
    net.run_for(5 * SECOND)
    taken = link_local(host, "eth0")
    link.ends[0].device.down()
    other.add_address("eth0", taken + "/64")
    host.sysctl["net.ipv6.conf.eth0.accept_dad"] = 2
    link.ends[0].device.up()
    net.run_for(5 * SECOND)
    # accept_dad of 2 (ip-sysctl.rst): only for an address made of the card's.
    assert host.sysctl["net.ipv6.conf.eth0.disable_ipv6"] == "1"
    assert addresses6(host, "eth0") == []
