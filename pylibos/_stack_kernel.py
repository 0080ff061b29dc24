# SPDX-License-Identifier: GPL-2.0-only
"""The kernel of a stack for programs: one that boot() made, or a plain one that starts faster.

``pylibos run`` of a program that needs loopback only would spend most of its time on loading
the parts of the package that configure a kernel.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from ctypes import byref
from typing import TYPE_CHECKING, NoReturn, Protocol

from pylibos import _abi
from pylibos._boot_config import CMDLINE, DEFAULT_BYTES
from pylibos._errors import BootError, KernelHalted, KernelPanic
from pylibos._library import find_image, host, last_error
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


class StackKernel(Protocol):
    """What a server for programs needs of a kernel."""

    release: str

    @property
    def handle(self) -> int:
        """The struct plh_kernel."""

    def device_names(self) -> list[str]:
        """Names of the devices that reach outside."""

    def fail(self, status: int) -> NoReturn:
        """Raise the error of a status other than PLH_OK and PLH_PENDING."""

    def halt(self) -> None:
        """Stop it."""


class BootedKernel:
    """One that boot() made."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.release = kernel.release

    @property
    def handle(self) -> int:
        """See StackKernel."""
        return self._kernel._machine.open_handle

    def device_names(self) -> list[str]:
        """See StackKernel."""
        return [device.name for device in self._kernel._machine.devices]

    def fail(self, status: int) -> NoReturn:
        """See StackKernel."""
        self._kernel._machine.fail(status)

    def halt(self) -> None:
        """See StackKernel."""
        self._kernel.halt()


class PlainKernel:
    """The default kernel with loopback up, in a real-time world of its own.

    Args:
        kernel, profile: see boot().

    Raises:
        LibraryNotFound, AbiMismatch, BootError: as boot() does.
    """

    def __init__(self, kernel: str = "6.12", profile: str = "defconfig") -> None:
        self._library = library = host()
        image = library.plh_image_open(os.fsencode(find_image(kernel, profile)))
        if not image:
            raise BootError(last_error())
        self.release: str = library.plh_image_release(image).decode()
        self._world = library.plh_world_create(
            byref(_abi.plh_world_config(clock_kind=_abi.PLH_CLOCK_REAL))
        )
        if not self._world:
            raise BootError(last_error())
        config = _abi.plh_kernel_config(memory_bytes=DEFAULT_BYTES, cmdline=CMDLINE.encode())
        self._handle: int | None = library.plh_kernel_boot(self._world, image, byref(config))
        if not self._handle:
            raise BootError(last_error())
        self._bring_up_loopback()

    def _bring_up_loopback(self) -> None:
        task = self._library.plh_kernel_init_task(self._handle)
        status = ctypes.c_int()

        def call(name: str, *words: object) -> int:
            padded = [*words, *[0] * (6 - len(words))]
            result: int = self._library.plh_call6(
                self._handle, task, byref(status), NUMBERS[name], *padded
            )
            return result

        request = ctypes.create_string_buffer(struct.pack("16sH22x", b"lo", _IFF_UP))
        fd = call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)
        if fd < 0 or call("ioctl", fd, _SIOCSIFFLAGS, ctypes.addressof(request)) < 0:
            raise BootError("The loopback interface of the stack cannot be brought up.")
        call("close", fd)

    @property
    def handle(self) -> int:
        """See StackKernel."""
        if self._handle is None:
            raise KernelHalted("The kernel of the stack was halted.")
        return self._handle

    def device_names(self) -> list[str]:
        """See StackKernel."""
        return []

    def fail(self, status: int) -> NoReturn:
        """See StackKernel."""
        words = self._library.plh_kernel_last_words(self.handle).decode(errors="replace").strip()
        raise KernelPanic(
            f"The kernel of the stack is dead (status {status}): {words or last_error()}", ""
        )

    def halt(self) -> None:
        """See StackKernel."""
        if self._handle is not None:
            self._handle = None
            self._library.plh_world_destroy(self._world)
