# SPDX-License-Identifier: GPL-2.0-only
"""Multipath TCP (RFC 8684): two links between two hosts, managed by the in-kernel path manager."""

from __future__ import annotations

import errno
import socket

import pytest
from pyroute2 import MPTCP
from topologies import FAMILY, MS, SECOND, pattern, receive_all, repeats

IPPROTO_MPTCP = 262
SOL_MPTCP, MPTCP_INFO = 284, 1  # include/uapi/linux/mptcp.h
SIGNAL, SUBFLOW, BACKUP = 1, 2, 4  # MPTCP_PM_ADDR_FLAG_*
RATE_MBIT = 10
DELAY_MS = 5


def make(net, **settings):
    """Two hosts with two links; each end accepts two more subflows than the first."""
    a, b = net.node("a"), net.node("b")
    settings = {"delay_ms": DELAY_MS, "rate_mbit": RATE_MBIT, **settings}
    links = [net.link(a, b, **settings) for _ in range(2)]
    for node in (a, b):
        with node.pyroute2(MPTCP) as manager:
            manager.limits("set", subflows=2, rcv_add_addrs=2)
    return a, b, links


def address(node, version, path):
    return node.addresses[2 * path + (version == 6)]


def add_endpoint(node, address, flags):
    key = "addr6" if ":" in address else "addr4"
    with node.pyroute2(MPTCP) as manager:
        manager.endpoint("add", **{key: address}, id=1, flags=flags)


def listen(node, version, protocol=IPPROTO_MPTCP):
    server = node.socket(FAMILY[version], socket.SOCK_STREAM, protocol)
    server.bind(("", 80))
    server.listen()
    return server


def connect(node, address, version, protocol=IPPROTO_MPTCP):
    conn = node.socket(FAMILY[version], socket.SOCK_STREAM, protocol)
    conn.connect((address, 80))
    return conn


def transfer(net, a, b, version, size, protocols=(IPPROTO_MPTCP, IPPROTO_MPTCP)):
    """Send data from a to b over the first path's address; return the ns that it took."""
    data = pattern(size)
    server = listen(b, version, protocols[1])

    def serve():
        with server, server.accept()[0] as peer:
            return receive_all(peer), net.now_ns

    program = b.spawn(serve)
    with connect(a, address(b, version, 0), version, protocols[0]) as conn:
        start = net.now_ns
        conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)
        received, end = program.result()
    assert received == data
    return end - start


def subflows(conn):
    """How many subflows there are beside the first: mptcpi_subflows of struct mptcp_info."""
    return conn.getsockopt(SOL_MPTCP, MPTCP_INFO, 64)[0]


@pytest.mark.parametrize("version", [4, 6])
def test_signalled_address_is_joined(net, version):
    a, b, _ = make(net)
    add_endpoint(b, address(b, version, 1), SIGNAL)
    with listen(b, version) as server, connect(a, address(b, version, 0), version) as conn:
        peer, _ = server.accept()
        net.run_for(SECOND)
        assert subflows(conn) == subflows(peer) == 1
        peer.close()
    here, there = a.counters(), b.counters()
    assert here["MPTcpExtMPCapableSYNTX"] == there["MPTcpExtMPCapableSYNRX"] == 1
    assert here["MPTcpExtAddAddr"] == there["MPTcpExtAddAddrTx"] == 1
    assert here["MPTcpExtMPJoinSynAckRx"] == 1
    assert there["MPTcpExtMPJoinSynRx"] == there["MPTcpExtMPJoinAckRx"] == 1


@pytest.mark.parametrize("version", [4, 6])
def test_client_endpoint_opens_a_second_subflow(net, version):
    a, b, _ = make(net)
    add_endpoint(a, address(a, version, 1), SUBFLOW)
    with listen(b, version) as server, connect(a, address(b, version, 0), version) as conn:
        peer, _ = server.accept()
        net.run_for(SECOND)
        assert subflows(conn) == 0  # RFC 8684 3.1: not before the first DATA_ACK has come back
        conn.sendall(b"x")
        net.run_for(SECOND)
        assert subflows(conn) == 1
        peer.close()
    assert b.counters()["MPTcpExtMPJoinAckRx"] == 1


@pytest.mark.parametrize("version", [4, 6])
def test_connection_takes_one_round_trip(net, version):
    a, b, _ = make(net, rate_mbit=0)
    with listen(b, version) as server:
        for neighbour_ns in (2 * DELAY_MS * MS, 0):  # ARP or neighbour solicitation comes first
            start = net.now_ns
            with connect(a, address(b, version, 0), version), server.accept()[0]:
                assert net.now_ns - start == neighbour_ns + 3 * DELAY_MS * MS


