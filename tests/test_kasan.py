# SPDX-License-Identifier: GPL-2.0-only
"""The debug profile checks every access to memory: KASAN, with a shadow that the host maps."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from kernel_builds import DEBUG, builds

import pylibos

LL_SYS_FAIL, WRITE_BEHIND = 0x10005, 7

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="The shadow is x86-64's."),
]


@pytest.fixture(params=[build for build in builds() if build.profile == DEBUG], ids=str)
def boot_debug(request):
    """boot() of the debug profile; its kernels are halted at the end."""
    kernels = []

    def boot(**options):
        kernels.append(pylibos.boot(**request.param.options, **options))
        return kernels[-1]

    yield boot
    for kernel in kernels:
        kernel.halt()


def reports(kernel):
    """What KASAN has found."""
    return [record.text for record in kernel.dmesg() if "BUG: KASAN" in record.text]


@pytest.mark.parametrize("size", [1, 100, 1000, 5000])
def test_write_behind_an_allocation_is_reported(boot_debug, size):
    kernel = boot_debug()
    kernel.syscall(LL_SYS_FAIL, WRITE_BEHIND, size)
    (report,) = reports(kernel)
    assert report.startswith("BUG: KASAN: slab-out-of-bounds in ll_own_call+0x")
    log = [record.text for record in kernel.dmesg()]
    assert any(f"allocated {size}-byte region" in line for line in log)


def test_reported_kernel_goes_on(boot_debug):
    kernel, neighbour = boot_debug(), boot_debug()
    kernel.syscall(LL_SYS_FAIL, WRITE_BEHIND, 100)
    assert kernel.syscall("getpid") > 0
    assert neighbour.syscall("getpid") > 0
    assert reports(neighbour) == []


def test_sound_kernel_has_nothing_to_report(boot_debug):
    kernel = boot_debug()
    with kernel.create_server(("127.0.0.1", 0)) as server:
        with kernel.create_connection(server.getsockname()) as client, server.accept()[0] as peer:
            client.sendall(bytes(100_000))
            left = 100_000
            while left:
                left -= len(peer.recv(left))
    with kernel.task() as task, task.socket() as sock:
        sock.bind(("127.0.0.1", 0))
    assert reports(kernel) == []


def test_memory_of_a_halted_kernel_is_forbidden_to_nobody(boot_debug):
    places = set()
    for _ in range(3):
        kernel = boot_debug(seed=1)
        places.add(kernel.stats().load_bias)
        kernel.syscall(LL_SYS_FAIL, WRITE_BEHIND, 100)
        assert len(reports(kernel)) == 1
        kernel.halt()
    assert len(places) == 1
    assert reports(boot_debug(seed=1)) == []


def test_tasks_that_died_leave_no_marks_on_their_stacks(boot_debug):
    kernel = boot_debug()
    for _ in range(50):
        with kernel.task() as task:
            task.syscall("getpid")
    assert reports(kernel) == []


def test_shadow_that_cannot_be_mapped_is_an_error(boot_debug):
    kernel = boot_debug()
    script = (
        "import resource, sys, pylibos\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "try:\n    pylibos.boot(kernel=sys.argv[1])\n"
        "except pylibos.BootError as error:\n    print(error)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, str(kernel.image.path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "There is no address space for the shadow memory" in output
