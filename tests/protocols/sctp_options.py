# SPDX-License-Identifier: GPL-2.0-only
"""SCTP's socket options and notifications as packed structures (include/uapi/linux/sctp.h)."""

from __future__ import annotations

import socket
import struct
from typing import Any

from topologies import FAMILY, keep

import pylibos

SOL_SCTP = 132
RTOINFO, ASSOCINFO, INITMSG, NODELAY, PEER_ADDR_PARAMS, EVENTS = 0, 1, 2, 3, 9, 11
STATUS, GET_PEER_ADDR_INFO = 14, 15
BINDX_ADD, PEELOFF, CONNECTX = 100, 102, 110
SNDRCV = 1  # type of the control message
UNORDERED, ABORT, END = 1, 4, 0x200
MSG_NOTIFICATION = 0x8000
ASSOC_CHANGE, PEER_ADDR_CHANGE = 0x8001, 0x8002
COMM_UP, COMM_LOST, SHUTDOWN_COMP = 0, 1, 3
ADDR_AVAILABLE, ADDR_UNREACHABLE, ADDR_CONFIRMED = 0, 1, 5
INACTIVE, POTENTIALLY_FAILED, ACTIVE = 0, 1, 2  # enum sctp_spinfo_state

_SNDRCV = struct.Struct("=HHHxxIIIIIi")


def sockaddr(address: str, port: int) -> bytes:
    """A struct sockaddr_in or sockaddr_in6."""
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
        return struct.pack("=H", 10) + struct.pack("!HI16sI", port, 0, packed, 0)
    packed = socket.inet_aton(address)
    return struct.pack("=H", 2) + struct.pack("!H4s8x", port, packed)


def make(
    process: pylibos.Process,
    version: int,
    kind: int = socket.SOCK_STREAM,
    *,
    streams: int = 10,
    events: tuple[str, ...] = ("data",),
) -> pylibos.Socket:
    """An SCTP socket that tells the stream of each message; it is closed with its network."""
    sock = keep(process.socket(FAMILY[version], kind, socket.IPPROTO_SCTP))
    sock.setsockopt(SOL_SCTP, INITMSG, struct.pack("=HHHH", streams, streams, 0, 0))
    wanted = [int(name in events) for name in ("data", "association", "address")]
    sock.setsockopt(SOL_SCTP, EVENTS, bytes(wanted).ljust(8, b"\0"))
    sock.setsockopt(SOL_SCTP, NODELAY, 1)
    return sock


def listen(
    process: pylibos.Process, version: int, addresses: list[str], **options: Any
) -> pylibos.Socket:
    """A listening socket on port 9 of some addresses."""
    sock = make(process, version, **options)
    bind_all(sock, addresses, 9)
    sock.listen()
    return sock


def bind_all(sock: pylibos.Socket, addresses: list[str], port: int) -> None:
    """Bind to several addresses, as sctp_bindx(3)."""
    packed = b"".join(sockaddr(address, port) for address in addresses)
    sock.setsockopt(SOL_SCTP, BINDX_ADD, packed)


def send(
    sock: pylibos.Socket,
    data: bytes,
    stream: int = 0,
    *,
    ppid: int = 0,
    flags: int = 0,
    to: Any = None,
    association: int = 0,
) -> int:
    """Send a message on a stream, as sctp_sendmsg(3)."""
    info = _SNDRCV.pack(stream, 0, flags, socket.htonl(ppid), 0, 0, 0, 0, association)
    return sock.sendmsg([data] if data else [], [(SOL_SCTP, SNDRCV, info)], 0, to)


def receive(sock: pylibos.Socket) -> tuple[bytes, int, int, int]:
    """Receive a message: its data, stream, payload protocol and association."""
    data, control, flags, _ = sock.recvmsg(70000, 256)
    assert not flags & MSG_NOTIFICATION
    if not control:
        return data, -1, 0, 0
    stream, _, _, ppid, _, _, _, _, association = _SNDRCV.unpack(control[0][2][: _SNDRCV.size])
    return data, stream, socket.ntohl(ppid), association


def notification(sock: pylibos.Socket) -> tuple[int, int]:
    """Receive a notification: its type, and the state that it tells."""
    data, _, flags, _ = sock.recvmsg(4096, 256)
    assert flags & MSG_NOTIFICATION, data
    (kind,) = struct.unpack_from("=H", data)
    state = struct.unpack_from("=H", data, 8) if kind == ASSOC_CHANGE else None
    if kind == PEER_ADDR_CHANGE:
        state = struct.unpack_from("=i", data, 8 + 128)
    return kind, state[0] if state else 0


def set_path(
    sock: pylibos.Socket, *, heartbeat_ms: int | None = None, max_retrans: int = 0
) -> None:
    """Set the parameters of all paths: SCTP_PEER_ADDR_PARAMS, struct sctp_paddrparams.

    Args:
        heartbeat_ms: how often an idle path is asked; 0: never, None: as before.
        max_retrans: errors in a row after which a path counts as dead; 0: as before.
    """
    flags = 0 if heartbeat_ms is None else 1 if heartbeat_ms else 2  # SPP_HB_ENABLE, DISABLE
    option = struct.pack(
        "=i128sIHIIIIBx", 0, b"", heartbeat_ms or 0, max_retrans, 0, 0, flags, 0, 0
    )
    sock.setsockopt(SOL_SCTP, PEER_ADDR_PARAMS, option)


def path_info(sock: pylibos.Socket, address: str) -> dict[str, int]:
    """State, congestion window, srtt, RTO and MTU of a path: struct sctp_paddrinfo."""
    peer = sockaddr(address, sock.getpeername()[1])
    buffer = bytearray(struct.pack("=i128s5I", 0, peer, 0, 0, 0, 0, 0))
    size = bytearray(struct.pack("=I", len(buffer)))
    sock.process.syscall("getsockopt", sock.fileno(), SOL_SCTP, GET_PEER_ADDR_INFO, buffer, size)
    values = struct.unpack_from("=5I", buffer, 132)
    return dict(zip(("state", "cwnd", "srtt", "rto", "mtu"), values, strict=True))
