# SPDX-License-Identifier: GPL-2.0-only
"""nftables: filters, NAT, connection tracking, rate limits and flow tables."""

from __future__ import annotations

import socket

import nft
import pytest
from topologies import FAMILY, MS, SECOND, chain, ip_of, keep, pattern, receive_all, repeats
from topologies import round_trip_ns as echo_ns

DELAY_NS = 5 * MS
NFT = {4: nft.IPV4, 6: nft.IPV6}
versions = pytest.mark.parametrize("version", [4, 6])


def routed(net, version):
    """a - r - b with a table on r."""
    a, r, b = chain(net, "arb", delay_ms=DELAY_NS / MS)
    nft.add_table(r, NFT[version])
    return a, r, b


def send(net, a, address, port, count=1, size=10):
    with a.socket(FAMILY[6 if ":" in address else 4], socket.SOCK_DGRAM) as here:
        for _ in range(count):
            here.sendto(b"x" * size, (address, port))
        net.run_for(SECOND)


@versions
def test_dropped_port_is_silent_and_counted(net, version):
    a, r, b = routed(net, version)
    nft.add_chain(r, NFT[version], "c", nft.FORWARD)
    match = [nft.protocol(socket.IPPROTO_UDP), nft.port(9)]
    nft.add_rule(r, NFT[version], "c", *match, nft.counter(), nft.verdict(nft.DROP))
    there = keep(b.socket(FAMILY[version], socket.SOCK_DGRAM))
    there.bind(("", 9))
    send(net, a, ip_of(b, version), 9, 3)
    send(net, a, ip_of(b, version), 10, 2)
    assert nft.counted(r, NFT[version], "c") == [3]
    assert b.select([there], [], [], 0)[0] == []
    assert echo_ns(net, a, b, ip_of(b, version)) == 4 * DELAY_NS


@versions
def test_reject_answers_at_once(net, version):
    a, r, b = routed(net, version)
    nft.add_chain(r, NFT[version], "c", nft.FORWARD)
    match = [nft.protocol(socket.IPPROTO_TCP), nft.port(80)]
    nft.add_rule(r, NFT[version], "c", *match, nft.reject(version))
    echo_ns(net, a, b, ip_of(b, version))
    start = net.now_ns
    with pytest.raises(ConnectionRefusedError):
        a.create_connection((ip_of(b, version), 80))
    assert net.now_ns - start == 2 * DELAY_NS  # from the router


@versions
def test_policy_drops_what_no_rule_accepts(net, version):
    a, r, b = routed(net, version)
    nft.add_chain(r, NFT[version], "c", nft.FORWARD, policy=nft.DROP)
    with pytest.raises(TimeoutError):
        a.create_connection((ip_of(b, version), 80), timeout=5)
    nft.add_rule(r, NFT[version], "c", nft.protocol(socket.IPPROTO_TCP), nft.verdict(nft.ACCEPT))
    with pytest.raises(ConnectionRefusedError):
        a.create_connection((ip_of(b, version), 80), timeout=5)


@versions
def test_stateful_filter_lets_only_answers_back(net, version):
    a, r, b = routed(net, version)
    family = NFT[version]
    nft.add_chain(r, family, "c", nft.FORWARD, policy=nft.DROP)
    state = nft.ct_state(nft.ESTABLISHED | nft.RELATED)
    nft.add_rule(r, family, "c", state, nft.counter(), nft.verdict(nft.ACCEPT))
    nft.add_rule(r, family, "c", nft.out_interface("eth1"), nft.counter(), nft.verdict(nft.ACCEPT))
    assert echo_ns(net, a, b, ip_of(b, version)) == 4 * DELAY_NS
    assert nft.counted(r, family, "c") == [3, 1]  # of two echoes only the first packet is new
    with pytest.raises(TimeoutError):
        echo_ns(net, b, a, ip_of(a, version))


@versions
def test_masquerade_hides_the_client(net, version):
    a, r, b = routed(net, version)
    nft.add_chain(r, NFT[version], "c", nft.POSTROUTING, kind="nat", priority=100)
    nft.add_rule(r, NFT[version], "c", nft.out_interface("eth1"), nft.counter(), nft.masquerade())
    with b.create_server((ip_of(b, version), 80), family=FAMILY[version]) as server:
        with a.create_connection((ip_of(b, version), 80)) as conn:
            peer, address = server.accept()
            with peer:
                assert address[0] == r.addresses[2 + (version == 6)]
                assert address[1] == conn.getsockname()[1]
                peer.sendall(b"answer")
                assert conn.recv(10) == b"answer"
    assert nft.counted(r, NFT[version], "c") == [1]  # a connection's first packet only


