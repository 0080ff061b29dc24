# SPDX-License-Identifier: GPL-2.0-only
"""What a link leaves to chance: exactly what its seed says, as often as its settings say.

The random stream of a direction is computed here a second time, so each test knows each frame's
fate beforehand; and the counts lie within 5 standard deviations of what the settings ask for.
"""

from __future__ import annotations

import math
from itertools import groupby

import pytest
from pcapng import read
from quiet_link import HEADERS, Stream, quiet_pair

import pylibos
from pylibos import GilbertElliott

COUNT = 10_000
MS = 1_000_000
SIGMAS = 5


def assert_binomial(hits, trials, pct):
    """Hits are within 5 standard deviations of a binomial distribution's mean."""
    p = pct / 100
    assert abs(hits - trials * p) <= SIGMAS * math.sqrt(trials * p * (1 - p))


def gilbert_elliott(stream, model, count):
    """Which packets netem's chain (loss_gilb_ell() in sch_netem.c) lets through."""
    bad, arrived = False, []
    for _ in range(count):
        change, loss = (
            (model.r_pct, model.loss_bad_pct) if bad else (model.p_pct, model.loss_good_pct)
        )
        bad ^= stream.chance(change)
        arrived.append(not stream.chance(loss))
    return arrived


@pytest.mark.parametrize("loss_pct", [0.1, 3, 50])
def test_independent_losses_are_those_of_the_seed(boot, loss_pct):
    stream = Stream(0)
    with quiet_pair(boot, loss_pct=loss_pct) as pair:
        before = pair.link.stats(0)
        arrived = pair.survivors(COUNT)
        stats = pair.link.stats(0)
    assert arrived == [not stream.chance(loss_pct) for _ in range(COUNT)]
    assert stats.lost == arrived.count(False)
    assert stats.frames - before.frames == arrived.count(True)
    assert_binomial(stats.lost, COUNT, loss_pct)


def test_certain_loss_loses_all_and_none_loses_none(boot):
    with quiet_pair(boot, loss_pct=100) as pair:
        assert not any(pair.survivors(1000))
        pair.link.set(loss_pct=0)
        assert all(pair.survivors(1000))
        assert pair.link.stats(0).lost == 1000


MODELS = [
    GilbertElliott(1, 25),
    GilbertElliott(5, 20, 80, 1),
    GilbertElliott(p_pct=50, r_pct=50, loss_bad_pct=10, loss_good_pct=10),
]


@pytest.mark.parametrize("model", MODELS)
def test_losses_in_bursts_are_those_of_the_seed_and_of_netem(boot, model):
    stream = Stream(0)
    with quiet_pair(boot, loss_model=model) as pair:
        arrived = pair.survivors(COUNT)
        assert pair.link.stats(0).lost == arrived.count(False)
    assert arrived == gilbert_elliott(stream, model, COUNT)
    # The variance of a sum over a two-state chain: its eigenvalue stretches the binomial one.
    p, r = model.p_pct / 100, model.r_pct / 100
    eigenvalue, bad = 1 - p - r, p / (p + r)
    in_bad, in_good = model.loss_bad_pct / 100, model.loss_good_pct / 100
    mean = model.mean_loss_pct / 100
    chain = (in_bad - in_good) ** 2 * bad * (1 - bad) * 2 * eigenvalue / (1 - eigenvalue)
    deviation = math.sqrt(COUNT * (mean * (1 - mean) + chain))
    assert abs(arrived.count(False) - COUNT * mean) <= SIGMAS * deviation


def test_bursts_are_as_long_as_the_bad_state_lasts(boot):
    model = GilbertElliott(p_pct=2, r_pct=25)
    with quiet_pair(boot, loss_model=model) as pair:
        arrived = pair.survivors(COUNT)
    bursts = [len(list(group)) for survived, group in groupby(arrived) if not survived]
    # Geometric with a mean of 1 / r and a variance of (1 - r) / r^2.
    deviation = math.sqrt(0.75) / 0.25 / math.sqrt(len(bursts))
    assert len(bursts) > 100
    assert abs(sum(bursts) / len(bursts) - 4) <= SIGMAS * deviation


