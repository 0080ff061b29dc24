# SPDX-License-Identifier: GPL-2.0-only
"""An asyncio event loop that lives inside a library kernel.

Its selector is the kernel's epoll and its clock the kernel's clock, so in virtual time an hour
of ``asyncio.sleep`` takes no time.  Descriptors in it are the library's.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import math
import warnings
from _thread import get_ident  # the host's, also inside as_host()
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from greenlet import GreenletExit

from pylibos import _asyncio_sockets
from pylibos._awaiting import ended
from pylibos._errors import ThreadError
from pylibos._host_time import ProcessClock
from pylibos._running import place

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._program import Program

T = TypeVar("T")
# A timer is due once it is nearer than this to the present, in seconds: its time was ns before
# asyncio turned it into a float.
_NEAR = 0.7e-9


class KernelTask(asyncio.Task[T]):
    """A task with a number as its hash: sets of tasks have the same order in each run."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class KernelEventLoop(_asyncio_sockets.SocketMethods, asyncio.SelectorEventLoop):
    """An event loop for sockets of a kernel or task.

    Several of them run at once as programs, see ``Process.spawn()``.

    Args:
        process: the kernel or task whose descriptors it waits for.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._owner = get_ident()
        self._executing: list[Program[None]] = []
        self._numbers = itertools.count(1)
        super().__init__(process.selector())
        self.set_task_factory(_numbered_task)  # type: ignore[arg-type]

    @property
    def process(self) -> Process:
        """The kernel or task whose descriptors it waits for."""
        return self._process

    # --- Time ---

    def time(self) -> float:
        """The kernel's clock, in seconds."""
        return self._process.now_ns / 1e9

    @property
    def _clock_resolution(self) -> float:
        # asyncio's own, 1 ns, would let a timer come 1 ns early; and from 97 days on a float
        # cannot tell one ns from the next.
        return max(_NEAR, math.ulp(self.time()))

    @_clock_resolution.setter
    def _clock_resolution(self, _value: float) -> None:
        """Ignore what BaseEventLoop finds out about the host's clock."""

    # --- Running ---

    def run_forever(self) -> None:
        """Run until stop() is called."""
        reporters = self._process.world.hub.reporters
        reporters.append(self._report)
        try:
            super().run_forever()
        finally:
            reporters.remove(self._report)

    def _report(self) -> list[str]:
        """What its tasks wait for, for a DeadlockError."""
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        return [
            f"asyncio task {task.get_name()} of {self._process!r} waits in {place(task.get_coro())}"
            for task in tasks
        ]

    def close(self) -> None:
        """Close the loop; functions that still run in its executor are ended."""
        for program in list(self._executing):
            program.kill()
        super().close()

    def _make_self_pipe(self) -> None:
        # As BaseSelectorEventLoop does, with a pair of the kernel's sockets.
        loop: Any = self
        loop._ssock, loop._csock = self._process.socketpair()
        loop._ssock.setblocking(False)
        loop._csock.setblocking(False)
        loop._internal_fds += 1
        loop._add_reader(loop._ssock.fileno(), loop._read_from_self)

    # --- Threads, executors ---

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Call a function soon, from a signal handler or, in real time, another thread.

        Raises:
            ThreadError: another thread, and the clock is virtual.
        """
        if get_ident() != self._owner and self._process.world.virtual:
            raise ThreadError(
                "A thread of the host has no place in virtual time: when its call comes would "
                "depend on chance. Let the function run by loop.run_in_executor(None, ...), "
                "which makes it a program of the world, or boot with clock='real'."
            )
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a function beside the loop: in virtual time as a program, else in a thread.

        As a program it may block on this world's sockets and clock, and takes turns with
        everything else in the same order in each run.

        Raises:
            ThreadError: an executor is given, and the clock is virtual.
        """
        if not self._process.world.virtual:
            return super().run_in_executor(executor, func, *args)
        if executor is not None or getattr(self, "_default_executor", None) is not None:
            raise ThreadError(
                "An executor's threads have no place in virtual time; give None as executor, "
                "and the function runs as a program of the world."
            )
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            try:
                value = func(*args)
            except GreenletExit:
                self._finish(future, future.cancel)
            except BaseException as error:
                self._finish(future, future.set_exception, error)
            else:
                self._finish(future, future.set_result, value)

        run.__qualname__ = getattr(func, "__qualname__", repr(func))
        program = self._process.spawn(run)
        self._executing.append(program)
        program.at_end.append(lambda: self._executing.remove(program))
        return future

    def _finish(self, future: asyncio.Future[Any], how: Callable[..., Any], *args: Any) -> None:
        """Tell the loop what came of a function in the executor."""
        if not self.is_closed() and self._process.alive():
            self.call_soon_threadsafe(lambda: None if future.done() else how(*args))

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until all functions in the executor have returned, at most timeout seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._executing:
                    await ended(self._executing[0])
        except TimeoutError:
            names = ", ".join(program.name for program in self._executing)
            warnings.warn(
                f"Still running in the executor after {timeout} seconds, and ended now: {names}.",
                RuntimeWarning,
                stacklevel=2,
            )
        if not self._process.world.virtual:
            await super().shutdown_default_executor(*([] if timeout is None else [timeout]))

    # --- Names ---

    async def getaddrinfo(self, host: Any, port: Any, **options: int) -> Any:
        """Resolve a name of the world."""
        return self._process.getaddrinfo(host, port, **options)

    async def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
        """Find the world's name of an address."""
        return self._process.getnameinfo(sockaddr, flags)

    # --- What has no place in a kernel ---

    async def _make_subprocess_transport(self, *_args: Any, **_options: Any) -> NoReturn:
        raise NotImplementedError(
            "A kernel of the library starts no processes of the host; run subprocesses from a "
            "loop of the host, outside of the world."
        )

    async def connect_read_pipe(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: asyncio reads pipes by the host's own calls."""
        raise NotImplementedError(_NO_PIPES)

    async def connect_write_pipe(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: asyncio writes pipes by the host's own calls."""
        raise NotImplementedError(_NO_PIPES)

    def add_signal_handler(  # type: ignore[override]
        self, *_args: Any, **_options: Any
    ) -> NoReturn:
        """Refuse: the host's signals cannot be written to a descriptor of the library."""
        raise NotImplementedError(
            "Signals of the host do not reach a loop inside a kernel; use signal.signal() with "
            "a handler that calls loop.call_soon_threadsafe()."
        )


_NO_PIPES = (
    "asyncio reads and writes pipes by calls of the host, which cannot reach a descriptor of the "
    "library; use socketpair() of the kernel, or loop.add_reader() with a descriptor."
)


def _numbered_task(loop: Any, coro: Coroutine[Any, Any, T], **options: Any) -> KernelTask[T]:
    """Make a KernelTask; a task factory."""
    return KernelTask(next(loop._numbers), coro, loop=loop, **options)


class AsyncioCalls:
    """Mixin of Process."""

    def run(self, main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
        """Run a coroutine on an event loop inside this kernel, as asyncio.run() does.

        All kernels, links and programs of the world run meanwhile, and the functions of ``time``
        follow this kernel's clocks.

        Args:
            main: the coroutine.
            debug: asyncio's debug mode; None: as PYTHONASYNCIODEBUG says.

        Returns:
            The coroutine's value.

        Raises:
            What the coroutine raises, and
            DeadlockError: nothing that it waits for can ever happen.
            ProgramFailed: a spawned program failed and nobody joined it.
            KeyboardInterrupt: Ctrl-C, once the coroutine was cancelled.
            RuntimeError: an event loop is running here already.
            ValueError: main is not a coroutine.
        """
        process: Any = self
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "run() cannot be called from a running event loop; await the coroutine there, or "
                "spawn() its function as a program."
            )
        from pylibos._host import on_clock  # which needs this module

        with (
            on_clock(ProcessClock(process)),
            asyncio.Runner(debug=debug, loop_factory=lambda: KernelEventLoop(process)) as runner,
        ):
            value = runner.run(main)
        process.world.hub.raise_failures()
        return value


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a callable is a coroutine function."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - to look at it, not to call it
    )


def program_of(process: Process, function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a plain function of a coroutine function: it runs it on a loop of its own."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        # Ctrl-C is for the one who runs the world, so without Runner.run(), which handles it.
        with asyncio.Runner(loop_factory=lambda: KernelEventLoop(process)) as runner:
            loop = runner.get_loop()
            return loop.run_until_complete(loop.create_task(function(*args, **kwargs)))

    return run
