# SPDX-License-Identifier: GPL-2.0-only
"""Virtual, real and injected clocks; deadlocks."""

from __future__ import annotations

import re
import struct
import time

import pytest

import pylibos

SECOND = 10**9


def test_clock_stands_still_while_code_runs(kernel):
    before = kernel.now_ns
    for _ in range(1000):
        kernel.syscall("getpid")
    assert kernel.now_ns == before


def test_kernel_clock_runs_with_the_world_clock(kernel):
    def read(clock):
        room = bytearray(16)
        kernel.syscall("clock_gettime", clock, room)
        seconds, rest = struct.unpack("qq", room)
        return seconds * SECOND + rest

    before = [read(clock) for clock in (0, 1, 7)]  # real, monotonic, since boot
    world_before = kernel.now_ns
    kernel.sleep(1.5)
    after = [read(clock) for clock in (0, 1, 7)]
    assert kernel.now_ns - world_before == 1_500_000_000
    assert [b - a for a, b in zip(before, after, strict=True)] == [1_500_000_000] * 3


def test_idle_hour_takes_no_time(kernel):
    start = time.perf_counter()
    kernel.world.run_for(3600 * SECOND)
    assert time.perf_counter() - start < 60  # nobody waited that long
    assert kernel.now_ns == 3601 * SECOND


def test_timeouts_are_exact(kernel):
    with kernel.create_server(("127.0.0.1", 7)) as server:
        for timeout in (0.001, 1, 12.345678912):
            server.settimeout(timeout)
            before = kernel.now_ns
            with pytest.raises(TimeoutError, match="^timed out$"):
                server.accept()
            assert kernel.now_ns - before == round(timeout * SECOND)


def test_retransmission_backs_off_exactly(pair):
    a, _, link = pair
    link.down()
    with a.socket() as sock:
        sock.settimeout(400)
        before = a.now_ns
        with pytest.raises(OSError, match="No route to host|timed out"):
            sock.connect(("10.0.0.2", 9))
        assert 1 * SECOND < a.now_ns - before < 300 * SECOND


def test_run_until_stops_at_the_time(kernel):
    kernel.world.run_until(5 * SECOND + 7)
    assert kernel.now_ns == 5 * SECOND + 7


def test_next_event_is_known(kernel):
    kernel.world.run_for(100 * SECOND)
    fd = kernel.syscall("timerfd_create", 1, 0)
    kernel.syscall("timerfd_settime", fd, 0, struct.pack("qqqq", 0, 0, 3, 0), None)
    kernel.world.run_for(0)
    when = kernel.world.next_event_ns
    assert when is not None
    assert kernel.now_ns < when <= kernel.now_ns + 3 * SECOND


def test_negative_sleep_is_refused(kernel):
    with pytest.raises(ValueError, match="must be non-negative"):
        kernel.sleep(-1)


def test_call_that_can_never_end_is_a_deadlock(kernel):
    with kernel.create_server(("127.0.0.1", 7)) as server:
        with pytest.raises(pylibos.DeadlockError, match="This call can never end") as caught:
            server.accept()
        (task,) = caught.value.tasks
        assert task.call == "accept4"
        assert "inet_csk_accept" in task.where
        assert task.kernel == kernel.name
        assert f"{kernel.name}: task {task.pid} in accept4()" in str(caught.value)
        # The call was interrupted: nothing is lost.
        with kernel.create_connection(("127.0.0.1", 7)):
            server.accept()[0].close()


def test_deadlock_report_names_each_waiting_task(pair):
    a, b, _ = pair

    def wait(kernel, port):
        with kernel.create_server(("", port)) as server:
            server.accept()

    a.spawn(wait, a, 1)
    b.spawn(wait, b, 2)
    program = b.spawn(wait, b, 3)
    with pytest.raises(pylibos.DeadlockError) as caught:
        program.join()
    assert sorted(task.kernel for task in caught.value.tasks) == ["a", "b", "b"]


