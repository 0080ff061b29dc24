# SPDX-License-Identifier: GPL-2.0-only
"""Messages of ICMP and ICMPv6, and the error queues of sockets."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

import pylibos

IPPROTO_ICMPV6 = 58
# Types and codes: RFC 792, RFC 4443.
ECHO = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
UNREACHABLE = {4: 3, 6: 1}
TIME_EXCEEDED = {4: 11, 6: 3}
PORT_UNREACHABLE = {4: 3, 6: 4}

# Options of IP and IPv6 sockets: include/uapi/linux/in.h, in6.h
LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
RECVERR = {4: 11, 6: 25}
HOPS = {4: 2, 6: 16}  # IP_TTL, IPV6_UNICAST_HOPS
RECV_HOPS = {4: (12, 2), 6: (51, 52)}  # option, and control message
MTU_DISCOVER = {4: 10, 6: 23}
PMTUDISC_DONT, PMTUDISC_DO = 0, 2
PROTOCOL = {4: socket.IPPROTO_ICMP, 6: IPPROTO_ICMPV6}


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) & 1)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(version: int, identifier: int, number: int, data: bytes) -> bytes:
    """An echo request; for IPv6 the kernel fills in the checksum."""
    message = struct.pack(">BBHHH", ECHO[version], 0, 0, identifier, number) + data
    if version == 6:
        return message
    return message[:2] + struct.pack(">H", checksum(message)) + message[4:]


@dataclass(frozen=True)
class QueuedError:
    """struct sock_extended_err, and whom the message came from.

    Attributes:
        origin: 1: the own kernel, 2: ICMP, 3: ICMPv6.
        info: the MTU, with EMSGSIZE.
        data: of the datagram that it is about.
        destination: of that datagram.
    """

    error: int
    origin: int
    type: int
    code: int
    info: int
    offender: str | None
    data: bytes
    destination: str


def queued_error(sock: pylibos.Socket) -> QueuedError:
    """Take the oldest error of a socket's queue (MSG_ERRQUEUE, ip(7))."""
    data, control, flags, address = sock.recvmsg(2000, 512, socket.MSG_ERRQUEUE)
    assert flags & socket.MSG_ERRQUEUE
    version = 6 if sock.family == socket.AF_INET6 else 4
    (extended,) = (
        item for level, kind, item in control if (level, kind) == (LEVEL[version], RECVERR[version])
    )
    error, origin, kind, code, _, info, _ = struct.unpack_from("=IBBBBII", extended)
    offender = None
    family = struct.unpack_from("=H", extended, 16)[0]
    if family == socket.AF_INET:
        offender = str(ipaddress.ip_address(extended[20:24]))
    elif family == socket.AF_INET6:
        offender = str(ipaddress.ip_address(extended[24:40]))
    return QueuedError(error, origin, kind, code, info, offender, data, address[0])
