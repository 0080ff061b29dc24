# SPDX-License-Identifier: GPL-2.0-only
"""``threading`` and ``queue`` inside as_host(): threads become programs of the same kernel.

A host thread would run beside virtual time, and a lock of the host would stop all programs of
the world at once.  So Thread.start() spawns a program, and new locks are locks for programs;
what is made of locks (Event, Condition, Semaphore, Queue, Future) follows by itself.
"""

from __future__ import annotations

import itertools
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from greenlet import GreenletExit

from pylibos._host_context import Dispatcher, Patches, Target, current_process
from pylibos._hub import Waiter
from pylibos._program_locks import ProgramLock, ProgramRLock

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._program import Program

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


_variants: WeakKeyDictionary[type, type] = WeakKeyDictionary()


def _variant(kind: type) -> type:
    """A class of thread with the methods of ProgramThread below its own ones."""
    if kind is threading.Thread:
        return ProgramThread
    if (made := _variants.get(kind)) is None:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        made = _variants[kind] = type(kind.__name__, (kind, ProgramThread), names)
    return made


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


def _start(process: Process, thread: Any) -> None:
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


def _starter(real: Callable[[Any], None]) -> Callable[[Any], None]:
    def start(self: Any) -> None:
        process = current_process()
        if process is None:
            real(self)
        else:
            _start(process, self)

    start.__doc__ = real.__doc__
    return start


class _ThreadDispatcher(Dispatcher):
    """Of current_thread() and get_ident(): programs that are threads know themselves."""

    __slots__ = ()

    def __call__(self) -> Any:
        thread = _THREAD.get()
        return self._real() if thread is None else self._chosen(thread)


def _lock(process: Process) -> ProgramLock:
    return ProgramLock(process.world)


def _rlock(process: Process) -> ProgramRLock:
    return ProgramRLock(process.world)


def _simple_queue(_process: Process) -> Any:
    return queue._PySimpleQueue()  # type: ignore[attr-defined]


def _targets() -> Iterator[Target]:
    yield threading.Thread, "start", _starter
    yield threading, "current_thread", lambda real: _ThreadDispatcher(real, lambda it: it)
    yield threading, "get_ident", lambda real: _ThreadDispatcher(real, lambda it: it.ident)
    yield threading, "Lock", lambda real: Dispatcher(real, _lock)
    yield threading, "_allocate_lock", lambda real: Dispatcher(real, _lock)
    yield threading, "RLock", lambda real: Dispatcher(real, _rlock)
    yield queue, "SimpleQueue", lambda real: Dispatcher(real, _simple_queue)


THREADS = Patches(_targets)
