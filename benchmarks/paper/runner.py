# SPDX-License-Identifier: GPL-2.0-only
"""Runs all trials, interleaved: each round measures every setup once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.paper.setups import CHANNELS, Cores, Setup
from benchmarks.paper.topology import UnfitMachineError
from benchmarks.paper.worker import WorkerError

SIZES = (64, 1024, 1500)
NATIVE = ("native", "native-steered")


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        channels: without native.
        sizes: of the IPv4 packet, in bytes.
        rounds: how often.
        trial_ms: how long frames are sent at one rate.
        parts: loads of the curve, as parts of what came through at the highest.
        pings: round trips in a trial.
        gap_us: between them.
        kernel, profile: of the image of our stack.
    """

    channels: tuple[str, ...] = tuple(CHANNELS)
    sizes: tuple[int, ...] = SIZES
    rounds: int = 5
    trial_ms: int = 200
    parts: tuple[float, ...] = (0.3, 0.6, 0.8, 0.9, 1.0, 1.15, 1.4)
    pings: int = 200
    gap_us: int = 300
    kernel: str = "6.12"
    profile: str = "lean"

    def trials(self, setups: int) -> int:
        """How many trials there will be."""
        return self.rounds * len(self.sizes) * setups * (len(self.parts) + 4)

    def estimate_s(self, setups: int) -> float:
        """About how long it takes, with starting."""
        loads = (len(self.parts) + 2) * (self.trial_ms / 1000 + 0.05)
        pings = 2 * self.pings * (self.gap_us + 80) / 1e6 + 0.1
        return setups * (1.0 + self.rounds * len(self.sizes) * (loads + pings))


QUICK = Plan(rounds=2, trial_ms=60, parts=(0.5, 0.9), pings=50, gap_us=200)


@dataclass
class Results:
    """What came out.

    Attributes:
        trials: one record each; see docs/performance.md for their members.
        skipped: what this machine cannot measure, and why.
    """

    trials: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def _variants(channels: Iterable[str]) -> list[tuple[str, str, str]]:
    """Channel, who and wait of all setups."""
    found = [(name, "native", "epoll") for name in NATIVE]
    for channel in channels:
        found += [(channel, who, "epoll") for who in ("relay", "stack")]
    return found


def open_setups(plan: Plan, cores: Cores, stack: ExitStack, results: Results) -> list[Setup]:
    """Set up what this machine can; the rest goes to results.skipped."""
    found = []
    for channel, who, wait in _variants(plan.channels):
        name = channel if who == "native" else f"{channel} {who}"
        try:
            image = {"kernel": plan.kernel, "profile": plan.profile}
            setup = Setup(channel, who, cores, wait=wait, **image)
        except (UnfitMachineError, WorkerError, OSError) as error:
            results.skipped[name] = str(error)
            continue
        found.append(stack.enter_context(setup))
    return found


def run(plan: Plan, setups: list[Setup], results: Results, note: Callable[[str], None]) -> None:
    """Measure all setups; note is called before each trial."""
    gone: set[str] = set()
    for number in range(plan.rounds):
        for size in plan.sizes:
            for setup in setups:
                if setup.name in gone:
                    continue
                try:
                    _measure(plan, setup, size, number, results, note)
                except WorkerError as error:
                    results.skipped[setup.name] = str(error)
                    gone.add(setup.name)


def _measure(
    plan: Plan, setup: Setup, size: int, number: int, results: Results, note: Callable[[str], None]
) -> None:
    def keep(test: str, answer: dict[str, Any]) -> dict[str, Any]:
        head = {
            "test": test,
            "channel": setup.channel,
            "who": setup.who,
            "wait": setup.wait,
            "size": size,
            "round": number,
        }
        results.trials.append(head | answer)
        return answer

    def about(what: str) -> None:
        note(f"{setup.name}, {size} bytes: {what}")

    about("routing, all that goes")
    most = keep("routing", setup.load(0, size, plan.trial_ms))["received_pps"]
    for part in plan.parts:
        about(f"routing at {part:.0%}")
        keep("routing", setup.load(max(round(most * part), 1000), size, plan.trial_ms))
    about("routing delay")
    keep("routing_delay", setup.ping(plan.pings, plan.gap_us, size))
    if setup.channel == "native-steered":
        # Its application sends just as the other native one's.
        for _ in range(2):
            about("-")
        return
    about("sending")
    keep("sending", setup.send(size, plan.trial_ms))
    about("sending delay")
    keep("sending_delay", setup.ask(plan.pings, plan.gap_us, size))
