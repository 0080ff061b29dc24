# SPDX-License-Identifier: GPL-2.0-only
"""Python functions that C code calls: kept alive, and their exceptions kept for later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pylibos._host_context import GUEST, on_the_host


def callback_type(structure: Any, member: str) -> Any:
    """The CFUNCTYPE of a member of a ctypes structure."""
    return next(item[1] for item in structure._fields_ if item[0] == member)


class Callbacks:
    """Makes C function pointers out of Python functions.

    C code cannot raise.  The first exception of a callback is kept, ``on_error`` is told so
    that waiting C code returns, and ``raise_error()`` raises it in the caller's frame.
    """

    def __init__(self) -> None:
        self._alive: list[Any] = []
        self._error: BaseException | None = None
        self.on_error: Callable[[], None] = lambda: None

    def make(
        self, kind: Any, function: Callable[..., Any], fallback: Callable[[], Any] = lambda: None
    ) -> Any:
        """Return a C function pointer of a ctypes function type.

        Args:
            kind: the CFUNCTYPE.
            function: what it calls.
            fallback: gives the C result when the function raised.
        """

        def guarded(*args: Any) -> Any:
            try:
                if GUEST.get() is None:
                    return function(*args)
                # Called in the middle of a call of a program: what it asks for is the host's.
                with on_the_host():
                    return function(*args)
            except BaseException as error:  # everything must be kept for the caller
                if self._error is None:
                    self._error = error
                self.on_error()
                return fallback()

        pointer = kind(guarded)
        self._alive.append(pointer)
        return pointer

    def raise_error(self) -> None:
        """Raise the kept exception, once."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
