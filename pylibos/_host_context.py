# SPDX-License-Identifier: GPL-2.0-only
"""Whose sockets, threads and time the running code means: the host's, or a library kernel's.

One context variable says so.  The names in ``socket``, ``time`` and so on are replaced by
dispatchers that ask it, and only while somebody uses them: a thread or program without a guest
in its context gets the host's functions, whatever others do.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from pylibos._process import Process

_MISSING: Any = object()


class Clock(Protocol):
    """What stands behind the functions of ``time``."""

    def read_ns(self, clock: int) -> int:
        """Time of a clock of clock_gettime(2), in ns."""

    def sleep(self, seconds: float) -> None:
        """Sleep in the clock's world."""


@dataclass(frozen=True)
class Guest:
    """What the running code means by the host.

    Attributes:
        clock: behind the functions of ``time``.
        process: behind those of ``socket``, ``select``, ``threading``; None: the host.
    """

    clock: Clock
    process: Process | None


GUEST: ContextVar[Guest | None] = ContextVar("pylibos_guest", default=None)


def current_process() -> Process | None:
    """The kernel or task that the running code means by the host; None: the host itself."""
    guest = GUEST.get()
    return None if guest is None else guest.process


@contextlib.contextmanager
def on_the_host() -> Iterator[None]:
    """Let a block of code mean the host."""
    token = GUEST.set(None)
    try:
        yield
    finally:
        GUEST.reset(token)


class Dispatcher:
    """Stands for a function or class of a module, and calls the host's or the kernel's.

    It is no function, so that as an attribute of a class it is not bound, like the built-in
    ones that it stands for.  Whoever keeps one may go on using it after as_host() has ended.

    Args:
        real: the host's.
        chosen: called with the guest's process, or its clock, and the arguments.
        kinds: classes of what chosen makes, for isinstance().
    """

    __slots__ = ("__weakref__", "_chosen", "_kinds", "_real")

    def __init__(self, real: Any, chosen: Callable[..., Any], kinds: tuple[type, ...] = ()) -> None:
        self._real = real
        self._chosen = chosen
        self._kinds = kinds

    def __call__(self, *args: Any, **options: Any) -> Any:
        process = current_process()
        if process is None:
            return self._real(*args, **options)
        return self._chosen(process, *args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real,)

    def __instancecheck__(self, item: object) -> bool:
        return isinstance(item, (*self._kinds, self._real))

    def __subclasscheck__(self, item: type) -> bool:
        return issubclass(item, (*self._kinds, self._real))

    def __or__(self, other: Any) -> Any:
        return self._real | other

    def __ror__(self, other: Any) -> Any:
        return other | self._real

    def __repr__(self) -> str:
        return f"<pylibos stand-in of {self._real!r}>"


class ClockDispatcher(Dispatcher):
    """Stands for a function of ``time``."""

    __slots__ = ()

    def __call__(self, *args: Any, **options: Any) -> Any:
        guest = GUEST.get()
        if guest is None:
            return self._real(*args, **options)
        return self._chosen(guest.clock, *args, **options)


class Variants:
    """Makes of anybody's class one whose inherited methods are those of a class of ours.

    Args:
        ours: derived from a class of the standard library, whose other descendants it serves.
    """

    def __init__(self, ours: type) -> None:
        self._ours = ours
        # A variant keeps its base alive, so it must not itself be kept.
        self._made: WeakKeyDictionary[type, ref[type]] = WeakKeyDictionary()

    def __call__(self, wanted: type) -> type:
        """Return the class to use instead of one of the standard library or derived of it."""
        if wanted in self._ours.__mro__:
            return self._ours
        known = self._made.get(wanted)
        if known is None or (made := known()) is None:
            names = {"__module__": wanted.__module__, "__qualname__": wanted.__qualname__}
            made = type(wanted.__name__, (wanted, self._ours), names)
            self._made[wanted] = ref(made)
        return made


# Owner, attribute, and what makes the new value of the old one.
Target = tuple[Any, str, Callable[[Any], Any]]


class Patches:
    """Attributes of modules and classes that are replaced while anybody uses them.

    Args:
        targets: lists them when the first user comes.
    """

    def __init__(self, targets: Callable[[], Iterable[Target]]) -> None:
        self._targets = targets
        self._users = 0
        self._lock = threading.Lock()
        self._placed: list[tuple[Any, str, Any, Any]] = []

    def enter(self) -> None:
        """One more user."""
        with self._lock:
            if self._users == 0:
                self._install()
            self._users += 1

    def leave(self) -> None:
        """One user less; the last one puts back what was there."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._remove()

    def _install(self) -> None:
        for owner, name, make in self._targets():
            before = vars(owner).get(name, _MISSING)
            if isinstance(before, Dispatcher):
                # Left over: a module was imported meanwhile, or somebody put it back later.
                before, new = before._real, before
            else:
                new = make(getattr(owner, name))
                setattr(owner, name, new)
            self._placed.append((owner, name, before, new))

    def _remove(self) -> None:
        for owner, name, before, new in reversed(self._placed):
            if vars(owner).get(name) is not new:
                continue  # somebody has replaced it meanwhile, and will put back what he found
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._placed.clear()