@versions
def test_two_clients_with_one_port_get_two_behind_a_nat(net, version):
    a, r, b = routed(net, version)
    c = net.node("c")
    net.link(c, r)
    with c.iproute() as ip:
        gateway = r.addresses[4 + (version == 6)]
        ip.route("add", dst="default", family=FAMILY[version], gateway=gateway)
    nft.add_chain(r, NFT[version], "c", nft.POSTROUTING, kind="nat", priority=100)
    nft.add_rule(r, NFT[version], "c", nft.out_interface("eth1"), nft.masquerade())
    seen = set()
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind((ip_of(b, version), 9))
        clients = []
        for node in (a, c):
            sock = keep(node.socket(FAMILY[version], socket.SOCK_DGRAM))
            sock.bind(("", 5000))
            sock.sendto(node.name.encode(), (ip_of(b, version), 9))
            clients.append(sock)
        for _ in clients:
            data, address = there.recvfrom(10)
            seen.add(address)
            there.sendto(data, address)
        assert [sock.recv(10) for sock in clients] == [b"a", b"c"]
    assert len(seen) == 2
    assert {address[0] for address in seen} == {r.addresses[2 + (version == 6)]}


@versions
def test_dnat_leads_to_another_host_and_port(net, version):
    a, r, b = routed(net, version)
    nft.add_chain(r, NFT[version], "c", nft.PREROUTING, kind="nat", priority=-100)
    match = [nft.protocol(socket.IPPROTO_TCP), nft.port(80)]
    nft.add_rule(r, NFT[version], "c", *match, nft.change_destination(ip_of(b, version), 8080))
    outside = ip_of(r, version)
    with b.create_server((ip_of(b, version), 8080), family=FAMILY[version]) as server:
        with a.create_connection((outside, 80)) as conn:
            with server.accept()[0] as peer:
                peer.sendall(b"from inside")
                assert conn.recv(20) == b"from inside"
                assert conn.getpeername()[:2] == (outside, 80)
                assert peer.getsockname()[:2] == (ip_of(b, version), 8080)


@versions
def test_idle_connection_is_forgotten_in_its_time(net, version):
    a, r, b = routed(net, version)
    for kind in ("timeout", "timeout_stream"):
        r.sysctl[f"net.netfilter.nf_conntrack_udp_{kind}"] = 30
    nft.add_chain(r, NFT[version], "c", nft.FORWARD)
    nft.add_rule(r, NFT[version], "c", nft.ct_state(nft.NEW), nft.counter())
    there = keep(b.socket(FAMILY[version], socket.SOCK_DGRAM))
    there.bind(("", 9))
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        here.bind(("", 5000))
        for pause, new in ((0, 1), (29, 1), (31, 2), (31, 3)):
            net.run_for(pause * SECOND)
            here.sendto(b"x", (ip_of(b, version), 9))
            there.sendto(*there.recvfrom(10))
            here.recv(10)
            assert nft.counted(r, NFT[version], "c") == [new]


@versions
def test_limit_lets_its_rate_through(net, version):
    a, r, b = routed(net, version)
    echo_ns(net, a, b, ip_of(b, version))
    nft.add_chain(r, NFT[version], "c", nft.FORWARD)
    udp = nft.protocol(socket.IPPROTO_UDP)
    accept = [nft.counter(), nft.verdict(nft.ACCEPT)]
    nft.add_rule(r, NFT[version], "c", udp, nft.limit(10, 5), accept)
    nft.add_rule(r, NFT[version], "c", udp, nft.counter(), nft.verdict(nft.DROP))
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        for _ in range(1000):
            here.sendto(b"x", (ip_of(b, version), 9))
            net.run_for(10 * MS)
    passed, dropped = nft.counted(r, NFT[version], "c")
    assert passed + dropped == 1000
    assert 100 <= passed <= 100 + 5  # 10 s at 10 a second, and the burst


@versions
def test_flow_table_takes_connections_past_the_chains(net, version):
    a, r, b = routed(net, version)
    family = NFT[version]
    nft.add_flowtable(r, family, ["eth0", "eth1"])
    nft.add_chain(r, family, "c", nft.FORWARD)
    tcp = nft.protocol(socket.IPPROTO_TCP)
    nft.add_rule(r, family, "c", tcp, nft.ct_state(nft.ESTABLISHED), nft.offload())
    nft.add_rule(r, family, "c", tcp, nft.counter())
    data = pattern(500_000)
    with b.create_server((ip_of(b, version), 80), family=FAMILY[version]) as server:

        def serve():
            with server.accept()[0] as peer:
                return receive_all(peer)

        program = b.spawn(serve)
        before = r.counters()
        with a.create_connection((ip_of(b, version), 80)) as conn:
            conn.sendall(data)
            conn.shutdown(socket.SHUT_WR)
            assert program.result() == data
    name = "IpForwDatagrams" if version == 4 else "Ip6OutForwDatagrams"
    forwarded = (r.counters() - before)[name]
    through = net.links[1].stats().frames
    # Handshake and end alone go through the chain, and through ip_forward().
    assert nft.counted(r, family, "c")[0] < 10
    assert forwarded < 10 < through


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, r, b = routed(net, 4)
        nft.add_chain(r, nft.IPV4, "c", nft.POSTROUTING, kind="nat", priority=100)
        nft.add_rule(r, nft.IPV4, "c", nft.masquerade())
        net.links[1].capture(path)
        for _ in range(5):
            echo_ns(net, a, b, b.ip)

    assert repeats(build, tmp_path, scenario)
