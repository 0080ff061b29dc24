# SPDX-License-Identifier: GPL-2.0-only
"""host/faults.c, host/kernel.c, host/fork.c: a kernel dies, its process and the others do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import host_library as h
import pytest
from host_library import Fake, error

from pylibos import _abi

ESRCH = -3


@pytest.fixture(params=[_abi.PLH_CLOCK_VIRTUAL, _abi.PLH_CLOCK_REAL], ids=["virtual", "real"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    fake = Fake(request.param)
    yield fake
    fake.close()


def words(fake: Fake) -> str:
    text: bytes = fake.host.plh_kernel_last_words(fake.kernel)
    return text.decode()


@pytest.mark.parametrize(
    ("number", "says", "state"),
    [
        (h.PANIC, "fake panic", _abi.PLH_KERNEL_PANICKED),
        (h.CRASH, "fake fault", _abi.PLH_KERNEL_PANICKED),
        (h.CRASH_TWICE, "while a fault was being reported", _abi.PLH_KERNEL_PANICKED),
        (h.REBOOT, "", _abi.PLH_KERNEL_HALTED),
    ],
)
def test_kernel_dies_alone(fake: Fake, number: int, says: str, state: int) -> None:
    other = fake.boot()
    assert fake.call(number)[0] == h.DEAD
    assert says in words(fake)
    assert fake.host.plh_kernel_state(fake.kernel) == state
    assert fake.call(h.ADD_ONE, 1)[0] == h.DEAD
    assert "boot another one" in error()
    fake.host.plh_kernel_halt(fake.kernel)
    fake.kernel, fake.task = other, fake.host.plh_kernel_init_task(other)
    assert fake.call(h.ADD_ONE, 1) == (h.OK, 2)


def test_calls_in_flight_are_told(fake: Fake) -> None:
    sleeper = fake.new_task()
    assert fake.submit(sleeper, h.BLOCK)[0] == h.PENDING
    assert fake.call(h.PANIC)[0] == h.DEAD
    assert fake.host.plh_world_next_done(fake.world) == sleeper
    assert fake.finish("poll", sleeper)[0] == h.DEAD
    assert fake.finish("wait", sleeper, _abi.LL_NEVER)[0] == h.DEAD


def test_task_that_ends_takes_its_call_along(fake: Fake) -> None:
    sleeper = fake.new_task()
    assert fake.submit(sleeper, h.BLOCK)[0] == h.PENDING
    assert fake.host.plh_task_exit(fake.kernel, sleeper, 0) == h.OK
    assert fake.call(h.ADD_ONE, 1) == (h.OK, 2)


def test_task_that_ended_by_itself_is_given_back(fake: Fake) -> None:
    for _ in range(100):
        task = fake.new_task()
        assert fake.call(_abi.LL_SYS_TASK_EXIT, task=task) == (h.OK, ESRCH)
        assert fake.call(h.ADD_ONE, 1, task=task)[0] == h.ERROR
        assert "has ended" in error()
        assert fake.host.plh_task_exit(fake.kernel, task, 0) == h.OK
    assert fake.call(h.ADD_ONE, 1) == (h.OK, 2)


def test_halting_many_times_leaves_nothing(fake: Fake) -> None:
    def usage() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text().count("\n")
        return maps, len(list(Path("/proc/self/fd").iterdir()))

    fake.host.plh_kernel_halt(fake.boot())
    before = usage()
    for _ in range(300):
        fake.host.plh_kernel_halt(fake.boot())
    assert usage() == before


def test_forked_child_is_refused_and_can_destroy(fake: Fake) -> None:
    child = os.fork()
    if not child:
        good = fake.call(h.ADD_ONE, 1)[0] == h.FORKED
        good &= fake.host.plh_kernel_state(fake.kernel) == _abi.PLH_KERNEL_FORKED
        good &= fake.host.plh_world_run(fake.world, 0, 0, 0) == h.FORKED
        fake.close()
        own = Fake()
        good &= own.call(h.ADD_ONE, 1) == (h.OK, 2)
        own.close()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert fake.call(h.ADD_ONE, 1) == (h.OK, 2)


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a fake kernel in another process."""
    here = Path(__file__).resolve().parent
    prologue = "import ctypes, os, signal, faulthandler\nfrom host_library import *\nf = Fake()\n"
    h.host()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{here}:{h.TOP}",
        h.FOLDER_VARIABLE: str(h.folder()),
    }
    return subprocess.run(
        [sys.executable, "-c", prologue + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


def test_fault_of_the_host_itself_still_kills_it() -> None:
    done = run("ctypes.string_at(8)")
    assert done.returncode == -signal.SIGSEGV


@pytest.mark.parametrize("when", ["before", "after"])
def test_faulthandler_still_reports_faults_of_the_host(when: str) -> None:
    script = "faulthandler.enable()\nf.close(); f = Fake()\nctypes.string_at(8)"
    if when == "after":
        script = "faulthandler.enable()\nctypes.string_at(8)"
    done = run(script)
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr


def test_fault_signal_that_was_sent_is_not_taken_for_a_fault() -> None:
    done = run("os.kill(os.getpid(), signal.SIGSEGV)\nimport time; time.sleep(5)")
    assert done.returncode == -signal.SIGSEGV


def test_kernel_fault_is_caught_with_faulthandler() -> None:
    done = run(
        "faulthandler.enable()\nf.kernel = f.boot()\n"
        "f.task = f.host.plh_kernel_init_task(f.kernel)\nprint(f.call(CRASH)[0])"
    )
    assert (done.returncode, done.stdout) == (0, f"{h.DEAD}\n"), done.stderr
