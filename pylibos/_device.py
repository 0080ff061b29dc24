# SPDX-License-Identifier: GPL-2.0-only
"""Network devices of a kernel and what serves them from outside."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import byref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pylibos import _abi, _capture, _device_wrap
from pylibos._callbacks import callback_type
from pylibos._capture import Capture
from pylibos._errors import PylibosError
from pylibos._library import backend, host, last_error
from pylibos._netlink import set_link

if TYPE_CHECKING:
    from pylibos._kernel import Kernel
    from pylibos._link import LinkStats


@runtime_checkable
class DeviceBackend(Protocol):
    """An object that takes a device's frames, for ``Kernel.add_device()``."""

    def transmit(self, frame: memoryview) -> None:
        """Take an Ethernet frame that the kernel sends; it is valid during the call only."""


@dataclass(frozen=True)
class DeviceStats:
    """Frames and bytes that crossed a device; tx is out of the kernel."""

    tx_frames: int
    tx_bytes: int
    tx_dropped: int
    rx_frames: int
    rx_bytes: int
    rx_dropped: int


DEFAULT_RING_ENTRIES = 128


def netdev_config(
    name: str,
    mtu: int,
    mac: str | bytes | None,
    queues: int = 1,
    ring_entries: int = DEFAULT_RING_ENTRIES,
) -> Any:
    """Fill a struct ll_netdev_config.

    Args:
        name: of the interface; may hold a %d.
        mtu: in bytes.
        mac: "02:00:00:00:00:01", six bytes, or None for a random one.
        queues: number of queue pairs.
        ring_entries: descriptors in each ring, a power of two.

    Raises:
        ValueError: the kernel would not take it.
    """
    if not 0 < len(name.encode()) < 16 or "/" in name:
        raise ValueError(f"An interface's name has 1 to 15 bytes and no slash, unlike {name!r}.")
    if not 68 <= mtu <= 65535:
        raise ValueError(f"An MTU is 68 to 65535 bytes, not {mtu}.")
    if not 1 <= queues <= _abi.LL_MAX_QUEUES:
        raise ValueError(f"A device has 1 to {_abi.LL_MAX_QUEUES} queues, not {queues}.")
    config = _abi.ll_netdev_config(
        name=name.encode(), mtu=mtu, queues=queues, ring_entries=ring_entries
    )
    if mac is not None:
        data = bytes.fromhex(mac.replace(":", "")) if isinstance(mac, str) else bytes(mac)
        if len(data) != 6 or data[0] & 1:
            raise ValueError(f"A device's address is six bytes of a unicast address, not {mac!r}.")
        config.mac[:] = data
    return config


