# SPDX-License-Identifier: GPL-2.0-only
"""host/syscall.c, host/call.c, host/world.c: calls, clocks and deadlines, without a kernel."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator

import host_library as h
import pytest
from host_library import Fake, error

from pylibos import _abi

EINTR = -4
NEVER = _abi.LL_NEVER
DAY = 86_400 * 10**9


@pytest.fixture
def virtual() -> Iterator[Fake]:
    fake = Fake(seeded=1, seed=7)
    yield fake
    fake.close()


@pytest.fixture
def real() -> Iterator[Fake]:
    fake = Fake(_abi.PLH_CLOCK_REAL)
    yield fake
    fake.close()


@pytest.mark.parametrize("clock", [_abi.PLH_CLOCK_VIRTUAL, _abi.PLH_CLOCK_REAL])
def test_call_returns_its_result(clock: int) -> None:
    fake = Fake(clock)
    status = ctypes.c_int(-1)
    for number in range(300):
        assert fake.call(h.ADD_ONE, number) == (h.OK, number + 1)
        fast = fake.host.plh_call6(
            fake.kernel, fake.task, ctypes.byref(status), h.ADD_ONE, number, 0, 0, 0, 0, 0
        )
        assert (fast, status.value) == (number + 1, -1)
    fake.close()


def test_virtual_sleep_takes_exactly_its_time_and_none(virtual: Fake) -> None:
    before, wall = virtual.now, time.monotonic()
    assert virtual.call(h.SLEEP, DAY) == (h.OK, 0)
    assert virtual.now - before == DAY
    assert time.monotonic() - wall < 1


def test_real_sleep_waits(real: Fake) -> None:
    before = time.monotonic_ns()
    assert real.call(h.SLEEP, 20_000_000) == (h.OK, 0)
    assert time.monotonic_ns() - before >= 20_000_000


@pytest.mark.parametrize("clock", [_abi.PLH_CLOCK_VIRTUAL, _abi.PLH_CLOCK_REAL])
def test_deadline_ends_a_call(clock: int) -> None:
    fake = Fake(clock)
    before = fake.now
    assert fake.call(h.BLOCK, deadline=before + 5_000_000) == (h.TIMEOUT, EINTR)
    assert fake.now - before >= 5_000_000
    assert fake.call(h.ADD_ONE, 1) == (h.OK, 2)
    fake.close()


def test_call_that_ends_at_its_deadline_has_ended(virtual: Fake) -> None:
    assert virtual.call(h.SLEEP, 1000, deadline=virtual.now + 1000) == (h.OK, 0)


def test_nothing_to_wait_for_is_a_deadlock(virtual: Fake) -> None:
    assert virtual.call(h.BLOCK)[0] == h.DEADLOCK
    assert "Nothing can happen any more" in error()
    # The call is still in flight.
    assert virtual.call(h.ADD_ONE, 1)[0] == h.BUSY
    assert virtual.finish("interrupt", virtual.task) == (h.OK, EINTR)
    assert virtual.call(h.ADD_ONE, 1) == (h.OK, 2)


def test_housekeeping_alone_is_a_deadlock_after_a_day(virtual: Fake) -> None:
    virtual.call(h.TICK, 10**9)
    before = virtual.now
    assert virtual.call(h.BLOCK)[0] == h.DEADLOCK
    assert DAY - 2 * 10**9 < virtual.now - before <= DAY


def test_housekeeping_does_not_hold_up_a_far_deadline(virtual: Fake) -> None:
    virtual.call(h.TICK, 10**9)
    deadline = virtual.now + 30 * DAY
    wall = time.monotonic()
    assert virtual.call(h.BLOCK, deadline=deadline)[0] == h.TIMEOUT
    assert virtual.now == deadline
    assert time.monotonic() - wall < 5


def test_deadlock_horizon_can_be_chosen() -> None:
    fake = Fake(deadlock_ns=10**9)
    fake.call(h.TICK, 10**6)
    before = fake.now
    assert fake.call(h.BLOCK)[0] == h.DEADLOCK
    assert fake.now - before <= 10**9
    fake.close()


def test_kernel_that_spins_on_a_frozen_clock_makes_progress(virtual: Fake) -> None:
    before = virtual.now
    assert virtual.call(h.SPIN, 1_000_000) == (h.OK, 0)
    assert virtual.now - before == 1_000_000


def test_submitted_calls_end_in_the_order_of_their_time(virtual: Fake) -> None:
    tasks = [virtual.new_task() for _ in range(20)]
    waits = [(7 * i) % 20 for i in range(20)]
    for task, wait in zip(tasks, waits, strict=True):
        assert virtual.submit(task, h.SLEEP, 1000 + wait)[0] == h.PENDING
        assert virtual.finish("poll", task)[0] == h.PENDING
    order = []
    while virtual.host.plh_world_run(virtual.world, NEVER, 0, 1) == h.OK:
        while task := virtual.host.plh_world_next_done(virtual.world):
            assert virtual.finish("poll", task) == (h.OK, 0)
            order.append(waits[tasks.index(task)])
    assert order == sorted(waits)


def test_clock_stops_at_until(virtual: Fake) -> None:
    virtual.submit(virtual.task, h.SLEEP, 1000)
    start = virtual.now
    assert virtual.host.plh_world_next_ns(virtual.world) == start + 1000
    assert virtual.host.plh_world_run(virtual.world, start + 999, 0, 0) == h.OK
    assert virtual.now == start + 999
    assert virtual.finish("poll", virtual.task)[0] == h.PENDING
    assert virtual.host.plh_world_run(virtual.world, start + 1000, 0, 0) == h.OK
    assert virtual.finish("poll", virtual.task) == (h.OK, 0)


def test_waiting_takes_the_call_off_the_list(virtual: Fake) -> None:
    virtual.submit(virtual.task, h.SLEEP, 5)
    assert virtual.finish("wait", virtual.task, NEVER) == (h.OK, 0)
    assert virtual.host.plh_world_next_done(virtual.world) is None
    assert virtual.finish("wait", virtual.task, NEVER)[0] == h.ERROR
    assert "not inside a call" in error()


def test_budget_of_wall_time_is_kept(virtual: Fake) -> None:
    virtual.call(h.TICK, 1)
    wall = time.monotonic()
    status = virtual.host.plh_world_run(virtual.world, virtual.now + 10**12, 50_000_000, 0)
    assert status == h.PENDING
    assert 0.04 < time.monotonic() - wall < 2


def test_slice_ends_a_wait_for_the_sake_of_signals(virtual: Fake) -> None:
    virtual.host.plh_world_set_slice(virtual.world, 10_000_000)
    virtual.call(h.TICK, 1)
    status, _ = virtual.call(h.SLEEP, 10**12)
    assert status == h.SIGNAL
    assert virtual.finish("interrupt", virtual.task) == (h.OK, EINTR)


def test_random_bytes_follow_from_the_seed() -> None:
    def numbers(seed: int, kernels: int) -> list[int]:
        fake = Fake(seeded=1, seed=seed)
        for _ in range(kernels):
            fake.kernel = fake.boot()
        fake.task = fake.host.plh_kernel_init_task(fake.kernel)
        found = [fake.call(h.RANDOM)[1] for _ in range(4)]
        fake.close()
        return found

    assert numbers(1, 0) == numbers(1, 0)
    assert len({*numbers(1, 0), *numbers(2, 0), *numbers(1, 1), *numbers(1, 2)}) == 16


def test_unseeded_worlds_differ() -> None:
    found = []
    for _ in range(2):
        fake = Fake()
        found.append(fake.call(h.RANDOM)[1])
        fake.close()
    assert found[0] != found[1]


def test_seeded_worlds_put_kernels_at_the_same_addresses() -> None:
    def biases() -> list[int]:
        fake = Fake(seeded=1)
        kernels = [fake.kernel, fake.boot(), fake.boot()]
        stats = _abi.plh_kernel_stats()
        found = []
        for kernel in kernels:
            fake.host.plh_kernel_stats(kernel, ctypes.byref(stats))
            found.append(stats.load_bias)
        fake.close()
        return found

    first = biases()
    assert first == biases()
    assert len(set(first)) == 3


def test_log_reaches_the_callback_and_stays_in_the_ring(virtual: Fake) -> None:
    text = ctypes.create_string_buffer(b"a line\n")
    virtual.call(h.LOG, ctypes.addressof(text), 7, 6)
    assert virtual.log == [(6, b"a line\n")]
    buffer = ctypes.create_string_buffer(100)
    count = virtual.host.plh_kernel_log(virtual.kernel, buffer, 100)
    assert buffer.raw[:count] == b"a line\n"


def test_log_keeps_the_newest_lines(virtual: Fake) -> None:
    lines = [f"line {number} {'x' * 60}\n".encode() for number in range(6000)]
    for line in lines:
        text = ctypes.create_string_buffer(line)
        virtual.call(h.LOG, ctypes.addressof(text), len(line), 6)
    buffer = ctypes.create_string_buffer(1 << 20)
    count = virtual.host.plh_kernel_log(virtual.kernel, buffer, 1 << 20)
    kept = buffer.raw[:count]
    assert count <= 256 << 10
    assert b"".join(lines).endswith(kept)
    assert kept.startswith(b"line ")
    assert count > 250_000


def test_other_thread_is_refused_while_virtual_time_is_moved(virtual: Fake) -> None:
    virtual.call(h.TICK, 1)
    other = virtual.new_task()
    found: list[int] = []

    def try_to_call() -> None:
        time.sleep(0.05)
        result = ctypes.c_int64()
        found.append(
            virtual.host.plh_call(
                virtual.kernel, other, h.ADD_ONE, h.six(1), NEVER, ctypes.byref(result)
            )
        )

    thread = threading.Thread(target=try_to_call)
    thread.start()
    virtual.host.plh_world_run(virtual.world, virtual.now + 10**12, 300_000_000, 0)
    thread.join()
    assert found == [h.BUSY]


def test_threads_wait_together_in_real_time(real: Fake) -> None:
    tasks = [real.new_task() for _ in range(8)]
    found: list[tuple[int, int]] = []

    def sleep(task: object) -> None:
        for _ in range(20):
            found.append(real.call(h.SLEEP, 1_000_000, task=task))

    threads = [threading.Thread(target=sleep, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(h.OK, 0)] * 160


def test_wake_ends_a_wait(real: Fake) -> None:
    timer = threading.Timer(0.05, real.host.plh_world_wake, (real.world,))
    timer.start()
    assert real.call(h.BLOCK)[0] == h.SIGNAL
    assert real.finish("interrupt", real.task) == (h.OK, EINTR)


def test_callback_clock_is_asked_and_lets_time_pass() -> None:
    now = [1000]

    def let_pass(_opaque: object, deadline: int) -> None:
        now[0] = min(deadline, now[0] + 100)

    clock = h.prototype_of(_abi.plh_world_config, "clock")(lambda _opaque: now[0])
    wait = h.prototype_of(_abi.plh_world_config, "wait")(let_pass)
    fake = Fake(_abi.PLH_CLOCK_CALLBACK, clock=clock, wait=wait)
    assert fake.now == 1000
    assert fake.call(h.BLOCK, deadline=5000) == (h.TIMEOUT, EINTR)
    assert now[0] == 5000
    fake.close()


def test_callback_must_not_run_kernels(virtual: Fake) -> None:
    inner: list[int] = []

    def note(_opaque: object, _level: int, _text: object, _count: int) -> None:
        result = ctypes.c_int64()
        inner.append(
            virtual.host.plh_call(
                virtual.kernel, virtual.task, 0, h.six(), NEVER, ctypes.byref(result)
            )
        )

    keep = h.prototype_of(_abi.plh_kernel_config, "log")(note)
    config = _abi.plh_kernel_config(boot_log=1, log=keep)
    virtual.kernel = virtual.host.plh_kernel_boot(
        virtual.world, virtual.image, ctypes.byref(config)
    )
    virtual.task = virtual.host.plh_kernel_init_task(virtual.kernel)
    text = ctypes.create_string_buffer(b"x")
    assert virtual.call(h.LOG, ctypes.addressof(text), 1, 4) == (h.OK, 0)
    assert inner == [h.BUSY]
    assert "A callback" in error()
