# SPDX-License-Identifier: GPL-2.0-only
"""Looks at a world at fixed times of its clock, without a program and without a trace.

Stopping a world at a time does not change what its kernels do, and looking happens only when
all of them are idle and no call has just ended, so that it changes no order either.  While
nothing is planned the ticks of a virtual world are not even stopped at: what is seen before a
pause holds for all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pylibos import _abi

if TYPE_CHECKING:
    from pylibos._world import World

NEVER = _abi.LL_NEVER


class Ticker(Protocol):
    """Something that looks at the world now and then."""

    def before(self, now_ns: int, quiet_ns: int) -> int:
        """The world is about to run; nothing happens before quiet_ns, and it may look now.

        Returns:
            The time at which it must be asked again, in ns.
        """

    def passed(self, now_ns: int) -> None:
        """The world has run until now_ns."""

    def look(self, now_ns: int) -> bool:
        """It may look; return whether it made a call."""

    def close(self) -> None:
        """No more of it."""


class Tickers:
    """The tickers of a world.

    Attributes:
        all: in the order in which they were added.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: list[Ticker] = []

    def __bool__(self) -> bool:
        return bool(self.all)

    def add(self, ticker: Ticker) -> None:
        """Let it look from now on."""
        self.all.append(ticker)

    def remove(self, ticker: Ticker) -> None:
        """Leave it out from now on; doing so twice is fine."""
        if ticker in self.all:
            self.all.remove(ticker)

    def before(self, until_ns: int) -> int:
        """Where a world that may run until until_ns must stop at the latest."""
        world = self._world
        now_ns = world.now_ns
        quiet_ns = now_ns + 1
        if world.virtual:
            quiet_ns = min(until_ns, world._library.plh_world_next_ns(world.open_handle))
        if quiet_ns == NEVER:
            return until_ns  # nothing will ever happen, so a deadlock must show as one
        stops = [ticker.before(now_ns, quiet_ns) for ticker in list(self.all)]
        return min([until_ns, *stops])

    def after(self, *, idle: bool) -> None:
        """The world has run.

        Args:
            idle: all kernels are idle, no call has ended, and a program may be next; without
                one, before() follows and looks.
        """
        world = self._world
        now_ns = world.now_ns
        for ticker in self.all:
            ticker.passed(now_ns)
        looks = [idle and ticker.look(now_ns) for ticker in list(self.all)]
        if any(looks):
            # The kernels that were asked become idle again, as they were.
            world._library.plh_world_run(world.open_handle, now_ns, 0, 1)

    def close(self) -> None:
        """Close all of them."""
        for ticker in list(self.all):
            ticker.close()
