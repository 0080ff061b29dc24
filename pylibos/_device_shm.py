# SPDX-License-Identifier: GPL-2.0-only
"""Devices whose frames cross a memory that is shared with another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pylibos import _abi, _device
from pylibos._device import Device
from pylibos._device_unix import encode

if TYPE_CHECKING:
    from pylibos._kernel import Kernel


def add(
    kernel: Kernel,
    path: str,
    listen: bool,
    fd: int | None,
    offload: bool,
    ring_bytes: int,
    config: Any,
) -> Device:
    """Add a device joined to a shared memory; see Kernel.add_shm()."""
    if kernel.world.virtual:
        raise ValueError(
            "A shared memory needs the real clock, since the other process does not wait: boot "
            "with clock='real'."
        )
    if not path and fd is None:
        raise ValueError("A shared memory needs the path of a socket, or a descriptor.")
    if path and fd is not None:
        raise ValueError("A descriptor is connected already: it goes with no path.")
    parameters = _abi.plh_shm_parameters(
        path=encode(path),
        fd=-1 if fd is None else fd,
        listen=int(listen),
        offload=int(offload),
        ring_bytes=ring_bytes,
    )
    return Device(kernel, _device.add(kernel, "plh_shm", parameters, config))
