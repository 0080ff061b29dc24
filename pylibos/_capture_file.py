# SPDX-License-Identifier: GPL-2.0-only
"""Reads captures: pcapng with its interfaces, directions and comments, and classic pcap.

The readers that Python has do not tell which interface of a pcapng file a frame is of, nor what
is noted beside it, so the blocks are walked here (draft-ietf-opsawg-pcapng).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SECTION, INTERFACE, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 3, 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
OPTION_COMMENT, OPTION_FLAGS = 1, 2
OPTION_IF_NAME, OPTION_IF_DESCRIPTION, OPTION_IF_TSRESOL = 2, 3, 9
FLAGS_DIRECTION, FLAGS_OUTBOUND = 3, 2
_NS = 1_000_000_000
# Magic numbers of classic pcap, and what a second has of its ticks.
_PCAP_TICKS = {0xA1B2C3D4: 1_000_000, 0xA1B23C4D: _NS}


@dataclass
class Interface:
    """An interface of a capture.

    Attributes:
        name: "eth0"; of a capture of this library with its kernel's name before it, "a.eth0".
        link_type: LINKTYPE_ number, 1 for Ethernet.
        ticks: of its time stamps in a second.
    """

    name: str
    link_type: int
    ticks: int


class Frame(NamedTuple):
    """A captured frame.

    Attributes:
        time_ns: when.
        interface: where.
        data: its bytes, perhaps only the first ones.
        length: bytes that it had.
        outbound: whether the interface sent it; None: not told.
        dropped: why it was dropped, "loss" or "queue full" and the like; "" if it was not.
    """

    time_ns: int
    interface: Interface
    data: bytes
    length: int
    outbound: bool | None
    dropped: str


def _options(data: memoryview, order: str) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        code, size = struct.unpack_from(f"{order}HH", data, offset)
        if code == 0:
            return
        yield code, bytes(data[offset + 4 : offset + 4 + size])
        offset += 4 + (size + 3 & ~3)


def _interface(body: memoryview, order: str) -> Interface:
    link_type = struct.unpack_from(f"{order}H", body)[0]
    name, owner, ticks = "", "", 1_000_000
    for code, value in _options(body[8:], order):
        if code == OPTION_IF_NAME:
            name = value.decode(errors="replace")
        elif code == OPTION_IF_DESCRIPTION:
            owner = value.decode(errors="replace")
        elif code == OPTION_IF_TSRESOL:
            ticks = 2 ** (value[0] & 127) if value[0] & 128 else 10 ** value[0]
    return Interface(f"{owner}.{name}" if owner else name, link_type, ticks)


def _packet(body: memoryview, order: str, interfaces: list[Interface]) -> Frame:
    number, high, low, kept, length = struct.unpack_from(f"{order}5I", body)
    interface = interfaces[number]
    outbound, dropped = None, ""
    for code, value in _options(body[20 + (kept + 3 & ~3) :], order):
        if code == OPTION_FLAGS:
            direction = struct.unpack(f"{order}I", value)[0] & FLAGS_DIRECTION
            outbound = direction == FLAGS_OUTBOUND if direction else None
        elif code == OPTION_COMMENT and value.startswith(b"dropped: "):
            dropped = value[9:].decode(errors="replace")
    time_ns = (high << 32 | low) * _NS // interface.ticks
    return Frame(time_ns, interface, bytes(body[20 : 20 + kept]), length, outbound, dropped)


def _pcapng(data: memoryview, path: Path) -> Iterator[Frame]:
    order, offset = "<", 0
    interfaces: list[Interface] = []
    while offset + 12 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, offset)
        if kind == SECTION:
            magic = struct.unpack_from("<I", data, offset + 8)[0]
            order = "<" if magic == BYTE_ORDER_MAGIC else ">"
            size = struct.unpack_from(f"{order}I", data, offset + 4)[0]
            interfaces = []
        if size < 12 or offset + size > len(data):
            raise ValueError(f"{path} is cut off; close() the capture before reading it.")
        body = data[offset + 8 : offset + size - 4]
        if kind == INTERFACE:
            interfaces.append(_interface(body, order))
        elif kind == PACKET:
            yield _packet(body, order, interfaces)
        offset += size


def _pcap(data: memoryview, path: Path) -> Iterator[Frame]:
    """Classic pcap (draft-ietf-opsawg-pcap)."""
    for order in "<>":
        magic = struct.unpack_from(f"{order}I", data)[0] if len(data) >= 24 else 0
        if ticks := _PCAP_TICKS.get(magic):
            break
    else:
        raise ValueError(f"{path} is neither pcapng nor pcap.")
    interface = Interface("", struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF, ticks)
    offset = 24
    while offset + 16 <= len(data):
        seconds, part, kept, length = struct.unpack_from(f"{order}4I", data, offset)
        frame = bytes(data[offset + 16 : offset + 16 + kept])
        time_ns = seconds * _NS + part * (_NS // ticks)
        yield Frame(time_ns, interface, frame, length, None, "")
        offset += 16 + kept


def read_frames(path: str | os.PathLike[str]) -> Iterator[Frame]:
    """Read the frames of a capture in the order of the file.

    Raises:
        ValueError: it is no capture, or is cut off.
        OSError: it cannot be read.
    """
    file_path = Path(path)
    data = file_path.read_bytes()
    if data[:4] == SECTION.to_bytes(4, "little"):
        yield from _pcapng(memoryview(data), file_path)
        return
    yield from _pcap(memoryview(data), file_path)
