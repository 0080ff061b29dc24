# SPDX-License-Identifier: GPL-2.0-only
"""A world: one clock with every kernel, link and program that follows it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from ctypes import byref
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from pylibos import _abi, _host, _trio
from pylibos._asyncio import is_async
from pylibos._callbacks import Callbacks, callback_type
from pylibos._errors import PylibosError, ThreadError
from pylibos._host_time import WorldClock
from pylibos._hub import Hub
from pylibos._library import host, last_error
from pylibos._program import Program
from pylibos._progress import progress_bar
from pylibos._turns import SLICE_NS
from pylibos._world_wait import WorldThread, check_cpu, pinned, spin_ns, wait_kind

if TYPE_CHECKING:
    from pylibos._capture import Capture
    from pylibos._machine import Machine

P = ParamSpec("P")
T = TypeVar("T")
NEVER = _abi.LL_NEVER
_DAY_NS = 86_400_000_000_000


@runtime_checkable
class Clock(Protocol):
    """A clock of the caller's own, for ``boot(clock=...)`` and ``World(...)``."""

    def now_ns(self) -> int:
        """Return the time in ns; never less than the time before."""

    def wait(self, deadline_ns: int | None) -> None:
        """Wait, or jump, until the deadline; None: nothing is planned at all.

        Coming back early is fine.  An exception ends the call that waits.
        """