def test_deadlock_report_tells_of_failed_programs(kernel):
    def fail():
        raise LookupError("lost")

    program = kernel.spawn(fail)
    with kernel.create_server(("127.0.0.1", 7)) as server:
        with pytest.raises(pylibos.DeadlockError, match=r"fail failed before: LookupError"):
            server.accept()
    with pytest.raises(LookupError):
        program.result()


def test_program_that_never_ends_is_a_deadlock(kernel):
    with kernel.create_server(("127.0.0.1", 7)) as server:
        program = kernel.spawn(server.accept)
        with pytest.raises(pylibos.DeadlockError):
            program.join()
        program.kill()


def test_deadlock_comes_soon_in_wall_time(pair):
    a, _, _ = pair
    start = time.perf_counter()
    with a.create_server(("", 7)) as server, pytest.raises(pylibos.DeadlockError):
        server.accept()
    assert time.perf_counter() - start < 60  # nobody waited the day


def test_busy_wait_on_the_clock_makes_progress(kernel):
    before = kernel.now_ns
    assert kernel.syscall(0x10005, 5, 1_000_000) >= 0  # LL_SYS_FAIL: spin with the clock
    assert kernel.now_ns >= before


def test_real_clock_follows_the_host(boot_one):
    kernel = boot_one(clock="real")
    start, before = time.monotonic_ns(), kernel.now_ns
    kernel.syscall("nanosleep", struct.pack("qq", 0, 50_000_000), None)
    passed = time.monotonic_ns() - start
    assert 50_000_000 <= kernel.now_ns - before <= passed + 1_000_000
    assert passed < 1_000_000_000


def test_real_clock_times_out(boot_one):
    kernel = boot_one(clock="real")
    with kernel.create_server(("127.0.0.1", 7)) as server:
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()
        server.settimeout(None)
        with pytest.raises(TimeoutError):
            kernel.syscall("accept4", server, None, None, 0, deadline_ns=kernel.now_ns + 10**7)


def test_wall_clock_of_a_real_kernel_is_the_hosts(boot_one):
    kernel = boot_one(clock="real")
    room = bytearray(16)
    kernel.syscall("clock_gettime", 0, room)
    seconds, _ = struct.unpack("qq", room)
    assert abs(seconds - time.time()) < 5


def test_clock_may_be_an_object(boot_one):
    class Clock:
        def __init__(self):
            self.time_ns = 5 * SECOND
            self.waits = []

        def now_ns(self):
            return self.time_ns

        def wait(self, deadline_ns):
            self.waits.append(deadline_ns)
            self.time_ns = deadline_ns if deadline_ns is not None else self.time_ns + SECOND

    clock = Clock()
    kernel = boot_one(clock=clock)
    before = kernel.now_ns
    kernel.syscall("nanosleep", struct.pack("qq", 7, 0), None)
    assert kernel.now_ns - before == 7 * SECOND
    assert clock.waits


def test_clock_may_be_a_callable(boot_one):
    kernel = boot_one(clock=time.monotonic_ns)
    before = kernel.now_ns
    kernel.syscall("nanosleep", struct.pack("qq", 0, 20_000_000), None)
    assert kernel.now_ns - before >= 20_000_000


def test_error_of_a_clock_comes_out_of_the_call(boot_one):
    class Clock:
        broken = False

        def now_ns(self):
            return time.monotonic_ns()

        def wait(self, deadline_ns):
            if self.broken:
                raise RuntimeError("the clock has stopped")
            time.sleep(0.001)

    clock = Clock()
    kernel = boot_one(clock=clock)
    clock.broken = True
    with pytest.raises(RuntimeError, match="the clock has stopped"):
        kernel.syscall("nanosleep", struct.pack("qq", 1, 0), None)
    clock.broken = False
    assert kernel.syscall("getpid") > 0


def test_closed_world_refuses_work(one_build):
    world = pylibos.World()
    world.close()
    world.close()
    with pytest.raises(pylibos.PylibosError, match=re.escape("This world is closed")):
        pylibos.boot(**one_build.options, world=world)
