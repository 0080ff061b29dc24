# SPDX-License-Identifier: GPL-2.0-only
"""What a running event loop keeps per host thread, put aside while another greenlet runs.

asyncio notes the running loop, Python its hooks for async generators, and sniffio the name of
the library, each for the host thread: they hold for one greenlet, while programs are many.
"""

from __future__ import annotations

import sys
from asyncio import Task, _get_running_loop, _set_running_loop, current_task
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable
from typing import Any

_modules = sys.modules


def leave(switch: Callable[[], Any]) -> None:
    """Switch to another greenlet by a call of ``switch``, as if no event loop ran here."""
    loop = _get_running_loop()
    if loop is None and "trio" not in _modules:
        switch()
        return
    hooks = sys.get_asyncgen_hooks()
    if loop is None and hooks.firstiter is None:
        switch()
        return
    # Since 3.14 the current task is kept per host thread, too, and not per loop.
    task: Task[Any] | None = current_task(loop) if loop is not None else None
    depth = sys.get_coroutine_origin_tracking_depth()
    sniffed = getattr(sys.modules.get("sniffio"), "thread_local", None)
    library = getattr(sniffed, "name", None)
    if task is not None:
        _leave_task(loop, task)  # type: ignore[arg-type]
    _set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)
    if depth:
        sys.set_coroutine_origin_tracking_depth(0)
    if library is not None:
        sniffed.name = None  # type: ignore[union-attr]
    try:
        switch()
    finally:
        if library is not None:
            sniffed.name = library  # type: ignore[union-attr]
        if depth:
            sys.set_coroutine_origin_tracking_depth(depth)
        sys.set_asyncgen_hooks(*hooks)
        _set_running_loop(loop)
        if task is not None:
            _enter_task(loop, task)  # type: ignore[arg-type]


def place(coroutine: Any) -> str:
    """Where a coroutine waits: the innermost function of it that is the user's."""
    found = None
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            package = frame.f_globals.get("__name__", "").partition(".")[0]
            if found is None or package not in ("asyncio", "trio", "pylibos"):
                found = frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    if found is None:
        return "not started, or just ended"
    code = found.f_code
    return f"{code.co_name}() at {code.co_filename}:{found.f_lineno}"
