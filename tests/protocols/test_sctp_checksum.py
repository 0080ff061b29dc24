# SPDX-License-Identifier: GPL-2.0-only
"""SCTP's checksum is CRC32C (RFC 9260, section 6.8), by the processor or by a table."""

from __future__ import annotations

import socket
import struct

from pcapng import read
from topologies import chain, ip_of

IPPROTO_SCTP = 132
POLYNOMIAL = 0x82F63B78  # of Castagnoli, reflected
CHECKSUM_AT = 8


def make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def sctp_of(frame):
    """The SCTP packet in an IPv4 frame, None if there is none."""
    if frame[12:14] != b"\x08\x00" or frame[23] != IPPROTO_SCTP:
        return None
    return frame[34 : 14 + struct.unpack_from("!H", frame, 16)[0]]


def test_crc_of_this_test_is_the_known_one():
    assert crc32c(b"123456789") == 0xE3069283


def test_packets_of_all_lengths_carry_crc32c(net, tmp_path):
    a, b = chain(net, "ab")
    sizes = [*range(1, 25), 100, 1000, 1400]
    server = b.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP)
    server.bind(("", 9))
    server.listen()
    with net.links[0].capture(tmp_path / "link"), server:
        with a.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP) as client:
            client.connect((ip_of(b, 4), 9))
            with server.accept()[0] as peer:
                for size in sizes:
                    client.send(bytes([size % 256]) * size)
                    assert len(peer.recv(2000)) == size
    packets = [p for packet in read(tmp_path / "link").packets if (p := sctp_of(packet.data))]
    assert len(packets) > len(sizes)
    for packet in packets:
        bare = packet[:CHECKSUM_AT] + bytes(4) + packet[CHECKSUM_AT + 4 :]
        assert struct.unpack_from("<I", packet, CHECKSUM_AT)[0] == crc32c(bare)
