# SPDX-License-Identifier: GPL-2.0-only
"""Networks: nodes, links, switches, addresses, routes, changes while they run."""

from __future__ import annotations

import itertools
import socket

import pytest

import pylibos

MS = 10**6
SECOND = 10**9


@pytest.fixture
def net(build):
    with pylibos.Network(seed=7, **build.options) as network:
        yield network


def chain(net, names, **settings):
    nodes = [net.node(name) for name in names]
    for first, second in itertools.pairwise(nodes):
        net.link(first, second, **settings)
    net.route_all()
    return nodes


def echo(server):
    with server, server.accept()[0] as peer:
        while data := peer.recv(65536):
            peer.sendall(data)


def round_trip_ns(net, client, server, address):
    """Time from the first datagram to its echo."""

    def answer(sock):
        data, peer = sock.recvfrom(2000)
        sock.sendto(data, peer)

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.socket(family, socket.SOCK_DGRAM) as there:
        there.bind(("", 7))
        server.spawn(answer, there)
        with client.socket(family, socket.SOCK_DGRAM) as here:
            here.settimeout(10)
            before = net.now_ns
            here.sendto(b"x" * 100, (address, 7))
            assert here.recv(2000) == b"x" * 100
            return net.now_ns - before


def test_example_of_the_readme_works(net):
    a, r, b = (net.node(name) for name in "arb")
    net.link(a, r, subnet="10.0.1.0/24", delay_ms=5)
    net.link(r, b, subnet="10.0.2.0/24", delay_ms=20, rate_mbit=10, loss_pct=1)
    net.route_all()
    b.spawn(echo, b.create_server(("", 7)))
    with a.create_connection((b.ip, 7)) as conn:
        conn.sendall(b"x" * 100_000)
        got = b""
        while len(got) < 100_000:
            got += conn.recv(65536)
    assert got == b"x" * 100_000


def test_links_get_addresses_of_both_families_by_themselves(net):
    a, b = chain(net, "ab")
    assert a.addresses == ["10.0.1.1", "fd00:0:0:1::1"]
    assert (b.ip, b.ip6) == ("10.0.1.2", "fd00:0:0:1::2")


def test_node_without_addresses_says_how_to_get_one(net):
    a = net.node("a")
    with pytest.raises(pylibos.PylibosError, match="link it with a subnet"):
        a.ip  # noqa: B018


@pytest.mark.parametrize("version", ["ip", "ip6"])
def test_delay_of_a_path_is_the_sum_of_its_links(net, version):
    nodes = chain(net, "abcd", delay_ms=3)
    round_trip_ns(net, nodes[0], nodes[3], getattr(nodes[3], version))  # neighbours are known now
    took = round_trip_ns(net, nodes[0], nodes[3], getattr(nodes[3], version))
    assert took == 2 * 3 * 3 * MS


def test_ipv6_works_in_the_first_instant(net):
    a, b = chain(net, "ab", delay_ms=1)
    # Neighbour discovery there and back, then the datagram there and back.
    assert round_trip_ns(net, a, b, b.ip6) == 4 * MS


def test_names_of_nodes_resolve(net):
    a, b = chain(net, "ab")
    assert a.getaddrinfo("b", 80, type=socket.SOCK_STREAM)[0][4] == (b.ip, 80)
    assert a.gethostname() == "a"


def test_nodes_on_a_switch_share_a_segment(net):
    switch = net.switch("s", subnet="10.9.0.0/24")
    nodes = [net.node(name) for name in "abc"]
    for node in nodes:
        net.link(node, switch, delay_ms=1)
    assert [node.ip for node in nodes] == ["10.9.0.1", "10.9.0.2", "10.9.0.3"]
    round_trip_ns(net, nodes[0], nodes[2], "10.9.0.3")
    assert round_trip_ns(net, nodes[0], nodes[2], "10.9.0.3") == 4 * MS


def test_broadcast_reaches_all_nodes_of_a_switch(net):
    switch = net.switch("s")
    nodes = [net.node(name) for name in "abc"]
    for node in nodes:
        net.link(node, switch)
    listeners = []
    for node in nodes[1:]:
        sock = node.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", 9))
        sock.settimeout(1)
        listeners.append(sock)
    with nodes[0].socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"all", ("10.0.1.255", 9))
        for sock in listeners:
            assert sock.recv(10) == b"all"
            sock.close()


def test_switches_that_are_linked_are_one_segment(net):
    first, second = net.switch("s1", subnet="10.9.0.0/24"), net.switch("s2", subnet=())
    a, b, c = (net.node(name) for name in "abc")
    net.link(first, second)
    net.link(a, first)
    net.link(b, second, subnet=())
    b.add_address("eth0", "10.9.0.77/24")
    round_trip_ns(net, a, b, "10.9.0.77")
    net.link(a, c)
    net.route_all()
    assert a.sysctl["net.ipv4.ip_forward"] == "1"


def test_full_switch_is_refused(net):
    switch = net.switch("s", subnet="10.9.0.0/30")
    for name in "ab":
        net.link(net.node(name), switch)
    with pytest.raises(ValueError, match="10.9.0.0/30 of the switch s is full"):
        net.link(net.node("c"), switch)


