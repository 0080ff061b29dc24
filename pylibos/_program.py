# SPDX-License-Identifier: GPL-2.0-only
"""A plain Python function that runs in a world beside others, as a greenlet."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from greenlet import GreenletExit, greenlet

if TYPE_CHECKING:
    from pylibos._hub import Hub
    from pylibos._turns import Waiter

T = TypeVar("T")


class ProgramGreenlet(greenlet):
    """The greenlet of a program; knows it."""

    program: Program[Any]


class Program(Generic[T]):
    """A spawned function.

    Attributes:
        name: the function's name, for reports.
        done: True once it has returned or raised.
    """

    def __init__(
        self, hub: Hub, function: Callable[..., T], args: Any, kwargs: dict[str, Any]
    ) -> None:
        self.name: str = getattr(function, "__qualname__", repr(function))
        self.done = False
        self.joiners: list[Waiter] = []
        self.waiter: Waiter | None = None  # of its newest wait
        self.error: BaseException | None = None
        self._value: T | None = None
        self._hub = hub
        self._start = (function, args, kwargs)
        # Called when it ends: returns what it borrowed, such as Linux threads.
        self.at_end: list[Callable[[], None]] = []
        self.greenlet = ProgramGreenlet(self._run, parent=hub.greenlet)
        self.greenlet.program = self
        self.greenlet.gr_context = contextvars.copy_context()

    def _run(self) -> None:
        function, args, kwargs = self._start
        try:
            self._value = function(*args, **kwargs)
        except GreenletExit:
            pass
        except BaseException as error:  # result() raises it again
            self.error = error
        finally:
            self.done = True
            del self._start
            self._hub.ended(self)

    def join(self) -> None:
        """Wait until it has ended, whatever its outcome.

        Raises:
            DeadlockError: it never will.
        """
        self._hub.join(self)

    def result(self) -> T:
        """Wait until it has ended, and return its value or raise its exception."""
        self._hub.join(self)
        self._hub.forgive(self)
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator[Any, Any, T]:
        """Do what result() does in a coroutine, on asyncio or trio: other tasks go on."""
        if not self.done:
            from pylibos._awaiting import ended

            yield from ended(self).__await__()
        return self.result()

    def kill(self) -> None:
        """End it: its blocked call is interrupted and GreenletExit raised in it."""
        self._hub.kill(self)

    def __repr__(self) -> str:
        state = "failed" if self.error else "done" if self.done else "running"
        return f"<pylibos.Program {self.name} {state}>"
