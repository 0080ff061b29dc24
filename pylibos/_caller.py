# SPDX-License-Identifier: GPL-2.0-only
"""System calls: the path from Python to a Linux task.

A caller stands for one Linux process.  Each Python thread and each program that calls through
it gets a Linux thread of that process, made on its first call and ended with it.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
import weakref
from collections.abc import Callable
from ctypes import addressof, byref, c_int64, c_uint64
from typing import Any

from greenlet import getcurrent

from pylibos import _abi
from pylibos._arguments import convert
from pylibos._errors import KernelDead, PylibosError
from pylibos._library import last_error
from pylibos._machine import Machine
from pylibos._program import ProgramGreenlet
from pylibos._syscalls import NUMBERS
from pylibos._turns import Waiter

CLONE_VM = 0x100
CLONE_FS = 0x200
CLONE_FILES = 0x400
CLONE_SIGHAND = 0x800
# What the Linux threads of one caller share.
_THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND

# A call's number and arguments, where they lie in a struct plh_request.
_NR = _abi.plh_request.nr.offset
_pack = struct.Struct("7q").pack_into
# By number of arguments; the words that are not given become 0.
_packers = [struct.Struct(f"{1 + count}q{8 * (6 - count)}x").pack_into for count in range(7)]
_UNFINISHED = _abi.PLH_UNFINISHED
_MAX_ERRNO = 4095
_MAX_NUMBER = 1 << 31
_SIG_IGN = 1
_RLIMIT_NOFILE, _DESCRIPTORS = 7, 1 << 20
_ESRCH, _EINTR = -errno.ESRCH, -errno.EINTR
# Where the kernel's last complaint stands in its log, in characters from the end.
_LOG_END = 20_000
_GETTID = NUMBERS["gettid"]
# Calls that return a descriptor: closed again if their caller was interrupted.
_MAKES_DESCRIPTOR = frozenset(
    NUMBERS[name]
    for name in ("accept", "accept4", "socket", "open", "openat", "dup", "epoll_create1")
    if name in NUMBERS
)


class Slot:
    """A Linux thread, and the buffers for its calls.

    Attributes:
        task: address of its struct ll_task.
        busy: whether a call uses the buffers.
        nested: the slot for calls made meanwhile by the same greenlet, or None: a garbage
            collection that closes a socket, or a signal handler, may run between any two steps
            of a call.
        request: number and arguments of the call.
        at: its address, ready to be passed.
        waiter: waits for its calls without a deadline.
        interrupted: what a call came to whose wait was given up.
    """

    __slots__ = ("at", "busy", "interrupted", "nested", "owner", "request", "task", "waiter")

    def __init__(self, machine: Machine, task: int, owner: Any) -> None:
        self.task = task
        self.busy = False
        self.nested: Slot | None = None
        self.request = _abi.plh_request(kernel=machine.open_handle, task=task)
        self.at = byref(self.request)
        self.waiter = Waiter(machine, task)
        self.waiter.greenlet = None  # a slot must not keep its greenlet alive
        self.interrupted = _EINTR
        self.owner = owner


class Caller:
    """A Linux process that makes system calls for Python code.

    Args:
        machine: its kernel.
        leader: address of the struct ll_task that its threads are cloned from.
    """

    def __init__(self, machine: Machine, leader: int) -> None:
        self._machine = machine
        self._leader = leader
        self._slots: dict[int, Slot] = {}
        self._orphans: list[Slot] = []
        self._leftovers: list[int] = []
        # A function object without parameters: what it is passed needs no conversion.
        submit = machine.library["plh_request_submit"]
        submit.restype = c_int64
        self._plain_submit: Callable[[Any], int] = submit
        self._submit = self._plain_submit
        machine.callers.add(self)

    # --- Calls ---

    def syscall(self, name: str | int, *args: Any, deadline_ns: int | None = None) -> int:
        """Make a system call.

        Args:
            name: name or number, as in this processor's own table.
            args: up to six of: int (also negative), None (a null pointer), bytes (its
                address: read-only for the kernel by contract), str (encoded, with a NUL at
                its end), bytearray, memoryview and other writable buffers, ctypes objects.
            deadline_ns: give up when the world's clock shows this.

        Returns:
            The call's result.

        Raises:
            OSError: of the errno's subclass.
            TimeoutError: the deadline came.
            KernelDead, DeadlockError, ForkedProcess, ThreadError: see there.
        """
        nr = NUMBERS.get(name)  # type: ignore[arg-type]
        if nr is None:
            nr = _number(name)
        slot = self._slots.get(id(getcurrent())) or self._enter()
        if slot.busy:
            slot = self._nest(slot)
        slot.busy = True
        try:
            try:
                _packers[len(args)](slot.request, _NR, nr, *args)
            except (struct.error, IndexError):
                keep = convert(args)
                _pack(slot.request, _NR, nr, *keep.words)
            result: int = self._submit(slot.at)
            if result == _UNFINISHED:
                result = self._wait(slot, nr, deadline_ns)
        finally:
            slot.busy = False
        if result >= 0 or result < -_MAX_ERRNO:
            return result
        if result == _ESRCH:
            self._raise_if_ended(slot)
        raise OSError(-result, os.strerror(-result))

    def call(
        self, nr: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, f: int = 0
    ) -> int:
        """Make a system call with plain numbers; return the result or -errno.

        The caller keeps alive what the addresses point at.
        """
        slot = self._slots.get(id(getcurrent())) or self._enter()
        if slot.busy:
            slot = self._nest(slot)
        slot.busy = True
        try:
            _pack(slot.request, _NR, nr, a, b, c, d, e, f)
            result: int = self._submit(slot.at)
            if result == _UNFINISHED:
                result = self._wait(slot, nr, None)
        finally:
            slot.busy = False
        if result == _ESRCH:
            self._raise_if_ended(slot)
        return result

    def _wait(self, slot: Slot, nr: int, deadline_ns: int | None) -> int:
        """The call did not end at once: return its result."""
        machine = self._machine
        status: int = slot.request.status
        if status != _abi.PLH_PENDING:
            self._raise_if_ended(slot)
            machine.fail(status)
        try:
            return machine.world.hub.wait_call(slot, deadline_ns)
        except BaseException:
            result, slot.interrupted = slot.interrupted, _EINTR
            if nr in _MAKES_DESCRIPTOR and result >= 0 and machine.handle:
                self.call(NUMBERS["close"], result)
            raise

    def _raise_if_ended(self, slot: Slot) -> None:
        """Give a task back that a signal has ended; the next call makes another one."""
        if _abi.ll_task.from_address(slot.task).state != _abi.LL_TASK_DEAD:
            return
        for key, mine in list(self._slots.items()):
            if mine is slot:
                del self._slots[key]
        for outer in self._slots.values():
            while outer.nested is not None and outer.nested is not slot:
                outer = outer.nested
            if outer.nested is slot:
                outer.nested, slot.nested = slot.nested, None
        self._end_slot(slot)
        if "Out of memory" in self._machine.log()[-_LOG_END:]:
            raise OSError(
                errno.ENOMEM,
                "The kernel ran out of memory and has ended the task of this thread; "
                "boot it with more memory",
            )
        raise ProcessLookupError(errno.ESRCH, "A signal has ended the task of this thread")

    def raise_at_next_call(self) -> None:
        """Make the next call raise what a callback raised meanwhile."""
        self._submit = self._submit_with_chores

    def close_collected(self, fd: int) -> None:
        """Close the descriptor of an object that is being collected, now or with the next call."""
        if self._machine.handle is None:
            return
        try:
            self.call(NUMBERS["close"], fd)
        except KernelDead:
            pass
        except (PylibosError, OSError):  # inside a callback, or while another thread waits
            self._leftovers.append(fd)
            self._submit = self._submit_with_chores

    def _submit_with_chores(self, at: Any) -> int:
        self._submit = self._plain_submit
        leftovers, self._leftovers = self._leftovers, []
        for fd in leftovers:
            self.close_collected(fd)
        self._machine.world.raise_callback_error()
        return self._plain_submit(at)

    # --- Linux threads ---

    def _enter(self) -> Slot:
        """Make the Linux thread of the current greenlet."""
        machine = self._machine
        machine.open_handle  # noqa: B018 - raises after halt()
        self._reap()
        try:
            task = create_task(machine, self._leader, _THREAD_FLAGS)
        except ProcessLookupError:
            self._leader_ended()
            task = create_task(machine, self._leader, _THREAD_FLAGS)
        current = getcurrent()
        key = id(current)
        slots, orphans = self._slots, self._orphans
        if key in slots:  # a call from within this one, see Slot.nested, was first
            orphans.append(Slot(machine, task, None))
            return slots[key]

        def gone(_reference: Any) -> None:
            if slot := slots.pop(key, None):
                orphans.append(slot)

        slot = Slot(machine, task, weakref.ref(current, gone))
        slots[key] = slot
        if isinstance(current, ProgramGreenlet):

            def end() -> None:
                if (mine := slots.pop(key, None)) and machine.handle is not None:
                    self._end_slot(mine)

            current.program.at_end.append(end)
        return slot

    def _nest(self, slot: Slot) -> Slot:
        """Find the slot for a call that is made while another one of its greenlet is under way."""
        while slot.busy:
            if slot.nested is None:
                task = create_task(self._machine, self._leader, _THREAD_FLAGS)
                slot.nested = Slot(self._machine, task, None)
            slot = slot.nested
        return slot

    def _end_slot(self, slot: Slot) -> None:
        """End a slot's Linux thread, and those nested in it."""
        inner: Slot | None = slot
        while inner is not None:
            self._machine.library.plh_task_exit(self._machine.handle, inner.task, 0)
            inner = inner.nested

    def _leader_ended(self) -> None:
        """The process whose threads are cloned has been killed."""
        raise ProcessLookupError(errno.ESRCH, "A signal has ended this task")

    def _reap(self) -> None:
        """End the Linux threads whose Python threads are gone."""
        while self._orphans:
            self._end_slot(self._orphans.pop())

    def _forget(self) -> None:
        """Make every further call look up its thread anew, and so notice a halt."""
        self._slots.clear()
        self._orphans.clear()

    def _end_threads(self) -> None:
        """End all Linux threads of this caller."""
        self._orphans.extend(self._slots.values())
        self._slots.clear()
        self._reap()

    @property
    def pid(self) -> int:
        """Thread id of the calling thread's task, in its pid namespace."""
        return self.call(_GETTID)

    @property
    def pending_signals(self) -> set[int]:
        """Signals that arrived for the calling thread's task since this was last read."""
        slot = self._slots.get(id(getcurrent())) or self._enter()
        task = _abi.ll_task.from_address(slot.task)
        bits, task.signals = task.signals, 0
        return {number + 1 for number in range(64) if bits >> number & 1}


