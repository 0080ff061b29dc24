# SPDX-License-Identifier: GPL-2.0-only
"""Reports of what a world waits for."""

from __future__ import annotations

from ctypes import addressof, byref, c_int64, c_uint64, create_string_buffer
from typing import TYPE_CHECKING

from pylibos import _abi
from pylibos._errors import DeadlockError, WaitingTask

if TYPE_CHECKING:
    from pylibos._machine import Machine
    from pylibos._world import World


def sleeping_tasks(machine: Machine) -> tuple[WaitingTask, ...]:
    """Ask a kernel which of its tasks sleep, and where (LL_SYS_TASKS)."""
    buffer = create_string_buffer(1 << 16)
    args = (c_uint64 * 6)(addressof(buffer), len(buffer))
    result = c_int64()
    with machine.lock:
        status = machine.library.plh_submit(
            machine.handle, machine.spawner, _abi.LL_SYS_TASKS, args, byref(result)
        )
    if status != _abi.PLH_OK or result.value < 0:
        return ()
    text = buffer.raw[: result.value].decode(errors="replace")
    return tuple(WaitingTask(machine.name, line.strip("\0 ")) for line in text.splitlines())


def deadlock(world: World) -> DeadlockError:
    """Make the error that names each waiting task of a world."""
    tasks = tuple(task for machine in world.machines for task in sleeping_tasks(machine))
    failed = "".join(
        f" The program {program.name} failed before: {program.error!r}."
        for program in world.hub._failed
    )
    return DeadlockError(
        "This call can never end: no kernel, link or program of its world has anything left "
        f"to do.{failed} Waiting tasks:",
        tasks,
    )