def test_state_of_the_chain_outlives_other_settings_but_not_a_new_model(boot):
    stuck = GilbertElliott(p_pct=100, r_pct=0)
    with quiet_pair(boot, loss_model=stuck) as pair:
        assert pair.survivors(3) == [True, False, False]
        pair.link.set(rate_mbit=1000)
        pair.link.set(rate_mbit=0)
        assert pair.survivors(1) == [False]
        pair.link.set(loss_model=GilbertElliott(p_pct=100, r_pct=0, loss_bad_pct=99.9999999))
        assert pair.survivors(2) == [True, False]
        pair.link.set(loss_model=None)
        assert all(pair.survivors(100))


def test_last_of_loss_pct_and_loss_model_counts(boot):
    with quiet_pair(boot, loss_model=GilbertElliott(100, 0)) as pair:
        pair.link.set(loss_pct=0)
        assert all(pair.survivors(100))
        pair.link.set(loss_pct=100)
        pair.link.set(loss_model=GilbertElliott(0, 100))
        assert all(pair.survivors(100))


def test_directions_have_streams_of_their_own(boot):
    streams = Stream(0), Stream(1)
    with quiet_pair(boot, loss_pct=20, back={"loss_pct": 30}) as pair:
        for _ in range(2):
            there = [not streams[0].chance(20) for _ in range(500)]
            back = [not streams[1].chance(30) for _ in range(500)]
            assert pair.survivors(500, back=True) == back
            assert pair.survivors(500) == there


def test_model_of_one_direction_leaves_the_other_alone(boot):
    with quiet_pair(boot, back={"loss_model": GilbertElliott(100, 0)}) as pair:
        assert pair.survivors(3, back=True) == [True, False, False]
        assert all(pair.survivors(100))


