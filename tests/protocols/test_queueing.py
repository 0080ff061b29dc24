# SPDX-License-Identifier: GPL-2.0-only
"""Queueing disciplines: a fact of rate or order for each."""

from __future__ import annotations

import itertools
import socket
import struct

import pytest
import qdiscs
from topologies import MS, chain, keep, repeats, round_trip_ns

SIZE = 1500 - 14 - 20 - 8  # frames have 1500 bytes then
SO_PRIORITY, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_MAX_PACING_RATE = 12, 32, 33, 47
RATE_MBIT = 12  # a frame of 1500 bytes takes a millisecond


def pair(net):
    """Two hosts and a listener; neighbours are known, and nothing but the test sends."""
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, b.ip)
    for node in (a, b):
        node.sysctl["net.ipv6.conf.eth0.disable_ipv6"] = 1
        node.sysctl["net.ipv4.neigh.eth0.base_reachable_time_ms"] = 3_600_000
    round_trip_ns(net, a, b, b.ip)
    there = keep(b.socket(socket.AF_INET, socket.SOCK_DGRAM))
    there.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    there.bind(("", 9))
    return a, b, there


def flow(a, b, priority=None, pacing=None):
    sock = keep(a.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 22)
    if priority is not None:
        sock.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, priority)
    if pacing is not None:
        sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, pacing)
    sock.connect((b.ip, 9))
    return sock


def datagram(name, number, size=SIZE):
    return struct.pack("!4sI", name.encode(), number).ljust(size, b".")


def arrivals(net, there, seconds=10):
    """All that comes: (time_ns since now, name, number)."""
    found = []
    start = net.now_ns
    there.settimeout(seconds)
    while True:
        try:
            data = there.recv(2000)
        except TimeoutError:
            return found
        name, number = struct.unpack_from("!4sI", data)
        found.append((net.now_ns - start, name.rstrip(b"\0").decode(), number))


def test_tbf_lets_a_burst_through_and_then_its_rate(net):
    a, b, there = pair(net)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, burst_bytes=5 * 1500))
    sender = flow(a, b)
    for number in range(50):
        sender.send(datagram("a", number))
    times = [time for time, _, _ in arrivals(net, there)]
    # Five at once by the burst, then one a millisecond; psched_ratecfg_precompute() rounds.
    assert times[:5] == [0] * 5
    assert len(times) == 50
    assert all(abs(time - number * MS) < 1000 for number, time in enumerate(times[5:], 1))


def test_pfifo_drops_what_is_above_its_limit(net):
    a, b, there = pair(net)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500))
    qdiscs.add(a, "pfifo", qdiscs.pfifo(10), handle=0x20000, parent=0x10001)
    sender = flow(a, b)
    for number in range(50):
        sender.send(datagram("a", number))
    # One leaves at once, ten wait, the rest is dropped at the tail.
    assert [number for _, _, number in arrivals(net, there)] == list(range(11))
    assert qdiscs.drops(a, "pfifo") == 39


def test_prio_serves_the_first_band_first(net):
    a, b, there = pair(net)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500))
    qdiscs.add(a, "prio", qdiscs.prio(3), handle=0x20000, parent=0x10001)
    bands = {name: flow(a, b, 0x20000 + number) for number, name in enumerate("abc", 1)}
    for number in range(5):
        for name in "cba":  # the least important one first
            bands[name].send(datagram(name, number))
    order = "".join(name for _, name, _ in arrivals(net, there))
    assert order == "c" + "aaaaa" + "bbbbb" + "cccc"  # the first one had left at once


@pytest.mark.parametrize("kind", ["sfq", "fq_codel"])
def test_flows_take_turns(net, kind):
    a, b, there = pair(net)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500))
    qdiscs.add(a, kind, handle=0x20000, parent=0x10001)
    flows = {name: flow(a, b) for name in "abc"}
    for name, sender in flows.items():
        for number in range(10):
            sender.send(datagram(name, number))
    order = [name for _, name, _ in arrivals(net, there)]
    assert sorted(order) == sorted("abc" * 10)
    # The first two left, or were about to, before the other flows came.
    for place in range(2, 20):
        window = order[place : place + 9]
        assert all(2 <= window.count(name) <= 4 for name in "abc")


def test_fifo_does_not_let_flows_take_turns(net):
    a, b, there = pair(net)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500))
    for name in "ab":
        sender = flow(a, b)
        for number in range(10):
            sender.send(datagram(name, number))
    assert "".join(name for _, name, _ in arrivals(net, there)) == "a" * 10 + "b" * 10


