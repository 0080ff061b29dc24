# SPDX-License-Identifier: GPL-2.0-only
"""The handle of one booted kernel: boot, state, halt.  What users see is Kernel."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import byref, create_string_buffer
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from pylibos import _abi
from pylibos._callbacks import Callbacks
from pylibos._errors import (
    AbiMismatch,
    BootError,
    ForkedProcess,
    KernelDead,
    KernelHalted,
    KernelPanic,
    PylibosError,
    ThreadError,
)
from pylibos._library import Image, host, last_error
from pylibos._places import Places

if TYPE_CHECKING:
    from pylibos._caller import Caller
    from pylibos._capture import Capture
    from pylibos._device import Device
    from pylibos._world import World

LOG_BYTES = 256 * 1024
# Where images and arenas of repeatable kernels lie: the same place for the same slot.
_PLACES = Places(base=0x1100_0000_0000, stride=0x10_0000_0000)


class Machine:
    """One running kernel as the C library knows it.

    Attributes:
        handle: its struct plh_kernel, None after close().
        name: for reports.
        spawner: struct ll_task of process 1, which never blocks: it makes the other tasks.
        lock: held while the spawner makes a call.
        at_close: called before the kernel goes.
        devices: those that the host added, in their order.
        captures: they take devices that are added.
    """

    def __init__(
        self,
        world: World,
        image: Image,
        name: str,
        fill: Callable[[Any, Callbacks], None],
        *,
        fixed: bool,
    ) -> None:
        self.world = world
        self.image = image
        self.name = name
        self.library = host()
        self.lock = threading.RLock()
        self.callbacks = Callbacks()
        self.callbacks.on_error = self.callback_failed
        self.callers: WeakSet[Caller] = WeakSet()
        self.at_close: list[Callable[[], None]] = []
        self.devices: list[Device] = []
        self.captures: list[Capture] = []
        self.handle: int | None = None
        self._last_log = ""
        config = _abi.plh_kernel_config()
        fill(config, self.callbacks)
        self._place = _PLACES.take() if fixed else None
        config.fixed_address = self._place or 0
        handle = self.library.plh_kernel_boot(world.open_handle, image.handle, byref(config))
        if not handle:
            message = last_error()
            self._free_place()
            self.callbacks.raise_error()
            raise (AbiMismatch if "ABI" in message else BootError)(message)
        self.handle = handle
        self.spawner: int = self.library.plh_kernel_init_task(handle)
        world.machines.append(self)
        try:
            world.raise_callback_error()
        except BaseException:
            self.close()
            raise

    def callback_failed(self) -> None:
        """A callback raised: let whoever waits or calls next raise it."""
        self.world.callback_failed()
        for caller in self.callers:
            caller.raise_at_next_call()

    def _free_place(self) -> None:
        if self._place is not None:
            _PLACES.give_back(self._place)
            self._place = None

    @property
    def open_handle(self) -> int:
        """The struct plh_kernel; an error after close()."""
        if self.handle is None:
            raise KernelHalted(f"The kernel {self.name} was halted; boot another one.")
        return self.handle

    def alive(self) -> bool:
        """Whether it can be entered."""
        state: int = self.library.plh_kernel_state(self.open_handle)
        return state == _abi.PLH_KERNEL_RUNNING

    def log(self) -> str:
        """The newest 256 KiB of its log that reached the host; works when it is dead."""
        if self.handle is None:
            return self._last_log
        buffer = create_string_buffer(LOG_BYTES)
        size = self.library.plh_kernel_log(self.handle, buffer, LOG_BYTES)
        return buffer.raw[:size].decode(errors="replace")

    def dead(self) -> KernelDead | ForkedProcess:
        """Make the error that says why the kernel cannot be entered."""
        if self.handle is None:
            return KernelHalted(f"The kernel {self.name} was halted; boot another one.")
        state = self.library.plh_kernel_state(self.handle)
        if state == _abi.PLH_KERNEL_FORKED:
            return self._forked()
        if state == _abi.PLH_KERNEL_HALTED:
            return KernelHalted(
                f"The kernel {self.name} halted itself by reboot(2); boot another one."
            )
        words = self.library.plh_kernel_last_words(self.handle).decode(errors="replace").strip()
        return KernelPanic(
            f"The kernel {self.name} panicked: {words or 'no message'}. Its log is in .log.",
            self.log(),
        )

    def _forked(self) -> ForkedProcess:
        return ForkedProcess(
            f"The kernel {self.name} belongs to the process that booted it, not to its fork; "
            "boot one of its own in the child."
        )

    def fail(self, status: int) -> NoReturn:
        """Raise the error of a status other than PLH_OK and PLH_PENDING."""
        self.world.raise_callback_error()
        if status == _abi.PLH_DEAD or self.handle is None:
            raise self.dead()
        if status == _abi.PLH_FORKED:
            raise self._forked()
        if status == _abi.PLH_BUSY:
            raise ThreadError(
                "Another thread waits in this world of virtual time; only one may. Use programs "
                "(kernel.spawn), a world per thread, or clock='real'."
            )
        raise PylibosError(last_error())

    def close(self) -> None:
        """Halt it and free all it holds."""
        if self.handle is None:
            return
        self.world.hub.kill_waiting(self)
        for function in list(self.at_close):
            function()
        self._last_log = self.log()
        handle, self.handle = self.handle, None
        self.world.machines.remove(self)
        self.library.plh_kernel_halt(handle)
        self._free_place()


def read_bytes(address: int, size: int) -> bytes:
    """Copy memory into a bytes object."""
    return ctypes.string_at(address, size)
