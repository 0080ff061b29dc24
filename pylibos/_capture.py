# SPDX-License-Identifier: GPL-2.0-only
"""Captures: pcapng files of what crosses devices and links of a world."""

from __future__ import annotations

import os
from ctypes import c_char_p
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

from pylibos import _abi
from pylibos._errors import PylibosError
from pylibos._library import host, last_error

if TYPE_CHECKING:
    from pylibos._device import Device
    from pylibos._kernel import Kernel
    from pylibos._link import Link
    from pylibos._machine import Machine
    from pylibos._world import World


class Capture:
    """A pcapng file (draft-ietf-opsawg-pcapng) of any number of devices and links of a world.

    Each device, and each end of a link, is an interface of the file with its name and, as
    description, its kernel's name.  Time stamps are the world's clock in ns.  The file's
    bytes are a function of the run alone.

    Frames are written through a buffer: flush() or close() before reading the file.  The end
    of the world closes it; what a process leaves open when it exits is flushed.

    Args:
        world: whose frames it takes.
        path: file of the host; replaced.
        snaplen: bytes of each frame to keep, 0 for all.

    Attributes:
        path: as given.

    Raises:
        PylibosError: the file cannot be written.
    """

    def __init__(self, world: World, path: str | os.PathLike[str], *, snaplen: int = 0) -> None:
        if not 0 <= snaplen < 2**32:
            raise ValueError(f"snaplen is a number of bytes, 0 for all, not {snaplen}.")
        self.path = Path(path)
        self._library = host()
        self._world = world
        self._machines: list[Machine] = []
        self._devices: WeakSet[Device] = WeakSet()
        self._handle: int | None = self._library.plh_capture_create(
            world.open_handle, os.fsencode(path), snaplen
        )
        if not self._handle:
            raise PylibosError(last_error())
        world.captures.append(self)

    @property
    def is_open(self) -> bool:
        """Whether it still takes frames."""
        return self._handle is not None

    @property
    def handle(self) -> int:
        """The struct plh_capture; an error once it is closed."""
        if self._handle is None:
            raise PylibosError(f"The capture {self.path} is closed, by close() or by its world.")
        return self._handle

    def add(self, *items: Kernel | Device | Link) -> None:
        """Capture more from now on.

        Args:
            items: a device: what it sends and receives.  A kernel: all its devices, also
                those it gets later.  A link: what crosses it, each frame once.
                "lo" and the devices that a kernel makes itself (bridges, tunnels, VLANs)
                belong to none of these; use an AF_PACKET socket for them.

        Raises:
            PylibosError: it is of another world, or gone.
        """
        from pylibos._device import Device
        from pylibos._link import Link

        for item in items:
            if isinstance(item, Device):
                self._add_device(item)
            elif isinstance(item, Link):
                self._add_link(item)
            else:
                self._add_machine(item._machine)

    def _add_device(self, device: Device) -> None:
        if device in self._devices:
            return
        name = device.kernel.name.encode()
        self._require(self._library.plh_capture_add_device(self.handle, device.handle, name))
        self._devices.add(device)

    def _add_link(self, link: Link) -> None:
        names = (c_char_p * 2)(*(end.kernel.name.encode() for end in link.ends))
        self._require(self._library.plh_capture_add_link(self.handle, link.handle, names))

    def _add_machine(self, machine: Machine) -> None:
        if machine in self._machines:
            return
        for device in machine.devices:
            self._add_device(device)
        machine.captures.append(self)
        self._machines.append(machine)

    @staticmethod
    def _require(status: int) -> None:
        if status != _abi.PLH_OK:
            raise PylibosError(last_error())

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            PylibosError: the file is incomplete, for want of room on the disk say.
        """
        self._require(self._library.plh_capture_flush(self.handle))

    def close(self) -> None:
        """Stop, and write all there is.  Closing twice is fine.

        Raises:
            PylibosError: the file is incomplete, for want of room on the disk say.
        """
        if self._handle is None:
            return
        for machine in self._machines:
            machine.captures.remove(self)
        self._world.captures.remove(self)
        handle, self._handle = self._handle, None
        status = self._library.plh_capture_close(handle)
        # The file is the parent's, who writes it.
        if status != _abi.PLH_FORKED:
            self._require(status)

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pylibos.Capture {self.path}{' closed' if self._handle is None else ''}>"


def start(
    world: World, path: str | os.PathLike[str], snaplen: int, item: Kernel | Device | Link
) -> Capture:
    """Open a capture of one thing."""
    capture = Capture(world, path, snaplen=snaplen)
    try:
        capture.add(item)
    except BaseException:
        capture.close()
        raise
    return capture
