# SPDX-License-Identifier: GPL-2.0-only
"""How a call that blocks waits, and the life of programs; who is next stands in ``_turns.py``."""

from __future__ import annotations

from _thread import get_ident  # the host's, also inside as_host()
from collections.abc import Callable
from ctypes import byref, c_int64
from typing import TYPE_CHECKING, Any, TypeVar

from greenlet import getcurrent, greenlet

from pylibos import _abi
from pylibos._errors import ProgramFailed, ThreadError
from pylibos._program import Program, ProgramGreenlet
from pylibos._running import leave
from pylibos._turns import NEVER, SLICE_NS, Turns, Waiter, check_signals

if TYPE_CHECKING:
    from pylibos._caller import Slot
    from pylibos._machine import Machine
    from pylibos._world import World

T = TypeVar("T")
_EINTR = -4


class Hub(Turns):
    """The scheduler of one world's waiters and programs."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._failed: list[Program[Any]] = []

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
            # Another thread may be inside with the one that there was.
            self._make_step(self._step.progress_ns)
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

    def wait_call(self, slot: Slot, deadline_ns: int | None) -> int:
        """Wait for the end of a call in flight and return its result.

        Raises:
            TimeoutError: the deadline came first; the call has been interrupted.
            DeadlockError, KernelDead, ThreadError, and what a Python signal handler raises;
            the call has been interrupted then, too: slot.interrupted is what it came to.
        """
        waiter = slot.waiter
        mine = self._thread == get_ident() and self._programs
        if not (mine or self._mine() or self._world.virtual):
            return self._wait_in_thread(slot, deadline_ns)
        if deadline_ns is not None:
            waiter = Waiter(waiter.machine, waiter.task)
        else:
            waiter.greenlet = current = getcurrent()
            waiter.ready = waiter.turn = False
            waiter.result = None
        self._calls[waiter.task] = waiter
        try:
            if mine and deadline_ns is None:
                # As _block() does, in fewer steps.
                if type(current) is ProgramGreenlet:
                    current.program.waiter = waiter
                    self._pass_turn(waiter)
                else:
                    outer = self._outer
                    outer.append(waiter)
                    try:
                        self._pass_turn(waiter)
                    finally:
                        outer.remove(waiter)
                if waiter.error is not None:
                    raise waiter.error
            else:
                if not mine:
                    self._step.progress_ns = self._world.now_ns
                self._block(waiter, deadline_ns)
        except BaseException:
            self._give_up(slot)
            raise
        waiter.greenlet = None
        if waiter.result is not None:
            return waiter.result
        return self._result(waiter)

    def _give_up(self, slot: Slot) -> None:
        """End the call of a slot, whose wait has failed."""
        machine, task = slot.waiter.machine, slot.task
        assert machine is not None
        self._calls.pop(task, None)
        # The waiter may be in a queue: what the slot waits for next must not be taken for it.
        slot.waiter = Waiter(machine, task)
        slot.waiter.greenlet = None
        slot.interrupted = self._interrupt(machine, task)

    def _result(self, waiter: Waiter) -> int:
        """Ask for the result of a call whose waiter was woken without it."""
        machine, task = waiter.machine, waiter.task
        assert machine is not None
        if waiter.timed_out:
            self._calls.pop(task, None)
            if (value := self._interrupt(machine, task)) == _EINTR:
                raise TimeoutError("timed out")
            return value
        result = c_int64()
        status = self._library.plh_poll(machine.handle, task, byref(result))
        if status != _abi.PLH_OK:
            machine.fail(status)
        return result.value

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

    def _wait_in_thread(self, slot: Slot, deadline_ns: int | None) -> int:
        """Wait beside other threads in a world of real time."""
        machine = slot.waiter.machine
        assert machine is not None
        until = NEVER if deadline_ns is None else deadline_ns
        result = c_int64()
        while True:
            status = self._library.plh_wait(machine.handle, slot.task, until, byref(result))
            if status == _abi.PLH_OK:
                return result.value
            if status == _abi.PLH_TIMEOUT:
                raise TimeoutError("timed out")
            try:
                self._world.raise_callback_error()
                if status not in (_abi.PLH_SIGNAL, _abi.PLH_PENDING):
                    machine.fail(status)
                check_signals()
            except BaseException:
                slot.interrupted = self._interrupt(machine, slot.task)
                raise

    def _interrupt(self, machine: Machine, task: int) -> int:
        """End a call in flight, for instance since its caller has given up; return its result."""
        result = c_int64(_EINTR)  # unless the call says otherwise
        if machine.handle is None:
            return _EINTR  # its kernel has taken it along
        status = self._library.plh_interrupt(machine.handle, task, byref(result))
        for _ in range(1000):
            if status == _abi.PLH_SIGNAL:
                # The time of a wait is over: who runs the world has not come to it yet.
                status = self._library.plh_interrupt(machine.handle, task, byref(result))
                continue
            if status != _abi.PLH_PENDING:
                break
            # It sleeps uninterruptibly: that ends, but may need time to pass.
            until = self._library.plh_world_next_ns(self._world.open_handle)
            self._library.plh_world_run(self._world.open_handle, until, SLICE_NS, 1)
            status = self._library.plh_poll(machine.handle, task, byref(result))
        return result.value

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
        self._run_world = lambda _step: self._world.open_handle  # raises, once that is gone
