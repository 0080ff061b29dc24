# SPDX-License-Identifier: GPL-2.0-only
"""Reports of what a world waits for."""

from __future__ import annotations

import re
from ctypes import addressof, byref, c_int64, c_uint64, create_string_buffer
from typing import TYPE_CHECKING

from pylibos import _abi
from pylibos._errors import DeadlockError, WaitingTask
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._machine import Machine
    from pylibos._world import World


_NAMES = {number: name for name, number in NUMBERS.items()}
# "20 init S call nr=288 < ll_switch < inet_csk_accept < ..."
_LINE = re.compile(r"(\d+) .* call nr=(\d+) *<? ?(.*)")


def tasks_in_calls(machine: Machine) -> tuple[WaitingTask, ...]:
    """Ask a kernel which of its tasks sleep in a call, and where (LL_SYS_TASKS)."""
    buffer = create_string_buffer(1 << 20)
    args = (c_uint64 * 6)(addressof(buffer), len(buffer))
    result = c_int64()
    with machine.lock:
        status = machine.library.plh_submit(
            machine.handle, machine.spawner, _abi.LL_SYS_TASKS, args, byref(result)
        )
    if status != _abi.PLH_OK or result.value < 0:
        return ()
    return parse(buffer.raw[: result.value].decode(errors="replace"), machine.name)


def parse(text: str, kernel: str) -> tuple[WaitingTask, ...]:
    """Pick the tasks in calls out of a report of LL_SYS_TASKS."""
    tasks = []
    for line in text.splitlines():
        match = _LINE.match(line.strip("\0 "))
        if match and int(match[2]) != _abi.LL_SYS_TASKS:
            number = int(match[2])
            where = tuple(name for name in match[3].split(" < ") if name)
            call = _NAMES.get(number, f"system call {number}")
            tasks.append(WaitingTask(kernel, int(match[1]), call, where))
    return tuple(tasks)


def deadlock(world: World, what: str = "This call can never end") -> DeadlockError:
    """Make the error that names each waiting task of a world."""
    tasks = tuple(task for machine in world.machines for task in tasks_in_calls(machine))
    failed = "".join(
        f" The program {program.name} failed before: {program.error!r}."
        for program in world.hub._failed
    )
    error = DeadlockError(
        f"{what}: no kernel, link or program of its world has anything left to do."
        f"{failed} Waiting tasks:",
        tasks,
    )
    for report in world.hub.reporters:
        for line in report():
            error.add_note(f"  {line}")
    return error
