# SPDX-License-Identifier: GPL-2.0-only
"""Locks for programs: who waits for one lets the other programs of its world run.

``threading.Lock()`` and ``threading.RLock()`` give these inside as_host(), and with them
Condition, Event, Semaphore, Barrier, Timer and ``queue`` work, as they are made of locks.
Whoever has waited longest gets the lock; timeouts count on the world's clock.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from pylibos._errors import ThreadError
from pylibos._turns import Waiter

if TYPE_CHECKING:
    from pylibos._world import World


class _LockWaiter(Waiter):
    __slots__ = ("granted",)

    def __init__(self) -> None:
        super().__init__()
        self.granted = False


class ProgramLock:
    """What ``threading.Lock()`` returns inside as_host()."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._locked = False
        self._waiters: deque[_LockWaiter] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; wait for it if asked to.

        Args:
            blocking: whether to wait.
            timeout: for how long at most, in seconds of the world's clock; -1: for ever.

        Returns:
            Whether it was taken.

        Raises:
            DeadlockError: nobody is left who could release it.
            ThreadError: another thread of the host than the one that runs the programs.
        """
        if timeout != -1:
            if not blocking:
                raise ValueError("can't specify a timeout for a non-blocking call")
            if timeout < 0:
                raise ValueError("timeout value must be a non-negative number")
            if timeout > threading.TIMEOUT_MAX:
                raise OverflowError("timeout value is too large")
        if not self._locked:
            self._locked = True
            return True
        if not blocking or timeout == 0:
            return False
        return self._wait(timeout)

    def _wait(self, timeout: float) -> bool:
        world = self._world
        if not world.hub.may_wait_here():
            raise ThreadError(
                "Programs share this lock, and another thread waits for it; make locks that "
                "threads of the host are to share outside of as_host()."
            )
        deadline_ns = None if timeout == -1 else world.now_ns + round(timeout * 1e9)
        waiter = _LockWaiter()
        self._waiters.append(waiter)
        try:
            world.hub.wait(waiter, deadline_ns)
        except BaseException:
            if waiter.granted:
                self.release()
            raise
        finally:
            if not waiter.granted:
                self._waiters.remove(waiter)
        return waiter.granted

    def release(self) -> None:
        """Give the lock up, or to the one who has waited longest.

        Raises:
            RuntimeError: nobody holds it.
        """
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        for waiter in self._waiters:
            if not waiter.ready:  # else its time is over, or its program is being killed
                waiter.granted = True
                self._waiters.remove(waiter)
                self._world.hub.wake(waiter)
                if not self._world.virtual:
                    self._world.wake()  # it may be another thread that waits
                return
        self._locked = False

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._locked

    def _at_fork_reinit(self) -> None:
        self._locked = False
        self._waiters.clear()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self._locked else 'unlocked'} pylibos.ProgramLock>"


class ProgramRLock:
    """What ``threading.RLock()`` returns inside as_host(): each program is a thread."""

    def __init__(self, world: World) -> None:
        self._lock = ProgramLock(world)
        self._owner: Any = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, once more if it is the program's already; see ProgramLock."""
        me = getcurrent()
        if self._owner is me:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        """Give it up once.

        Raises:
            RuntimeError: another one holds it, or nobody.
        """
        if self._owner is not getcurrent():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._count > 0

    # What threading.Condition asks of a lock.

    def _is_owned(self) -> bool:
        return self._owner is getcurrent()

    def _release_save(self) -> tuple[Any, int]:
        if not self._count:
            raise RuntimeError("cannot release un-acquired lock")
        state = self._owner, self._count
        self._owner, self._count = None, 0
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[Any, int]) -> None:
        self._lock.acquire()
        self._owner, self._count = state

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()
        self._owner, self._count = None, 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<pylibos.ProgramRLock count={self._count}>"
