# SPDX-License-Identifier: GPL-2.0-only
"""asyncio inside a kernel: its epoll, its clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from pylibos import KernelEventLoop


@pytest.fixture
def loop(kernel):
    loop = KernelEventLoop(kernel)
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_hour_of_sleep_takes_no_time(kernel, loop):
    start, before = time.perf_counter(), kernel.now_ns
    loop.run_until_complete(asyncio.sleep(3600))
    assert time.perf_counter() - start < 60  # nobody waited the hour
    assert 3600 <= (kernel.now_ns - before) / 1e9 < 3600.01


def test_streams_talk(kernel, loop):
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        listener = kernel.create_server(("127.0.0.1", 7))
        server = await asyncio.start_server(serve, sock=listener)
        client = kernel.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", 7))
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer

    assert loop.run_until_complete(main()) == b"HELLO\n"


def test_timeouts_follow_the_kernels_clock(kernel, loop):
    async def main():
        with kernel.socket(type=2) as sock:
            sock.bind(("127.0.0.1", 9))
            sock.setblocking(False)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(loop.sock_recv(sock, 10), 30)

    before = kernel.now_ns
    loop.run_until_complete(main())
    assert 30 <= (kernel.now_ns - before) / 1e9 < 30.01


def test_callbacks_from_threads_arrive(kernel, loop):
    async def main():
        return await asyncio.to_thread(lambda: 7)

    # A thread of the host is not in virtual time: the loop would see a deadlock.
    ticker = loop.create_task(asyncio.sleep(10))
    assert ticker
    loop.run_until_complete(asyncio.sleep(1))
    ticker.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(ticker)