def _number(name: str | int) -> int:
    """Check a system call's number; a name comes here only if it is unknown."""
    if not isinstance(name, int):
        raise ValueError(
            f"There is no system call named {name!r} on this processor; a number works, too."
        )
    if not 0 <= name < _MAX_NUMBER:
        raise ValueError(f"System call numbers are 0 to {_MAX_NUMBER - 1}, unlike {name}.")
    return name


def create_task(machine: Machine, parent: int, flags: int) -> int:
    """Make a Linux task; return the address of its struct ll_task.

    Raises:
        OSError: the kernel refused, for instance ENOMEM.
    """
    error = c_int64()
    with machine.lock:
        task: int | None = machine.library.plh_task_create(
            machine.open_handle, parent, flags, byref(error)
        )
    if task:
        return task
    if not machine.alive():
        raise machine.dead()
    if _abi.ll_task.from_address(parent).state == _abi.LL_TASK_DEAD:
        raise ProcessLookupError(errno.ESRCH, "A signal has ended this task")
    if error.value < 0:
        raise OSError(-error.value, f"A Linux task could not be made: {last_error()}")
    raise PylibosError(last_error())


def prepare(machine: Machine) -> None:
    """Set up process 1; what is cloned from it inherits that.

    It ignores SIGPIPE, as CPython does, and may have as many descriptors as Linux allows (the
    default of fs.nr_open) instead of 1024: one process stands for many programs here.
    """
    ignore = (c_uint64 * 4)(_SIG_IGN)
    limits = (c_uint64 * 2)(_DESCRIPTORS, _DESCRIPTORS)
    calls = (
        ("rt_sigaction", (signal.SIGPIPE, addressof(ignore), 0, 8)),
        ("prlimit64", (0, _RLIMIT_NOFILE, addressof(limits), 0)),
    )
    for name, words in calls:
        args = (c_uint64 * 6)(*words)
        result = c_int64()
        status = machine.library.plh_submit(
            machine.open_handle, machine.spawner, NUMBERS[name], args, byref(result)
        )
        if status:
            machine.fail(status)


def fail(result: int, name: str | None = None) -> OSError:
    """Make the OSError of a negative result.

    Args:
        result: -errno.
        name: file name for the message.
    """
    number = -result
    if name is None:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), name)
