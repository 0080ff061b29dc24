# SPDX-License-Identifier: GPL-2.0-only
"""``threading`` and ``queue`` inside as_host(): threads become programs of the same kernel.

A host thread would run beside virtual time, and a lock of the host would stop all programs of
the world at once.  So Thread.start() spawns a program, and new locks are locks for programs;
what is made of locks (Event, Condition, Semaphore, Queue, Future) follows by itself.  In real
time, where no programs run, threads stay threads, and are inside as_host() as well.
"""

from __future__ import annotations

import itertools
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from pylibos._host_context import Dispatcher, Patches, Target, Variants, current_process
from pylibos._program_locks import ProgramLock, ProgramRLock
from pylibos._turns import Waiter

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._program import Program
    from pylibos._world import World

_THREAD: ContextVar[threading.Thread | None] = ContextVar("pylibos_thread", default=None)
# Far above what the host gives its threads, which are addresses.
_identities = itertools.count(1 << 62)


class ProgramThread(threading.Thread):
    """Methods of a thread that was started inside as_host()."""

    _program: Program[None]

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for timeout seconds of the world's clock."""
        if self is _THREAD.get():
            raise RuntimeError("cannot join current thread")
        program = self._program
        if program.done:
            return
        if timeout is None:
            program.join()
            return
        world = program._hub._world
        waiter = Waiter()
        program.joiners.append(waiter)
        try:
            world.hub.wait(waiter, world.now_ns + round(max(timeout, 0) * 1e9))
        finally:
            program.joiners.remove(waiter)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return not self._program.done

    def __repr__(self) -> str:
        state = "started" if self.is_alive() else "stopped"
        return f"<{type(self).__name__}({self.name}, program, {state} {self.ident})>"


_variant = Variants(ProgramThread)


def _run(thread: threading.Thread) -> None:
    """A thread's life, as threading.Thread._bootstrap_inner() has it."""
    _THREAD.set(thread)
    try:
        thread.run()
    except GreenletExit:
        raise
    except BaseException as error:
        if not _is_being_killed(error):
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), thread)))


def _is_being_killed(error: BaseException) -> bool:
    """Whether an error is one of clearing up after GreenletExit, in a kernel that is gone."""
    context = error.__context__
    return isinstance(context, GreenletExit) or (context is not None and _is_being_killed(context))


def _takes_turns(process: Process) -> bool:
    """Whether threads and locks are to be those of programs; else the host's can be used."""
    hub = process.world.hub
    return process.world.virtual or hub.runs_programs_here()


def _start_program(process: Process, thread: Any) -> None:
    if not thread._initialized:
        raise RuntimeError("thread.__init__() not called")
    if thread.ident is not None:
        raise RuntimeError("threads can only be started once")
    program = process.spawn(_run, thread)
    program.name = f"thread {thread.name}"
    thread.__class__ = _variant(type(thread))
    thread._program = program
    thread._ident = thread._native_id = next(_identities)
    thread._started.set()


def _start_inside(process: Process, thread: Any, real: Callable[[Any], None]) -> None:
    """Start a thread of the host, in real time, that is inside as_host() as well."""
    run = thread.run

    def run_inside() -> None:
        del thread.run
        with process.as_host():
            run()

    thread.run = run_inside
    try:
        real(thread)
    except BaseException:
        vars(thread).pop("run", None)
        raise


def _starter(real: Callable[[Any], None]) -> Callable[[Any], None]:
    def start(self: Any) -> None:
        process = current_process()
        if process is None:
            real(self)
        elif _takes_turns(process):
            _start_program(process, self)
        else:
            _start_inside(process, self, real)

    start.__doc__ = real.__doc__
    return start


class _ThreadDispatcher(Dispatcher):
    """Of current_thread() and get_ident(): programs that are threads know themselves."""

    __slots__ = ()

    def __call__(self) -> Any:
        thread = _THREAD.get()
        return self._real() if thread is None else self._chosen(thread)


def _maker(real: Any, make: Callable[[World], Any], *kinds: type) -> Dispatcher:
    """Replace what makes a lock or a queue."""

    def chosen(process: Process) -> Any:
        return make(process.world) if _takes_turns(process) else real()

    return Dispatcher(real, chosen, kinds)


def _lock(real: Any) -> Dispatcher:
    return _maker(real, ProgramLock, ProgramLock)


def _rlock(real: Any) -> Dispatcher:
    return _maker(real, ProgramRLock, ProgramRLock)


def _simple_queue(real: Any) -> Dispatcher:
    kind: Any = queue._PySimpleQueue  # type: ignore[attr-defined]
    return _maker(real, lambda _world: kind(), kind)


def _targets() -> Iterator[Target]:
    yield threading.Thread, "start", _starter
    yield threading, "current_thread", lambda real: _ThreadDispatcher(real, lambda it: it)
    yield threading, "get_ident", lambda real: _ThreadDispatcher(real, lambda it: it.ident)
    yield threading, "Lock", _lock
    yield threading, "_allocate_lock", _lock
    yield threading, "RLock", _rlock
    yield queue, "SimpleQueue", _simple_queue


THREADS = Patches(_targets)
