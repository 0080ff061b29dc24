# SPDX-License-Identifier: GPL-2.0-only
"""asyncio's executors and threads, cancellation, and many tasks inside kernels."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asyncio_cases import ask, serve_upper, upper

import pylibos
from pylibos import KernelEventLoop

SECOND = 10**9
MS = 10**6


# --- Threads ---


def test_function_in_the_executor_is_a_program(kernel):
    def work(number):
        kernel.sleep(number)
        return number, threading.get_ident()

    async def main():
        return await asyncio.gather(*(asyncio.to_thread(work, number) for number in (3, 1, 2)))

    before = kernel.now_ns
    assert kernel.run(main()) == [(number, threading.get_ident()) for number in (3, 1, 2)]
    assert kernel.now_ns - before == 3 * SECOND


def test_exception_in_the_executor_reaches_the_caller(kernel):
    def fail():
        raise LookupError("lost")

    async def main():
        await asyncio.to_thread(fail)

    with pytest.raises(LookupError, match="lost"):
        kernel.run(main())


def test_run_waits_for_the_executor(kernel):
    async def main():
        asyncio.get_running_loop().run_in_executor(None, kernel.sleep, 7)
        await asyncio.sleep(1)

    before = kernel.now_ns
    kernel.run(main())
    assert kernel.now_ns - before == 7 * SECOND


def test_run_waits_for_a_function_whose_task_was_cancelled(kernel):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.to_thread(kernel.sleep, 7)

    before = kernel.now_ns
    kernel.run(main())
    assert kernel.now_ns - before == 7 * SECOND


def test_executor_that_takes_too_long_is_ended(kernel):
    loop = KernelEventLoop(kernel)
    events = []

    def work():
        try:
            kernel.sleep(100)
        finally:
            events.append(kernel.now_ns)

    loop.run_in_executor(None, work)
    before = kernel.now_ns
    with pytest.warns(RuntimeWarning, match="after 5 seconds, and ended now: .*work"):
        loop.run_until_complete(loop.shutdown_default_executor(5))
    loop.close()
    assert events == [before + 5 * SECOND]


def test_threads_of_the_host_are_refused_in_virtual_time(kernel):
    loop = KernelEventLoop(kernel)
    errors = []

    def other():
        try:
            loop.call_soon_threadsafe(print)
        except pylibos.ThreadError as error:
            errors.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "has no place in virtual time" in errors[0]
    with pytest.raises(pylibos.ThreadError, match="give None as executor"):
        loop.run_in_executor(object(), print)
    loop.close()


def test_thread_wakes_a_loop_in_real_time(boot_one):
    kernel = boot_one(clock="real")

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 7))
        thread.start()
        try:
            return await future
        finally:
            thread.join()

    assert kernel.run(main()) == 7


def test_loop_runs_in_a_thread_in_real_time(boot_one):
    kernel = boot_one(clock="real")
    values = []

    async def main():
        async with await asyncio.start_server(upper, "127.0.0.1", 7):
            values.append(await ask("127.0.0.1", 7, b"thread\n"))

    thread = threading.Thread(target=lambda: kernel.run(main()))
    thread.start()
    thread.join()
    assert values == [b"THREAD\n"]


# --- Cancellation ---


def _waits(kernel):
    """Every kind of wait: a name, and a coroutine function that waits for ever."""
    pair = kernel.socketpair()
    pair[0].setblocking(False)
    server = kernel.create_server(("127.0.0.1", 69))
    listening = kernel.create_server(("127.0.0.1", 70))
    server.setblocking(False)
    loop = asyncio.get_running_loop

    async def connect():
        with kernel.socket() as sock:
            sock.setblocking(False)
            await loop().sock_connect(sock, ("10.0.0.99", 7))

    async def opening():
        await asyncio.open_connection("10.0.0.98", 7)

    async def drain():
        first, second = kernel.socketpair()
        _, writer = await asyncio.open_unix_connection(sock=first)
        try:
            with second:
                writer.write(bytes(10_000_000))
                await writer.drain()
        finally:
            writer.transport.abort()

    async def program():
        running = kernel.spawn(kernel.sleep, 30)
        try:
            await running
        finally:
            running.kill()

    async def send():
        await loop().sock_sendall(pair[0], bytes(10_000_000))

    async def stream():
        reader, writer = await asyncio.open_connection("127.0.0.1", 70)
        try:
            await reader.read()
        finally:
            writer.close()

    async def serving():
        listener = await asyncio.start_server(upper, "127.0.0.1", 72)
        async with listener:
            await listener.serve_forever()

    async def executor():
        await asyncio.to_thread(kernel.sleep, 30)

    async def datagram():
        transport, _ = await loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 73)
        )
        try:
            await loop().create_future()
        finally:
            transport.close()

    waits = {
        "sleep": lambda: asyncio.sleep(100),
        "recv": lambda: loop().sock_recv(pair[0], 1),
        "accept": lambda: loop().sock_accept(server),
        "connect": connect,
        "opening": opening,
        "drain": drain,
        "program": program,
        "send": send,
        "stream": stream,
        "serving": serving,
        "executor": executor,
        "datagram": datagram,
    }
    return waits, [*pair, server, listening]


def test_cancelled_waits_leave_nothing_behind(pair):
    kernel = pair[0]

    def tasks():
        return sum(name.isdecimal() for name in kernel.listdir("/proc"))

    def once():
        waits, sockets = _waits(kernel)

        async def main():
            running = [asyncio.create_task(wait(), name=name) for name, wait in waits.items()]
            await asyncio.sleep(1)
            assert [task.get_name() for task in running if task.done()] == []
            for task in running:
                task.cancel()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)

        kernel.run(main())
        for sock in sockets:
            sock.close()

    once()  # the kernel makes some of its own on first use
    before = tasks(), kernel.listdir("/proc/self/fd")
    for _ in range(3):
        once()
    assert (tasks(), kernel.listdir("/proc/self/fd")) == before


# --- Many, and the same each time ---


def test_hundred_tasks_talk_at_once(pair):
    a, b, _ = pair
    server = b.spawn(serve_upper, 7, 1)

    async def main():
        await ask("10.0.0.2", 7, b"arp\n")
        before = a.now_ns
        lines = [b"line %d\n" % number for number in range(100)]
        answers = await asyncio.gather(*(ask("10.0.0.2", 7, line) for line in lines))
        assert answers == [line.upper() for line in lines]
        return a.now_ns - before

    assert a.run(main()) == 40 * MS
    server.join()


def test_more_loops_run_at_once_than_1024_descriptors_allow(kernel):
    before = kernel.now_ns
    programs = [kernel.spawn(asyncio.sleep, 3, number) for number in range(400)]
    assert [program.result() for program in programs] == list(range(400))
    assert kernel.now_ns - before == 3 * SECOND


def test_sets_of_tasks_have_the_same_order_each_time(kernel):
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(1), name=str(n)) for n in range(50)]
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done]

    # Hashes are numbers from 2 on, main() being the first: the order is that of small integers.
    assert kernel.run(main()) == [str(number) for number in range(50)]
