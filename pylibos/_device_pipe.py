# SPDX-License-Identifier: GPL-2.0-only
"""Devices joined to another process by two pipes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pylibos import _abi, _device
from pylibos._device import Device

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

_MAX_PATH_BYTES = 255


def add(
    kernel: Kernel,
    paths: tuple[str, str],
    fds: tuple[int | None, int | None],
    vnet_hdr: bool,
    config: Any,
) -> Device:
    """Add a device joined to two pipes, of (in, out); see Kernel.add_pipe()."""
    if kernel.world.virtual:
        raise ValueError(
            "A pipe needs the real clock, since the other process does not wait: boot with "
            "clock='real'."
        )
    given = [fd for fd in fds if fd is not None]
    named = [os.fsencode(path) for path in paths if path]
    if (len(named), len(given)) not in ((2, 0), (0, 2)):
        raise ValueError("A pipe device needs two FIFOs, or two descriptors.")
    if named and named[0] == named[1]:
        raise ValueError("A pipe device reads another FIFO than the one that it writes.")
    for path in named:
        if len(path) > _MAX_PATH_BYTES:
            raise ValueError(f"The path of a FIFO has at most 255 bytes, not {len(path)}.")
    ends = given or [-1, -1]
    names = named or [b"", b""]
    parameters = _abi.plh_pipe_parameters(
        in_path=names[0],
        out_path=names[1],
        in_fd=ends[0],
        out_fd=ends[1],
        vnet_hdr=int(vnet_hdr),
    )
    return Device(kernel, _device.add(kernel, "plh_pipe", parameters, config))
