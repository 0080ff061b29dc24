# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks soak --minutes 10``: a router between taps under full load, with faults.

More is sent than the router can take, with frames lost, duplicated, truncated and corrupted on
purpose.  After each turn of some seconds the counters of sender, taps, devices, kernel and
receiver must add up to the frame, nothing may have stood still, and once the first turns are
over memory and descriptors must stay what they were.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from benchmarks.paper.setups import Setup, choose_cores

FAULTS = (20, 20, 20, 20)  # of 1000: lost, duplicated, truncated, corrupted
SIZES = (64, 1024, 300, 1500)
TURN_MS = 3000
WARM_TURNS = 4  # each size once, with all the memory that it needs
SILENCE_MS = 2000.0
SLACK_KIB, SLACK_RESIDENT = 512, 2 << 20


@dataclass(frozen=True)
class State:
    """What the counters show between two turns.

    Attributes:
        sender, receiver: of the host's ends of the taps, see Namespace.counters().
        devices: statistics of the two devices.
        kernel: counters of our stack by name.
        free_kib: of the kernel's arena.
        resident_bytes, descriptors: of the process.
    """

    sender: dict[str, int]
    receiver: dict[str, int]
    devices: list[dict[str, int]]
    kernel: dict[str, int]
    free_kib: int
    resident_bytes: int
    descriptors: int


def look(setup: Setup) -> State:
    """Take the counters."""
    with setup.middle.awake():
        stats = setup.middle.ask("stats")
    return State(
        setup.host_side("t0"),
        setup.host_side("t1"),
        stats["devices"],
        stats["counters"],
        stats["free_kib"],
        setup.middle.resident_bytes(),
        setup.middle.descriptors(),
    )


def sums(before: State, after: State, sent: dict[str, Any]) -> list[str]:
    """What does not add up after a turn; sentences, none if all is well.

    Args:
        sent: the tester's answer to "load".
    """

    def grown(old: dict[str, int], new: dict[str, int], name: str) -> int:
        return new[name] - old[name]

    def device(number: int, name: str) -> int:
        return grown(before.devices[number], after.devices[number], name)

    def kernel(name: str) -> int:
        return grown(before.kernel, after.kernel, name)

    into = grown(before.sender, after.sender, "tx_frames")
    refused = grown(before.sender, after.sender, "tx_dropped")
    out = grown(before.receiver, after.receiver, "rx_frames")
    forwarded = kernel("IpForwDatagrams")
    bad = sent["truncated"] + sent["corrupted"]
    found = []
    for left, left_name, right, right_name in (
        (sent["offered"], "frames offered", into + refused, "frames that the tap took or refused"),
        (into, "frames that the tap took", device(0, "rx_frames"), "frames that the device read"),
        (device(0, "rx_frames"), "frames read", kernel("r0.rx_packets"), "frames at r0"),
        (forwarded, "datagrams forwarded", kernel("r1.tx_packets"), "frames from r1"),
        (kernel("r1.tx_packets"), "frames from r1", device(1, "tx_frames"), "frames written"),
        (device(1, "tx_frames"), "frames written", out, "frames at the receiver's tap"),
        (
            out,
            "frames at the receiver's tap",
            sent["received"] + sent["foreign"] + sent["lost_at_sink"],
            "frames that the receiver saw or missed",
        ),
    ):
        if left != right:
            found.append(f"{left:,} {left_name}, but {right:,} {right_name}.")
    if not into - bad <= forwarded <= into:
        found.append(f"Of {into:,} frames, {bad:,} of them bad, {forwarded:,} were forwarded.")
    for name in ("rx_dropped", "tx_dropped"):
        for number in (0, 1):
            if device(number, name):
                found.append(f"Device {number} has {name} {device(number, name):,}.")
    return found


def stalls(sent: dict[str, Any]) -> list[str]:
    """Whether frames stopped to come through."""
    if not sent["received"]:
        return ["Nothing came through."]
    silence = sent["longest_silence_ms"]
    return [f"Nothing came through for {silence:.0f} ms."] if silence > SILENCE_MS else []


def leaks(warm: State, now: State) -> list[str]:
    """What is held that was not before."""
    found = []
    if warm.free_kib - now.free_kib > SLACK_KIB:
        found.append(f"The arena had {warm.free_kib:,} KiB free, now {now.free_kib:,}.")
    if now.resident_bytes - warm.resident_bytes > SLACK_RESIDENT:
        found.append(
            f"The process held {warm.resident_bytes >> 10:,} KiB, now {now.resident_bytes >> 10:,}."
        )
    if now.descriptors != warm.descriptors:
        found.append(f"The process had {warm.descriptors} descriptors, now {now.descriptors}.")
    return found


@dataclass
class Outcome:
    """Of a soak.

    Attributes:
        turns, offered, forwarded, received: in all.
        problems: sentences.
    """

    turns: int = 0
    offered: int = 0
    refused: int = 0
    forwarded: int = 0
    bad: int = 0
    problems: tuple[str, ...] = ()


def soak(setup: Setup, duration_s: float, turn_ms: int = TURN_MS, note: Any = None) -> Outcome:
    """Load a router for a time; note(turn, sent) is called after each turn."""
    outcome = Outcome()
    first = before = look(setup)
    warm: State | None = None
    end = time.monotonic() + duration_s
    while time.monotonic() < end or outcome.turns <= WARM_TURNS:
        size = SIZES[outcome.turns % len(SIZES)]
        sent = setup.load(0, size, turn_ms, FAULTS)
        after = look(setup)
        outcome.turns += 1
        outcome.offered += sent["offered"]
        outcome.refused += sent["refused"]
        outcome.bad += sent["truncated"] + sent["corrupted"]
        found = sums(before, after, sent) + stalls(sent)
        if warm is not None:
            found += leaks(warm, after)
        elif outcome.turns == WARM_TURNS:
            warm = after
        outcome.problems += tuple(f"Turn {outcome.turns}: {problem}" for problem in found)
        before = after
        if note is not None:
            note(outcome.turns, sent)
    outcome.forwarded = before.kernel["IpForwDatagrams"] - first.kernel["IpForwDatagrams"]
    return outcome


def run(minutes: float, kernel: str, profile: str, console: Console) -> int:
    """Soak and print what came out; the exit status."""
    columns = (BarColumn(), TextColumn("{task.description}"))
    with (
        Setup("tap", "stack", choose_cores(), kernel=kernel, profile=profile) as setup,
        Progress(*columns, console=console, transient=True) as bar,
    ):
        start = time.monotonic()
        task = bar.add_task("", total=minutes * 60)

        def note(turn: int, sent: dict[str, Any]) -> None:
            rate = f"{sent['received_pps'] / 1e6:.2f} of {sent['offered_pps'] / 1e6:.2f} Mpps"
            text = f"turn {turn}: {rate} came through"
            bar.update(task, completed=time.monotonic() - start, description=text)

        outcome = soak(setup, minutes * 60, note=note)
        seconds = time.monotonic() - start
    console.print(
        f"{seconds:.0f} s, {outcome.turns} turns: {outcome.offered:,} frames offered, "
        f"{outcome.refused:,} refused by the full tap, {outcome.bad:,} bad on purpose, "
        f"{outcome.forwarded:,} forwarded",
        highlight=False,
    )
    for problem in outcome.problems:
        console.print(f"[red]{problem}[/]", highlight=False)
    if not outcome.problems:
        console.print("[green]no leak, no stall, all counters add up[/]")
    return bool(outcome.problems)
