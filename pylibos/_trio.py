# SPDX-License-Identifier: GPL-2.0-only
"""trio on the kernels of a world: what works without trio being installed."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pylibos import _host, _host_context
from pylibos._errors import PylibosError
from pylibos._host_time import ProcessClock, WorldClock

if TYPE_CHECKING:
    import trio.socket

    from pylibos._process import Process
    from pylibos._socket import Socket
    from pylibos._world import World

T = TypeVar("T")
# The kernel or task on which trio.socket makes sockets.
_current: ContextVar[Process | None] = ContextVar("pylibos_trio_process", default=None)


def current_process() -> Process:
    """The kernel or task on which trio.socket makes sockets in this task.

    Raises:
        PylibosError: there is none.
    """
    process = _current.get() or _host_context.current_process()
    if process is None:
        raise PylibosError(
            "No kernel is current in this trio task, so it is not known whose socket this is to "
            "be; make and start what uses sockets inside 'with kernel.as_trio():'."
        )
    return process


def run(world: World, process: Process | None, function: Any, args: Any, options: Any) -> Any:
    """Do what trio_run() of a world or kernel does."""
    try:
        from pylibos import _trio_run
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    with _host.on_clock(WorldClock(world)) if process is None else process.as_trio():
        return _trio_run.run(world, function, args, options)


def _missing(error: ModuleNotFoundError) -> Exception:
    if error.name != "trio":
        return error
    return PylibosError("trio is not installed; install it, for instance by 'pip install trio'.")


class TrioCalls:
    """Mixin of Process."""

    def trio_run(self, async_fn: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """Run an async function on trio with the world's clock, this kernel being current.

        As World.trio_run() inside ``with kernel.as_trio():``.
        """
        process = cast("Process", self)
        value: T = run(process.world, process, async_fn, args, options)
        return value

    @contextlib.contextmanager
    def as_trio(self) -> Iterator[None]:
        """Let trio.socket, and all that is made of it, make sockets of this kernel.

        It holds for the block, and for tasks that are started in it as long as they live: so
        tasks of several kernels run in one nursery.  The functions of ``time`` follow this
        kernel's clocks there, and the world's elsewhere in trio_run().
        """
        process = cast("Process", self)
        token = _current.set(process)
        try:
            with _host.on_clock(ProcessClock(process)):
                yield
        finally:
            _current.reset(token)

    def trio_socket(self, sock: Socket) -> trio.socket.SocketType:
        """Turn a socket of this kernel into one of trio's, as trio.socket.from_stdlib_socket().

        Raises:
            PylibosError: trio is not installed.
            ValueError: the socket belongs to another kernel or task.
        """
        try:
            from pylibos._trio_socket import TrioSocket
        except ModuleNotFoundError as error:
            raise _missing(error) from None
        if getattr(sock, "process", None) is not self:
            raise ValueError(f"{sock!r} does not belong to {self!r}; wrap it there.")
        return TrioSocket(sock)