@pytest.mark.parametrize("version", [4, 6])
def test_two_paths_carry_more_than_one(net, version):
    a, b, links = make(net)
    add_endpoint(b, address(b, version, 1), SIGNAL)
    size = 2_500_000
    took = transfer(net, a, b, version, size)
    one_path_ns = size * 8 * 1000 // RATE_MBIT  # without any header
    assert one_path_ns / 2 < took < 0.9 * one_path_ns
    assert all(link.stats().bytes > size / 4 for link in links)


@pytest.mark.parametrize("version", [4, 6])
def test_limit_of_no_subflows_keeps_to_one_path(net, version):
    a, b, links = make(net)
    for node in (a, b):
        with node.pyroute2(MPTCP) as manager:
            manager.limits("set", subflows=0, rcv_add_addrs=0)
    add_endpoint(b, address(b, version, 1), SIGNAL)
    size = 500_000
    took = transfer(net, a, b, version, size)
    assert took > size * 8 * 1000 // RATE_MBIT
    assert b.counters()["MPTcpExtMPJoinSynRx"] == 0
    assert links[1].stats().bytes < 1000


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("broken", [0, 1])
def test_transfer_survives_the_loss_of_either_link(net, version, broken):
    a, b, links = make(net)
    add_endpoint(b, address(b, version, 1), SIGNAL)
    size = 2_000_000
    net.after(300 * MS, links[broken].down)
    took = transfer(net, a, b, version, size)
    before = links[broken].stats().bytes
    net.run_for(SECOND)
    assert before == links[broken].stats().bytes < size / 2
    # What one path alone carries from then on, and a few retransmission timeouts.
    assert took < size * 8 * 1000 // RATE_MBIT + 5 * SECOND
    assert a.counters()["MPTcpExtMPTCPRetrans"] > 0


def test_backup_path_is_idle_until_the_first_one_fails(net):
    a, b, links = make(net)
    add_endpoint(a, address(a, 4, 1), SUBFLOW | BACKUP)
    spare = []

    def fail():
        spare.append(links[1].stats().bytes)
        links[0].down()

    # The subflow's own source is on the second link, the destination on the first: route it there.
    with a.iproute() as ip:
        ip.route("add", dst=f"{b.ip}/32", oif=ip.link_lookup(ifname="eth1")[0], table=100)
        ip.rule("add", src=f"{address(a, 4, 1)}/32", table=100, priority=100)
    for node in (a, b):
        node.sysctl["net.ipv4.conf.all.rp_filter"] = 0
        node.sysctl["net.ipv4.conf.all.ignore_routes_with_linkdown"] = 1
    net.after(300 * MS, fail)
    transfer(net, a, b, 4, 1_000_000)
    assert spare[0] < 2000
    assert links[1].stats().bytes > 500_000


@pytest.mark.parametrize("version", [4, 6])
def test_removed_address_closes_its_subflow(net, version):
    a, b, _ = make(net)
    add_endpoint(b, address(b, version, 1), SIGNAL)
    with listen(b, version) as server, connect(a, address(b, version, 0), version) as conn:
        peer, _ = server.accept()
        net.run_for(SECOND)
        assert subflows(conn) == 1
        with b.pyroute2(MPTCP) as manager:
            key = "addr6" if version == 6 else "addr4"
            manager.endpoint("del", **{key: address(b, version, 1)}, id=1)
        net.run_for(SECOND)
        assert subflows(conn) == 0
        conn.sendall(b"still here")
        assert peer.recv(100) == b"still here"
        peer.close()
    assert a.counters()["MPTcpExtRmAddr"] == 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("plain", ["client", "server"])
def test_peer_without_mptcp_gets_plain_tcp(net, version, plain):
    a, b, links = make(net)
    add_endpoint(b, address(b, version, 1), SIGNAL)
    ours, theirs = (0, IPPROTO_MPTCP) if plain == "client" else (IPPROTO_MPTCP, 0)
    transfer(net, a, b, version, 200_000, (ours, theirs))
    here, there = a.counters(), b.counters()
    assert here["MPTcpExtMPCapableFallbackSYNACK"] == (plain == "server")
    assert there["MPTcpExtMPCapableSYNRX"] == here["MPTcpExtMPCapableSYNACKRX"] == 0
    assert links[1].stats().bytes < 1000


def test_disabled_mptcp_refuses_the_protocol(net):
    a = net.node("a", **{"net.mptcp.enabled": 0})
    with pytest.raises(OSError, match="Protocol not available") as caught:
        a.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    assert caught.value.errno == errno.ENOPROTOOPT


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b, links = make(net, loss_pct=1)
        add_endpoint(b, address(b, 4, 1), SIGNAL)
        links[1].capture(path)
        transfer(net, a, b, 4, 300_000)

    assert repeats(build, tmp_path, scenario)
