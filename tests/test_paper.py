# SPDX-License-Identifier: GPL-2.0-only
"""The measurements of the paper's section 5: the harness, and what is made of its results."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.paper import charts, summary
from benchmarks.paper.runner import Plan, Results, open_setups, run
from benchmarks.paper.setups import Setup, choose_cores
from benchmarks.paper.topology import Topology, UnfitMachineError

SAMPLE = Path(__file__).parent / "data" / "paper_results.json"
TINY = Plan(
    channels=("tap",), sizes=(64,), rounds=1, trial_ms=10, parts=(0.5,), pings=5, gap_us=100
)


@pytest.fixture
def may_measure():
    """Skip where no topology can be built."""
    try:
        choose_cores()
        Topology().close()
    except UnfitMachineError as error:
        pytest.skip(str(error))


@pytest.fixture
def record():
    return json.loads(SAMPLE.read_text())


# --- Measuring ---


@pytest.mark.root
def test_every_test_of_a_tiny_run_has_a_value(one_build, may_measure):
    plan = Plan(**vars(TINY) | one_build.options)
    results, notes = Results(), []
    with ExitStack() as stack:
        setups = open_setups(plan, choose_cores(), stack, results)
        run(plan, setups, results, notes.append)
    assert results.skipped == {}
    assert len(notes) == plan.trials(len(setups))
    found = summary.values({"trials": results.trials})
    for channel, who in (("native", "native"), ("tap", "relay"), ("tap", "stack")):
        for test in summary.TESTS:
            assert found[test, channel, who, "epoll", 64].median > 0, (test, channel, who)
    for trial in results.trials:
        if trial["test"] == "routing":
            assert 0 < trial["received"] <= trial["offered"]
            assert trial["foreign"] == trial["reordered"] == 0


@pytest.mark.root
def test_relay_passes_every_good_frame_once_and_in_order(may_measure):
    with Setup("tap", "relay", choose_cores()) as setup:
        plain = setup.load(2000, 64, 50)
        assert plain["received"] == plain["offered"] > 0
        assert plain["reordered"] == 0

        mixed = setup.load(5000, 100, 100, faults=(100, 100, 0, 0))
        assert mixed["lost"] > 0 < mixed["duplicated"]
        assert mixed["received"] == mixed["offered"]  # a lost one was never sent
        assert mixed["reordered"] == mixed["duplicated"]  # the second of a pair

        cut = setup.load(5000, 100, 100, faults=(0, 0, 500, 0))
        assert cut["truncated"] > 0
        assert cut["received"] + cut["foreign"] == cut["offered"]
        assert cut["received"] >= cut["offered"] - cut["truncated"]


def _descriptors_and_interfaces():
    names = [Path("/proc/self/fd").iterdir(), Path("/sys/class/net").iterdir()]
    return [sorted(path.name for path in paths) for paths in names]


@pytest.mark.root
def test_nothing_of_a_topology_is_left(may_measure):
    before = _descriptors_and_interfaces()
    with Topology() as topology:
        topology.taps()
        topology.cables()
        assert topology.sender.counters("t0")["rx_dropped"] == 0
        assert not Path("/sys/class/net/t0").exists()
    assert _descriptors_and_interfaces() == before


@pytest.mark.root
def test_stopped_box_does_not_route(one_build, may_measure):
    with Setup("tap", "stack", choose_cores(), **one_build.options) as setup:
        assert setup.tester.ask("ping 2 0 64")["lost"] == 2
        assert setup.ping(2, 0, 64)["lost"] == 0


# --- What is made of it ---


def test_throughput_is_the_most_at_any_load():
    def trial(offered, received, number):
        return {
            "test": "routing",
            "channel": "tap",
            "who": "stack",
            "wait": "epoll",
            "size": 64,
            "round": number,
            "offered": offered,
            "received": received,
            "received_pps": received * 10.0,
        }

    trials = [trial(100, 100, 0), trial(300, 150, 0), trial(200, 180, 0), trial(100, 99, 1)]
    found = summary.values({"trials": trials})
    assert found["routing", "tap", "stack", "epoll", 64].rounds == (0.0018, 0.00099)
    assert found["routing_lossless", "tap", "stack", "epoll", 64].rounds == (0.001, 0.00099)


def test_ratio_is_taken_round_by_round():
    ratio = summary.Value((1.0, 2.0, 30.0)).over(summary.Value((2.0, 4.0, 20.0)))
    assert ratio.rounds == (0.5, 0.5, 1.5)
    assert (ratio.median, ratio.low, ratio.high) == (0.5, 0.5, 1.5)


def test_relay_without_a_stack_tells_what_bounds(record):
    def found(ours, relay):
        return {
            (test, "tap", who, "epoll", 64): summary.Value((value,))
            for test in ("routing", "routing_delay")
            for who, value in (("stack", ours), ("relay", relay))
        }

    assert summary.bound_by(found(0.95, 1.0), "routing", "tap", 64) == "channel"
    assert summary.bound_by(found(0.8, 1.0), "routing", "tap", 64) == "stack"
    assert summary.bound_by(found(40, 39), "routing_delay", "tap", 64) == "channel"
    assert summary.bound_by(found(60, 39), "routing_delay", "tap", 64) == "stack"
    assert summary.bound_by({}, "routing", "tap", 64) == ""


def test_charts_of_stored_results_are_drawn_and_the_same_again(record, tmp_path):
    paths = charts.draw(record, tmp_path)
    assert [path.name for path in paths] == [
        "routing.png",
        "routing_delay.png",
        "sending.png",
        "sending_delay.png",
        "loss.png",
    ]
    first = [path.read_bytes() for path in paths]
    assert all(data.startswith(b"\x89PNG") and len(data) > 20_000 for data in first)
    assert [path.read_bytes() for path in charts.draw(record, tmp_path)] == first


def test_tables_of_stored_results_show_every_channel_and_size(record):
    tables = summary.tables(record)
    assert [table.row_count for table in tables] == [6, 6, 4, 4]
