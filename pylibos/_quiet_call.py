# SPDX-License-Identifier: GPL-2.0-only
"""System calls that leave no trace in a run, for probes.

They are made on the Linux task that a process's threads are cloned from.  It makes no calls
otherwise, so no thread is made for them and no process number used up.
"""

from __future__ import annotations

import errno
from ctypes import addressof, byref, c_int64, c_uint64, c_void_p
from typing import TYPE_CHECKING

from pylibos import _abi
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process

_GETPID = NUMBERS["getpid"]
_CALLS_PER_TURN = 64


class QuietCalls:
    """Makes calls that do not block for a process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._args = (c_uint64 * 6)()
        self._result = c_int64()
        self._made = 0

    def call6(self, nr: int, a: int, b: int, c: int, d: int, e: int, f: int) -> int:
        """Make a system call with six numbers; return the result or -errno.

        A call that would block is -EAGAIN; one of a kernel or task that is gone -ESRCH.
        """
        machine = self.process._machine
        if machine.handle is None:
            return -errno.ESRCH
        self._made += 1
        self._args[:] = [a, b, c, d, e, f]
        task = self.process._leader
        with machine.lock:
            status = machine.library.plh_submit(
                machine.handle, task, nr, addressof(self._args), byref(self._result)
            )
            if status == _abi.PLH_PENDING:
                machine.library.plh_interrupt(machine.handle, task, byref(self._result))
                return -errno.EAGAIN
        return -errno.ESRCH if status else self._result.value

    def even_out(self) -> None:
        """Bring the number of calls to a full turn, as if there had been none.

        Every 64th call of a kernel (LL_CALLS_PER_TURN in arch_lib/kernel/task.c) takes in what
        has come meanwhile, so a program's calls must find the count as it was.
        """
        machine = self.process._machine
        if machine.handle is None:
            return
        submit = machine.library["plh_submit"]
        kernel, task = c_void_p(machine.handle), c_void_p(self.process._leader)
        args, result = c_void_p(addressof(self._args)), c_void_p(addressof(self._result))
        with machine.lock:
            for _ in range(-self._made % _CALLS_PER_TURN):
                submit(kernel, task, _GETPID, args, result)
        self._made = 0