def test_cheapest_path_is_taken(net):
    a, b, c, d = (net.node(name) for name in "abcd")
    net.link(a, b, delay_ms=1)
    net.link(b, d, delay_ms=1, metric=5)
    net.link(a, c, delay_ms=2)
    net.link(c, d, delay_ms=2)
    net.route_all()
    e = net.node("e")
    net.link(d, e)
    net.route_all()
    round_trip_ns(net, a, e, e.ip)
    assert round_trip_ns(net, a, e, e.ip) == 8 * MS


def test_routes_follow_when_a_link_is_down(net):
    a, b, c, d = (net.node(name) for name in "abcd")
    direct = net.link(a, d, delay_ms=1)
    net.link(a, b, delay_ms=2)
    net.link(b, c, delay_ms=2)
    net.link(c, d, delay_ms=2)
    e = net.node("e")
    net.link(d, e)
    net.route_all()
    round_trip_ns(net, a, e, e.ip)
    assert round_trip_ns(net, a, e, e.ip) == 2 * MS
    direct.down()
    net.route_all()
    round_trip_ns(net, a, e, e.ip)
    assert round_trip_ns(net, a, e, e.ip) == 12 * MS


def test_multipath_uses_both_paths(net):
    a, b, c, d, e = (net.node(name) for name in "abcde")
    links = [net.link(a, b), net.link(a, c)]
    net.link(b, d)
    net.link(c, d)
    net.link(d, e)
    net.route_all(multipath=True)
    a.sysctl["net.ipv4.fib_multipath_hash_policy"] = 1
    with e.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        for _ in range(64):
            with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
                here.sendto(b"x", (e.ip, 9))
        net.run_for(SECOND)
    assert all(link.stats().frames > 16 for link in links)


def test_partition_cuts_and_heal_mends(net):
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, b.ip)
    net.partition([a])
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(5)
        here.sendto(b"x", (b.ip, 7))
        with pytest.raises(TimeoutError):
            here.recv(10)
    net.heal()
    assert round_trip_ns(net, a, b, b.ip) == 0


def test_crashed_node_takes_its_links_along(net):
    a, b = chain(net, "ab")
    server = b.create_server(("", 7))
    with a.create_connection((b.ip, 7), timeout=100) as conn:
        b.crash()
        assert "b" not in net.nodes
        net.run_for(MS)
        assert a.read_text("/sys/class/net/eth0/carrier").strip() == "0"
        with pytest.raises(pylibos.KernelHalted):
            server.accept()
        conn.send(b"x")
        with pytest.raises(TimeoutError):
            conn.recv(1)


def test_function_runs_at_its_time(net):
    seen = []
    net.at(5 * SECOND, seen.append, "five")
    net.after(2 * SECOND, lambda: seen.append(net.now_ns))
    net.run_until(4 * SECOND)
    assert seen == [3 * SECOND]
    net.run_until(5 * SECOND)
    assert seen == [3 * SECOND, "five"]


def test_run_until_waits_for_a_condition(net):
    a, b = chain(net, "ab", delay_ms=7)
    round_trip_ns(net, a, b, b.ip)
    start = net.now_ns
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        there.setblocking(False)
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.sendto(b"x", (b.ip, 9))
        net.run_until(lambda: bool(b.select([there], [], [], 0)[0]))
    assert net.now_ns - start == 7 * MS


def test_condition_that_never_comes_true_is_a_deadlock(net):
    with pytest.raises(pylibos.DeadlockError, match="condition"):
        net.run_until(lambda: False)


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b"])
def test_bad_name_of_a_node_is_refused(net, name):
    with pytest.raises(ValueError, match="A node's name"):
        net.node(name)


def test_name_that_is_taken_is_refused(net):
    net.node("a")
    with pytest.raises(ValueError, match="node 'a' in this network already"):
        net.node("a")


def test_unknown_parameter_leaves_no_node_behind(net):
    with pytest.raises(KeyError):
        net.node("a", **{"net.ipv4.no_such_thing": 1})
    assert net.nodes == {}


def test_misspelt_argument_is_refused(net):
    with pytest.raises(TypeError, match="no argument 'memmory'"):
        net.node("a", memmory=5)
    a, b = net.node("a"), net.node("b")
    with pytest.raises(TypeError, match="dealy_ms"):
        net.link(a, b, dealy_ms=5)


def test_link_to_itself_or_to_a_stranger_is_refused(net):
    a = net.node("a")
    with pytest.raises(ValueError, match="not a with itself"):
        net.link(a, a)
    with pylibos.Network() as other, pytest.raises(ValueError, match="no running node"):
        net.link(a, other.node("b"))


def test_thousand_subnets_join_into_few_routes(net):
    nodes = chain(net, [f"n{i}" for i in range(40)])
    for node in nodes:
        with node.iproute() as ip:
            assert len(ip.get_routes(family=2, table=254)) < 20
    round_trip_ns(net, nodes[0], nodes[-1], nodes[-1].ip)
    round_trip_ns(net, nodes[0], nodes[-1], nodes[-1].ip6)
