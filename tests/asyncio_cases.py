# SPDX-License-Identifier: GPL-2.0-only
"""A server and a client for tests of asyncio: lines come back in capitals."""

from __future__ import annotations

import asyncio


async def upper(reader, writer):
    """A server's answer: each line in capitals."""
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def serve_upper(port, seconds):
    async with await asyncio.start_server(upper, "0.0.0.0", port):
        await asyncio.sleep(seconds)


async def ask(host, port, line):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(line)
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer
