# SPDX-License-Identifier: GPL-2.0-only
"""Generic netlink: families by name, and their requests (the kernel's net/netlink/genetlink.c)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pylibos._netlink import NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, attribute

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._socket import Socket

NETLINK_GENERIC = 16
_CONTROLLER = 16  # GENL_ID_CTRL
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME, _CTRL_ATTR_MCAST_GROUPS = 1, 2, 7
_CTRL_ATTR_MCAST_GRP_NAME, _CTRL_ATTR_MCAST_GRP_ID = 1, 2
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
BODY = _HEADER.size + _GENERIC.size
"""Where the attributes of a message begin."""


@dataclass(frozen=True)
class Family:
    """A family of generic netlink.

    Attributes:
        number: the message type of its requests, as the kernel has assigned it.
        groups: its multicast groups by name.
    """

    number: int
    groups: dict[str, int]


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Take attributes apart: (type, content) of each."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Take what a socket received apart: (type, command, attributes) of each message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size], data[at + BODY : at + length]
        at += (length + 3) & ~3


def request(channel: Socket, family: int, command: int, version: int, body: bytes = b"") -> bytes:
    """Send one request and return the answer: its attributes, b"" for an acknowledgement.

    Raises:
        OSError: the kernel refused.
    """
    flags = NLM_F_REQUEST | NLM_F_ACK
    length = BODY + len(body)
    message = _HEADER.pack(length, family, flags, 1, 0) + _GENERIC.pack(command, version, 0) + body
    channel.sendto(message, (0, 0))
    answer = b""
    while True:
        reply: bytes = channel.recv(65536)
        _, kind, _, sequence, _ = _HEADER.unpack_from(reply)
        if sequence != 1:
            continue  # an event of a group
        if kind == NLMSG_ERROR:
            (error,) = struct.unpack_from("=i", reply, _HEADER.size)
            if error:
                raise OSError(-error, os.strerror(-error))
            return answer
        answer = reply[BODY:]


def open_channel(process: Process) -> Socket:
    """Make a socket for generic netlink, bound so that it may join groups."""
    channel = process.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    channel.bind((0, 0))
    return channel


def find_family(process: Process, name: str) -> Family:
    """Ask for a family by its name, such as "wireguard".

    Raises:
        FileNotFoundError: the kernel has no such family.
    """
    with open_channel(process) as channel:
        body = attribute(_CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
        answer = request(channel, _CONTROLLER, _CTRL_CMD_GETFAMILY, 1, body)
    number = 0
    groups: dict[str, int] = {}
    for kind, data in attributes(answer):
        if kind == _CTRL_ATTR_FAMILY_ID:
            (number,) = struct.unpack("=H", data)
        elif kind == _CTRL_ATTR_MCAST_GROUPS:
            for _, group in attributes(data):
                fields = dict(attributes(group))
                label = fields[_CTRL_ATTR_MCAST_GRP_NAME].rstrip(b"\0").decode()
                (groups[label],) = struct.unpack("=I", fields[_CTRL_ATTR_MCAST_GRP_ID])
    return Family(number, groups)
