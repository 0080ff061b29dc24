# SPDX-License-Identifier: GPL-2.0-only
"""Locks, events and queues inside as_host(): who waits lets others run, in virtual time."""

from __future__ import annotations

import queue
import threading
import time

import pytest
from host_servers import started

import pylibos

SECOND = 10**9


@pytest.mark.parametrize("make", ["Lock", "RLock"])
def test_lock_is_held_by_one_and_given_in_order(host, make):
    lock, order = getattr(threading, make)(), []

    def work(name):
        with lock:
            order.append((name, "in"))
            time.sleep(1)
            order.append((name, "out"))

    before = host.now_ns
    for thread in [started(work, name) for name in "abc"]:
        thread.join()
    assert order == [(name, event) for name in "abc" for event in ("in", "out")]
    assert host.now_ns - before == 3 * SECOND


def test_lock_has_the_interface_of_the_hosts(host):
    lock = threading.Lock()
    assert lock.acquire()
    assert lock.locked()
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0)
    before = host.now_ns
    assert not lock.acquire(timeout=2.5)
    assert host.now_ns - before == 2.5 * SECOND
    lock.release()
    assert not lock.locked()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    with pytest.raises(ValueError, match="can't specify a timeout for a non-blocking call"):
        lock.acquire(False, 1)
    with pytest.raises(ValueError, match="non-negative"):
        lock.acquire(True, -2)


def test_rlock_counts_for_each_program(host):
    lock = threading.RLock()
    refused = []

    def other():
        refused.append(lock.acquire(blocking=False))
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.release()

    with lock, lock:
        started(other).join()
    assert refused == [False]
    assert lock.acquire(blocking=False)
    lock.release()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()


def test_lock_that_nobody_gives_up_is_a_deadlock(host):
    lock = threading.Lock()
    lock.acquire()
    with pytest.raises(pylibos.DeadlockError):
        lock.acquire()
    assert not lock._waiters


def test_lock_passes_by_a_killed_program(kernel):
    with kernel.as_host():
        lock = threading.Lock()

        def hold():
            with lock:
                time.sleep(10)

        def wait():
            with lock:
                return kernel.now_ns

        holder, victim, heir = kernel.spawn(hold), kernel.spawn(wait), kernel.spawn(wait)
        before = kernel.now_ns
        kernel.sleep(1)
        victim.kill()
        assert heir.result() - before == 10 * SECOND
        holder.join()
        assert not lock.locked()


def test_event_and_condition_wake_in_virtual_time(host):
    event, condition, items = threading.Event(), threading.Condition(), []
    before = host.now_ns

    def produce():
        time.sleep(2)
        event.set()
        time.sleep(2)
        with condition:
            items.append("x")
            condition.notify_all()

    thread = started(produce)
    assert not event.wait(1)
    assert event.wait(10)
    assert host.now_ns - before == 2 * SECOND
    with condition:
        assert not condition.wait_for(lambda: items, timeout=1)
        assert host.now_ns - before == 3 * SECOND
        assert condition.wait_for(lambda: items, timeout=10)
    assert host.now_ns - before == 4 * SECOND
    thread.join()


def test_event_from_outside_does_not_stop_the_world(kernel):
    event = threading.Event()
    with kernel.as_host():
        thread = threading.Timer(5, event.set)
        thread.start()
        before = kernel.now_ns
        assert event.wait(60)
        assert kernel.now_ns - before == 5 * SECOND
        thread.join()


def test_semaphore_and_barrier_gather_threads(host):
    semaphore, barrier = threading.BoundedSemaphore(2), threading.Barrier(4)
    ends = []

    def work():
        with semaphore:
            time.sleep(1)
        barrier.wait()
        ends.append(host.now_ns)

    before = host.now_ns
    for thread in [started(work) for _ in range(4)]:
        thread.join()
    assert [end - before for end in ends] == [2 * SECOND] * 4


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_queues_block_in_virtual_time(host, kind):
    made = getattr(queue, kind)()
    before = host.now_ns
    with pytest.raises(queue.Empty):
        made.get(timeout=7)
    assert host.now_ns - before == 7 * SECOND
    timer = threading.Timer(1, made.put, ["item"])
    timer.start()
    assert made.get(timeout=7) == "item"
    assert host.now_ns - before == 8 * SECOND
    timer.join()


def test_full_queue_holds_the_producer(host):
    made = queue.Queue(1)

    def produce():
        for number in range(4):
            made.put((number, host.now_ns))

    thread, before = started(produce), host.now_ns
    got = []
    for _ in range(4):
        time.sleep(1)
        got.append(made.get())
        made.task_done()
    made.join()
    thread.join()
    assert [(number, (when - before) // SECOND) for number, when in got] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 2),
    ]


def test_locks_made_inside_work_outside(kernel):
    with kernel.as_host():
        lock, rlock, event = threading.Lock(), threading.RLock(), threading.Event()
    with lock, rlock:
        assert not lock.acquire(blocking=False)
    event.set()
    assert event.wait(10)
    program = kernel.spawn(lambda: (kernel.sleep(3), lock.release()))
    lock.acquire()
    before = kernel.now_ns
    lock.acquire()
    assert kernel.now_ns - before == 3 * SECOND
    program.join()


def test_lock_of_programs_refuses_other_threads(kernel):
    errors = []
    with kernel.as_host():
        lock = threading.Lock()
    lock.acquire()

    def work():
        try:
            lock.acquire()
        except pylibos.ThreadError as error:
            errors.append(str(error))

    program = kernel.spawn(kernel.sleep, 1)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    program.join()
    assert "make locks that threads of the host are to share outside" in errors[0]


def test_programs_of_a_real_world_share_locks_and_threads(boot):
    kernel = boot(clock="real")

    def work():
        with kernel.as_host():
            lock = threading.Lock()
            lock.acquire()
            thread = threading.Thread(target=lambda: (time.sleep(0.001), lock.release()))
            thread.start()
            lock.acquire()
            thread.join()
            return type(lock), isinstance(lock, type(lock))

    assert kernel.spawn(work).result()[0].__name__ == "ProgramLock"
