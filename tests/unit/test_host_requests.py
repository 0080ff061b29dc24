# SPDX-License-Identifier: GPL-2.0-only
"""Calls and steps of a world as structures (host/request.c), on a fake kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import host_library as h
import pytest
from host_library import Fake, error

from pylibos import _abi

NEVER = _abi.LL_NEVER


@pytest.fixture
def virtual() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.close()


def submit(fake: Fake, number: int, *args: int, task: Any = None) -> tuple[int, Any]:
    """The result of a request, and the request."""
    request = _abi.plh_request(
        kernel=fake.kernel, task=task or fake.task, nr=number, args=h.six(*args)
    )
    return fake.host.plh_request_submit(ctypes.byref(request)), request


def step(fake: Fake, until: int = NEVER) -> tuple[int | None, Any]:
    """The task that a step returns, and the step."""
    made = _abi.plh_step(world=fake.world, until_ns=until)
    return fake.host.plh_world_step(ctypes.byref(made)), made


@pytest.mark.parametrize("clock", [_abi.PLH_CLOCK_VIRTUAL, _abi.PLH_CLOCK_REAL])
def test_request_gives_its_result(clock: int) -> None:
    fake = Fake(clock)
    for number in range(600):  # the lock is biased to this thread on the way
        assert submit(fake, h.ADD_ONE, number)[0] == number + 1
    fake.close()


def test_request_that_blocks_is_pending(virtual: Fake) -> None:
    result, request = submit(virtual, h.SLEEP, 1000)
    assert (result, request.status) == (_abi.PLH_UNFINISHED, h.PENDING)
    result, request = submit(virtual, h.ADD_ONE, 1)
    assert (result, request.status) == (_abi.PLH_UNFINISHED, h.BUSY)
    assert "inside a call already" in error()


def test_request_to_a_dead_kernel_says_so(virtual: Fake) -> None:
    assert virtual.call(h.PANIC)[0] == h.DEAD
    result, request = submit(virtual, h.ADD_ONE, 1)
    assert (result, request.status) == (_abi.PLH_UNFINISHED, h.DEAD)


def test_step_tells_whose_call_has_ended(virtual: Fake) -> None:
    start = virtual.now
    submit(virtual, h.SLEEP, 1000)
    task, made = step(virtual)
    assert task == made.task == virtual.task
    assert (made.status, made.more, made.ret) == (h.OK, 0, 0)
    assert made.now_ns == made.progress_ns == start + 1000
    assert virtual.finish("poll", virtual.task) == (h.OK, 0)


def test_task_whose_end_was_told_makes_another_call(virtual: Fake) -> None:
    for number in range(3):
        submit(virtual, h.SLEEP, 1000)
        assert step(virtual)[0] == virtual.task
        assert submit(virtual, h.ADD_ONE, number)[0] == number + 1


def test_step_ends_when_its_time_has_come(virtual: Fake) -> None:
    start = virtual.now
    submit(virtual, h.SLEEP, 1000)
    task, made = step(virtual, start + 999)
    assert (task, made.task, made.status, made.now_ns) == (None, None, h.OK, start + 999)


def test_call_that_ends_with_the_time_is_not_alone(virtual: Fake) -> None:
    submit(virtual, h.SLEEP, 1000)
    task, made = step(virtual, virtual.now + 1000)
    assert (task, made.task, made.more) == (None, virtual.task, 0)


def test_step_tells_of_more_that_have_ended(virtual: Fake) -> None:
    second = virtual.new_task()
    submit(virtual, h.SLEEP, 1)
    submit(virtual, h.SLEEP, 2, task=second)
    assert virtual.host.plh_world_run(virtual.world, virtual.now + 5, 0, 0) == h.OK
    task, made = step(virtual)
    assert (task, made.task, made.more) == (None, virtual.task, 1)
    assert step(virtual)[0] == second


def test_step_leaves_calls_of_a_dead_kernel_to_who_asks(virtual: Fake) -> None:
    blocked = virtual.new_task()
    submit(virtual, h.BLOCK, task=blocked)
    assert virtual.call(h.PANIC)[0] == h.DEAD
    task, made = step(virtual)
    assert (task, made.task, made.more) == (None, None, 1)
    assert virtual.host.plh_world_next_done(virtual.world) == blocked


def test_step_without_anything_to_come_is_a_deadlock(virtual: Fake) -> None:
    submit(virtual, h.BLOCK)
    task, made = step(virtual)
    assert (task, made.task, made.status) == (None, None, h.DEADLOCK)
