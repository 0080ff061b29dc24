# SPDX-License-Identifier: GPL-2.0-only
"""The soak test of a router: it passes a short one, and sees what is wrong where it is."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from benchmarks import soak
from benchmarks.paper.setups import Setup, choose_cores
from benchmarks.paper.topology import Topology, UnfitMachineError

IDLE = soak.State(
    sender={"tx_frames": 5, "tx_dropped": 1},
    receiver={"rx_frames": 5},
    devices=[
        {"rx_frames": 5, "rx_dropped": 0, "tx_frames": 0, "tx_dropped": 0},
        {"rx_frames": 0, "rx_dropped": 0, "tx_frames": 5, "tx_dropped": 0},
    ],
    kernel={"IpForwDatagrams": 5, "r0.rx_packets": 5, "r1.tx_packets": 5},
    free_kib=60_000,
    resident_bytes=80 << 20,
    descriptors=12,
)
# 100 offered, 20 refused, 80 read, of which 10 are bad and 5 of them not forwarded.
SENT = {
    "offered": 100,
    "truncated": 5,
    "corrupted": 5,
    "received": 70,
    "foreign": 3,
    "lost_at_sink": 2,
    "longest_silence_ms": 3.0,
}


def after_turn():
    state = copy.deepcopy(IDLE)
    state.sender["tx_frames"] += 80
    state.sender["tx_dropped"] += 20
    state.devices[0]["rx_frames"] += 80
    state.kernel["r0.rx_packets"] += 80
    for counters, name in (
        (state.kernel, "IpForwDatagrams"),
        (state.kernel, "r1.tx_packets"),
        (state.devices[1], "tx_frames"),
        (state.receiver, "rx_frames"),
    ):
        counters[name] += 75
    return state


def test_turn_whose_counters_agree_has_no_problem():
    assert soak.sums(IDLE, after_turn(), SENT) == []


def test_frame_that_the_kernel_swallows_is_found():
    state = after_turn()
    state.kernel["r0.rx_packets"] -= 1
    assert soak.sums(IDLE, state, SENT) == ["80 frames read, but 79 frames at r0."]


def test_frame_that_the_backend_drops_is_found():
    state = after_turn()
    state.devices[1]["tx_dropped"] += 1
    state.devices[1]["tx_frames"] -= 1
    assert soak.sums(IDLE, state, SENT) == [
        "75 frames from r1, but 74 frames written.",
        "74 frames written, but 75 frames at the receiver's tap.",
        "Device 1 has tx_dropped 1.",
    ]


def test_good_frames_that_are_not_forwarded_are_found():
    assert soak.sums(IDLE, after_turn(), SENT | {"corrupted": 0, "truncated": 4}) == [
        "Of 80 frames, 4 of them bad, 75 were forwarded."
    ]


def test_silence_is_a_stall():
    assert soak.stalls(SENT) == []
    assert soak.stalls(SENT | {"received": 0}) == ["Nothing came through."]
    assert soak.stalls(SENT | {"longest_silence_ms": 2500.0}) == [
        "Nothing came through for 2500 ms."
    ]


def test_memory_and_descriptors_that_grow_are_leaks():
    assert soak.leaks(IDLE, replace(IDLE, free_kib=59_900, resident_bytes=81 << 20)) == []
    assert soak.leaks(IDLE, replace(IDLE, free_kib=59_000)) == [
        "The arena had 60,000 KiB free, now 59,000."
    ]
    assert soak.leaks(IDLE, replace(IDLE, resident_bytes=90 << 20, descriptors=13)) == [
        "The process held 81,920 KiB, now 92,160.",
        "The process had 12 descriptors, now 13.",
    ]


@pytest.mark.root
def test_router_survives_a_short_soak(one_build):
    try:
        choose_cores()
        Topology().close()
    except UnfitMachineError as error:
        pytest.skip(str(error))
    with Setup("tap", "stack", choose_cores(), **one_build.options) as setup:
        outcome = soak.soak(setup, 0, turn_ms=30)
    assert outcome.problems == ()
    assert outcome.turns == soak.WARM_TURNS + 1
    assert outcome.offered > outcome.forwarded > 1000
    assert outcome.bad > 0
