# SPDX-License-Identifier: GPL-2.0-only
"""What boot() hands to the C library: memory, log and randomness, from Python or not."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any, Protocol, TextIO, runtime_checkable

from pylibos import _abi
from pylibos._callbacks import Callbacks, callback_type

PAGE = 4096
DEFAULT_BYTES = 64 << 20

# Time stamps in the log, and no network device that nobody asked for.
CMDLINE = "printk.time=1 fb_tunnels=none bonding.max_bonds=0 ifb.numifbs=0 dummy.numdummies=0"

LogSink = Callable[[int, str], object] | TextIO | None


@runtime_checkable
class Allocator(Protocol):
    """Gives a kernel its memory, for ``boot(memory=...)``."""

    size: int
    """How much to ask for, in bytes."""

    def allocate(self, size: int) -> Any:
        """Return zeroed, page-aligned, writable memory: an address or a buffer."""

    def free(self, memory: Any) -> None:
        """Take back what allocate() returned; its kernel is gone."""


class _Buffer:
    """An Allocator that has one buffer to give."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        self.size = memoryview(buffer).nbytes & -PAGE

    def allocate(self, size: int) -> Any:  # noqa: ARG002
        return self.buffer

    def free(self, memory: Any) -> None:
        """The buffer is the caller's."""


class _Function:
    """An Allocator made of a callable."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        self.allocate = function
        self.size = int(getattr(function, "size", DEFAULT_BYTES))

    def free(self, memory: Any) -> None:
        """What the callable returned is freed with its last reference."""


def _allocator(memory: Any) -> Allocator:
    if isinstance(memory, Allocator):
        return memory
    if callable(memory):
        return _Function(memory)
    try:
        return _Buffer(memory)
    except TypeError:
        raise TypeError(
            "memory is a size in bytes, a writable buffer, a callable or an object with size, "
            f"allocate() and free(), not {type(memory).__name__}."
        ) from None


def _set_memory(config: Any, callbacks: Callbacks, allocator: Allocator) -> None:
    given: dict[int, tuple[Any, Any]] = {}

    def allocate(_opaque: int | None, size: int) -> int | None:
        memory = allocator.allocate(size)
        if memory is None:
            return None
        pin = None
        if isinstance(memory, int):
            address = memory
        else:
            if memoryview(memory).nbytes < size:
                raise ValueError(f"memory has {memoryview(memory).nbytes} bytes, not {size}.")
            pin = ctypes.c_char.from_buffer(memory)
            address = ctypes.addressof(pin)
        if address % PAGE:
            raise ValueError(f"memory must begin at a multiple of {PAGE}, not at {address:#x}.")
        given[address] = (memory, pin)
        return address

    def free(_opaque: int | None, address: int, _size: int) -> None:
        memory, pin = given.pop(address)
        del pin
        allocator.free(memory)

    config.memory_bytes = allocator.size
    config.memory = callbacks.make(callback_type(_abi.plh_kernel_config, "memory"), allocate)
    config.memory_free = callbacks.make(callback_type(_abi.plh_kernel_config, "memory_free"), free)


def _set_log(config: Any, callbacks: Callbacks, sink: Any) -> None:
    def log(_opaque: int | None, level: int, text: int, size: int) -> None:
        line = ctypes.string_at(text, size).decode(errors="replace")
        if callable(sink):
            sink(level, line)
        else:
            sink.write(line)

    if not callable(sink) and not hasattr(sink, "write"):
        raise TypeError(
            f"log is a callable of level and text, or a text file, not {type(sink).__name__}."
        )
    config.boot_log = 1
    config.log = callbacks.make(callback_type(_abi.plh_kernel_config, "log"), log)


def _set_random(config: Any, callbacks: Callbacks, source: Callable[[int], bytes]) -> None:
    def fill(_opaque: int | None, buffer: int, size: int) -> None:
        data = source(size)
        if len(data) != size:
            raise ValueError(f"random() was asked for {size} bytes and returned {len(data)}.")
        ctypes.memmove(buffer, data, size)

    if not callable(source):
        raise TypeError(f"random is a callable of a size, not {type(source).__name__}.")
    config.random = callbacks.make(callback_type(_abi.plh_kernel_config, "random"), fill)


def fill_config(
    config: Any,
    callbacks: Callbacks,
    memory: Any,
    cmdline: str,
    log: LogSink,
    random: Callable[[int], bytes] | None,
) -> None:
    """Fill a struct plh_kernel_config from the arguments of boot().

    Raises:
        TypeError, ValueError: an argument does not fit.
    """
    if isinstance(memory, int):
        if memory <= 0:
            raise ValueError(f"memory is a size in bytes, not {memory}.")
        config.memory_bytes = -(-memory // PAGE) * PAGE
    else:
        _set_memory(config, callbacks, _allocator(memory))
    if "\0" in cmdline:
        raise ValueError("A kernel command line holds no NUL.")
    config.cmdline = os.fsencode(f"{CMDLINE} {cmdline}".rstrip())
    if log is not None:
        _set_log(config, callbacks, log)
    if random is not None:
        _set_random(config, callbacks, random)
