# SPDX-License-Identifier: GPL-2.0-only
"""trio with the world's clock: time, and the order of tasks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time

import hypothesis
import hypothesis.strategies as st
import pytest
import trio
import trio.testing
from kernel_builds import main_builds

import pylibos
from pylibos import _trio, _trio_run

SECOND = 10**9


@pytest.fixture(scope="module")
def shared():
    """One kernel for many examples."""
    with pylibos.boot(**main_builds()[0].options) as kernel:
        yield kernel


async def upper(stream):
    """A server's answer: what comes, in capitals."""
    async for data in stream:
        await stream.send_all(data.upper())


async def ask(host, data):
    async with await trio.open_tcp_stream(host, 7) as stream:
        await stream.send_all(data)
        return await stream.receive_some()


# --- Time ---


def test_hour_of_sleep_takes_no_time(kernel):
    start, before = time.perf_counter(), kernel.now_ns
    kernel.trio_run(trio.sleep, 3600)
    assert time.perf_counter() - start < 60  # nobody waited the hour
    assert kernel.now_ns - before == 3600 * SECOND


@pytest.mark.parametrize("ns", [1, 2, 999, 1_000_500_000, 1_000_000_001, 3_599_999_999_999])
def test_sleep_ends_at_the_nanosecond(kernel, ns):
    before = kernel.now_ns
    kernel.trio_run(trio.sleep, ns / 1e9)
    assert kernel.now_ns - before == ns


def test_sleep_ends_after_months_of_virtual_time(one_build):
    with (
        pylibos.World(start_ns=200 * 86_400 * SECOND) as world,
        pylibos.boot(world=world, **one_build.options) as kernel,
    ):
        before = kernel.now_ns
        kernel.trio_run(trio.sleep, 1.5)
        assert abs(kernel.now_ns - before - 3 * SECOND // 2) <= 4


def test_deadline_of_a_scope_is_exact(kernel):
    async def main():
        with trio.move_on_after(30.000000007) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(trio.TooSlowError):
            with trio.fail_at(trio.current_time() + 2):
                await trio.sleep(3)

    before = kernel.now_ns
    kernel.trio_run(main)
    assert kernel.now_ns - before == 32_000_000_007


def test_time_is_the_worlds_and_never_goes_back(kernel):
    async def main():
        seen = [trio.current_time()]
        for step in (0.1, 1e-9, 0.3, 1 / 3, 2e-9):
            await trio.sleep(step)
            seen.append(trio.current_time())
        assert seen == sorted(seen)
        assert abs(seen[-1] - kernel.now_ns / 1e9) < 1e-9

    kernel.trio_run(main)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(delays=st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_many_sleeps_end_at_their_nanoseconds(shared, delays):
    ends = []

    async def sleep(ns):
        await trio.sleep(ns / 1e9)
        ends.append((ns, shared.now_ns - before))

    async def main():
        async with trio.open_nursery() as nursery:
            for ns in delays:
                nursery.start_soon(sleep, ns)

    before = shared.now_ns
    shared.trio_run(main)
    assert sorted(ends) == [(ns, ns) for ns in sorted(delays)]
    assert [end for _, end in ends] == sorted(delays)


def test_sleeps_of_tasks_overlap(kernel):
    async def main():
        async with trio.open_nursery() as nursery:
            for seconds in (3, 1, 2):
                nursery.start_soon(trio.sleep, seconds)

    before = kernel.now_ns
    kernel.trio_run(main)
    assert kernel.now_ns - before == 3 * SECOND


def test_idle_tasks_are_noticed(kernel):
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 100)
            before = kernel.now_ns
            await trio.testing.wait_all_tasks_blocked()
            assert kernel.now_ns == before
            nursery.cancel_scope.cancel()

    kernel.trio_run(main)


def test_thread_takes_no_virtual_time(kernel):
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 5)
            before = kernel.now_ns
            assert await trio.to_thread.run_sync(threading.get_ident) != threading.get_ident()
            assert kernel.now_ns == before

    kernel.trio_run(main)


def test_task_that_never_waits_does_not_stop_the_world(pair):
    a, b, link = pair
    link.set(delay_ms=0)

    async def main():
        with b.as_trio():
            receiver = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        with a.as_trio():
            sender = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        with receiver, sender:
            await receiver.bind(("10.0.0.2", 7))
            await sender.sendto(b"x", ("10.0.0.2", 7))
            rounds = 0
            while not receiver.is_readable():
                await trio.lowlevel.checkpoint()
                rounds += 1
                assert rounds < 10_000

    a.world.trio_run(main)


def test_real_clock_works(boot_one):
    kernel = boot_one(clock="real")

    async def main():
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, upper, 7)
            with trio.fail_after(60):
                assert await ask("127.0.0.1", b"real") == b"REAL"
                assert await trio.to_thread.run_sync(lambda: 7) == 7
                before = time.monotonic()
                await trio.sleep(0.02)
                assert time.monotonic() - before >= 0.02
            nursery.cancel_scope.cancel()

    kernel.trio_run(main)


# --- The same each time ---

ORDER = """
    import pylibos, trio
    with pylibos.World(seed={seed}) as world:
        a, b = (pylibos.boot(world=world, name=name, **{options}) for name in "ab")
        link = a.link_to(b, subnet="10.0.0.0/24", delay_ms=1)
        a.capture({path!r})
        order = []
        async def serve(stream):
            async for data in stream:
                await stream.send_all(data)
        async def client(number):
            async with await trio.open_tcp_stream("10.0.0.2", 7) as stream:
                await stream.send_all(b"%d" % number)
                order.append((number, await stream.receive_some()))
        async def main():
            async with trio.open_nursery() as nursery:
                with b.as_trio():
                    await nursery.start(trio.serve_tcp, serve, 7)
                with a.as_trio():
                    async with trio.open_nursery() as clients:
                        for number in range(20):
                            clients.start_soon(client, number)
                nursery.cancel_scope.cancel()
        world.trio_run(main)
        print(order, world.now_ns)
"""


def test_same_seed_gives_the_same_order_and_capture(one_build, tmp_path):
    def once(seed, name):
        path = str(tmp_path / name)
        code = textwrap.dedent(ORDER).format(seed=seed, options=one_build.options, path=path)
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        return done.stdout, (tmp_path / name).read_bytes()

    first = once(1, "1.pcapng")
    assert once(1, "2.pcapng") == first
    assert once(2, "3.pcapng")[0] != first[0]


def test_order_of_trio_runs_elsewhere_is_left_alone(kernel):
    scheduler = sys.modules["trio._core._run"]
    state, flag = scheduler._r.getstate(), scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    kernel.trio_run(trio.sleep, 1)
    assert scheduler._r.getstate() == state
    assert scheduler._ALLOW_DETERMINISTIC_SCHEDULING is flag


def test_unknown_scheduler_is_warned_of(kernel, monkeypatch):
    monkeypatch.delattr(sys.modules["trio._core._run"], "_ALLOW_DETERMINISTIC_SCHEDULING")
    with pytest.warns(RuntimeWarning, match="two runs may differ"):
        with _trio_run._same_order(1):
            pass


def test_no_kernel_is_current_outside(kernel):
    with pytest.raises(pylibos.PylibosError, match="inside 'with kernel.as_trio"):
        _trio.current_process()
    with kernel.as_trio():
        assert _trio.current_process() is kernel