def test_duplicates_are_those_of_the_seed(boot):
    stream = Stream(0)
    with quiet_pair(boot, duplicate_pct=20, delay_ms=1) as pair:
        got = pair.exchange(COUNT // 10)
        duplicated = pair.link.stats(0).duplicated
    expected = []
    for number in range(COUNT // 10):
        expected += [number] * (2 if stream.chance(20) else 1)
    assert got == expected
    assert duplicated == len(expected) - COUNT // 10
    assert_binomial(duplicated, COUNT // 10, 20)


def test_reordered_packets_overtake_those_that_are_delayed(boot):
    stream = Stream(0)
    with quiet_pair(boot, reorder_pct=10, delay_ms=10) as pair:
        got = pair.exchange(COUNT // 10)
        reordered = pair.link.stats(0).reordered
    early = [number for number in range(COUNT // 10) if stream.chance(10)]
    assert got == early + [number for number in range(COUNT // 10) if number not in set(early)]
    assert reordered == len(early)
    assert_binomial(reordered, COUNT // 10, 10)


def test_jitter_is_uniform_and_keeps_the_order(boot, tmp_path):
    stream, count = Stream(0), 1000
    with quiet_pair(boot, delay_ms=10, jitter_ms=4) as pair:
        with pair.link.ends[1].device.capture(tmp_path / "b.pcapng"):
            start = pair.a.now_ns
            for number in range(count):
                pair.sender.send(number.to_bytes(4, "big"))
                pair.a.world.run_for(10 * MS)
            assert pair.received() == list(range(count))
    delays, last = [], 0
    for number in range(count):
        spread = stream.next() % (8 * MS + 1)
        last = max(last, start + number * 10 * MS + 6 * MS + spread)
        delays.append(last)
    assert [packet.time_ns for packet in read(tmp_path / "b.pcapng").packets] == delays
    offsets = [when - start - number * 10 * MS for number, when in enumerate(delays)]
    assert 6 * MS <= min(offsets) < 7 * MS
    assert 13 * MS < max(offsets) <= 14 * MS
    # A uniform distribution of +-4 ms deviates by 4 ms / sqrt(3).
    assert abs(sum(offsets) / count - 10 * MS) <= SIGMAS * 4 * MS / math.sqrt(3 * count)


def test_corruption_flips_one_bit_behind_the_addresses(boot, tmp_path):
    stream, count, size = Stream(0), 500, 100
    with quiet_pair(boot, corrupt_pct=30) as pair:
        sent, crossed = (tmp_path / name for name in ("sent", "crossed"))
        with pair.link.ends[0].device.capture(sent), pair.link.capture(crossed):
            got = pair.exchange(count, size)
        stats = pair.link.stats(0)
    pairs = list(
        zip(
            [packet for packet in read(sent).packets if not packet.inbound],
            [packet for packet in read(crossed).packets if packet.interface == 0],
            strict=True,
        )
    )
    assert len(pairs) == count
    harmed = 0
    for clean, dirty in pairs:
        expected, comments = bytearray(clean.data), ()
        if stream.chance(30):
            random = stream.next()
            expected[14 + (random >> 3) % (size + HEADERS - 14)] ^= 1 << (random & 7)
            comments = ("corrupted",)
            harmed += 1
        assert (dirty.data, dirty.comments) == (expected, comments)
    assert stats.corrupted == harmed
    assert_binomial(harmed, count, 30)
    # A bit of a checksum's field, a length or a port is seen, too: nothing wrong gets through.
    assert len(got) == count - harmed


def test_settings_of_chance_leave_other_links_alone(boot):
    results = []
    for busy in (False, True):
        with quiet_pair(boot, loss_pct=20) as pair:
            other = pair.a.link_to(pair.b, subnet="10.0.9.0/24", loss_pct=50)
            if busy:
                with pair.a.socket(type=2) as sock:
                    for _ in range(100):
                        sock.sendto(b"x", (other.ends[1].addresses[0], 9))
            results.append(pair.survivors(500))
    assert results[0] == results[1]


def test_another_seed_loses_other_packets(boot):
    patterns = []
    for seed in (7, 8, 7):
        with quiet_pair(boot, seed=seed, loss_pct=20) as pair:
            patterns.append(pair.survivors(500))
    assert patterns[0] == patterns[2] != patterns[1]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: GilbertElliott(101, 1), ValueError, "p_pct is 0 to 100"),
        (lambda: GilbertElliott(1, -1), ValueError, "r_pct is 0 to 100"),
        (lambda: GilbertElliott(1, 1, float("nan")), ValueError, "loss_bad_pct is 0 to 100"),
        (lambda: {"loss_model": 5}, TypeError, "loss_model is a GilbertElliott"),
        (
            lambda: {"loss_model": GilbertElliott(1, 1), "loss_pct": 1},
            ValueError,
            "either loss_pct or loss_model",
        ),
        (lambda: {"loss_pct": float("nan")}, ValueError, "loss_pct is 0 to 100"),
        (lambda: {"delay_ms": float("inf")}, ValueError, "delay_ms is 0 or more"),
    ],
)
def test_senseless_chances_are_refused_and_change_nothing(boot_one, make, error, message):
    with quiet_pair(boot_one, loss_pct=100) as pair:
        with pytest.raises(error, match=message):
            pair.link.set(**make())
        assert not any(pair.survivors(100))


def test_mean_loss_of_a_model():
    assert GilbertElliott(1, 25).mean_loss_pct == pytest.approx(100 / 26)
    assert GilbertElliott(0, 0, 100, 3).mean_loss_pct == 3
    assert GilbertElliott(10, 10, 50, 0).mean_loss_pct == 25
    assert pylibos.GilbertElliott(1, 2) == GilbertElliott(1, 2)
