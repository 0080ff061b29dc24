# SPDX-License-Identifier: GPL-2.0-only
"""How a call that blocks waits, and how programs take turns.

A blocked call is a ``Waiter``.  Without programs its own thread runs the world until the
waiter is ready.  With programs the hub's greenlet does so for all of one thread: it resumes
what is ready in order of becoming ready, and runs the world when nothing is.  The order
depends on nothing but the kernels, so a run in virtual time repeats exactly.
"""

from __future__ import annotations

import ctypes
import heapq
import threading
from _thread import get_ident  # the host's, also inside as_host()
from collections import deque
from collections.abc import Callable
from ctypes import byref, c_int64
from typing import TYPE_CHECKING, Any, TypeVar

from greenlet import getcurrent, greenlet

from pylibos import _abi
from pylibos._errors import ProgramFailed, ThreadError
from pylibos._program import Program, ProgramGreenlet
from pylibos._report import deadlock
from pylibos._running import leave
from pylibos._ticker import Tickers

if TYPE_CHECKING:
    from pylibos._machine import Machine
    from pylibos._world import World

T = TypeVar("T")
NEVER = _abi.LL_NEVER
# Wall time after which a wait looks for Python's signal handlers, in ns.
SLICE_NS = 50_000_000
_check_signals = ctypes.pythonapi.PyErr_CheckSignals


class Waiter:
    """Something that a greenlet waits for: the end of a call, a time, a program's end."""

    __slots__ = ("error", "greenlet", "machine", "ready", "task", "timed_out")

    def __init__(self, machine: Machine | None = None, task: int = 0) -> None:
        self.greenlet = getcurrent()
        self.machine = machine
        self.task = task
        self.ready = False
        self.timed_out = False
        self.error: BaseException | None = None


