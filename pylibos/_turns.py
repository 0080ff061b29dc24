# SPDX-License-Identifier: GPL-2.0-only
"""Whose turn it is: waiters and programs that are ready, in the order in which they became so.

Without programs a thread that waits runs the world itself.  With programs, whoever blocks
resumes what is ready, and runs the world when nothing is.  The order depends on nothing but the
kernels, so a run in virtual time repeats exactly.
"""

from __future__ import annotations

import ctypes
import heapq
import sys
import threading
from _thread import get_ident  # the host's, also inside as_host()
from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable
from ctypes import byref
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from pylibos import _abi
from pylibos._program import Program, ProgramGreenlet
from pylibos._report import deadlock
from pylibos._running import leave
from pylibos._ticker import Tickers

if TYPE_CHECKING:
    from pylibos._machine import Machine
    from pylibos._world import World

NEVER = _abi.LL_NEVER
# Wall time after which a wait looks for Python's signal handlers, in ns.
SLICE_NS = 50_000_000
check_signals = ctypes.pythonapi.PyErr_CheckSignals
_modules = sys.modules


class Waiter:
    """Something that a greenlet waits for: the end of a call, a time, a program's end.

    Attributes:
        ready: what it waits for has happened.
        turn: it has been chosen to go on, in its order.
        result: of its call, if that is known.
    """

    __slots__ = ("error", "greenlet", "machine", "ready", "result", "task", "timed_out", "turn")

    def __init__(self, machine: Machine | None = None, task: int = 0) -> None:
        self.greenlet: Any = getcurrent()
        self.machine = machine
        self.task = task
        self.ready = False
        self.turn = False
        self.timed_out = False
        self.error: BaseException | None = None
        self.result: int | None = None


