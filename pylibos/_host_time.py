# SPDX-License-Identifier: GPL-2.0-only
"""The functions of ``time`` inside programs and as_host(): they follow the world's clock.

Inside a program of a kernel they read the kernel's own clocks, so that a time of
``time.time_ns()`` can be compared with a packet's time stamp, and one of
``time.monotonic_ns()`` be given to timerfd or SO_TXTIME.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from ctypes import addressof, c_int64
from time import clock_gettime_ns, localtime, sleep
from typing import TYPE_CHECKING, Any

from pylibos._caller import fail
from pylibos._errors import PylibosError
from pylibos._host_context import Clock, ClockDispatcher, Patches, Target
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._world import World

_CLOCK_GETTIME = NUMBERS["clock_gettime"]
_REALTIME, _MONOTONIC = time.CLOCK_REALTIME, time.CLOCK_MONOTONIC
# Computing takes no virtual time, so these stay the host's: they count processor time.
_PROCESSOR_CLOCKS = frozenset({time.CLOCK_PROCESS_CPUTIME_ID, time.CLOCK_THREAD_CPUTIME_ID})


class WorldClock:
    """The clock of a program that belongs to no kernel: all clocks are the world's."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read_ns(self, clock: int) -> int:
        """The world's clock; once the world is closed, the host's."""
        if clock in _PROCESSOR_CLOCKS or self._world.handle is None:
            return clock_gettime_ns(clock)
        return self._world.now_ns

    def sleep(self, seconds: float) -> None:
        """Sleep in the world."""
        if self._world.handle is None:
            sleep(seconds)
        else:
            self._world.sleep(seconds)


class ProcessClock(WorldClock):
    """The clocks of a kernel, as a process of it sees them."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.world)
        self._process = process
        # What a clock was ahead of the world's when it was last read.
        self._ahead_ns: dict[int, int] = {}

    def read_ns(self, clock: int) -> int:
        """clock_gettime(2); goes on with the world's clock when the kernel is gone."""
        if clock in _PROCESSOR_CLOCKS:
            return clock_gettime_ns(clock)
        words = (c_int64 * 2)()
        try:
            result = self._process.call(_CLOCK_GETTIME, clock, addressof(words))
        except (PylibosError, ProcessLookupError):
            # Programs that are being ended look at the time, too: that never fails.
            ahead_ns = self._ahead_ns.get(clock, 0) if self._world.handle is not None else 0
            return super().read_ns(clock) + ahead_ns
        if result < 0:
            raise fail(result)
        now = words[0] * 1_000_000_000 + words[1]
        self._ahead_ns[clock] = now - self._world.now_ns
        return now


def _seconds(clock: int) -> Any:
    return lambda real: ClockDispatcher(real, lambda owner: owner.read_ns(clock) / 1e9)


def _nanoseconds(clock: int) -> Any:
    return lambda real: ClockDispatcher(real, lambda owner: owner.read_ns(clock))


def _now(owner: Clock) -> float:
    return owner.read_ns(_REALTIME) / 1e9


def _of_now(real: Any) -> ClockDispatcher:
    """gmtime() and its like: without an argument they mean now."""

    def chosen(owner: Clock, seconds: float | None = None) -> Any:
        return real(_now(owner) if seconds is None else seconds)

    return ClockDispatcher(real, chosen)


def _of_now_as_tuple(real: Any) -> ClockDispatcher:
    """strftime() and asctime(): the time is their last argument, a tuple."""

    def chosen(owner: Clock, *args: Any) -> Any:
        wanted = 2 if getattr(real, "__name__", "") == "strftime" else 1
        if len(args) == wanted - 1:
            args = (*args, localtime(_now(owner)))
        return real(*args)

    return ClockDispatcher(real, chosen)


_FUNCTIONS = {
    "time": _seconds(_REALTIME),
    "time_ns": _nanoseconds(_REALTIME),
    "monotonic": _seconds(_MONOTONIC),
    "monotonic_ns": _nanoseconds(_MONOTONIC),
    "perf_counter": _seconds(_MONOTONIC),
    "perf_counter_ns": _nanoseconds(_MONOTONIC),
    "clock_gettime": lambda real: ClockDispatcher(
        real, lambda owner, clock: owner.read_ns(clock) / 1e9
    ),
    "clock_gettime_ns": lambda real: ClockDispatcher(
        real, lambda owner, clock: owner.read_ns(clock)
    ),
    "sleep": lambda real: ClockDispatcher(real, lambda owner, seconds: owner.sleep(seconds)),
    "strftime": _of_now_as_tuple,
    "asctime": _of_now_as_tuple,
    "gmtime": _of_now,
    "localtime": _of_now,
    "ctime": _of_now,
}
# Modules that took a function of time under a name of their own when they were imported.
_KEPT = (
    ("threading", "_time", "monotonic"),
    ("queue", "time", "monotonic"),
    ("socketserver", "time", "monotonic"),
    ("telnetlib", "_time", "monotonic"),
    ("requests.sessions", "preferred_clock", "time"),
)


def _targets() -> Iterator[Target]:
    for name, make in _FUNCTIONS.items():
        yield time, name, make
    for module, name, function in _KEPT:
        if (owner := sys.modules.get(module)) is not None and hasattr(owner, name):
            yield owner, name, _FUNCTIONS[function]


TIME = Patches(_targets)
