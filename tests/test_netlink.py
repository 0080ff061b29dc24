# SPDX-License-Identifier: GPL-2.0-only
"""Netlink: by hand, and pyroute2's classes unmodified."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest

pyroute2 = pytest.importorskip("pyroute2")


def add_dummy(ip, name):
    """Add a dummy device, where the profile has them."""
    try:
        ip.link("add", ifname=name, kind="dummy")
    except pyroute2.NetlinkError as error:
        if error.code != 95:
            raise
        pytest.skip("This profile has no dummy devices.")


def test_netlink_socket_speaks_rtnetlink(kernel):
    with kernel.netlink() as sock:
        sock.bind((0, 0))
        request = struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0)
        sock.sendto(request, (0, 0))
        reply, source = sock.recvfrom(65536)
    assert source == (0, 0)
    assert b"lo\0" in reply


def test_iproute_lists_links(kernel):
    with kernel.iproute() as ip:
        assert type(ip) is pyroute2.IPRoute
        names = [link.get("ifname") for link in ip.get_links()]
    assert names[0] == "lo"
    assert sorted(names) == sorted(name for _, name in kernel.if_nameindex())


def test_iproute_configures_the_kernel(kernel):
    with kernel.iproute() as ip:
        add_dummy(ip, "d0")
        (index,) = ip.link_lookup(ifname="d0")
        ip.addr("add", index=index, address="10.5.0.1", prefixlen=24)
        ip.link("set", index=index, state="up")
        ip.route("add", dst="10.6.0.0/16", gateway="10.5.0.2")
        routes = {route.get("dst") for route in ip.get_routes(family=socket.AF_INET)}
        assert "10.6.0.0" in routes
        assert kernel.if_nametoindex("d0") == index
        ip.link("del", index=index)
        assert ip.link_lookup(ifname="d0") == []


def test_errors_of_iproute_are_its_own(kernel):
    with kernel.iproute() as ip:
        with pytest.raises(pyroute2.NetlinkError, match="No such device"):
            ip.link("set", index=999, state="up")
        with pytest.raises(pyroute2.NetlinkError, match="Network is unreachable"):
            ip.route("add", dst="10.6.0.0/16", gateway="10.99.0.1")


def test_iproute_sets_queueing_disciplines(kernel):
    with kernel.iproute() as ip:
        add_dummy(ip, "d0")
        (index,) = ip.link_lookup(ifname="d0")
        ip.tc("add", "netem", index, handle="1:", delay=10_000)
        kinds = [qdisc.get("kind") for qdisc in ip.get_qdiscs(index=index)]
        assert kinds == ["netem"]


def test_iproute_never_touches_the_host(kernel):
    with kernel.iproute() as ip:
        with contextlib.suppress(pyroute2.NetlinkError):
            ip.link("add", ifname="pylibosX", kind="tuntap", mode="tap")
    assert "pylibosX" not in [name for _, name in socket.if_nameindex()]


def test_two_kernels_are_configured_apart(pair):
    a, b, _ = pair
    with a.iproute() as on_a, b.iproute() as on_b:
        add_dummy(on_a, "only-a")
        assert on_a.link_lookup(ifname="only-a")
        assert not on_b.link_lookup(ifname="only-a")


def test_events_are_seen(kernel):
    with kernel.iproute() as watcher, kernel.iproute() as ip:
        watcher.bind()
        add_dummy(ip, "d0")
        events = [message["event"] for message in watcher.get()]
        assert "RTM_NEWLINK" in events


def test_namespaced_task_has_its_own_netlink(kernel):
    with kernel.task(share_files=False, namespaces=["net"]) as task:
        with kernel.iproute() as ip:
            add_dummy(ip, "outer")
        with task.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
            sock.sendto(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0), (0, 0))
            assert b"outer" not in sock.recv(65536)