class Turns:
    """The waiters of one world, its timers, and the programs that are about to start."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._library = world._library
        self._ready: deque[Waiter | Program[Any]] = deque()
        self._calls: dict[int, Waiter] = {}
        self._outer: list[Waiter] = []
        self._timers: list[tuple[int, int, Waiter]] = []
        self._timer_count = 0
        self._programs: list[Program[Any]] = []
        self._killing: list[Program[Any]] = []
        self._thread: int | None = None
        # Function objects without parameters: what they are passed needs no conversion.
        self._run_world: Callable[[Any], int | None] = self._library["plh_world_step"]
        self._run_world.restype = ctypes.c_void_p
        self._make_step(0)
        self.greenlet: greenlet | None = None
        # Tell what event loops wait for, line by line, in a report of a deadlock.
        self.reporters: list[Callable[[], list[str]]] = []
        self.tickers = Tickers(world)
        # Called whenever the world has run for a while; shows progress.
        self.watcher: Callable[[], None] | None = None

    def _make_step(self, progress_ns: int) -> None:
        self._step = _abi.plh_step(
            world=self._world.handle, until_ns=NEVER, budget_ns=SLICE_NS, progress_ns=progress_ns
        )
        self._until_ns = NEVER  # as it stands in there
        self._step_at = byref(self._step)

    # --- Taking turns ---

    def _block(self, waiter: Waiter, deadline_ns: int | None = None) -> None:
        """Return once the waiter is ready or its deadline has come; raise its error."""
        if deadline_ns is not None:
            self._timer_count += 1
            heapq.heappush(self._timers, (deadline_ns, self._timer_count, waiter))
        try:
            if isinstance(waiter.greenlet, ProgramGreenlet):
                waiter.greenlet.program.waiter = waiter
                if not waiter.ready:
                    self._pass_turn(waiter)
            else:
                self._outer.append(waiter)
                try:
                    self._block_outer(waiter)
                finally:
                    self._outer.remove(waiter)
            if waiter.error is not None:
                raise waiter.error
        finally:
            waiter.ready = True  # its timer is void

    def _block_outer(self, waiter: Waiter) -> None:
        while not waiter.ready:
            if self._programs and self._thread == get_ident():
                self._pass_turn(waiter)
                continue
            if self._mine():
                self._run()
            else:
                self._run_aside()
            self._ready.clear()  # only this very waiter can be in it

    def _pass_turn(self, waiter: Waiter) -> None:
        """Let others go on, and the world if nobody can, until it is the waiter's turn.

        Whoever blocks chooses the next one and switches there: to switch to the hub's greenlet
        and from there would only cost more.
        """
        ready = self._ready
        while not waiter.turn:
            if ready:
                item = ready.popleft()
                if isinstance(item, Program):
                    ready.appendleft(item)
                    self._enter_loop()
                    continue
                item.turn = True
                if item.greenlet.dead:
                    continue
            else:
                try:
                    ended = self._run()
                except BaseException as error:
                    self._hand_out(error)
                    continue
                if ended is None:
                    continue
                item = ended
            if item is waiter:
                break
            if _get_running_loop() is None and "trio" not in _modules:
                item.greenlet.switch()  # as leave() would
            else:
                leave(item.greenlet.switch)

    def _enter_loop(self) -> None:
        """Switch to the hub's greenlet: it is the parent of all programs, and starts them."""
        hub, current = self.greenlet, getcurrent()
        if hub is None or hub.dead:
            hub = self.greenlet = greenlet(self._loop)
        if not isinstance(current, ProgramGreenlet):
            hub.parent = current
        leave(hub.switch)

    def _loop(self) -> None:
        """Run forever: what is ready, else the world."""
        ready = self._ready
        while True:
            if ready:
                item = ready.popleft()
                if isinstance(item, Program):
                    item.greenlet.parent = getcurrent()
                    item.greenlet.switch()
                    continue
                item.turn = True
            else:
                try:
                    ended = self._run()
                except BaseException as error:
                    self._hand_out(error)
                    continue
                if ended is None:
                    continue
                item = ended
            if not item.greenlet.dead:
                item.greenlet.switch()

    def _hand_out(self, error: BaseException) -> None:
        """Running the world has failed, or a signal handler that ran meanwhile has.

        The one who waits outside of all programs gets it, or what cleans up in a program that is
        being killed.
        """
        waiter = self._killing[-1].waiter if self._killing else self._outer[-1]
        assert waiter is not None
        waiter.error = error
        self._wake(waiter)
        self._take_ended(self._step.task)  # nobody has looked at it yet

    def _wake(self, waiter: Waiter) -> None:
        if not waiter.ready:
            self._step.progress_ns = self._world.now_ns
            waiter.ready = True
            self._ready.append(waiter)

    # --- Running the world ---

    def next_timer_ns(self) -> int:
        """The earliest deadline of a waiter, or NEVER."""
        while self._timers and self._timers[0][2].ready:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else NEVER

    def _mine(self) -> bool:
        """Whether this thread runs the world, rather than waits for its own call only."""
        if self._programs:
            return self._thread == get_ident()
        return get_ident() == threading.main_thread().ident

    def _run(self) -> Waiter | None:
        """Run the world until some call ends, a timer is due, or the budget is used up.

        Returns:
            Who goes on next, if it is the only one; None: whoever can is in the queue.
        """
        if self.tickers.all or self.watcher is not None:
            self._step.task = None
            self._run_aside()
            return None
        step = self._step
        until = NEVER
        if self._timers:
            until = self.next_timer_ns()
        if until is not self._until_ns and until != self._until_ns:
            self._until_ns = step.until_ns = until
        task: Any = self._run_world(self._step_at)
        # No signal handler can run between here and the return.
        if task in self._calls and not self._world._callback_errors:
            waiter = self._calls[task]
            del self._calls[task]
            waiter.result = step.ret
            waiter.ready = waiter.turn = True
            return waiter
        self._take_ended(step.task)
        if step.more:
            self._take_done()
        self._ran(step.status, until, step.now_ns)
        return None

    def _run_aside(self) -> None:
        """Do so with some who look on now and then, or in a thread that is not the hub's."""
        handle, library = self._world.open_handle, self._library
        until = stop = self.next_timer_ns()
        woken = False
        if self.tickers:
            # What can run at this very time goes first: looking must not change the order.
            status = library.plh_world_run(handle, self._world.now_ns, SLICE_NS, 1)
            woken = self._take_done()
        if not woken:
            if self.tickers:
                stop = self.tickers.before(until)
            status = library.plh_world_run(handle, stop, SLICE_NS, 1)
            woken = self._take_done()
            if self.tickers:
                self.tickers.after(idle=status == _abi.PLH_OK and stop == until and not woken)
        if status == _abi.PLH_OK and stop != until:
            status = _abi.PLH_PENDING
        if self.watcher is not None:
            self.watcher()
        self._ran(status, until, self._world.now_ns)

    def _ran(self, status: int, until: int, now_ns: int) -> None:
        """The world has run: wake those whose time has come; raise what is wrong."""
        timers = self._timers
        while timers and timers[0][0] <= now_ns:
            waiter = heapq.heappop(timers)[2]
            if not waiter.ready:
                self._step.progress_ns = now_ns
                waiter.timed_out = waiter.ready = True
                self._ready.append(waiter)
        self._world.raise_callback_error()
        if until == NEVER and self._stuck(status):
            raise deadlock(self._world)
        if status in (_abi.PLH_SIGNAL, _abi.PLH_PENDING):
            check_signals()
        elif status in (_abi.PLH_BUSY, _abi.PLH_FORKED, _abi.PLH_ERROR):
            self._world.machines[0].fail(status)

    def _take_ended(self, task: int | None) -> None:
        """Wake the one whose call has ended, as the last step told."""
        if task is not None and (waiter := self._calls.get(task)) is not None:
            waiter.result = self._step.ret
            self._wake(waiter)
            del self._calls[task]

    def _take_done(self) -> bool:
        """Wake those whose calls have ended, or whose kernel has; return whether there were any."""
        handle, library = self._world.open_handle, self._library
        woken = False
        while task := library.plh_world_next_done(handle):
            woken = True
            if waiter := self._calls.pop(task, None):
                self._wake(waiter)
        return woken

    def _stuck(self, status: int) -> bool:
        """Whether nothing will ever become ready; kernels may chatter for ever all the same."""
        if self._ready or any(waiter.ready for waiter in self._outer):
            return False
        if status == _abi.PLH_PENDING and self._world.virtual:
            return self._world.now_ns - int(self._step.progress_ns) > self._world.deadlock_ns
        return status == _abi.PLH_DEADLOCK