def test_fq_paces_each_socket(net):
    a, b, there = pair(net)
    qdiscs.add(a, "fq", qdiscs.fq(1500))
    sender = flow(a, b, pacing=1_500_000)  # bytes a second: a frame of 1500 in a millisecond
    for number in range(20):
        sender.send(datagram("a", number))
    times = [time for time, _, _ in arrivals(net, there)]
    gaps = [second - first for first, second in itertools.pairwise(times)]
    assert gaps == [MS] * 19


@pytest.mark.parametrize("shares", [(3, 9), (6, 6), (10, 2)])
def test_htb_divides_the_rate(net, shares):
    a, b, there = pair(net)
    qdiscs.htb(a, shares, burst_bytes=1500)
    flows = [flow(a, b, 0x10000 + number) for number in (1, 2)]
    for number in range(300):
        for name, sender in zip("ab", flows, strict=True):
            sender.send(datagram(name, number))
    came = arrivals(net, there)
    busy = [(time, name) for time, name, _ in came if time <= 200 * MS]
    for name, share in zip("ab", shares, strict=True):
        count = sum(one == name for _, one in busy)
        assert abs(count - 200 * share / RATE_MBIT) <= 3


def test_cake_shapes_to_its_bandwidth(net):
    a, b, there = pair(net)
    with a.iproute() as ip:
        ip.tc("add", "cake", a.if_nametoindex("eth0"), handle="1:", bandwidth="12mbit")
    flows = {name: flow(a, b) for name in "ab"}
    for name, sender in flows.items():
        for number in range(50):
            sender.send(datagram(name, number))
    came = arrivals(net, there)
    assert len(came) + qdiscs.drops(a, "cake") == 100
    assert abs(came[-1][0] - (len(came) - 1) * MS) <= MS
    assert sum(name == "b" for _, name, _ in came[:50]) >= 20  # and flows take turns


def test_codel_drops_only_after_its_interval(net):
    a, b, there = pair(net)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500, limit_bytes=1 << 24))
    qdiscs.add(a, "codel", handle=0x20000, parent=0x10001)
    sender = flow(a, b)
    for number in range(500):
        sender.send(datagram("a", number))
    received = [number for _, _, number in arrivals(net, there)]
    first = next(place for place, number in enumerate(received) if place != number)
    # RFC 8289: above the target (5 ms) for a whole interval (100 ms), one frame a millisecond.
    assert 105 <= first <= 107
    assert qdiscs.drops(a, "codel") == 500 - len(received) > 0


@pytest.mark.parametrize("mark", [False, True], ids=["drop", "mark"])
def test_red_acts_early(net, mark):
    a, b, there = pair(net)
    there.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500))
    qdiscs.add(
        a, "red", qdiscs.red(15_000, 45_000, 1 << 20, mark=mark), handle=0x20000, parent=0x10001
    )
    sender = flow(a, b)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 2)  # ECT(0)
    for number in range(28):  # below the maximum
        sender.send(datagram("a", number))
    there.settimeout(1)
    tos = []
    while len(tos) < 28:
        try:
            _, control, _, _ = there.recvmsg(2000, 64)
        except TimeoutError:
            break
        tos.append(control[0][2][0])
    if mark:
        assert len(tos) == 28
        assert set(tos) == {2, 3}  # ECT(0), and CE for some
    else:
        assert 14 < len(tos) < 28


@pytest.mark.parametrize("kind", ["drr", "qfq", "pie", "fq_pie", "hhf", "sfb"])
def test_discipline_exists_and_goes(net, kind):
    a, _, _ = pair(net)
    qdiscs.add(a, kind)
    with a.iproute() as ip:
        index = a.if_nametoindex("eth0")
        assert [one.get_attr("TCA_KIND") for one in ip.get_qdiscs(index=index)] == [kind]
        ip.tc("del", index=index, root=True)
        assert kind not in [one.get_attr("TCA_KIND") for one in ip.get_qdiscs(index=index)]


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b, there = pair(net)
        net.links[0].capture(path)
        qdiscs.add(a, "tbf", qdiscs.tbf(RATE_MBIT, 1500))
        qdiscs.add(a, "fq_codel", handle=0x20000, parent=0x10001)
        for name in "ab":
            sender = flow(a, b)
            for number in range(30):
                sender.send(datagram(name, number))
        arrivals(net, there)

    assert repeats(build, tmp_path, scenario)
