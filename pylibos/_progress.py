# SPDX-License-Identifier: GPL-2.0-only
"""A bar of virtual time on a terminal, for long runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._world import World

# Wall time between two drawings, in s.
_PERIOD = 0.1


@contextmanager
def progress_bar(world: World, until_ns: int) -> Iterator[None]:
    """Show how far a world has run on its way to a time, if stderr is a terminal.

    It draws when the world has run for a while, in the thread that runs it, and reads the
    clock only: a run is the same with and without it.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    start_ns = world.now_ns
    start = drawn = time.perf_counter()
    total = max(until_ns - start_ns, 1) / 1e9
    bar = Progress(
        TextColumn("virtual time"),
        BarColumn(),
        TextColumn("{task.completed:.3f} of {task.total:.3f} s, {task.fields[speed]}"),
        console=Console(stderr=True),
        auto_refresh=False,
    )
    task = bar.add_task("", total=total, speed="")

    def draw() -> None:
        nonlocal drawn
        drawn = time.perf_counter()
        done = (world.now_ns - start_ns) / 1e9
        speed = f"{done / max(drawn - start, 1e-9):.3g} virtual s per s"
        bar.update(task, completed=done, speed=speed, refresh=True)

    def watch() -> None:
        if time.perf_counter() - drawn >= _PERIOD:
            draw()

    hub = world.hub
    before, hub.watcher = hub.watcher, watch
    try:
        with bar:
            yield
            draw()
    finally:
        hub.watcher = before
