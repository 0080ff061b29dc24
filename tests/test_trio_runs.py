# SPDX-License-Identifier: GPL-2.0-only
"""Runs of trio: how they end, programs beside them, deadlocks, dead kernels."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
import trio
import trio.testing

import pylibos

SECOND = 10**9
LL_SYS_FAIL, PANIC = 0x10005, 0  # abi/liblinux.h


async def upper(stream):
    """A server's answer: what comes, in capitals."""
    async for data in stream:
        await stream.send_all(data.upper())


async def ask(host, data):
    async with await trio.open_tcp_stream(host, 7) as stream:
        await stream.send_all(data)
        return await stream.receive_some()


# --- Runs ---


def test_run_returns_the_value_and_raises_the_exception(kernel):
    async def main(fails):
        await trio.sleep(1)
        if fails:
            raise LookupError("lost")
        return 5

    assert kernel.trio_run(main, False) == 5
    with pytest.raises(LookupError, match="lost"):
        kernel.trio_run(main, True)


def test_clock_of_ones_own_is_refused(kernel):
    with pytest.raises(TypeError, match="has the world's clock"):
        kernel.trio_run(trio.sleep, 1, clock=trio.testing.MockClock())


def test_second_run_at_once_is_refused(kernel):
    async def main():
        with pytest.raises(RuntimeError, match="Attempted to call run"):
            kernel.trio_run(trio.sleep, 1)

    kernel.trio_run(main)


def test_run_in_a_program_works(kernel):
    program = kernel.spawn(kernel.trio_run, trio.sleep, 3)
    before = kernel.now_ns
    program.result()
    assert kernel.now_ns - before == 3 * SECOND


def test_run_inside_as_host_works(kernel):
    async def main():
        before = time.monotonic_ns()
        await trio.sleep(3)
        assert time.monotonic_ns() - before == 3 * SECOND
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", 7))
            with trio.move_on_after(1):
                await sock.recv(10)

    before = kernel.now_ns
    with kernel.as_host():
        kernel.world.trio_run(main)
    assert kernel.now_ns - before == 4 * SECOND


def test_killed_program_unwinds_its_tasks(kernel):
    events = []

    async def main():
        try:
            await trio.sleep_forever()
        finally:
            events.append("finally")

    program = kernel.spawn(kernel.trio_run, main)
    kernel.world.run_for(SECOND)
    program.kill()
    assert events == ["finally"]
    assert program.done


def test_control_c_is_raised(kernel):
    async def main():
        await trio.sleep(5)
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep(100)

    before = kernel.now_ns
    with pytest.raises(KeyboardInterrupt):
        kernel.trio_run(main)
    assert kernel.now_ns - before == 5 * SECOND
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_missing_trio_is_said(kernel, monkeypatch):
    monkeypatch.setitem(sys.modules, "trio", None)
    monkeypatch.delitem(sys.modules, "pylibos._trio_run")
    monkeypatch.delattr(pylibos, "_trio_run")
    with pytest.raises(pylibos.PylibosError, match="trio is not installed"):
        kernel.trio_run(trio.sleep, 1)


# --- Programs ---


def test_blocking_programs_and_asyncio_run_beside_trio(pair):
    import asyncio

    a, b, _ = pair

    def blocking():
        with a.create_connection(("10.0.0.2", 7)) as conn:
            conn.sendall(b"plain")
            return conn.recv(100)

    async def on_asyncio():
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        writer.write(b"asyncio")
        data = await reader.read(100)
        writer.close()
        await writer.wait_closed()
        return data

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_tcp, upper, 7)
            programs = [a.spawn(blocking), a.spawn(on_asyncio)]
            with a.as_trio():
                answers = [await ask("10.0.0.2", b"trio")]
            answers += [await program for program in programs]
            nursery.cancel_scope.cancel()
            return answers

    assert a.world.trio_run(main) == [b"TRIO", b"PLAIN", b"ASYNCIO"]


def test_program_is_awaited_beside_other_tasks(kernel):
    async def main():
        async with trio.open_nursery() as nursery:
            program = kernel.spawn(lambda: kernel.sleep(3) or "slept")
            nursery.start_soon(trio.sleep, 1)
            with trio.move_on_after(2) as scope:
                await program
            assert scope.cancelled_caught
            assert await program == "slept"
            assert await program == "slept"

    before = kernel.now_ns
    kernel.trio_run(main)
    assert kernel.now_ns - before == 3 * SECOND


def test_failure_of_an_awaited_program_reaches_the_task(kernel):
    def fail():
        kernel.sleep(1)
        raise LookupError("lost")

    async def main():
        with pytest.raises(LookupError, match="lost"):
            await kernel.spawn(fail)

    kernel.trio_run(main)


def test_failure_that_nobody_asked_for_comes_out_of_run(kernel):
    def fail():
        raise LookupError("lost")

    async def main():
        kernel.spawn(fail)
        await trio.sleep(1)

    with pytest.raises(pylibos.ProgramFailed, match=r"fail failed: LookupError\('lost'\)"):
        kernel.trio_run(main)


# --- Deadlocks and dead kernels ---


def test_deadlock_cancels_the_tasks_and_names_them(boot):
    kernel = boot(world=pylibos.World(deadlock_ns=60 * SECOND))
    events = []

    async def never():
        try:
            await trio.sleep_forever()
        finally:
            events.append("unwound")

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(never)
            nursery.start_soon(never)

    with pytest.raises(pylibos.DeadlockError) as caught:
        kernel.trio_run(main)
    assert events == ["unwound", "unwound"]
    notes = "\n".join(caught.value.__notes__)
    assert notes.count("waits in never() at") == 2
    kernel.trio_run(trio.sleep, 1)  # the world goes on


def test_end_of_a_run_waits_for_nothing(kernel):
    before = kernel.now_ns
    kernel.trio_run(trio.sleep, 0)
    assert kernel.now_ns == before


def test_panic_reaches_the_task_that_waits(boot_one):
    kernel = boot_one()

    async def receive(sock):
        with pytest.raises(pylibos.KernelPanic):
            await sock.recv(1)
        return "told"

    async def main():
        sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        await sock.bind(("127.0.0.1", 7))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(pylibos.KernelPanic):
                kernel.syscall(LL_SYS_FAIL, PANIC, 0)
        sock.close()

    kernel.trio_run(main)


def test_halt_reaches_the_task_that_waits(boot_one):
    async def receive(sock):
        with pytest.raises(pylibos.KernelHalted, match="halted while a trio task waited"):
            await sock.recv(1)

    async def main():
        sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        await sock.bind(("127.0.0.1", 7))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            await trio.testing.wait_all_tasks_blocked()
            kernel.halt()

    with pylibos.World() as world, boot_one(world=world) as kernel:
        kernel.trio_run(main)
