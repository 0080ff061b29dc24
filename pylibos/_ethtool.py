# SPDX-License-Identifier: GPL-2.0-only
"""Switching features of a kernel's interfaces as ethtool -K does (include/uapi/linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._process import Process

_SIOCETHTOOL = 0x8946
_GSTRINGS, _GSSET_INFO, _GFEATURES, _SFEATURES = 0x1B, 0x37, 0x3A, 0x3B
_SS_FEATURES, _NAME_BYTES = 4, 32


def _request(process: Process, device: str, request: bytes) -> bytes:
    """One SIOCETHTOOL: the structure as the kernel leaves it."""
    data = ctypes.create_string_buffer(request, len(request))
    ifreq = struct.pack("=16sQQQ", device.encode(), ctypes.addressof(data), 0, 0)
    with process.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        process.syscall("ioctl", sock.fileno(), _SIOCETHTOOL, bytearray(ifreq))
    return data.raw


def _names(process: Process, device: str) -> list[str]:
    head = struct.pack("=IIQI", _GSSET_INFO, 0, 1 << _SS_FEATURES, 0)
    count = struct.unpack_from("=I", _request(process, device, head), 16)[0]
    head = struct.pack("=III", _GSTRINGS, _SS_FEATURES, count)
    answer = _request(process, device, head + bytes(_NAME_BYTES * count))
    texts = [answer[12 + _NAME_BYTES * i :][:_NAME_BYTES] for i in range(count)]
    return [text.partition(b"\0")[0].decode() for text in texts]


def features(process: Process, device: str) -> dict[str, bool]:
    """Which features of an interface are on, by the names of ethtool -k.

    Raises:
        OSError: there is no such interface (ENODEV).
    """
    names = _names(process, device)
    blocks = -(-len(names) // 32)
    answer = _request(process, device, struct.pack("=II", _GFEATURES, blocks) + bytes(16 * blocks))
    active = [struct.unpack_from("=I", answer, 8 + 16 * block + 8)[0] for block in range(blocks)]
    return {name: bool(active[bit // 32] >> bit % 32 & 1) for bit, name in enumerate(names) if name}


def set_features(process: Process, device: str, wanted: Mapping[str, bool]) -> None:
    """Switch features on and off.

    Raises:
        KeyError: the kernel has no feature of that name.
        ValueError: the interface does not let one be switched.
        OSError: there is no such interface (ENODEV).
    """
    names = _names(process, device)
    blocks = [[0, 0] for _ in range(-(-len(names) // 32))]
    for name, on in wanted.items():
        if name not in names:
            raise KeyError(name)
        block, bit = divmod(names.index(name), 32)
        blocks[block][0] |= 1 << bit
        blocks[block][1] |= on << bit
    request = struct.pack("=II", _SFEATURES, len(blocks))
    _request(process, device, request + b"".join(struct.pack("=II", *block) for block in blocks))
    now = features(process, device)
    for name, on in wanted.items():
        if now[name] != on:
            raise ValueError(f"{name} cannot be switched {'on' if on else 'off'}")
