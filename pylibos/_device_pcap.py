# SPDX-License-Identifier: GPL-2.0-only
"""Devices on which the packets of a file arrive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pylibos import _abi, _device
from pylibos._device import Device

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

_MAX_PATH_BYTES = 255
_MAX_SPEED = 1_000_000


def add(kernel: Kernel, files: tuple[str, str], speed: float, loop: int, config: Any) -> Device:
    """Add a device of files of packets, (replayed, recorded); see Kernel.add_pcap()."""
    path, record = map(os.fsencode, files)
    if not path and not record:
        raise ValueError("A pcap device needs a file to replay, or one to record to.")
    if max(len(path), len(record)) > _MAX_PATH_BYTES:
        raise ValueError(f"The path of a capture has at most {_MAX_PATH_BYTES} bytes.")
    if path and record and os.path.realpath(path) == os.path.realpath(record):
        raise ValueError("A capture cannot be replayed and recorded to at once.")
    speed_permille = round(speed * 1000)
    if not 0 <= speed <= _MAX_SPEED or (speed and not speed_permille):
        raise ValueError(f"A speed is 0, or 0.001 to {_MAX_SPEED}, not {speed}.")
    if not 1 <= loop < 1 << 32:
        raise ValueError(f"A file is replayed 1 to {(1 << 32) - 1} times, not {loop}.")
    parameters = _abi.plh_pcap_parameters(
        path=path, record=record, speed_permille=speed_permille, rounds=loop
    )
    return Device(kernel, _device.add(kernel, "plh_pcap", parameters, config))
