# SPDX-License-Identifier: GPL-2.0-only
"""Channels of the host with our stack against the same channels without a stack.

Rounds of both alternate.  Where the box's core is what is measured, figures are packets for a
second of its processor time: on a machine with other work that is what the core could do alone.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.figure import Measurement, Setting, median_of
from benchmarks.paper.setups import Setup, choose_cores
from benchmarks.paper.topology import UnfitMachineError
from benchmarks.paper.worker import WorkerError

TRIAL_MS = 150
PINGS, GAP_US = 100, 200
BULK_MS = 300
Read = Callable[[Setup, int], float]
Run = Callable[[Setting], list[Measurement]]


class NotMeasuredError(Exception):
    """This machine cannot measure a figure."""


def _or_nothing(run: Run) -> Run:
    """Let a figure that cannot be measured be left out, with a note why."""

    @functools.wraps(run)
    def wrapper(setting: Setting) -> list[Measurement]:
        try:
            return run(setting)
        except NotMeasuredError as error:
            print(error, file=sys.stderr)
            return []

    return wrapper


@contextmanager
def all_cores() -> Iterator[None]:
    """Undo for a while that benchmarks run on one core."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _profile(setting: Setting) -> str:
    return "lean" if setting.lean is not None else "defconfig"


def best_of(name: str, who: str, unit: str, values: list[float]) -> Measurement:
    """Make a measurement of some rounds; for rates and ratios, where more is better."""
    ordered = sorted(values)
    return Measurement(name, who, unit, ordered[len(ordered) // 2], ordered[-1])


def measure_pair(
    setting: Setting, channel: str, sizes: tuple[int, ...], read: Read, wait: str = "epoll"
) -> dict[int, tuple[list[float], list[float]]]:
    """Measure relay and our stack on a channel in turn; for each size both lists.

    Raises:
        NotMeasuredError: this machine cannot; the message says why.
    """
    found: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in sizes}
    image = {"kernel": setting.kernel, "profile": _profile(setting)}
    with all_cores(), ExitStack() as stack:
        try:
            cores = choose_cores()
            pair = [
                stack.enter_context(Setup(channel, who, cores, wait=wait, **image))
                for who in ("relay", "stack")
            ]
            for _ in range(setting.rounds):
                for size in sizes:
                    for setup, values in zip(pair, found[size], strict=True):
                        values.append(read(setup, size))
        except (UnfitMachineError, WorkerError) as error:
            raise NotMeasuredError(f"{channel} cannot be measured here: {error}") from None
    return found


def _rates(
    setting: Setting, figure: str, channel: str, sizes: tuple[int, ...], read: Read
) -> list[Measurement]:
    made = []
    for size, (relay, ours) in measure_pair(setting, channel, sizes, read).items():
        name = f"{figure}_{size}"
        made.append(best_of(name, "library", "Mpps", ours))
        made.append(best_of(name, "relay", "Mpps", relay))
        ratios = [own / its for own, its in zip(ours, relay, strict=True)]
        made.append(best_of(f"{name}_ratio", "library", "of relay", ratios))
    return made


def _routed(setup: Setup, size: int) -> float:
    """Mpps for a second of the box's processor, with more offered than it can take."""
    answer = setup.load(0, size, TRIAL_MS)
    return float(answer["received"] / answer["box_processor_s"] / 1e6)


def _sent(setup: Setup, size: int) -> float:
    answer = setup.send(size, TRIAL_MS)
    return float(answer["received"] / answer["box_processor_s"] / 1e6)


def router_on(channel: str, sizes: tuple[int, ...] = (64, 1024)) -> Run:
    """A router between two ends of a channel."""
    name = f"router_{channel.replace('-', '_')}"
    return _or_nothing(lambda setting: _rates(setting, name, channel, sizes, _routed))


def send_on(channel: str) -> Run:
    """UDP of 64 bytes from one socket through a channel."""
    return _or_nothing(lambda setting: _rates(setting, f"send_{channel}", channel, (64,), _sent))


@_or_nothing
def added_delay(setting: Setting) -> list[Measurement]:
    """Round trips through a router between taps, and what they take longer than by the relay."""

    def read(setup: Setup, size: int) -> float:
        return float(setup.ping(PINGS, GAP_US, size)["p50_us"])

    made = []
    for wait in ("epoll", "busy"):
        relay, ours = measure_pair(setting, "tap", (64,), read, wait)[64]
        made.append(median_of(f"ping_tap_{wait}", "library", "µs", ours))
        made.append(median_of(f"ping_tap_{wait}", "relay", "µs", relay))
        more = [own - its for own, its in zip(ours, relay, strict=True)]
        made.append(median_of(f"ping_tap_{wait}_added", "library", "µs", more))
    return made


@_or_nothing
def bulk_tcp(setting: Setting) -> list[Measurement]:
    """TCP between a program of the host and one on our stack; native: over veth."""
    image = {"kernel": setting.kernel, "profile": _profile(setting)}
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    with all_cores(), ExitStack() as stack:
        try:
            cores = choose_cores()
            setups = {
                kind: [
                    stack.enter_context(Setup(f"bulk-{channel}-{kind}", who, cores, **image))
                    for channel, who in (("tap", "stack"), ("veth", "native"))
                ]
                for kind in ("offload", "plain")
            }
            for _ in range(setting.rounds):
                for kind, pair in setups.items():
                    for box, way in (("give", "send"), ("take", "receive")):
                        lists = found.setdefault((kind, way), ([], []))
                        for setup, values in zip(pair, lists, strict=True):
                            values.append(setup.bulk(box, BULK_MS))
        except (UnfitMachineError, WorkerError) as error:
            raise NotMeasuredError(f"TCP through a tap cannot be measured: {error}") from None
    made = []
    for (kind, way), (ours, native) in found.items():
        name = f"tcp_tap_{kind}_{way}"
        made.append(best_of(name, "library", "Gbit/s", ours))
        made.append(best_of(name, "native", "Gbit/s", native))
        ratios = [own / its for own, its in zip(ours, native, strict=True)]
        made.append(best_of(f"{name}_ratio", "library", "of native", ratios))
    return made