class Hub:
    """The scheduler of one world's waiters and programs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._library = world._library
        self._ready: deque[Waiter | Program[Any]] = deque()
        self._calls: dict[int, Waiter] = {}
        self._outer: list[Waiter] = []
        self._timers: list[tuple[int, int, Waiter]] = []
        self._timer_count = 0
        self._programs: list[Program[Any]] = []
        self._failed: list[Program[Any]] = []
        self._killing: list[Program[Any]] = []
        self._thread: int | None = None
        self._progress_ns = 0
        self.greenlet: greenlet | None = None
        # Tell what event loops wait for, line by line, in a report of a deadlock.
        self.reporters: list[Callable[[], list[str]]] = []
        self.tickers = Tickers(world)
        # Called whenever the world has run for a while; shows progress.
        self.watcher: Callable[[], None] | None = None

    # --- Programs ---

    def spawn(self, function: Callable[..., T], args: Any, kwargs: dict[str, Any]) -> Program[T]:
        """Queue a new program; it starts when the caller blocks."""
        if self._programs and self._thread != get_ident():
            raise ThreadError(
                "Programs of a world take turns in the thread that spawned the first of them; "
                "spawn from that thread, or give this thread a world of its own."
            )
        if self.greenlet is None or not self._programs:
            self._thread = get_ident()
            self.greenlet = greenlet(self._loop)
        program: Program[T] = Program(self, function, args, kwargs)
        self._programs.append(program)
        self._ready.append(program)
        return program

    def ended(self, program: Program[Any]) -> None:
        """A program's function has returned or raised."""
        self._programs.remove(program)
        for function in program.at_end:
            function()
        if isinstance(program.error, KeyboardInterrupt | SystemExit) and self._outer:
            # These are meant for whoever runs the programs.
            self._outer[-1].error = program.error
            self._wake(self._outer[-1])
        elif program.error is not None and not program.joiners:
            self._failed.append(program)
        for waiter in program.joiners:
            self._wake(waiter)

    def join(self, program: Program[Any]) -> None:
        """Wait until a program has ended."""
        if not program.done:
            waiter = Waiter()
            program.joiners.append(waiter)
            try:
                self._block(waiter)
            finally:
                program.joiners.remove(waiter)

    def kill(self, program: Program[Any]) -> None:
        """Raise GreenletExit in a program and run it to its end."""
        if program.done:
            return
        if not program.greenlet:  # it has not started
            program.done = True
            self._ready.remove(program)
            self.ended(program)
            return
        # It comes back to its killer, not to the hub.
        program.greenlet.parent = getcurrent()
        self._killing.append(program)
        try:
            leave(program.greenlet.throw)
        finally:
            self._killing.remove(program)

    def forgive(self, program: Program[Any]) -> None:
        """Somebody has seen a program's failure."""
        if program in self._failed:
            self._failed.remove(program)

    def raise_failures(self) -> None:
        """Raise the first failure of a program that nobody asked for."""
        if self._failed:
            program = self._failed[0]
            self._failed.clear()
            raise ProgramFailed(
                f"The program {program.name} failed: {program.error!r}."
            ) from program.error

    # --- Waiting ---

    def wait_call(
        self, machine: Machine, task: int, result: c_int64, deadline_ns: int | None
    ) -> None:
        """Wait for the end of a call in flight; its result goes into result.

        Raises:
            TimeoutError: the deadline came first; the call has been interrupted.
            DeadlockError, KernelDead, ThreadError, and what a Python signal handler raises;
            the call has been interrupted then, too.
        """
        if not self._mine() and not self._world.virtual:
            self._wait_in_thread(machine, task, result, deadline_ns)
            return
        waiter = Waiter(machine, task)
        self._calls[task] = waiter
        if not self._programs:
            self._progress_ns = self._world.now_ns
        try:
            self._block(waiter, deadline_ns)
        except BaseException:
            self._calls.pop(task, None)
            self._interrupt(machine, task, result)
            raise
        if waiter.timed_out:
            self._calls.pop(task, None)
            self._interrupt(machine, task, result)
            if result.value == -4:  # EINTR
                raise TimeoutError("timed out")
            return
        status = self._library.plh_poll(machine.handle, task, byref(result))
        if status != _abi.PLH_OK:
            machine.fail(status)

    def run_until(self, time_ns: int) -> None:
        """Wait until the clock shows a time."""
        waiter = Waiter()
        self._block(waiter, time_ns)

    def wait(self, waiter: Waiter, deadline_ns: int | None = None) -> None:
        """Wait until somebody wakes the waiter, or until a deadline: then it has timed out."""
        self._block(waiter, deadline_ns)

    def wake(self, waiter: Waiter) -> None:
        """Let a waiter go on; its greenlet's turn comes later."""
        self._wake(waiter)

    def runs_programs_here(self) -> bool:
        """Whether this host thread is the one that runs programs of this world."""
        return bool(self._programs) and self._thread == get_ident()

    def may_wait_here(self) -> bool:
        """Whether this host thread runs the programs, or there are none."""
        return not self._programs or self._thread == get_ident()

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

    def _wait_in_thread(
        self, machine: Machine, task: int, result: c_int64, deadline_ns: int | None
    ) -> None:
        """Wait beside other threads in a world of real time."""
        until = NEVER if deadline_ns is None else deadline_ns
        while True:
            status = self._library.plh_wait(machine.handle, task, until, byref(result))
            if status == _abi.PLH_OK:
                return
            if status == _abi.PLH_TIMEOUT:
                raise TimeoutError("timed out")
            try:
                self._world.raise_callback_error()
                if status not in (_abi.PLH_SIGNAL, _abi.PLH_PENDING):
                    machine.fail(status)
                _check_signals()
            except BaseException:
                self._interrupt(machine, task, result)
                raise

    def _interrupt(self, machine: Machine, task: int, result: c_int64) -> None:
        """End a call in flight, for instance since its caller has given up."""
        if machine.handle is None:
            return  # its kernel has taken it along
        status = self._library.plh_interrupt(machine.handle, task, byref(result))
        for _ in range(1000):
            if status != _abi.PLH_PENDING:
                return
            # It sleeps uninterruptibly: that ends, but may need time to pass.
            until = self._library.plh_world_next_ns(self._world.open_handle)
            self._library.plh_world_run(self._world.open_handle, until, SLICE_NS, 1)
            status = self._library.plh_poll(machine.handle, task, byref(result))

    def _block(self, waiter: Waiter, deadline_ns: int | None = None) -> None:
        """Return once the waiter is ready or its deadline has come; raise its error."""
        if deadline_ns is not None:
            self._timer_count += 1
            heapq.heappush(self._timers, (deadline_ns, self._timer_count, waiter))
        try:
            if isinstance(waiter.greenlet, ProgramGreenlet):
                waiter.greenlet.program.waiter = waiter
                while not waiter.ready:
                    leave(self.greenlet.switch)  # type: ignore[union-attr]
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
                hub = self.greenlet
                if hub is None or hub.dead:
                    hub = self.greenlet = greenlet(self._loop)
                hub.parent = waiter.greenlet
                leave(hub.switch)
            else:
                self._step()
                self._ready.clear()  # only this very waiter can be in it

    def _loop(self) -> None:
        """Run forever: what is ready, else the world."""
        while True:
            while self._ready:
                item = self._ready.popleft()
                if isinstance(item, Program):
                    item.greenlet.parent = getcurrent()
                    item.greenlet.switch()
                elif not item.greenlet.dead:
                    item.greenlet.switch()
            try:
                self._step()
            except BaseException as error:
                # The one who waits outside of all programs gets it, or what cleans up in a
                # program that is being killed.
                waiter = self._killing[-1].waiter if self._killing else self._outer[-1]
                assert waiter is not None
                waiter.error = error
                self._wake(waiter)

    def _wake(self, waiter: Waiter) -> None:
        if not waiter.ready:
            self._progress_ns = self._world.now_ns
            waiter.ready = True
            self._ready.append(waiter)

    def _step(self) -> None:
        """Run the world until some call ends, a timer is due, or the budget is used up."""
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
        while self._timers and self._timers[0][0] <= self._world.now_ns:
            waiter = heapq.heappop(self._timers)[2]
            if not waiter.ready:
                waiter.timed_out = True
                self._wake(waiter)
        self._world.raise_callback_error()
        if until == NEVER and self._stuck(status):
            raise deadlock(self._world)
        if status in (_abi.PLH_SIGNAL, _abi.PLH_PENDING):
            _check_signals()
        elif status in (_abi.PLH_BUSY, _abi.PLH_FORKED, _abi.PLH_ERROR):
            self._world.machines[0].fail(status)

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
            return self._world.now_ns - self._progress_ns > self._world.deadlock_ns
        return status == _abi.PLH_DEADLOCK

    def kill_waiting(self, machine: Machine) -> None:
        """Kill the programs that wait for a call of a kernel which is about to go."""
        for waiter in list(self._calls.values()):
            owner = waiter.greenlet
            if waiter.machine is machine and isinstance(owner, ProgramGreenlet):
                self.kill(owner.program)

    def close(self) -> None:
        """Kill all programs, stop all tickers."""
        self.tickers.close()
        for program in list(self._programs):
            self.kill(program)
        hub = self.greenlet
        if hub and not isinstance(getcurrent(), ProgramGreenlet):
            # A suspended greenlet keeps all that it knows, and the garbage collector cannot tell.
            hub.parent = getcurrent()
            hub.throw()
            self.greenlet = None
