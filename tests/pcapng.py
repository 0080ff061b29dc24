# SPDX-License-Identifier: GPL-2.0-only
"""A strict reader of pcapng files (draft-ietf-opsawg-pcapng), with every option."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
COMMENT, PACKET_FLAGS = 1, 2
APPLICATION = 4
IF_NAME, IF_DESCRIPTION, IF_TSRESOL = 2, 3, 9
IF_RECEIVED, IF_DROPPED = 4, 5


@dataclass
class Packet:
    """One frame; time in ns of the world's clock."""

    interface: int
    time_ns: int
    data: bytes
    bytes: int
    inbound: bool
    comments: tuple[str, ...]

    @property
    def payload(self) -> bytes:
        """What follows the headers of a UDP datagram over IPv4."""
        return self.data[42:]


@dataclass
class Interface:
    """One interface, with its statistics once it has ended."""

    name: str
    description: str
    snaplen: int
    received: int | None = None
    dropped: int | None = None


@dataclass
class File:
    """All of a file."""

    section: dict[int, list[bytes]] = field(default_factory=dict)
    interfaces: list[Interface] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)

    def commented(self, comment: str) -> list[Packet]:
        """The packets that have this comment."""
        return [packet for packet in self.packets if comment in packet.comments]

    def udp(self) -> list[Packet]:
        """The packets that are UDP over IPv4."""
        return [p for p in self.packets if p.data[12:14] == b"\x08\x00" and p.data[23] == 17]


def padded(size: int) -> int:
    """The next multiple of four."""
    return (size + 3) & ~3


def options(body: bytes) -> dict[int, list[bytes]]:
    """Parse options up to opt_endofopt, which must be the last four bytes."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while body:
        code, size = struct.unpack_from("=HH", body, at)
        at += 4
        if code == 0:
            assert size == 0
            assert at == len(body)
            break
        found.setdefault(code, []).append(body[at : at + size])
        assert not any(body[at + size : at + padded(size)])
        at += padded(size)
    return found


def read(path: Path) -> File:
    """Read a file; any byte out of place is an assertion."""
    content = path.read_bytes()
    file = File()
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from("=II", content, at)
        assert size % 4 == 0
        assert size >= 12
        assert struct.unpack_from("=I", content, at + size - 4) == (size,)
        body = content[at + 8 : at + size - 4]
        assert (kind == SECTION) == (at == 0)
        _take(file, kind, body)
        at += size
    assert at == len(content)
    return file


def _take(file: File, kind: int, body: bytes) -> None:
    if kind == SECTION:
        assert struct.unpack_from("=IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        file.section = options(body[16:])
    elif kind == INTERFACE:
        link_type, _, snaplen = struct.unpack_from("=HHI", body)
        found = options(body[8:])
        assert link_type == 1
        assert found[IF_TSRESOL] == [b"\x09"]
        description = found.get(IF_DESCRIPTION, [b""])[0].decode()
        file.interfaces.append(Interface(found[IF_NAME][0].decode(), description, snaplen))
    elif kind == PACKET:
        interface, high, low, kept, size = struct.unpack_from("=IIIII", body)
        found = options(body[20 + padded(kept) :])
        assert interface < len(file.interfaces)
        (flags,) = struct.unpack("=I", found[PACKET_FLAGS][0])
        assert flags in (1, 2)
        comments = tuple(text.decode() for text in found.get(COMMENT, []))
        data = body[20 : 20 + kept]
        file.packets.append(Packet(interface, high << 32 | low, data, size, flags == 1, comments))
    elif kind == STATISTICS:
        (number,) = struct.unpack_from("=I", body)
        found = options(body[12:])
        interface = file.interfaces[number]
        assert interface.received is None
        (interface.received,) = struct.unpack("=Q", found[IF_RECEIVED][0])
        (interface.dropped,) = struct.unpack("=Q", found[IF_DROPPED][0])
    else:
        raise AssertionError(f"a block of type {kind:#x}")
