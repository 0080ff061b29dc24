# SPDX-License-Identifier: GPL-2.0-only
"""kernel.run(): values, exceptions, cancellation, Ctrl-C, deadlocks."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

import pylibos

SECOND = 10**9
LL_SYS_FAIL, PANIC = 0x10005, 0  # abi/liblinux.h


# --- run() ---


def test_run_returns_the_value_and_raises_the_exception(kernel):
    async def main(fails):
        await asyncio.sleep(1)
        if fails:
            raise LookupError("lost")
        return 5

    assert kernel.run(main(False)) == 5
    with pytest.raises(LookupError, match="lost"):
        kernel.run(main(True))
    with pytest.raises(ValueError, match="a coroutine was expected"):
        kernel.run(5)


def test_run_in_a_running_loop_is_refused(kernel):
    async def main():
        inner = asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            kernel.run(inner)
        inner.close()

    kernel.run(main())


def test_run_cancels_what_is_left(kernel):
    left = []

    async def linger():
        try:
            await asyncio.sleep(100)
        finally:
            left.append(kernel.now_ns)

    async def main():
        task = asyncio.create_task(linger())
        await asyncio.sleep(1)
        assert not task.done()

    before = kernel.now_ns
    kernel.run(main())
    assert left == [before + SECOND]


def test_debug_mode_is_on_when_asked(kernel):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert kernel.run(main(), debug=True) is True
    assert kernel.run(main(), debug=False) is False


def test_control_c_cancels_and_is_raised(kernel):
    cancelled = []

    async def main():
        try:
            asyncio.get_running_loop().call_later(5, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(kernel.now_ns)
            raise

    before = kernel.now_ns
    with pytest.raises(KeyboardInterrupt):
        kernel.run(main())
    assert cancelled == [before + 5 * SECOND]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_control_c_in_an_async_program_reaches_the_one_who_waits(kernel):
    async def main():
        asyncio.get_running_loop().call_later(5, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(100)

    program = kernel.spawn(main)
    with pytest.raises(KeyboardInterrupt):
        program.result()


def test_failure_of_a_program_comes_out_of_run(kernel):
    async def fail():
        raise LookupError("lost")

    async def main():
        kernel.spawn(fail)
        await asyncio.sleep(1)

    with pytest.raises(pylibos.ProgramFailed, match=r"fail failed: LookupError\('lost'\)"):
        kernel.run(main())


def test_deadlock_names_the_tasks_and_where_they_wait(boot):
    kernel = boot(world=pylibos.World(deadlock_ns=60 * SECOND))

    async def never():
        await asyncio.get_running_loop().create_future()

    async def main():
        await asyncio.gather(never(), asyncio.sleep(1))

    with pytest.raises(pylibos.DeadlockError) as caught:
        kernel.run(main())
    notes = "\n".join(caught.value.__notes__)
    assert "waits in never() at" in notes
    assert notes.count("asyncio task") == 2  # main and never; the sleep has ended
    assert kernel.run(asyncio.sleep(1, "goes on")) == "goes on"


def test_panic_comes_out_of_run(boot_one):
    kernel = boot_one()
    events = []

    async def main():
        try:
            with pytest.raises(pylibos.KernelPanic):
                kernel.syscall(LL_SYS_FAIL, PANIC, 0)
            await asyncio.sleep(100)
        finally:
            events.append("unwound")

    with pytest.raises(pylibos.KernelPanic):
        kernel.run(main())
    assert events == ["unwound"]
