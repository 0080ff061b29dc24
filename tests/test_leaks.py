# SPDX-License-Identifier: GPL-2.0-only
"""Booting and halting for ever: memory and descriptors stay flat."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

import pylibos


def resident_kib():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def mappings():
    return len(Path("/proc/self/maps").read_text().splitlines())


def measure():
    gc.collect()
    return resident_kib(), len(list(Path("/proc/self/fd").iterdir())), mappings()


def cycle(build, count):
    for _ in range(count):
        with pylibos.boot(**build.options, memory=24 << 20) as kernel:
            first, second = kernel.socketpair()
            first.send(b"x")
            assert second.recv(1) == b"x"
            first.close()
            second.close()


def assert_flat(build, warm_up, count):
    cycle(build, warm_up)
    before = measure()
    cycle(build, count)
    after = measure()
    assert after[1] == before[1], "descriptors"
    assert after[2] <= before[2] + 4, "mappings"
    # 1 KiB a boot would be a leak; the allocator itself may drift a little.
    assert after[0] - before[0] < 2048 + count // 8, "resident KiB"


def test_boot_and_halt_leak_nothing(one_build):
    assert_flat(one_build, 50, 200)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_boots_leak_nothing(one_build):
    assert_flat(one_build, 100, 10_000)


def test_worlds_with_links_leak_nothing(one_build):
    def cycle_world(count):
        for _ in range(count):
            with pylibos.World() as world:
                a = pylibos.boot(**one_build.options, world=world, memory=24 << 20)
                b = pylibos.boot(**one_build.options, world=world, memory=24 << 20)
                a.link_to(b, subnet="10.0.0.0/24", delay_ms=1)
                with b.create_server(("", 7)) as server:
                    program = b.spawn(server.accept)
                    with a.create_connection(("10.0.0.2", 7)):
                        program.result()[0].close()

    cycle_world(20)
    before = measure()
    cycle_world(50)
    after = measure()
    assert after[1] == before[1], "descriptors"
    assert after[2] <= before[2] + 4, "mappings"
    assert after[0] - before[0] < 2048, "resident KiB"


def test_sockets_and_tasks_leak_no_memory_of_the_kernel(kernel):
    def work(count):
        for _ in range(count):
            with kernel.task(share_files=False) as task, task.socket(type=2) as sock:
                sock.sendto(b"x", ("127.0.0.1", 9))

    def free():
        info = dict(line.split(":", 1) for line in kernel.read_text("/proc/meminfo").splitlines())
        return int(info["MemFree"].split()[0])

    work(200)
    kernel.world.run_for(10**10)
    before = free()
    work(500)
    kernel.world.run_for(10**10)
    assert before - free() < 1024
