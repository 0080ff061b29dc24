# SPDX-License-Identifier: GPL-2.0-only
"""select, poll and epoll as Python's select module has them, on the kernel's own calls."""

from __future__ import annotations

import io
import platform
import select as host_select
import selectors
import socket
import struct
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from pylibos._arguments import bytes_address, nanoseconds, pin
from pylibos._caller import fail
from pylibos._errors import KernelDead
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process

_PPOLL = NUMBERS["ppoll"]
_EPOLL_CTL = NUMBERS["epoll_ctl"]
_EPOLL_PWAIT = NUMBERS["epoll_pwait"]
_CLOSE = NUMBERS["close"]
_POLLFD = struct.Struct("=ihh")
_AT_ONCE = bytes(16)  # struct timespec
# struct epoll_event is packed on x86-64 only.
_EVENT = struct.Struct("=IQ" if platform.machine() == "x86_64" else "=I4xQ")

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 1, 2, 4, 8, 16, 32
_READABLE = POLLIN | POLLHUP | POLLERR
_WRITABLE = POLLOUT | POLLERR
# How often in a row a selector may look without waiting before others get a turn.
_LOOKS = 64
EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3


def descriptor(process: Process, item: Any) -> int:
    """Number of an int or of an object with fileno() that belongs to a process.

    Raises:
        TypeError: it is neither.
        ValueError: it belongs to another process or to the host, or is closed.
    """
    if isinstance(item, int):
        number = item
    elif hasattr(item, "fileno"):
        owner = getattr(item, "process", process)
        if owner is not process:
            raise ValueError(f"{item!r} belongs to {owner!r}; wait for it there.")
        if _is_the_hosts(item):
            raise ValueError(f"{item!r} belongs to the host; wait for it outside of as_host().")
        number = item.fileno()
        if not isinstance(number, int):
            raise TypeError("fileno() returned a non-integer")
    else:
        raise TypeError("argument must be an int, or have a fileno() method.")
    if number < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return number


def _is_the_hosts(item: Any) -> bool:
    """Whether an object is surely a socket or a file of the host."""
    raw = getattr(getattr(item, "buffer", item), "raw", item)
    return isinstance(raw, io.FileIO) or (
        isinstance(item, socket.socket) and not hasattr(item, "process")
    )


def ppoll(
    process: Process, wanted: list[tuple[int, int]], deadline_ns: int | None
) -> list[int] | None:
    """Wait for descriptors.

    Args:
        process: whose descriptors they are.
        wanted: descriptor and events each.
        deadline_ns: until when, exactly; None: for ever.

    Returns:
        The events that came, in order; None: none came in time.
    """
    entries = bytearray().join(_POLLFD.pack(fd, events, 0) for fd, events in wanted)
    address, keep = pin(entries)
    # ppoll(2) itself may be late by a thousandth of its time limit.
    limit_at = 0
    if deadline_ns is not None and deadline_ns <= process.now_ns:
        limit_at = bytes_address(_AT_ONCE)
    args = (address, len(wanted), limit_at, 0, 8)
    while True:
        try:
            count = process.syscall(_PPOLL, *args, deadline_ns=deadline_ns)
        except InterruptedError:
            continue
        except TimeoutError:
            count = 0
        break
    del keep
    return [came & 0xFFFF for _, _, came in _POLLFD.iter_unpack(entries)] if count else None


