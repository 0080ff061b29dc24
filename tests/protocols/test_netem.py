# SPDX-License-Identifier: GPL-2.0-only
"""netem against the links of a Network: the same delay, rate and loss, and they agree."""

from __future__ import annotations

import socket
import struct

import pytest
import qdiscs
from topologies import FAMILY, MS, SECOND, chain, ip_of, keep, repeats, round_trip_ns

import pylibos

SO_RCVBUFFORCE = 33
versions = pytest.mark.parametrize("version", [4, 6])


def plain_pair(net, **netem):
    """Two hosts on a link without settings; netem on both of its ends."""
    a, b = chain(net, "ab")
    for node in (a, b):
        with node.iproute() as ip:
            ip.tc("add", "netem", node.if_nametoindex("eth0"), handle="1:", limit=10_000, **netem)
    return a, b


def arrival_times(net, a, b, version, count=40, size=1000):
    """When datagrams that are sent at once arrive, in ns since then."""
    round_trip_ns(net, a, b, ip_of(b, version))
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 21)
        there.bind(("", 9))
        start = net.now_ns
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            for _ in range(count):
                here.sendto(bytes(size), (ip_of(b, version), 9))
            times = []
            for _ in range(count):
                there.recv(size)
                times.append(net.now_ns - start)
    return times


@versions
@pytest.mark.parametrize("delay_ms", [1, 5, 250])
def test_delay_is_the_same_to_the_nanosecond(net, build, version, delay_ms):
    a, b = plain_pair(net, delay=delay_ms * 1000)
    with pylibos.Network(seed=7, **build.options) as other:
        c, d = chain(other, "ab", delay_ms=delay_ms)
        ours = round_trip_ns(other, c, d, ip_of(d, version))
    assert round_trip_ns(net, a, b, ip_of(b, version)) == ours == 2 * delay_ms * MS


@versions
@pytest.mark.parametrize("rate_mbit", [1, 10, 80])
def test_rate_is_the_same_to_the_nanosecond(net, build, version, rate_mbit):
    a, b = chain(net, "ab")
    for node in (a, b):
        qdiscs.add(node, "netem", qdiscs.netem(rate_mbit))
    with pylibos.Network(seed=7, **build.options) as other:
        c, d = chain(other, "ab", rate_mbit=rate_mbit)
        ours = arrival_times(other, c, d, version)
    frame = 14 + (20 if version == 4 else 40) + 8 + 1000
    assert ours == [number * frame * 8 * 1000 // rate_mbit for number in range(1, 41)]
    theirs = arrival_times(net, a, b, version)
    # netem rounds to scheduler ticks of 64 ns, for each frame.
    assert all(abs(one - two) <= 64 * 41 for one, two in zip(ours, theirs, strict=True))


def survivors(net, a, b, count):
    """Numbers of the datagrams that arrive, of some that are sent a millisecond apart."""
    there = keep(b.socket(socket.AF_INET, socket.SOCK_DGRAM))
    there.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    there.bind(("", 9))
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        for number in range(count):
            here.sendto(struct.pack("=I", number), (b.ip, 9))
            if number % 50 == 0:
                net.run_for(MS)
    net.run_for(SECOND)
    there.setblocking(False)
    found = []
    while b.select([there], [], [], 0)[0]:
        found.append(struct.unpack("=I", there.recv(10))[0])
    return found


@pytest.mark.parametrize("loss_pct", [2, 20])
def test_loss_agrees_statistically(net, build, loss_pct):
    count = 4000
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, b.ip)
    with a.iproute() as ip:
        ip.tc("add", "netem", a.if_nametoindex("eth0"), handle="1:", loss=loss_pct, limit=10_000)
    with pylibos.Network(seed=7, **build.options) as other:
        c, d = chain(other, "ab")
        round_trip_ns(other, c, d, d.ip)
        other.links[0].set(direction=0, loss_pct=loss_pct)
        ours = survivors(other, c, d, count)
    theirs = survivors(net, a, b, count)
    # Binomial: four standard deviations.
    chance = loss_pct / 100
    room = 4 * (count * chance * (1 - chance)) ** 0.5
    for came in (ours, theirs):
        assert abs(count - len(came) - count * chance) < room


def test_duplicates_agree_statistically(net, build):
    count, chance = 4000, 0.1
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, b.ip)
    with a.iproute() as ip:
        ip.tc("add", "netem", a.if_nametoindex("eth0"), handle="1:", duplicate=10, limit=10_000)
    with pylibos.Network(seed=7, **build.options) as other:
        c, d = chain(other, "ab")
        round_trip_ns(other, c, d, d.ip)
        other.links[0].set(direction=0, duplicate_pct=10)
        ours = survivors(other, c, d, count)
    theirs = survivors(net, a, b, count)
    room = 4 * (count * chance * (1 - chance)) ** 0.5
    for came in (ours, theirs):
        assert len(set(came)) == count
        assert abs(len(came) - count - count * chance) < room


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b = plain_pair(net, delay=5000, jitter=2000, loss=5)
        net.links[0].capture(path)
        survivors(net, a, b, 200)

    assert repeats(build, tmp_path, scenario)