class Device:
    """A network device of a kernel.

    Attributes:
        kernel: whose device it is.
        name: of the interface.
        index: of the interface.
    """

    def __init__(self, kernel: Kernel, handle: int) -> None:
        library = host()
        self.kernel = kernel
        self._library = library
        self._handle: int | None = handle
        self.name: str = library.plh_device_name(handle).decode()
        self.index: int = library.plh_device_ifindex(handle)
        self._end_of_link = False
        machine = kernel._machine
        machine.at_close.append(self._forget)
        machine.devices.append(self)
        for capture in machine.captures:
            capture.add(self)

    def _forget(self) -> None:
        self._handle = None
        self.kernel._machine.devices.remove(self)

    @property
    def handle(self) -> int:
        """The struct plh_device; an error once it is gone."""
        if self._handle is None:
            raise PylibosError(f"The device {self.name} is gone, with its kernel or by close().")
        return self._handle

    def up(self) -> None:
        """Bring the interface up."""
        set_link(self.kernel, self.index, up=True)

    def down(self) -> None:
        """Bring the interface down."""
        set_link(self.kernel, self.index, up=False)

    def set_carrier(self, up: bool) -> None:
        """Plug the cable in or out."""
        _require(self._library.plh_device_carrier(self.handle, int(up)))

    @property
    def carrier(self) -> bool:
        """Whether the cable is in: a backend pulls it out while its other end is gone."""
        return bool(self._library.plh_device_has_carrier(self.handle))

    @property
    def problem(self) -> str:
        """The last thing that went wrong outside, such as a peer that is gone; "" if nothing."""
        text = ctypes.create_string_buffer(256)
        _require(self._library.plh_device_problem(self.handle, text, len(text)))
        return text.value.decode(errors="replace")

    def stats(self) -> DeviceStats:
        """Counters of the device."""
        stats = _abi.plh_device_stats()
        _require(self._library.plh_device_stats(self.handle, byref(stats)))
        return DeviceStats(*(getattr(stats, name) for name in DeviceStats.__dataclass_fields__))

    def wrapper_stats(self) -> tuple[LinkStats, LinkStats]:
        """Counters of the chance, delay and rate round a device: of what it sends, and of the rest.

        Raises:
            PylibosError: it was opened without any.
        """
        return _device_wrap.stats(self)

    def capture(self, path: str | os.PathLike[str], snaplen: int = 0) -> Capture:
        """Write every frame from now on to a pcapng file, until the capture is closed.

        Args:
            path: file of the host; replaced.
            snaplen: bytes of each frame to keep, 0 for all.

        Raises:
            PylibosError: the file cannot be written.
        """
        return _capture.start(self.kernel.world, path, snaplen, self)

    def close(self) -> None:
        """Remove the device from its kernel.

        Raises:
            PylibosError: it is an end of a link.
        """
        if self._handle is None:
            return
        if self._end_of_link:
            raise PylibosError(f"{self!r} is an end of a link: close the link instead.")
        handle = self.handle
        self.kernel._machine.at_close.remove(self._forget)
        self._forget()
        with self.kernel._machine.lock:
            _require(self._library.plh_device_remove(handle))

    def __repr__(self) -> str:
        return f"<pylibos.{type(self).__name__} {self.name} of {self.kernel.name}>"


def _require(status: int) -> None:
    """Raise what a failed function of the library left; 0 and PLH_OK are the same."""
    if status < 0:
        raise OSError(-status, os.strerror(-status) + f": {last_error()}")
    if status:
        raise PylibosError(last_error())


def add(kernel: Kernel, which: str | int, parameters: Any, config: Any) -> int:
    """Add a device to a kernel; return its struct plh_device.

    Args:
        kernel: whose device it will be.
        which: the name of a backend that the host library exports, or where one is.
        parameters: the backend's structure.
        config: a struct ll_netdev_config.
    """
    machine = kernel._machine
    address, outer = _device_wrap.wrapped(
        backend(which) if isinstance(which, str) else which, parameters
    )
    with machine.lock:
        handle: int | None = machine.library.plh_device_add(
            machine.open_handle,
            address,
            byref(outer),
            byref(config),
        )
    if not handle:
        if not machine.alive():
            raise machine.dead()
        raise PylibosError(last_error())
    return handle


class CallbackDevice(Device):
    """A device whose frames a Python function or object takes."""

    def inject(self, frame: bytes | bytearray | memoryview) -> None:
        """Let a frame arrive at the kernel; it is taken in when the world runs next.

        Raises:
            OSError: ENOBUFS, no receive buffer is free; EMSGSIZE, longer than the device
                takes; EINVAL, shorter than an Ethernet header.
        """
        data = bytes(frame)
        result = self._library.plh_callback_inject(self.handle, data, len(data))
        if result < 0:
            raise OSError(-result, os.strerror(-result))


def add_callback(
    kernel: Kernel, taker: DeviceBackend | Callable[[memoryview], None], config: Any
) -> CallbackDevice:
    """Add a device served by Python; see Kernel.add_device()."""
    transmit = taker.transmit if isinstance(taker, DeviceBackend) else taker
    if not callable(transmit):
        raise TypeError(
            "A device is a callable that takes a frame, or an object with transmit(frame); "
            f"{type(taker).__name__} is neither."
        )

    def call(_opaque: int | None, frame: int, size: int) -> None:
        memory = (ctypes.c_uint8 * size).from_address(frame)
        view = memoryview(memory).cast("B").toreadonly()
        try:
            transmit(view)
        finally:
            view.release()

    pointer = kernel._machine.callbacks.make(
        callback_type(_abi.plh_callback_parameters, "transmit"), call
    )
    parameters = _abi.plh_callback_parameters(transmit=pointer)
    return CallbackDevice(kernel, add(kernel, "plh_callback", parameters, config))
