# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel and a task have in common: a Linux process for Python code."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from pylibos import _host, _pyroute, _resolve
from pylibos._asyncio import AsyncioCalls, is_async, program_of
from pylibos._caller import CLONE_FILES, CLONE_FS, CLONE_VM, Caller, create_task
from pylibos._file_calls import FileCalls
from pylibos._host_time import ProcessClock
from pylibos._machine import Machine
from pylibos._program import Program
from pylibos._seeing import Seeing
from pylibos._select import WaitCalls
from pylibos._socket_calls import SocketCalls
from pylibos._trio import TrioCalls

if TYPE_CHECKING:
    from pylibos._world import World

P = ParamSpec("P")
T = TypeVar("T")

# Namespaces of clone(2) by their names in /proc/PID/ns.
NAMESPACES = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}


class Process(AsyncioCalls, TrioCalls, SocketCalls, FileCalls, WaitCalls, Seeing, Caller):
    """A Linux process: a descriptor table, credentials, namespaces, and calls on them."""

    def __init__(self, machine: Machine, leader: int) -> None:
        super().__init__(machine, leader)
        self._unindexed: Any = None
        machine.at_close.append(self._forget)

    @property
    def world(self) -> World:
        """The clock domain of its kernel."""
        return self._machine.world

    @property
    def now_ns(self) -> int:
        """The clock of its world, in ns."""
        return self._machine.world.now_ns

    def alive(self) -> bool:
        """Whether its kernel can be entered."""
        return self._machine.handle is not None and self._machine.alive()

    def known_hosts(self, name: str) -> list[str]:
        """Numeric addresses of a host name in its world, see World.hosts."""
        return self._machine.world.hosts.get(name, [])

    def known_names(self, address: str) -> list[str]:
        """Host names of a numeric address in its world."""
        hosts = [*self._machine.world.hosts.items(), *_resolve.LOOPBACK.items()]
        return [name for name, addresses in hosts if address in addresses]

    def sleep(self, seconds: float) -> None:
        """Sleep on the kernel's clock."""
        self._machine.world.sleep(seconds)

    # --- Netlink ---

    def netlink(self, protocol: int = 0) -> Any:
        """Make an AF_NETLINK socket; protocol is NETLINK_ROUTE (0) or another one."""
        return self.socket(16, 2, protocol)  # AF_NETLINK, SOCK_DGRAM

    def iproute(self, **options: Any) -> Any:
        """Make an unmodified pyroute2.IPRoute that speaks to the kernel from this process.

        It sees the process's network namespace.

        Raises:
            PylibosError: pyroute2 0.9 or newer is not installed.
        """
        from pyroute2 import IPRoute

        return self.pyroute2(IPRoute, **options)

    def pyroute2(self, factory: Callable[..., T], *args: Any, **options: Any) -> T:
        """Make an object of any netlink class of pyroute2 (NFTables, WireGuard, ...)."""
        return _pyroute.make(self, factory, args, options)

    @overload
    def spawn(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Program[T]: ...

    @overload
    def spawn(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Program[T]: ...

    def spawn(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Program[Any]:
        """Start a function as a program; see World.spawn().

        Inside it the functions of ``time`` follow this kernel's clocks; see docs/programs.md.
        A coroutine function (``async def``) runs on a KernelEventLoop of its own in this kernel.
        """
        if is_async(function):
            function = program_of(self, function)
        program = self._machine.world.hub.spawn(function, args, kwargs)
        _host.admit(program, ProcessClock(self), self)
        return program

    def as_host(self) -> AbstractContextManager[None]:
        """Let unmodified Python code use this process as if it were the host.

            with kernel.as_host():
                urllib.request.urlopen("http://10.0.0.2/")

        In the running thread or program, and in nobody else's, sockets, select, selectors,
        ssl, the functions of time, and new threads and locks are those of this process.
        Blocks may be nested; programs and threads started in one are in one of their own
        kernel.  See docs/programs.md.
        """
        return _host.as_host(self)

    def task(self, *, share_files: bool = True, namespaces: Iterable[str] = ()) -> Task:
        """Make another Linux process, a child of this one.

        Args:
            share_files: one descriptor table, root and working directory for both; else the
                child gets copies, as by fork(2).
            namespaces: new ones to give it: "net", "mnt", "uts", "ipc", "pid", "user",
                "cgroup"; see namespaces(7).

        Raises:
            ValueError: no such namespace.
            OSError: the kernel refused.
        """
        flags = CLONE_VM
        if share_files:
            flags |= CLONE_FILES | CLONE_FS
        for name in namespaces:
            if name not in NAMESPACES:
                raise ValueError(
                    f"There is no namespace {name!r}; known are {', '.join(NAMESPACES)}."
                )
            flags |= NAMESPACES[name]
        if "mnt" in namespaces or "user" in namespaces:
            flags &= ~CLONE_FS  # clone(2) refuses these together
        return Task(self._machine, create_task(self._machine, self._leader, flags))


class Task(Process):
    """A Linux process made by ``Kernel.task()``; ends with ``close()`` or its kernel."""

    _open = True

    def close(self) -> None:
        """End the process; its descriptors are closed.  Closing twice is fine."""
        if not self._open:
            return
        self._open = False
        machine = self._machine
        if machine.handle is None:
            return
        machine.at_close.remove(self._forget)
        if machine.alive():
            self._end_threads()
            machine.library.plh_task_exit(machine.handle, self._leader, 0)

    def _enter(self) -> Any:
        if not self._open:
            raise ProcessLookupError(3, "This task has ended; make another one by kernel.task()")
        return super()._enter()

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pylibos.Task of {self._machine.name}{'' if self._open else ' ended'}>"
