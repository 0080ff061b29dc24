# SPDX-License-Identifier: GPL-2.0-only
"""trio.run() with the clock of a world: when no task can run, the world does.

A ``trio.abc.Clock`` is asked how long trio may sleep.  This one runs the world for so long, and
then says: not at all.
"""

from __future__ import annotations

import contextlib
import math
import random
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import trio
import trio.socket

from pylibos._errors import DeadlockError
from pylibos._host_context import GUEST, on_the_host
from pylibos._running import place
from pylibos._trio import current_process
from pylibos._trio_socket import TrioSocket
from pylibos._trio_waits import Waits, set_waits
from pylibos._world import World

# How long the world may wait in real time before trio looks at its own signals and threads.
_REAL_SLICE_NS = 5_000_000
# How often trio may go round with tasks that never wait before the world gets a turn.
_BUSY_ROUNDS = 64


class WorldClock(trio.abc.Clock, trio.abc.Instrument):
    """The clock of a world for trio, in seconds."""

    def __init__(self, world: World, waits: Waits) -> None:
        self._world = world
        self._waits = waits
        self._reached = -math.inf
        self._reached_ns = -1
        self._rounds = 0
        self.scope: trio.CancelScope | None = None
        self.error: BaseException | None = None

    def start_clock(self) -> None:
        """Do nothing: the clock runs already."""

    def current_time(self) -> float:
        """The world's clock, in seconds."""
        now_ns = self._world.now_ns
        now = now_ns / 1e9
        # A deadline is a float near the ns at which it is due; here it must have passed.
        return max(now, self._reached) if now_ns == self._reached_ns else now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Run the world until a task can go on or a deadline comes; return how long to sleep."""
        self._rounds = 0
        try:
            return self._advance(deadline)
        except BaseException as error:
            self._fail(error)
            return 0

    def _advance(self, deadline: float) -> float:
        now_ns = self._world.now_ns
        due_ns = None if deadline == math.inf else max(round(deadline * 1e9), now_ns)
        limit_ns = due_ns
        called = trio.lowlevel.current_statistics().run_sync_soon_queue_size > 0
        waiting = _someone_waits_for_idle() or (self._world.virtual and _threads_run())
        if called or waiting:
            limit_ns = now_ns  # time stands still meanwhile
        elif not self._world.virtual:
            slice_ns = now_ns + _REAL_SLICE_NS
            limit_ns = slice_ns if due_ns is None else min(due_ns, slice_ns)
        woken = self._waits.run_world(limit_ns)
        if due_ns is not None and self._world.now_ns >= due_ns:
            self._reached, self._reached_ns = deadline, self._world.now_ns
            return 0
        return math.inf if waiting and not woken else 0

    def before_io_wait(self, timeout: float) -> None:
        """Give the world a turn now and then, also if some task can always run."""
        if timeout:
            return
        self._rounds += 1
        if self._rounds > _BUSY_ROUNDS:
            self._rounds = 0
            try:
                self._waits.run_world(self._world.now_ns)
            except BaseException as error:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Cancel everything for an error of the world; run() raises it in the end."""
        if self.error is not None or self.scope is None:
            raise error  # it was cancelled before: this ends trio as it is
        self.error = error
        self.scope.cancel()


class _Names(trio.abc.HostnameResolver):
    """Names of the current kernel's world."""

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - trio's name
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        await trio.lowlevel.checkpoint()
        return current_process().getaddrinfo(host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        await trio.lowlevel.checkpoint()
        return current_process().getnameinfo(sockaddr, flags)


class _Sockets(trio.abc.SocketFactory):
    """Sockets of the current kernel."""

    def socket(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - trio's name
        proto: int = 0,
    ) -> TrioSocket:
        return TrioSocket(current_process().socket(family, type, proto))


def run(
    world: World, async_fn: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Do what World.trio_run() does."""
    if "clock" in options:
        raise TypeError("trio_run() has the world's clock; it takes no other one.")
    waits = Waits(world)
    clock = WorldClock(world, waits)

    guest = GUEST.get()

    async def main() -> Any:
        GUEST.set(guest)
        set_waits(waits)
        trio.socket.set_custom_socket_factory(_Sockets())
        trio.socket.set_custom_hostname_resolver(_Names())
        value = None
        try:
            with trio.CancelScope() as clock.scope:
                value = await async_fn(*args)
        except Exception as error:
            if clock.error is not None:
                raise clock.error from error
            raise
        if clock.error is not None:
            raise clock.error
        return value

    def report() -> list[str]:
        root = trio.lowlevel.current_root_task()
        return [f"trio task {task.name} waits in {place(task.coro)}" for task in _tasks(root)]

    instruments = [clock, *options.pop("instruments", ())]
    world.hub.reporters.append(report)
    try:
        # Inside as_host(), too, trio itself waits in the host's epoll; its tasks are inside.
        with _same_order(world.seed), on_the_host():
            value = trio.run(main, clock=clock, instruments=instruments, **options)
    except trio.TrioInternalError as error:
        if isinstance(error.__cause__, DeadlockError):
            raise error.__cause__ from None  # a task waits although it was cancelled
        raise
    finally:
        world.hub.reporters.remove(report)
        waits.close()
    world.hub.raise_failures()
    return value


def _tasks(root: trio.lowlevel.Task | None) -> list[trio.lowlevel.Task]:
    """The tasks of a run that are the user's, parents first, in the order of their start."""
    found = [] if root is None else [root]
    for task in found:
        for nursery in task.child_nurseries:
            found += sorted(nursery.child_tasks, key=lambda child: getattr(child, "_counter", 0))
    return [task for task in found if not task.name.startswith("<")]


# --- What trio has no public name for ---


@contextlib.contextmanager
def _same_order(seed: int | None) -> Iterator[None]:
    """Let trio order its tasks by a seed, in the way that pytest-trio does for Hypothesis.

    trio shuffles the tasks that can run, lest anybody rely on their order.
    """
    scheduler: Any = sys.modules["trio._core._run"]
    shuffle = getattr(scheduler, "_r", None)
    if seed is None:
        yield
        return
    if not isinstance(shuffle, random.Random) or not hasattr(
        scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING"
    ):
        warnings.warn(
            f"trio {trio.__version__} orders its tasks in a way that pylibos does not know, so "
            "two runs may differ.",
            RuntimeWarning,
            stacklevel=2,
        )
        yield
        return
    state, flag = shuffle.getstate(), scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    shuffle.seed(seed)
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    try:
        yield
    finally:
        shuffle.setstate(state)
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = flag


def _someone_waits_for_idle() -> bool:
    """Whether a task is in trio.testing.wait_all_tasks_blocked(); a clock is not told."""
    scheduler: Any = sys.modules["trio._core._run"]
    return bool(getattr(scheduler.GLOBAL_RUN_CONTEXT.runner, "waiting_for_idle", ()))


def _threads_run() -> bool:
    """Whether functions run in trio.to_thread: they take no virtual time."""
    return trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0
