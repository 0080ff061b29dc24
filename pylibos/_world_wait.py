# SPDX-License-Identifier: GPL-2.0-only
"""How a real-time world waits, on which processor, and threads that do nothing but run one."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

from pylibos import _abi
from pylibos._errors import PylibosError
from pylibos._library import last_error

if TYPE_CHECKING:
    from pylibos._world import World

WAITS = {
    "epoll": _abi.PLH_WAIT_EPOLL,
    "busy": _abi.PLH_WAIT_BUSY,
    "adaptive": _abi.PLH_WAIT_ADAPTIVE,
}


def wait_kind(wait: str, *, real: bool) -> int:
    """The enum plh_wait_kind of a word.

    Raises:
        ValueError: there is none, or the clock is not the real one.
    """
    if wait not in WAITS:
        raise ValueError(f"A world waits by 'epoll', 'busy' or 'adaptive', not {wait!r}.")
    if wait != "epoll" and not real:
        raise ValueError(
            f"wait={wait!r} needs clock='real': nothing comes from outside while another clock "
            "stands still."
        )
    return WAITS[wait]


def spin_ns(spin_us: float) -> int:
    """Time in ns for the library.

    Raises:
        ValueError: out of range.
    """
    if not 0 < spin_us <= 1e6:
        raise ValueError(f"spin_us is above 0 and at most 1,000,000, not {spin_us}.")
    return max(1, round(spin_us * 1000))


def check_cpu(cpu: int | None) -> None:
    """Refuse a processor that this process may not use.

    Raises:
        ValueError: it may not.
    """
    allowed = os.sched_getaffinity(0)
    if cpu is not None and cpu not in allowed:
        numbers = ", ".join(str(number) for number in sorted(allowed))
        raise ValueError(f"cpu is one of those that this process may use ({numbers}), not {cpu}.")


_running: WeakSet[WorldThread] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """An interpreter that ends must not be called back any more."""
    for thread in list(_running):
        thread.stop()


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Keep this thread on a processor while the block runs; None: wherever it likes."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class WorldThread:
    """A host thread that runs a real-time world, made by ``World.run_thread()``.

    Attributes:
        cpu: the processor it stays on, or None.
        native_id: of the thread, as the host's ps(1) and perf(1) show it.
    """

    def __init__(self, world: World, cpu: int | None) -> None:
        self.cpu = cpu
        self._world = world
        self._library = world._library
        self._handle = world.open_handle
        self._error: str | None = None
        self._thread = threading.Thread(target=self._serve, name="pylibos world", daemon=True)
        self._thread.start()
        _running.add(self)

    @property
    def native_id(self) -> int | None:
        """The kernel's number of the thread."""
        return self._thread.native_id

    def _serve(self) -> None:
        if self.cpu is not None:
            os.sched_setaffinity(0, {self.cpu})
        if self._library.plh_world_serve(self._handle) != _abi.PLH_OK:
            self._error = last_error()

    def alive(self) -> bool:
        """Whether it runs the world."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it; stopping twice is fine.

        Raises:
            PylibosError: it could not run the world.
        """
        if self in self._world.threads:
            self._world.threads.remove(self)
            _running.discard(self)
            while self._thread.is_alive():
                self._library.plh_world_serve_stop(self._handle)
                self._thread.join(0.05)
        if self._error is not None:
            error, self._error = self._error, None
            raise PylibosError(error)

    def __enter__(self) -> WorldThread:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
