# SPDX-License-Identifier: GPL-2.0-only
"""A full arena: calls fail with an error, nothing is killed, and freed memory is used again."""

from __future__ import annotations

import contextlib
import errno
import threading

import pytest

import pylibos

LL_SYS_FAIL, TAKE_ALL_MEMORY = 0x10005, 6
NO_MEMORY = (errno.ENOMEM, errno.ENOBUFS)


def fill(process, sockets):
    """Make socket pairs and fill their buffers until the kernel refuses; its error number."""
    while True:
        try:
            pair = process.socketpair()
            sockets.extend(pair)
            pair[0].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    pair[0].send(bytes(65536))
        except OSError as error:
            return error.errno


def close(sockets):
    for sock in sockets:
        sock.close()
    sockets.clear()


def transfer(kernel, size):
    """Send bytes over TCP of the loopback interface; how many arrived."""
    with kernel.create_server(("127.0.0.1", 0)) as server:
        with kernel.create_connection(server.getsockname()) as client:
            with server.accept()[0] as peer:
                sender = kernel.spawn(client.sendall, bytes(size))
                left = size
                while left:
                    left -= len(peer.recv(left))
                sender.result()
    return size


def test_kernels_whose_pages_are_made_at_once_have_as_many(boot):
    # The second of a kind shows the host which pages a boot writes; those after it get them.
    kernels = [boot(memory=12 << 20) for _ in range(5)]
    resident = [kernel.stats().arena_resident_bytes for kernel in kernels]
    assert max(resident) - min(resident) <= 64 << 10
    assert all(transfer(kernel, 100_000) == 100_000 for kernel in kernels)


def test_full_memory_is_an_error_of_the_call(boot):
    kernel = boot(memory=16 << 20)
    sockets = []
    assert fill(kernel, sockets) in NO_MEMORY
    assert len(sockets) > 20
    close(sockets)


def test_nobody_is_killed_for_memory(boot):
    kernel = boot(memory=16 << 20)
    with kernel.task() as bystander:
        before = kernel.syscall("getpid"), bystander.syscall("getpid")
        sockets = []
        fill(kernel, sockets)
        assert (kernel.syscall("getpid"), bystander.syscall("getpid")) == before
        close(sockets)
    log = [record.text for record in kernel.dmesg()]
    assert not [line for line in log if "Killed process" in line or "oom-kill" in line]


def test_open_sockets_outlive_a_full_memory(boot):
    kernel = boot(memory=16 << 20)
    first, second = kernel.socketpair()
    sockets = []
    fill(kernel, sockets)
    close(sockets)
    first.send(b"still here")
    assert second.recv(100) == b"still here"
    first.close()
    second.close()


def test_freed_memory_is_used_again(boot):
    kernel = boot(memory=16 << 20)
    filled = []
    for _ in range(3):
        sockets = []
        assert fill(kernel, sockets) in NO_MEMORY
        filled.append(len(sockets))
        close(sockets)
        assert transfer(kernel, 1 << 20) == 1 << 20
    assert min(filled) > 0.9 * max(filled)


def test_tasks_end_with_an_error_when_memory_does(boot):
    kernel = boot(memory=16 << 20)
    tasks = []

    def exhaust():
        while True:
            tasks.append(kernel.task())

    with pytest.raises(OSError, match="Cannot allocate memory|temporarily unavailable"):
        exhaust()
    for task in tasks:
        task.close()
    assert kernel.syscall("getpid") > 0
    assert transfer(kernel, 1 << 16) == 1 << 16


def test_memory_that_may_not_be_missing_ends_the_kernel(boot):
    kernel, neighbour = boot(memory=16 << 20, name="doomed"), boot()
    with pytest.raises(pylibos.KernelPanic, match="Out of memory: all 16384 KiB are in use"):
        kernel.syscall(LL_SYS_FAIL, TAKE_ALL_MEMORY, 0)
    assert neighbour.syscall("getpid") > 0


def test_threads_get_errors_too(boot):
    kernel = boot(memory=16 << 20, clock="real")
    errors, sockets = [], []

    def run():
        errors.append(fill(kernel, sockets))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(errors) <= set(NO_MEMORY)
    close(sockets)
    assert kernel.syscall("getpid") > 0
