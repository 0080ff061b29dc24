# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong besides a system call's own errno.

A system call that fails raises ``OSError``; Python picks the subclass from the errno
(``ConnectionRefusedError``, ``FileNotFoundError``, ...).  The classes here tell of the kernel
as a whole, of the library, or of how it is used.
"""

from __future__ import annotations

from dataclasses import dataclass


class PylibosError(Exception):
    """Base of all errors of this package that are not an ``OSError``."""


class LibraryNotFound(PylibosError):  # noqa: N818
    """``libpylibos_host.so`` or a ``liblinux.so`` is not where it should be."""


class AbiMismatch(PylibosError):  # noqa: N818
    """A library speaks another version of the boundary in ``abi/liblinux.h``."""


class BootError(PylibosError):
    """A kernel could not be started, for instance for want of memory."""


class KernelDead(PylibosError):  # noqa: N818 - a state, not a mishap
    """The kernel cannot be entered any more."""


class KernelPanic(KernelDead):
    """The kernel panicked, hit a BUG or faulted.

    Attributes:
        log: the newest 256 KiB of its log, the report of the panic at the end.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class KernelHalted(KernelDead):
    """The kernel was halted, by ``Kernel.halt()`` or by its own reboot(2)."""


class ForkedProcess(PylibosError):  # noqa: N818
    """This process is a fork of the one that the kernel belongs to."""


class ThreadError(PylibosError):
    """Another thread waits in this world, and its clock allows only one."""


# How many waiting tasks the text of a DeadlockError names.
_SHOWN = 20


@dataclass(frozen=True)
class WaitingTask:
    """One Linux task inside a system call that does not end.

    Attributes:
        kernel: name of its kernel.
        pid: thread id.
        call: name of the system call, or its number.
        where: functions of the kernel in which it sleeps, the innermost first.
    """

    kernel: str
    pid: int
    call: str
    where: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kernel}: task {self.pid} in {self.call}(): {' < '.join(self.where)}"


class DeadlockError(PylibosError):
    """A call waits in virtual time for something that can never happen.

    Attributes:
        tasks: each task of the world that sleeps in a call, and where.
    """

    def __init__(self, message: str, tasks: tuple[WaitingTask, ...]) -> None:
        lines = [message, *(f"  {task}" for task in tasks[:_SHOWN])]
        if len(tasks) > _SHOWN:
            lines.append(f"  and {len(tasks) - _SHOWN} more")
        super().__init__("\n".join(lines))
        self.tasks = tasks


class ProgramFailed(PylibosError):  # noqa: N818
    """A spawned program ended with an exception that nobody asked for (``__cause__``)."""


class StackError(PylibosError):
    """A stack for programs cannot be made, joined or asked."""


class TopologyError(PylibosError, ValueError):
    """A topology file does not say what it should; the message names the file and the place."""


class DeviceSpecError(PylibosError, ValueError):
    """A device spec does not say what it should; the message holds it and what was expected."""


class ConfigError(PylibosError, ValueError):
    """A configuration file does not say what it should, or a kernel refuses what it says.

    Attributes:
        path: of the file.
        line: where in it, from 1; 0 for the file as a whole.
    """

    def __init__(self, message: str, path: str, line: int) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


# They are shown, and caught, by their public name, whoever imported them.
for _item in list(globals().values()):
    if isinstance(_item, type) and _item.__module__ == __name__:
        _item.__module__ = "pylibos"
del _item
