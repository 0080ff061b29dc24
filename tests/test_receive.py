# SPDX-License-Identifier: GPL-2.0-only
"""Frames that are copied, in pieces, merged or passed on: datagrams arrive as they were sent."""

from __future__ import annotations

import random
import socket

import pytest
from quiet_link import quiet_pair

SOL_UDP = 17
UDP_GRO = 104  # linux/udp.h


@pytest.fixture(params=[True, False], ids=["offload", "plain"])
def quiet(boot, request):
    with quiet_pair(boot) as pair:
        if not request.param:
            pair.link.close()
            pair.link = pair.a.link_to(pair.b, subnet="10.0.0.0/24", offload=False)
            assert pair.exchange(1) == [0]
        yield pair


def test_datagrams_of_all_sizes_arrive_unchanged(quiet):
    chance = random.Random(4)
    # Headers of 42 bytes: up to 86 a frame is copied whole, from 1,473 on it is in fragments.
    sizes = [*range(200), *range(1460, 1490), 4000, 4096, 9000, 40000, 65507]
    for size in sizes:
        data = chance.randbytes(size)
        quiet.sender.send(data)
        assert quiet.receiver.recv(1 << 16) == data


def test_small_and_large_datagrams_keep_their_order(quiet):
    sizes = [4, 1000, 4, 4, 86, 87, 1400, 4, 300, 4]
    sent = []
    for number in range(100):
        data = number.to_bytes(4, "big").ljust(sizes[number % len(sizes)], b"\0")
        quiet.sender.send(data)
        sent.append(data)
    assert [quiet.receiver.recv(2000) for _ in sent] == sent


def test_small_datagrams_are_merged_for_who_asks(quiet):
    quiet.receiver.setsockopt(SOL_UDP, UDP_GRO, 1)
    for _ in range(20):
        quiet.sender.send(bytes(32))
    assert len(quiet.receiver.recv(2000)) == 20 * 32


def test_small_datagrams_stay_apart_for_who_does_not(quiet):
    for _ in range(20):
        quiet.sender.send(bytes(32))
    assert [len(quiet.receiver.recv(2000)) for _ in range(20)] == [32] * 20


def test_sockets_get_their_memory_back_while_the_link_is_slow(quiet):
    quiet.sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    quiet.link.set(delay_ms=1000)
    # Far more than the socket may have under way; what has left it is the link's.
    for _ in range(100):
        quiet.sender.send(bytes(500), socket.MSG_DONTWAIT)
    quiet.a.world.run_for(999_999_999)
    assert quiet.waiting() == []
    quiet.a.world.run_for(1)
    assert quiet.waiting() == [0] * 100
