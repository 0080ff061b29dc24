# SPDX-License-Identifier: GPL-2.0-only
"""How a task of asyncio or trio waits for the end of a program."""

from __future__ import annotations

import asyncio
from typing import Any

from pylibos._program import Program


async def ended(program: Program[Any]) -> None:
    """Wait until a program has ended; it goes on when this is cancelled."""
    loop = asyncio._get_running_loop()
    if loop is None:
        from pylibos._trio_waits import current_waits

        await current_waits().program(program)
        return
    future = loop.create_future()

    def release() -> None:
        if not future.done():
            future.set_result(None)

    def wake() -> None:
        loop.call_soon_threadsafe(release)

    program.at_end.append(wake)
    try:
        await future
    finally:
        program.at_end.remove(wake)
