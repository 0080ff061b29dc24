# SPDX-License-Identifier: GPL-2.0-only
"""From trials to figures: medians over rounds with their spread, and tables of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from rich.table import Table

LOSSLESS = 0.01  # of the frames offered; machines that do other work lose some now and then
TESTS = {
    "routing": "routing throughput",
    "routing_delay": "routing delay (round trip)",
    "sending": "sending throughput",
    "sending_delay": "sending delay (round trip)",
}
UNITS = {"routing": "Mpps", "routing_delay": "µs", "sending": "Mpps", "sending_delay": "µs"}


@dataclass(frozen=True)
class Value:
    """A figure over all rounds.

    Attributes:
        rounds: one value each.
    """

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The greatest."""
        return max(self.rounds)

    def over(self, other: Value) -> Value:
        """The ratio, round by round: what disturbed a round disturbed both."""
        pairs = zip(self.rounds, other.rounds, strict=False)
        return Value(tuple(own / its for own, its in pairs if its))


# What was measured: test, channel, who, wait, bytes.
Key = tuple[str, str, str, str, int]


def lost_part(trial: dict[str, Any]) -> float:
    """The part of the frames of a trial that did not arrive."""
    lost: int = trial["offered"] - trial["received"]
    return lost / trial["offered"] if trial["offered"] else 0.0


def values(record: dict[str, Any]) -> dict[Key, Value]:
    """All figures of stored results.

    Throughput is the most that came through at any load, in Mpps; "routing_lossless" the most
    with at most 1 % lost.  Delays are medians in µs.
    """
    rounds: dict[Key, dict[int, float]] = defaultdict(dict)
    for trial in record["trials"]:
        rest = (trial["channel"], trial["who"], trial["wait"], trial["size"])
        test, number = trial["test"], trial["round"]

        def at_least(name: str, value: float, rest: Any = rest, number: int = number) -> None:
            found = rounds[(name, *rest)]
            found[number] = max(found.get(number, 0.0), value)

        if test == "routing":
            mpps = trial["received_pps"] / 1e6
            at_least(test, mpps)
            at_least("routing_lossless", mpps if lost_part(trial) <= LOSSLESS else 0.0)
        elif test == "sending":
            at_least(test, trial["received_pps"] / 1e6)
        elif trial["count"] > trial["lost"]:
            rounds[(test, *rest)][number] = trial["p50_us"]
    return {
        key: Value(tuple(found[number] for number in sorted(found)))
        for key, found in rounds.items()
        if found
    }


def native(found: dict[Key, Value], test: str, size: int) -> Value | None:
    """The host's own kernel as Linux sets it up."""
    return found.get((test, "native", "native", "epoll", size))


def channels_of(record: dict[str, Any]) -> list[str]:
    """Those that were measured, in their order."""
    names = dict.fromkeys(trial["channel"] for trial in record["trials"])
    return [name for name in names if not name.startswith("native")]


def sizes_of(record: dict[str, Any]) -> list[int]:
    """Packet sizes that were measured."""
    return sorted({trial["size"] for trial in record["trials"]})


def bound_by(found: dict[Key, Value], test: str, channel: str, size: int) -> str:
    """What keeps our stack from being faster, in a word; "" if it is not known.

    The channel, if the relay without a stack is at most a tenth better; else our stack.
    """
    ours = found.get((test, channel, "stack", "epoll", size))
    relay = found.get((test, channel, "relay", "epoll", size))
    if ours is None or relay is None or not relay.median or not ours.median:
        return ""
    ratio = ours.over(relay).median
    if test.endswith("delay"):
        ratio = 1 / ratio
    return "channel" if ratio >= 0.9 else "stack"


HEADER = ("channel", "bytes", "relay", "ours", "spread", "/ relay", "/ native", "bound")


def rows(record: dict[str, Any], test: str) -> list[tuple[str, ...]]:
    """What HEADER names, for each channel and size: the relay, our stack, native."""
    found = values(record)
    made: list[tuple[str, ...]] = []
    for size in sizes_of(record):
        host = native(found, test, size)
        steered = found.get((test, "native-steered", "native", "epoll", size))
        for name, value in (("native", host), ("native, RPS", steered)):
            if value is not None:
                made.append((name, str(size), "", _shown(value), _spread(value), "", "", ""))
        for channel in channels_of(record):
            ours = found.get((test, channel, "stack", "epoll", size))
            relay = found.get((test, channel, "relay", "epoll", size))
            made.append(
                (
                    channel,
                    str(size),
                    _shown(relay),
                    _shown(ours),
                    _spread(ours),
                    f"{ours.over(relay).median:.2f}" if ours and relay else "",
                    f"{ours.over(host).median:.2f}" if ours and host else "",
                    bound_by(found, test, channel, size),
                )
            )
    return made


def tables(record: dict[str, Any]) -> list[Table]:
    """A table for each test, for a terminal."""
    made = []
    for test, title in TESTS.items():
        table = Table(*HEADER, title=f"{title}, {UNITS[test]}")
        for row in rows(record, test):
            table.add_row(*row)
        made.append(table)
    return made


def markdown(record: dict[str, Any]) -> str:
    """The tables for a document."""
    lines = []
    for test, title in TESTS.items():
        lines += ["", f"{title[0].upper()}{title[1:]}, {UNITS[test]}:", ""]
        table: list[tuple[str, ...]] = [HEADER, ("---",) * len(HEADER), *rows(record, test)]
        for row in table:
            lines.append(f"| {' | '.join(row)} |".replace("  ", " "))
    return "\n".join(lines[1:]) + "\n"


def _shown(value: Value | None) -> str:
    return "" if value is None else f"{value.median:.3g}"


def _spread(value: Value | None) -> str:
    return "" if value is None else f"{value.low:.3g} - {value.high:.3g}"
