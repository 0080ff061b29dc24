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
from pylibos._host_context import GUEST, Clock, ClockDispatcher, Dispatcher, Patches, Target
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._world import World

_CLOCK_GETTIME = NUMBERS["clock_gettime"]
_REALTIME, _MONOTONIC = time.CLOCK_REALTIME, time.CLOCK_MONOTONIC
# Computing takes no virtual time, so these stay the host's: they count processor time.
_PROCESSOR_CLOCKS = frozenset({time.CLOCK_PROCESS_CPUTIME_ID, time.CLOCK_THREAD_CPUTIME_ID})

# How often a program may look at one instant before it counts as waiting in a loop; and how far
# the clock then goes on at most: doubled from 1 ns at each such time.
_PATIENCE = 1000
_LONGEST_STEP_NS = 10_000_000


class WorldClock:
    """The clock of a program that belongs to no kernel: all clocks are the world's.

    Virtual time stands still while a program computes, so one that does nothing but look at
    the clock would do so for ever.  Many looks at one instant are taken for waiting.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen_ns = 0
        self._looks = 0
        self._step_ns = 1

    def read_ns(self, clock: int) -> int:
        """A clock, in ns; once the world is closed, the host's."""
        if clock in _PROCESSOR_CLOCKS or self._world.handle is None:
            return clock_gettime_ns(clock)
        now_ns = self._world.now_ns
        if now_ns != self._seen_ns:
            self._seen_ns, self._looks, self._step_ns = now_ns, 0, 1
        self._looks += 1
        if self._looks > _PATIENCE and self._world.virtual:
            self._world.hub.run_until(now_ns + self._step_ns)
            now_ns = self._world.now_ns
            self._seen_ns, self._looks = now_ns, 0
            self._step_ns = min(2 * self._step_ns, _LONGEST_STEP_NS)
        return self._read_ns(clock, now_ns)

    def _read_ns(self, clock: int, now_ns: int) -> int:  # noqa: ARG002
        return now_ns

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

    def _read_ns(self, clock: int, now_ns: int) -> int:
        """clock_gettime(2); when the kernel is gone, go on from what it last said."""
        words = (c_int64 * 2)()
        try:
            result = self._process.call(_CLOCK_GETTIME, clock, addressof(words))
        except (PylibosError, ProcessLookupError):
            # Programs that are being ended look at the time, too: that never fails.
            return now_ns + self._ahead_ns.get(clock, 0)
        if result < 0:
            raise fail(result)
        read_ns = words[0] * 1_000_000_000 + words[1]
        self._ahead_ns[clock] = read_ns - now_ns
        return read_ns


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


def _deadlines(real: Any) -> Dispatcher:
    """monotonic() where it bounds waiting for locks or sockets: it must be of the same kind.

    Locks and sockets are the kernel's inside as_host() only, not in each program.
    """

    def chosen(_process: Process) -> float:
        guest = GUEST.get()
        assert guest is not None
        return guest.clock.read_ns(_MONOTONIC) / 1e9

    return Dispatcher(real, chosen)


# Modules that took a function of time under a name of their own when they were imported.
_KEPT = (
    ("threading", "_time", _deadlines),
    ("queue", "time", _deadlines),
    ("socketserver", "time", _deadlines),
    ("telnetlib", "_time", _deadlines),
    ("requests.sessions", "preferred_clock", _FUNCTIONS["time"]),
)


def _targets() -> Iterator[Target]:
    for name, make in _FUNCTIONS.items():
        yield time, name, make
    for module, name, make in _KEPT:
        if (owner := sys.modules.get(module)) is not None and hasattr(owner, name):
            yield owner, name, make


TIME = Patches(_targets)
