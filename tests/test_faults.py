# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that fail: each gives a clear error, keeps its log and leaves the others working."""

from __future__ import annotations

import contextlib
import re

import pytest

import pylibos

LL_SYS_FAIL = 0x10005
PANIC, BUG, NULL, OVERFLOW, WARN = range(5)


@pytest.fixture
def neighbour(boot):
    """Another kernel, which must live on."""
    kernel = boot(name="neighbour")
    yield kernel
    assert kernel.syscall("getpid") > 0
    with kernel.create_server(("127.0.0.1", 7)) as server:
        with kernel.create_connection(("127.0.0.1", 7)):
            server.accept()[0].close()


@pytest.mark.parametrize(
    ("what", "message", "in_log"),
    [
        (PANIC, "panic", "Kernel panic"),
        (BUG, "BUG|panic", "kernel BUG at|BUG"),
        (NULL, "fault|SIGSEGV|panic|dereference", "fault|dereference|Oops"),
        (OVERFLOW, "stack|fault|panic", "stack|fault"),
    ],
    ids=["panic", "BUG", "null", "stack-overflow"],
)
def test_dead_kernel_raises_panic_with_its_log(boot, neighbour, what, message, in_log):
    kernel = boot(name="doomed")
    pattern = f"The kernel doomed panicked: .*({message})"
    with pytest.raises(pylibos.KernelPanic, match=pattern) as caught:
        kernel.syscall(LL_SYS_FAIL, what, 0)
    assert "Linux version" in caught.value.log
    assert re.search(in_log, caught.value.log)
    if what in (NULL, OVERFLOW) or kernel.image.profile != "lean":
        assert "Call Trace" in caught.value.log


def test_dead_kernel_refuses_everything_but_its_log(boot, neighbour):
    kernel = boot(name="doomed")
    sock = kernel.socket()
    with pytest.raises(pylibos.KernelPanic):
        kernel.syscall(LL_SYS_FAIL, PANIC, 0)
    for use in (lambda: kernel.syscall("getpid"), kernel.socket, sock.listen, kernel.task):
        with pytest.raises(pylibos.KernelPanic, match="The kernel doomed panicked"):
            use()
    assert any("Kernel panic" in record.text for record in kernel.dmesg())
    sock.close()
    kernel.halt()
    with pytest.raises(pylibos.KernelHalted):
        kernel.syscall("getpid")
    assert "Kernel panic" in kernel.log


def test_warning_does_not_kill(boot):
    kernel = boot()
    kernel.syscall(LL_SYS_FAIL, WARN, 0)
    assert any("WARNING" in record.text for record in kernel.dmesg())
    assert kernel.syscall("getpid") > 0


def test_unknown_failure_is_refused(kernel):
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.syscall(LL_SYS_FAIL, 99, 0)


def test_failing_needs_a_capability(kernel):
    with kernel.task() as task:
        task.syscall("setuid", 1000)
        with pytest.raises(PermissionError):
            task.syscall(LL_SYS_FAIL, PANIC, 0)
    assert kernel.syscall("getpid") > 0


def test_panic_ends_blocked_calls_of_programs(boot, neighbour):
    kernel = boot()
    with kernel.create_server(("127.0.0.1", 7)) as server:
        program = kernel.spawn(server.accept)
        kernel.world.run_for(1)
        with pytest.raises(pylibos.KernelPanic):
            kernel.syscall(LL_SYS_FAIL, PANIC, 0)
        with pytest.raises(pylibos.KernelPanic):
            program.result()


def test_panic_of_one_end_leaves_the_other_end_working(pair):
    a, b, _ = pair
    with pytest.raises(pylibos.KernelPanic):
        b.syscall(LL_SYS_FAIL, NULL, 0)
    with a.socket() as sock:
        sock.settimeout(3)
        with pytest.raises(OSError, match="timed out|No route"):
            sock.connect(("10.0.0.2", 9))
    a.sleep(1)
    assert a.syscall("getpid") > 0


def test_hundred_panics_leave_the_process_healthy(boot_one):
    for number in range(100):
        kernel = boot_one()
        with pytest.raises(pylibos.KernelPanic):
            kernel.syscall(LL_SYS_FAIL, number % 4, 0)
        kernel.halt()
    assert boot_one().syscall("getpid") > 0


def test_memory_runs_out_with_an_error_and_not_with_a_crash(boot, neighbour):
    kernel = boot(memory=16 << 20)
    pairs = []

    def exhaust():
        while True:
            first, second = kernel.socketpair()
            pairs.extend([first, second])
            first.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    first.send(bytes(65536))

    with pytest.raises((OSError, pylibos.KernelPanic), match="memory|buffer|files") as caught:
        exhaust()
    if isinstance(caught.value, pylibos.KernelPanic):
        assert re.search("[Oo]ut of memory|OOM|memory and no killable", caught.value.log)
    else:
        for sock in pairs:
            # The task may have been ended to get memory back; another one takes over.
            with contextlib.suppress(OSError):
                sock.close()
        with contextlib.suppress(OSError):
            kernel.syscall("getpid")
        assert kernel.syscall("getpid") > 0


def test_huge_allocations_are_refused(kernel):
    with kernel.socket(type=2) as sock:
        sock.setsockopt(1, 33, 2**30)  # SO_RCVBUFFORCE
        sock.connect(("127.0.0.1", 9))
        with pytest.raises(OSError, match="Message too long"):
            sock.send(bytes(1 << 20))
    with pytest.raises(OSError, match="Cannot allocate memory|temporarily unavailable"):
        kernel.syscall("io_setup", 1 << 20, bytearray(8))
    assert kernel.syscall("getpid") > 0
