# SPDX-License-Identifier: GPL-2.0-only
"""asyncio inside kernels: their epoll, their clock, many loops in one thread."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
import time

import hypothesis
import hypothesis.strategies as st
import pytest
from asyncio_cases import ask, serve_upper, upper
from kernel_builds import main_builds

import pylibos
from pylibos import KernelEventLoop

SECOND = 10**9
MS = 10**6


@pytest.fixture(scope="module")
def shared():
    """One kernel for many examples."""
    with pylibos.boot(**main_builds()[0].options) as kernel:
        yield kernel


@pytest.fixture
def loop(kernel):
    loop = KernelEventLoop(kernel)
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


# --- Time ---


def test_hour_of_sleep_takes_no_time(kernel):
    start, before = time.perf_counter(), kernel.now_ns
    kernel.run(asyncio.sleep(3600))
    assert time.perf_counter() - start < 60  # nobody waited the hour
    assert kernel.now_ns - before == 3600 * SECOND


@pytest.mark.parametrize("ns", [1, 2, 999, 1_000_500_000, 1_000_000_001, 3_599_999_999_999])
def test_sleep_ends_at_the_nanosecond(kernel, ns):
    before = kernel.now_ns
    kernel.run(asyncio.sleep(ns / 1e9))
    assert kernel.now_ns - before == ns


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(delays=st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_many_sleeps_end_at_their_nanoseconds(shared, delays):
    ends = []

    async def sleep(ns):
        await asyncio.sleep(ns / 1e9)
        ends.append((ns, shared.now_ns - before))

    async def main():
        await asyncio.gather(*(sleep(ns) for ns in delays))

    before = shared.now_ns
    shared.run(main())
    assert sorted(ends) == [(ns, ns) for ns in sorted(delays)]
    assert [end for _, end in ends] == sorted(delays)


def test_timers_a_nanosecond_apart_stay_apart(kernel, loop):
    seen = []
    start = loop.time()
    for ns in (3, 1, 2):
        loop.call_at(start + 0.5 + ns * 1e-9, lambda: seen.append(kernel.now_ns))
    before = kernel.now_ns
    loop.run_until_complete(asyncio.sleep(1))
    assert [when - before - SECOND // 2 for when in seen] == [1, 2, 3]


def test_sleep_ends_after_months_of_virtual_time(one_build):
    # A float of seconds tells no ns from the next after 97 days.
    with (
        pylibos.World(start_ns=200 * 86_400 * SECOND) as world,
        pylibos.boot(world=world, **one_build.options) as kernel,
    ):
        before = kernel.now_ns
        kernel.run(asyncio.sleep(1.5))
        assert abs(kernel.now_ns - before - 3 * SECOND // 2) <= 4


def test_timeout_comes_at_the_nanosecond(kernel):
    async def main():
        with kernel.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 9))
            sock.setblocking(False)
            async with asyncio.timeout(30.000000007):
                await asyncio.get_running_loop().sock_recv(sock, 10)

    before = kernel.now_ns
    with pytest.raises(TimeoutError):
        kernel.run(main())
    assert kernel.now_ns - before == 30_000_000_007


def test_loop_time_is_the_kernels_clock(kernel, loop):
    async def main():
        await asyncio.sleep(2)
        return loop.time()

    assert loop.run_until_complete(main()) == kernel.now_ns / 1e9


def test_selector_does_not_round_to_milliseconds(kernel):
    with kernel.selector() as selector:
        before = kernel.now_ns
        assert selector.select(0.000123456) == []
        assert kernel.now_ns - before == 123456


def test_real_clock_works(boot_one):
    kernel = boot_one(clock="real")

    async def main():
        server = await asyncio.start_server(upper, "127.0.0.1", 7)
        async with server:
            answer = await asyncio.wait_for(ask("127.0.0.1", 7, b"real\n"), 60)
        return answer, await asyncio.to_thread(threading.get_ident)

    answer, thread = kernel.run(main())
    assert answer == b"REAL\n"
    assert thread != threading.get_ident()


# --- Programs ---


def test_loops_of_two_kernels_run_at_once(pair):
    a, b, _ = pair
    server = b.spawn(serve_upper, 7, 1)
    before = a.now_ns
    clients = [a.spawn(ask, "10.0.0.2", 7, b"line %d\n" % number) for number in range(3)]
    assert [client.result() for client in clients] == [b"LINE %d\n" % n for n in range(3)]
    # ARP, the handshake, and a line there and back: 3 round trips of 20 ms.
    assert a.now_ns - before == 60 * MS
    server.result()
    assert a.now_ns - before == SECOND


def test_loop_in_the_caller_and_loops_in_programs_run_at_once(pair):
    a, b, _ = pair
    server = b.spawn(serve_upper, 7, 1)
    assert a.run(ask("10.0.0.2", 7, b"hello\n")) == b"HELLO\n"
    server.join()


def test_blocking_programs_talk_to_async_ones(pair):
    a, b, _ = pair

    def client():
        with a.create_connection(("10.0.0.2", 7)) as conn:
            conn.sendall(b"plain\n")
            return conn.recv(100)

    server = b.spawn(serve_upper, 7, 1)
    assert a.spawn(client).result() == b"PLAIN\n"
    server.join()


def test_each_program_sees_its_own_loop_and_task(pair):
    a, b, _ = pair

    async def look(kernel, others):
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        for _ in range(3):
            await asyncio.sleep(0.5)
            kernel.sleep(0.25)  # blocks this loop, and lets others run in its midst
            assert asyncio.get_running_loop() is loop
            assert asyncio.current_task() is task
        assert loop.process is kernel
        others.append(loop)

    loops = []
    programs = [kernel.spawn(look, kernel, loops) for kernel in (a, b, a)]
    for program in programs:
        program.result()
    assert len(set(loops)) == 3
    assert asyncio._get_running_loop() is None


def test_plain_programs_see_no_running_loop(kernel):
    def look():
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()

    async def main():
        program = kernel.spawn(look)
        kernel.sleep(1)
        program.result()

    kernel.run(main())


def test_async_generators_are_closed_by_their_own_loop(pair):
    a, b, _ = pair
    closed = []

    async def count(kernel):
        try:
            for number in range(10):
                yield number
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(1)
            closed.append((kernel.name, asyncio.get_running_loop().process.name))

    async def first(kernel, seconds):
        async for _ in count(kernel):
            await asyncio.sleep(seconds)
            break
        await asyncio.sleep(2)  # its own loop finalizes the generator meanwhile

    for program in [a.spawn(first, a, 3), b.spawn(first, b, 1)]:
        program.result()
    assert closed == [("b", "b"), ("a", "a")]


def test_context_variables_reach_an_async_program(kernel):
    variable = contextvars.ContextVar("variable")
    variable.set(7)

    async def main():
        return variable.get()

    assert kernel.spawn(main).result() == 7


def test_exception_of_an_async_program_comes_out_of_result(kernel):
    async def fail():
        await asyncio.sleep(1)
        raise LookupError("lost")

    program = kernel.spawn(fail)
    assert program.name.endswith("fail")
    with pytest.raises(LookupError, match="lost"):
        program.result()


def test_killed_async_program_cancels_its_tasks(kernel):
    events = []

    async def wait(name):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            events.append(name)
            raise

    async def main():
        await asyncio.gather(wait("first"), wait("second"))

    program = kernel.spawn(main)
    kernel.world.run_for(SECOND)
    program.kill()
    assert events == ["first", "second"]
    assert program.done


def test_killed_program_whose_cleanup_never_ends_fails_with_a_deadlock(boot):
    kernel = boot(world=pylibos.World(deadlock_ns=60 * SECOND))

    async def main():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.get_running_loop().create_future()

    program = kernel.spawn(main)
    kernel.world.run_for(SECOND)
    program.kill()
    with pytest.raises(pylibos.DeadlockError):
        program.result()


def test_task_that_never_waits_does_not_stop_the_world(pair):
    a, b, link = pair
    link.set(delay_ms=0)
    got = []

    async def receive():
        with b.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("10.0.0.2", 7))
            sock.setblocking(False)
            got.append(await asyncio.get_running_loop().sock_recv(sock, 10))

    async def spin():
        receiver = b.spawn(receive)
        with a.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(10_000):
                sock.sendto(b"x", ("10.0.0.2", 7))
                await asyncio.sleep(0)
                if got:
                    return await receiver
        return None

    before = a.now_ns
    a.run(spin())
    assert got == [b"x"]
    assert a.now_ns == before


def test_world_refuses_a_coroutine_function_without_a_kernel(kernel):
    async def main():
        pass

    with pytest.raises(TypeError, match="needs a kernel whose event loop runs it"):
        kernel.world.spawn(main)
