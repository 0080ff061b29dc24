# SPDX-License-Identifier: GPL-2.0-only
"""How trio tasks wait for descriptors of kernels: a program per kernel waits in its epoll.

The program blocks in epoll_wait(2) as any program does; what it hears it keeps, and wakes the
greenlet in which trio runs, which then reschedules the tasks.
"""

from __future__ import annotations

from typing import Any

import outcome
import trio
from greenlet import GreenletExit

from pylibos._errors import KernelHalted, PylibosError
from pylibos._process import Process
from pylibos._program import Program
from pylibos._select import Epoll
from pylibos._turns import Waiter
from pylibos._world import World

READ, WRITE = 0, 1
_IN, _OUT, _ONESHOT = 0x001, 0x004, 1 << 30  # EPOLLIN, EPOLLOUT, EPOLLONESHOT


class _Entry:
    """The tasks that wait for one descriptor: a reader and a writer."""

    __slots__ = ("armed", "tasks")

    def __init__(self) -> None:
        self.tasks: list[trio.lowlevel.Task | None] = [None, None]
        self.armed = 0


class _Poller:
    """The epoll of one kernel or task, and the program that waits in it."""

    def __init__(self, waits: Waits, process: Process) -> None:
        self._waits = waits
        self._process = process
        self.entries: dict[int, _Entry] = {}
        self._heard: list[tuple[int, int]] = []
        self._error: BaseException | None = None
        self._epoll: Epoll = process.epoll()
        self._program = process.world.spawn(self._listen)

    def _listen(self) -> None:
        try:
            while True:
                came = self._epoll.poll()
                self._heard += came  # not in one: deliver() replaces the list meanwhile
                self._waits.wake()
        except GreenletExit:
            self._error = KernelHalted(f"{self._process!r} was halted while a trio task waited.")
        except BaseException as error:
            self._error = error
        self._waits.wake()

    def arm(self, fd: int, entry: _Entry) -> None:
        """Ask for the events that the entry's tasks wait for, once."""
        flags = (_IN if entry.tasks[READ] else 0) | (_OUT if entry.tasks[WRITE] else 0)
        if flags & ~entry.armed:
            entry.armed = flags
            try:
                self._epoll.modify(fd, flags | _ONESHOT)
            except FileNotFoundError:
                self._epoll.register(fd, flags | _ONESHOT)

    def deliver(self) -> bool:
        """Reschedule the tasks whose descriptors are ready; return whether there were any."""
        woken = False
        heard, self._heard = self._heard, []
        for fd, came in heard:
            entry = self.entries.get(fd)
            if entry is None:
                continue
            entry.armed = 0
            for index, others in ((WRITE, _IN), (READ, _OUT)):
                task = entry.tasks[index]
                if task is not None and came & ~others:
                    entry.tasks[index] = None
                    trio.lowlevel.reschedule(task)
                    woken = True
            self.arm(fd, entry)
        if self._error is not None:
            for fd in list(self.entries):
                woken |= self.fail(fd, self._error)
        return woken

    def fail(self, fd: int, error: BaseException) -> bool:
        """Raise an error in the tasks that wait for a descriptor, and forget it."""
        woken = False
        entry = self.entries.pop(fd, None)
        for task in entry.tasks if entry else ():
            if task is not None:
                trio.lowlevel.reschedule(task, outcome.Error(error))
                woken = True
        return woken

    def close(self) -> None:
        self._program.kill()
        self._epoll.close()


class Waits:
    """All that tasks of one run of trio wait for in the world.

    Attributes:
        world: the world.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._pollers: dict[Process, _Poller] = {}
        self._ended: list[trio.lowlevel.Task] = []
        self._waiter: Waiter | None = None

    # --- For the clock ---

    def run_world(self, deadline_ns: int | None) -> bool:
        """Run the world until a task can go on, or until the clock shows deadline_ns.

        Returns:
            Whether a task can go on.
        """
        if self._deliver():
            return True
        self._waiter = Waiter()
        try:
            self.world.hub.wait(self._waiter, deadline_ns)
        finally:
            self._waiter = None
        return self._deliver()

    def _deliver(self) -> bool:
        ended, self._ended = self._ended, []
        for task in ended:
            trio.lowlevel.reschedule(task)
        woken = [poller.deliver() for poller in self._pollers.values()]
        return bool(ended) or any(woken)

    def close(self) -> None:
        """Give back what the kernels lent."""
        for poller in self._pollers.values():
            poller.close()
        self._pollers.clear()

    # --- For programs ---

    def wake(self) -> None:
        """Let trio look at what has happened."""
        if self._waiter is not None:
            self.world.hub.wake(self._waiter)

    async def program(self, program: Program[Any]) -> None:
        """Wait until a program has ended."""
        task = trio.lowlevel.current_task()

        def wake() -> None:
            self._ended.append(task)
            self.wake()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            program.at_end.remove(wake)
            if task in self._ended:
                self._ended.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        program.at_end.append(wake)
        await trio.lowlevel.wait_task_rescheduled(abort)

    # --- For sockets ---

    async def wait(self, process: Process, fd: int, index: int) -> None:
        """Wait until a descriptor is readable or writable.

        Args:
            process: whose descriptor it is.
            fd: the descriptor.
            index: READ or WRITE.

        Raises:
            trio.BusyResourceError: another task waits for the same.
            trio.ClosedResourceError: it was closed meanwhile.
            KernelDead: its kernel has ended.
        """
        if process.world is not self.world:
            raise PylibosError(
                f"{process!r} belongs to another world than this run of trio; run trio there."
            )
        poller = self._pollers.get(process)
        if poller is None:
            poller = self._pollers[process] = _Poller(self, process)
        entry = poller.entries.setdefault(fd, _Entry())
        if entry.tasks[index] is not None:
            what = "writing to" if index == WRITE else "reading from"
            raise trio.BusyResourceError(f"another task is already {what} this socket")
        entry.tasks[index] = trio.lowlevel.current_task()
        poller.arm(fd, entry)

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            entry.tasks[index] = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def closing(self, process: Process, fd: int) -> None:
        """Wake the tasks that wait for a descriptor which is about to be closed."""
        if poller := self._pollers.get(process):
            poller.fail(fd, trio.ClosedResourceError("another task closed this socket"))


_waits: trio.lowlevel.RunVar[Waits] = trio.lowlevel.RunVar("pylibos_waits")


def set_waits(waits: Waits) -> None:
    """Make them those of the current run of trio."""
    _waits.set(waits)


def current_waits() -> Waits:
    """Those of the current run of trio.

    Raises:
        PylibosError: it was not started by trio_run() of a world or kernel.
    """
    try:
        return _waits.get()
    except LookupError:
        raise PylibosError(
            "A socket of a kernel waits on the world's clock, which this run of trio does not "
            "follow; start trio by trio_run() of the kernel or its world."
        ) from None