class Poll:
    """What select.poll() returns."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._wanted: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = POLLIN | POLLPRI | POLLOUT, /) -> None:
        """Watch a descriptor; again: change its events."""
        self._wanted[descriptor(self._process, fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Change the events of a watched descriptor; FileNotFoundError if it is none."""
        number = descriptor(self._process, fd)
        if number not in self._wanted:
            raise FileNotFoundError(2, "No such file or directory")
        self._wanted[number] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """Watch a descriptor no longer; KeyError if it was not watched."""
        del self._wanted[descriptor(self._process, fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for up to timeout ms; return (descriptor, events) of what is ready."""
        deadline_ns = None
        if timeout is not None and timeout >= 0:
            deadline_ns = self._process.now_ns + nanoseconds(timeout / 1000)
        wanted = list(self._wanted.items())
        came = ppoll(self._process, wanted, deadline_ns) or [0] * len(wanted)
        return [(fd, events) for (fd, _), events in zip(wanted, came, strict=True) if events]


class Epoll:
    """What select.epoll() returns: an epoll instance of the library kernel."""

    _fd = -1

    def __init__(self, process: Process, flags: int = 0, *, fileno: int | None = None) -> None:
        if flags & ~host_select.EPOLL_CLOEXEC:
            raise OSError("invalid flags")
        self.process = process
        if fileno is None:
            fileno = process.syscall("epoll_create1", host_select.EPOLL_CLOEXEC)
        self._fd = fileno

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._fd < 0

    def fileno(self) -> int:
        """Its descriptor in the library's task."""
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        return self._fd

    def close(self) -> None:
        """Close it."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self.process.alive():
            self.process.call(_CLOSE, fd)

    def _control(self, operation: int, fd: Any, events: int) -> None:
        number = descriptor(self.process, fd)
        event = bytearray(_EVENT.pack(events & 0xFFFFFFFF, number))
        address, keep = pin(event)
        result = self.process.call(_EPOLL_CTL, self.fileno(), operation, number, address)
        del keep
        if result < 0:
            raise fail(result)

    def register(self, fd: Any, eventmask: int = POLLIN | POLLPRI | POLLOUT) -> None:
        """Watch a descriptor."""
        self._control(EPOLL_CTL_ADD, fd, eventmask)

    def modify(self, fd: Any, eventmask: int) -> None:
        """Change the events of a watched descriptor."""
        self._control(EPOLL_CTL_MOD, fd, eventmask)

    def unregister(self, fd: Any) -> None:
        """Watch a descriptor no longer."""
        if not self.process.alive():
            return  # it went with its kernel
        self._control(EPOLL_CTL_DEL, fd, 0)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait for up to timeout s; return (descriptor, events) of what is ready."""
        if maxevents == -1:
            maxevents = 1023
        elif maxevents <= 0:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        deadline_ns = None
        if timeout is not None and timeout > 0:
            deadline_ns = self.process.now_ns + nanoseconds(timeout)
        # The deadline is exact, unlike a time limit that epoll is given.
        limit = 0 if timeout == 0 else -1
        room = bytearray(_EVENT.size * maxevents)
        address, keep = pin(room)
        args = (self.fileno(), address, maxevents, limit, 0, 8)
        while True:
            try:
                result = self.process.syscall(_EPOLL_PWAIT, *args, deadline_ns=deadline_ns)
            except TimeoutError:
                result = 0
            except InterruptedError:
                continue
            break
        del keep
        found = _EVENT.iter_unpack(memoryview(room)[: result * _EVENT.size])
        return [(fd, events) for events, fd in found]

    def __enter__(self) -> Epoll:
        self.fileno()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self.process.close_collected(fd)


class KernelSelector(selectors.EpollSelector):
    """A selector for descriptors of a library kernel, as the selectors module has them."""

    def __init__(self, process: Process) -> None:
        self._selector_cls = process.epoll
        self._process = process
        self._looks = 0
        super().__init__()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for up to timeout s; return (key, events) of what is ready.

        As selectors.EpollSelector.select(), which rounds the timeout up to whole ms.
        """
        epoll: Epoll = self._selector  # type: ignore[attr-defined]
        limit = None if timeout is None else max(timeout, 0)
        self._looks = self._looks + 1 if limit == 0 else 0
        if self._looks > _LOOKS and self._process.world.virtual:
            self._looks = 0
            self._process.world.sleep(0)  # lets other programs and kernels run
        keys = cast("Mapping[int, selectors.SelectorKey]", self._fd_to_key)  # type: ignore[attr-defined]
        ready = []
        try:
            found = epoll.poll(limit, max(len(keys), 1))
        except KernelDead:
            if limit != 0:
                raise
            found = []  # so that an event loop can cancel its tasks
        for fd, came in found:
            events = selectors.EVENT_WRITE if came & ~POLLIN else 0
            events |= selectors.EVENT_READ if came & ~POLLOUT else 0
            if key := keys.get(fd):
                ready.append((key, events & key.events))
        return ready


class WaitCalls:
    """Mixin of Process."""

    @property
    def _waiter(self) -> Process:
        return cast("Process", self)

    def select(
        self,
        rlist: Iterable[Any],
        wlist: Iterable[Any],
        xlist: Iterable[Any],
        timeout: float | None = None,
        /,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Wait until sockets or descriptors of this process are ready, as select.select().

        Args:
            rlist, wlist, xlist: to be readable, writable, exceptional.
            timeout: in seconds of the kernel's clock; None: for ever.
        """
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        process = self._waiter
        lists = [
            [(item, descriptor(process, item)) for item in items] for items in (rlist, wlist, xlist)
        ]
        wanted: dict[int, int] = {}
        for items, events in zip(lists, (POLLIN, POLLOUT, POLLPRI), strict=True):
            for _, fd in items:
                wanted[fd] = wanted.get(fd, 0) | events
        deadline_ns = None if timeout is None else process.now_ns + nanoseconds(timeout)
        events_came = ppoll(process, list(wanted.items()), deadline_ns) or [0] * len(wanted)
        came = dict(zip(wanted, events_came, strict=True))
        if any(events & POLLNVAL for events in came.values()):
            raise OSError(9, "Bad file descriptor")
        ready = [
            [item for item, fd in items if came[fd] & mask]
            for items, mask in zip(lists, (_READABLE, _WRITABLE, POLLPRI), strict=True)
        ]
        return ready[0], ready[1], ready[2]

    def poll(self) -> Poll:
        """Make a polling object, as select.poll()."""
        return Poll(self._waiter)

    def epoll(self, sizehint: int = -1, flags: int = 0) -> Epoll:
        """Make an epoll object, as select.epoll()."""
        if sizehint < -1 or sizehint == 0:
            raise ValueError("negative sizehint")
        return Epoll(self._waiter, flags)

    def selector(self) -> KernelSelector:
        """Make a selector as the selectors module's, for asyncio and the like."""
        return KernelSelector(self._waiter)
