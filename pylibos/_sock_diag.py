# SPDX-License-Identifier: GPL-2.0-only
"""sock_diag(7): the kernel's socket tables over netlink.

pyroute2's DiagSocket knows TCP and UNIX sockets only, and draws on the kernel's random numbers
for its port id; so requests and answers are built here.  Source: include/uapi/linux/
inet_diag.h, unix_diag.h, netlink_diag.h and packet_diag.h.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterator

from pylibos._netlink_dump import DumpSocket, attributes
from pylibos._protocol_info import (
    BbrInfo,
    CongestionInfo,
    DctcpInfo,
    MptcpInfo,
    SctpInfo,
    VegasInfo,
)
from pylibos._socket_record import Endpoint, SocketMemory, SocketRecord, SocketTimer
from pylibos._tcp_info import TcpInfo, TcpState

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
IPPROTO_DCCP, IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_MPTCP = 33, 132, 136, 262
_ALL_STATES = 0xFFFFFFFF
# What a kernel without a protocol answers.
ABSENT = (errno.ENOENT, errno.EINVAL, errno.EAFNOSUPPORT)

_INET_REQUEST = struct.Struct("=4BI48s")
_UNIX_REQUEST = struct.Struct("=BBHIIIQ")  # struct unix_diag_req
_SHOW_REQUEST = struct.Struct("=BBHIIQ")  # struct netlink_diag_req, packet_diag_req
_INET_MESSAGE = struct.Struct("=4B")
_INET_PORTS = struct.Struct("!HH16s16s")
_INET_REST = struct.Struct("=IQ5I")  # idiag_if, idiag_cookie, idiag_expires ... idiag_inode
_INET_BYTES = 72
_UNIX_MESSAGE = struct.Struct("=4BIQ")
_NETLINK_MESSAGE = struct.Struct("=4B4IQ")
_PACKET_MESSAGE = struct.Struct("=2BHIQ")
_MEMORY = struct.Struct("=9I")
_STORAGE_BYTES = 128  # struct sockaddr_storage

# Attributes of struct inet_diag_msg, and which of them to ask for.
_INFO, _VEGAS, _CONG, _TOS, _TCLASS, _SKMEMINFO, _SHUTDOWN = 2, 3, 4, 5, 6, 7, 8
_DCTCP, _PROTOCOL, _LOCALS, _PEERS, _BBR, _ULP = 9, 10, 12, 13, 16, 19
_EXTENSIONS = sum(1 << (kind - 1) for kind in (_INFO, _VEGAS, _CONG, _SKMEMINFO, _SHUTDOWN))
_REQ_PROTOCOL = 3  # INET_DIAG_REQ_PROTOCOL, for numbers above 255
_ULP_NAME = 1
_UNIX_NAME, _UNIX_PEER, _UNIX_RQLEN, _UNIX_MEMINFO, _UNIX_UID = 0, 2, 4, 5, 7
# Not the queue of a listener (ICONS): its inodes do not fit a message if there are many.
_UNIX_SHOWN = 0x01 | 0x04 | 0x10 | 0x20 | 0x40
_NETLINK_MEMINFO, _NETLINK_ALL_PROTOCOLS = 0, 255
_PACKET_INFO, _PACKET_UID, _PACKET_MEMINFO = 0, 5, 6
_PACKET_SHOWN = 0x01 | 0x10

_INET = {
    "tcp": (socket.IPPROTO_TCP, socket.SOCK_STREAM),
    "udp": (socket.IPPROTO_UDP, socket.SOCK_DGRAM),
    "udplite": (IPPROTO_UDPLITE, socket.SOCK_DGRAM),
    "sctp": (IPPROTO_SCTP, None),
    "dccp": (IPPROTO_DCCP, 6),  # SOCK_DCCP
    "mptcp": (IPPROTO_MPTCP, socket.SOCK_STREAM),
    "raw": (socket.IPPROTO_RAW, socket.SOCK_RAW),
}
PROTOCOLS = (*_INET, "unix", "netlink", "packet")
_STATEFUL = ("tcp", "dccp", "mptcp")
_TIMERS = ("off", "on", "keepalive", "timewait", "persist")
_SCTP_STATES = (
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_PENDING",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECEIVED",
    "SHUTDOWN_ACK_SENT",
)
_CONGESTION_INFO: dict[int, Callable[[bytes], CongestionInfo]] = {
    _VEGAS: VegasInfo.parse,
    _DCTCP: DctcpInfo.parse,
    _BBR: BbrInfo.parse,
}
_NETLINK_NAMES = {
    0: "route",
    3: "nflog",
    4: "sock_diag",
    6: "xfrm",
    8: "iscsi",
    9: "audit",
    10: "fib_lookup",
    11: "connector",
    12: "netfilter",
    15: "uevent",
    16: "generic",
    18: "scsitransport",
    21: "crypto",
}
_ETHERTYPES = {0: "none", 0x0003: "*", 0x0800: "ip", 0x0806: "arp", 0x86DD: "ipv6"}


def _state(number: int, *, stateful: bool) -> str:
    if number == TcpState.CLOSE and not stateful:
        return "UNCONN"
    try:
        return TcpState(number).name
    except ValueError:
        return str(number)


def _memory(data: bytes | None) -> SocketMemory | None:
    if data is None:
        return None
    return SocketMemory(*_MEMORY.unpack_from(data.ljust(_MEMORY.size, b"\0")))


def _text(data: bytes | None) -> str:
    return data.rstrip(b"\0").decode() if data else ""


def _word(data: bytes | None) -> int:
    return int.from_bytes(data[:4], sys.byteorder) if data else 0


def _address(family: int, data: bytes) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(family, data[:4])
    return socket.inet_ntop(socket.AF_INET6, data)


def _storages(data: bytes | None) -> tuple[str, ...]:
    """The addresses of an array of struct sockaddr_storage."""
    found = []
    for start in range(0, len(data or b""), _STORAGE_BYTES):
        one = (data or b"")[start : start + _STORAGE_BYTES]
        family = int.from_bytes(one[:2], sys.byteorder)
        found.append(_address(family, one[4:8] if family == socket.AF_INET else one[8:24]))
    return tuple(found)


# --- TCP, UDP, UDP-Lite, SCTP, DCCP, MPTCP, raw ---


def _inet_request(family: int, number: int) -> bytes:
    extra = b""
    if number > 255:
        extra = struct.pack("=HHI", 8, _REQ_PROTOCOL, number)
    fixed = _INET_REQUEST.pack(family, number & 255, _EXTENSIONS, 0, _ALL_STATES, bytes(48))
    return fixed + extra


def parse_inet(protocol: str, message: bytes) -> SocketRecord:
    """Make a record of a struct inet_diag_msg with its attributes."""
    family, state, timer, retransmits = _INET_MESSAGE.unpack_from(message)
    local_port, remote_port, local, remote = _INET_PORTS.unpack_from(message, 4)
    interface, cookie, expires_ms, rx_queue, tx_queue, uid, inode = _INET_REST.unpack_from(
        message, 4 + _INET_PORTS.size
    )
    found = attributes(message, _INET_BYTES)
    info = found.get(_INFO)
    if protocol == "sctp" and _PEERS in found:
        name = _SCTP_STATES[state] if state < len(_SCTP_STATES) else str(state)
    else:
        name = _state(state, stateful=protocol in _STATEFUL)
    if protocol == "sctp" and timer:
        kind = str(timer)
    else:
        kind = _TIMERS[timer] if timer < len(_TIMERS) else str(timer)
    kinds = [kind for kind in _CONGESTION_INFO if kind in found]
    return SocketRecord(
        protocol,
        family,
        _INET[protocol][1],
        name,
        Endpoint(_address(family, local), local_port),
        Endpoint(_address(family, remote), remote_port),
        rx_queue,
        tx_queue,
        inode,
        uid,
        cookie,
        interface,
        SocketTimer(kind, expires_ms, retransmits) if timer else None,
        _memory(found.get(_SKMEMINFO)),
        _text(found.get(_CONG)),
        _text(attributes(found[_ULP]).get(_ULP_NAME)) if _ULP in found else "",
        _storages(found.get(_LOCALS)),
        _storages(found.get(_PEERS)),
        TcpInfo.parse(info) if info and protocol == "tcp" else None,
        MptcpInfo.parse(info) if info and protocol == "mptcp" else None,
        SctpInfo.parse(info) if info and protocol == "sctp" and _PEERS in found else None,
        _CONGESTION_INFO[kinds[0]](found[kinds[0]]) if kinds else None,
    )


def _messages(channel: DumpSocket, protocol: str) -> Iterator[bytes]:
    number, _ = _INET[protocol]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            messages = channel.dump(SOCK_DIAG_BY_FAMILY, _inet_request(family, number))
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            continue
        # A dump of MPTCP does not look at the family.
        yield from (message for message in messages if message[0] == family)


def dump_inet(channel: DumpSocket, protocol: str) -> Iterator[SocketRecord]:
    """All sockets of an Internet protocol; none if the kernel does not have it."""
    for message in _messages(channel, protocol):
        yield parse_inet(protocol, message)


def dump_tcp_info(channel: DumpSocket) -> Iterator[tuple[SocketRecord, bytes]]:
    """All TCP sockets that have a struct tcp_info, and it."""
    for message in _messages(channel, "tcp"):
        if info := attributes(message, _INET_BYTES).get(_INFO):
            yield parse_inet("tcp", message), info


# --- UNIX, netlink, packet ---


def dump_unix(channel: DumpSocket) -> Iterator[SocketRecord]:
    """All UNIX sockets."""
    request = _UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _UNIX_SHOWN, 0)
    for message in channel.dump(SOCK_DIAG_BY_FAMILY, request):
        family, kind, state, _, inode, cookie = _UNIX_MESSAGE.unpack_from(message)
        found = attributes(message, _UNIX_MESSAGE.size)
        name = found.get(_UNIX_NAME, b"")
        path = "@" + name[1:].decode() if name[:1] == b"\0" else _text(name)
        rx_queue, tx_queue = struct.unpack("=II", found.get(_UNIX_RQLEN, bytes(8)))
        yield SocketRecord(
            "unix",
            family,
            kind,
            _state(state, stateful=False),
            Endpoint(path, inode),
            Endpoint("", _word(found.get(_UNIX_PEER))),
            rx_queue,
            tx_queue,
            inode,
            _word(found.get(_UNIX_UID)),
            cookie,
            memory=_memory(found.get(_UNIX_MEMINFO)),
        )


def dump_netlink(channel: DumpSocket) -> Iterator[SocketRecord]:
    """All netlink sockets but the one that asks."""
    request = _SHOW_REQUEST.pack(socket.AF_NETLINK, _NETLINK_ALL_PROTOCOLS, 0, 0, 1, 0)
    for message in channel.dump(SOCK_DIAG_BY_FAMILY, request):
        values = _NETLINK_MESSAGE.unpack_from(message)
        family, kind, protocol, state, port_id, peer, _group, inode, cookie = values
        if protocol == NETLINK_SOCK_DIAG and port_id == channel.port_id:
            continue
        memory = _memory(attributes(message, _NETLINK_MESSAGE.size).get(_NETLINK_MEMINFO))
        name = _NETLINK_NAMES.get(protocol, str(protocol))
        yield SocketRecord(
            "netlink",
            family,
            kind,
            _state(state, stateful=False),
            Endpoint(name, port_id),
            Endpoint("", peer),
            memory.rmem_alloc if memory else 0,
            memory.wmem_alloc if memory else 0,
            inode,
            0,
            cookie,
            memory=memory,
        )


def dump_packet(channel: DumpSocket) -> Iterator[SocketRecord]:
    """All packet sockets."""
    request = _SHOW_REQUEST.pack(socket.AF_PACKET, 0, 0, 0, _PACKET_SHOWN, 0)
    for message in channel.dump(SOCK_DIAG_BY_FAMILY, request):
        family, kind, protocol, inode, cookie = _PACKET_MESSAGE.unpack_from(message)
        found = attributes(message, _PACKET_MESSAGE.size)
        memory = _memory(found.get(_PACKET_MEMINFO))
        interface = _word(found.get(_PACKET_INFO))
        yield SocketRecord(
            "packet",
            family,
            kind,
            "UNCONN",
            Endpoint(_ETHERTYPES.get(protocol, f"{protocol:#06x}"), interface),
            Endpoint("", 0),
            memory.rmem_alloc if memory else 0,
            memory.wmem_alloc if memory else 0,
            inode,
            _word(found.get(_PACKET_UID)),
            cookie,
            interface,
            memory=memory,
        )