class _Polled:
    """A clock made of a function that only tells the time: waiting asks it again and again."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns

    def wait(self, deadline_ns: int | None) -> None:
        if deadline_ns is None or self.now_ns() < deadline_ns:
            time.sleep(0.0001)


class World:
    """A clock domain.

    ``pylibos.boot()`` makes one of its own for each kernel unless it is given one; kernels
    that are to be linked share a world.

    Args:
        clock: "virtual" stands still while anything can run and else jumps to the next
            event; "real" is the host's monotonic clock; else an object with the methods of
            ``Clock`` or a callable that returns nanoseconds.
        seed: of all random bytes of all kernels and links, 0 to 2**64 - 1.  None: 0 in a
            virtual world, the host's own randomness in any other.
        start_ns: first value of a virtual clock; not 0, which the kernel's TCP takes for
            "no time stamp".
        deadlock_ns: how long virtual time may pass without any call ending before a blocked
            call counts as deadlocked; None: 24 hours.
        wait: what a real-time world does while nothing can run: "epoll" sleeps; "busy" never
            does, but looks at its devices and the clock over and over; "adaptive" looks around
            for spin_us after the last work, then sleeps.
        spin_us: see wait, in microseconds.
        cpu: processor that threads of run_thread() stay on, and others while they are in
            run_until(); None: any.

    Attributes:
        threads: those that run_thread() has started and nobody has stopped.
        virtual: whether its clock is virtual.
        seed: as given, or 0.
        deadlock_ns: as given, or 24 hours.
        hosts: host names that sockets of its kernels resolve, each with numeric addresses.

    Raises:
        LibraryNotFound: the host library is not built.
        ValueError, TypeError: an argument is none of the above.
    """

    def __init__(
        self,
        clock: str | Clock | Callable[[], int] = "virtual",
        *,
        seed: int | None = None,
        start_ns: int = 1_000_000_000,
        deadlock_ns: int | None = None,
        wait: str = "epoll",
        spin_us: float = 50,
        cpu: int | None = None,
    ) -> None:
        self.handle: int | None = None
        self._library = host()
        self._callbacks = Callbacks()
        self._callback_errors = False
        self.virtual = clock == "virtual"
        if self.virtual and seed is None:
            seed = 0
        self.seed = seed
        config = _abi.plh_world_config(
            clock_kind=self._clock_kind(clock),
            start_ns=start_ns,
            seed=(seed or 0) & NEVER,
            seeded=seed is not None,
            deadlock_ns=deadlock_ns or 0,
            wait_kind=wait_kind(wait, real=clock == "real"),
            spin_ns=spin_ns(spin_us),
        )
        check_cpu(cpu)
        self.cpu = cpu
        self.threads: list[WorldThread] = []
        self.deadlock_ns = deadlock_ns or _DAY_NS
        self._kind = config.clock_kind
        if config.clock_kind == _abi.PLH_CLOCK_CALLBACK:
            self._set_clock(config, clock if isinstance(clock, Clock) else _Polled(clock))  # type: ignore[arg-type]
        self.handle = self._library.plh_world_create(byref(config))
        if not self.handle:
            raise PylibosError(last_error())
        self._library.plh_world_set_slice(self.handle, SLICE_NS)
        self._callbacks.on_error = self._callback_failed
        self.machines: list[Machine] = []
        self.captures: list[Capture] = []
        self.hosts: dict[str, list[str]] = {}
        self.hub = Hub(self)

    @staticmethod
    def _clock_kind(clock: Any) -> int:
        if isinstance(clock, str):
            kinds = {"virtual": _abi.PLH_CLOCK_VIRTUAL, "real": _abi.PLH_CLOCK_REAL}
            if clock not in kinds:
                raise ValueError(f"A clock is 'virtual', 'real' or an object, not {clock!r}.")
            return kinds[clock]
        if isinstance(clock, Clock) or callable(clock):
            return _abi.PLH_CLOCK_CALLBACK
        raise TypeError(
            "A clock is 'virtual', 'real', a callable that returns nanoseconds, or an object "
            f"with now_ns() and wait(deadline_ns); {type(clock).__name__} is none of these."
        )

    def _set_clock(self, config: Any, clock: Clock) -> None:
        last = 0

        def now(_opaque: int | None) -> int:
            nonlocal last
            last = max(last, clock.now_ns())
            return last

        def wait(_opaque: int | None, deadline_ns: int) -> None:
            clock.wait(None if deadline_ns == NEVER else deadline_ns)

        clock_type = callback_type(_abi.plh_world_config, "clock")
        config.clock = self._callbacks.make(clock_type, now, lambda: last)
        config.wait = self._callbacks.make(callback_type(_abi.plh_world_config, "wait"), wait)

    @property
    def open_handle(self) -> int:
        """The struct plh_world; an error after close()."""
        if self.handle is None:
            raise PylibosError("This world is closed; make a new one.")
        return self.handle

    @property
    def now_ns(self) -> int:
        """The clock, in ns."""
        now: int = self._library.plh_world_now_ns(self.open_handle)
        return now

    @property
    def next_event_ns(self) -> int | None:
        """When a kernel, a link or a program next wants to run: now, later, or None: never."""
        when: int = self._library.plh_world_next_ns(self.open_handle)
        when = min(when, self.hub.next_timer_ns())
        return None if when == NEVER else when

    def run_until(self, time_ns: int, /, *, progress: bool = False) -> None:
        """Run kernels, links and programs until the clock shows time_ns.

        Args:
            time_ns: when to stop.
            progress: show a bar with the speed, if stderr is a terminal.

        Raises:
            ProgramFailed: a spawned program failed and nobody joined it.
        """
        with pinned(self.cpu):
            if progress:
                with progress_bar(self, time_ns):
                    self.hub.run_until(time_ns)
            else:
                self.hub.run_until(time_ns)
        self.hub.raise_failures()

    def run_for(self, duration_ns: int, *, progress: bool = False) -> None:
        """Run for a duration in ns; see run_until()."""
        self.run_until(self.now_ns + duration_ns, progress=progress)

    def run_thread(self, *, cpu: int | None = None) -> WorldThread:
        """Start a host thread that does nothing but run this world, which has the real clock.

        Other threads make calls meanwhile, and only sleep until their own have ended.

        Args:
            cpu: processor it stays on, instead of the world's own.

        Returns:
            The thread, also a context manager that stops it; the world's end does, too.

        Raises:
            ValueError: the clock is not the real one, or this process may not use the processor.
            ThreadError: a thread runs this world already.
        """
        if self.virtual or self._kind != _abi.PLH_CLOCK_REAL:
            raise ValueError(
                "A thread can run a world of clock='real' only: the time of another is moved by "
                "whoever waits in it."
            )
        check_cpu(cpu)
        if self.threads:
            raise ThreadError("A thread runs this world already; stop it first.")
        thread = WorldThread(self, self.cpu if cpu is None else cpu)
        self.threads.append(thread)
        return thread

    def sleep(self, seconds: float) -> None:
        """Sleep on this world's clock, as time.sleep() does on the host's."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.hub.run_until(self.now_ns + round(seconds * 1e9))

    def spawn(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Program[T]:
        """Start a plain function as a program of this world.

        Programs take turns in one host thread (greenlets): one runs until a call of it
        blocks.  They run while the caller itself blocks, runs the world, or joins one.

        Returns:
            The program; ``result()`` waits for it.

        Raises:
            ThreadError: programs were spawned by another thread already.
            TypeError: it is a coroutine function.
        """
        if is_async(function):
            raise TypeError(
                f"{function!r} is a coroutine function, and needs a kernel whose event loop runs "
                "it: use spawn() of a kernel, or trio_run()."
            )
        program = self.hub.spawn(function, args, kwargs)
        _host.admit(program, WorldClock(self), None)
        return program

    def trio_run(self, async_fn: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """Run an async function as trio.run() does, with this world's clock.

        While no task can run, the world does; so sleeping takes no time in a virtual world.
        Sockets are made by ``trio.socket`` and all that rests on it inside
        ``with kernel.as_trio():``, see there.

        Args:
            async_fn, args: what to run.
            options: of trio.run(), but not its clock.

        Returns:
            The function's value.

        Raises:
            What the function raises, and
            DeadlockError: nothing that its tasks wait for can ever happen; they are cancelled.
            ProgramFailed: a spawned program failed and nobody joined it.
            RuntimeError: trio runs in this host thread already.
            PylibosError: trio is not installed.
        """
        value: T = _trio.run(self, None, async_fn, args, options)
        return value

    def wake(self) -> None:
        """Make a thread that waits in this world look again; from any thread or handler."""
        if self.handle is not None:
            self._library.plh_world_wake(self.handle)

    def _callback_failed(self) -> None:
        """A callback raised: let whoever waits or calls next in this world raise it."""
        self.callback_failed()
        for machine in self.machines:
            machine.callback_failed()

    def callback_failed(self) -> None:
        """Some callback raised: make raise_callback_error() look for it, and waits end."""
        self._callback_errors = True
        self.wake()

    def raise_callback_error(self) -> None:
        """Raise what a Python callback raised while C code called it, once."""
        if not self._callback_errors:
            return
        self._callbacks.raise_error()
        for machine in self.machines:
            machine.callbacks.raise_error()
        self._callback_errors = False

    def close(self) -> None:
        """Halt all kernels of this world, close its captures and free it; twice is fine.

        Raises:
            PylibosError: a capture is incomplete.
        """
        if self.handle is None:
            return
        for thread in list(self.threads):
            thread.stop()
        for machine in list(self.machines):
            machine.close()
        self.hub.close()
        with ExitStack() as stack:
            stack.callback(self._library.plh_world_destroy, self.handle)
            for capture in self.captures:
                stack.callback(capture.close)
            self.handle = None

    def __enter__(self) -> World:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        finally:
            if error is None:
                self.hub.raise_failures()

    def __del__(self) -> None:
        if getattr(self, "handle", None) is None:
            return
        names = ", ".join(machine.name for machine in getattr(self, "machines", ()))
        if names:
            warnings.warn(f"{names} was never halted", ResourceWarning, source=self, stacklevel=2)
        self.close()
