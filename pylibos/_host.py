# SPDX-License-Identifier: GPL-2.0-only
"""Lets code mean a library kernel by the host: a block of it, or a program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pylibos._host_context import GUEST, Clock, Guest, current_process
from pylibos._host_modules import MODULES
from pylibos._host_threads import THREADS
from pylibos._host_time import TIME, ProcessClock

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._program import Program

_ALL = (TIME, THREADS, MODULES)


@contextlib.contextmanager
def as_host(process: Process) -> Iterator[None]:
    """Let the block mean a process's kernel by the host."""
    with contextlib.ExitStack() as stack:
        for patches in _ALL:
            patches.enter()
            stack.callback(patches.leave)
        token = GUEST.set(Guest(ProcessClock(process), process))
        stack.callback(GUEST.reset, token)
        yield


@contextlib.contextmanager
def on_clock(clock: Clock) -> Iterator[None]:
    """Let the functions of time follow a clock in the block; sockets stay what they are."""
    TIME.enter()
    token = GUEST.set(Guest(clock, current_process()))
    try:
        yield
    finally:
        GUEST.reset(token)
        TIME.leave()


def admit(program: Program[Any], clock: Clock, process: Process | None) -> None:
    """Give a new program its clock; spawned inside as_host(), it is inside, too.

    Args:
        program: has not started.
        clock: what it gets for the functions of time.
        process: whose spawn() made it; None: the world's.
    """
    spawner = current_process()
    if spawner is not None and process is None:
        clock, process = ProcessClock(spawner), spawner
    guest = Guest(clock, process if spawner is not None else None)
    for patches in (TIME,) if guest.process is None else _ALL:
        patches.enter()
        program.at_end.append(patches.leave)
    context = program.greenlet.gr_context
    assert context is not None
    context.run(GUEST.set, guest)
