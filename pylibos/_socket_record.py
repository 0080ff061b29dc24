# SPDX-License-Identifier: GPL-2.0-only
"""One row of a socket table, as ``kernel.sockets()`` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pylibos._protocol_info import CongestionInfo, MptcpInfo, SctpInfo
from pylibos._tcp_info import TcpInfo


class Endpoint(NamedTuple):
    """One end of a socket; equal to a plain tuple.

    For UNIX sockets the path ("@name" if abstract) and the inode, for netlink the protocol's
    name and the port id, for packet sockets the protocol and the interface's index.
    """

    address: str
    port: int

    def __str__(self) -> str:
        address = f"[{self.address}]" if self.address.count(":") > 1 else self.address
        return f"{address or '*'}:{self.port or '*'}"


@dataclass(frozen=True)
class SocketMemory:
    """Memory of a socket in bytes, ``SK_MEMINFO_*`` of include/uapi/linux/sock_diag.h.

    Attributes:
        rmem_alloc, wmem_alloc: in received and in sent packets.
        rcvbuf, sndbuf: limits of these.
        fwd_alloc: set aside.
        wmem_queued: written and not acknowledged, with overhead.
        optmem: options and filters.
        backlog: packets that came while a call held the socket.
        drops: packets dropped for want of room; a count, not bytes.
    """

    rmem_alloc: int
    rcvbuf: int
    wmem_alloc: int
    sndbuf: int
    fwd_alloc: int
    wmem_queued: int
    optmem: int
    backlog: int
    drops: int


@dataclass(frozen=True)
class SocketTimer:
    """The timer that a socket waits for.

    Attributes:
        kind: "on" (retransmission, loss probe), "keepalive", "timewait" or "persist", as ss(8)
            names them; the event's number for SCTP.
        expires_ms: from now.
        retransmits: how often it fired without an answer.
    """

    kind: str
    expires_ms: int
    retransmits: int


@dataclass(frozen=True)
class SocketRecord:
    """A socket of a kernel, a row of ss(8).

    Attributes:
        protocol: "tcp", "udp", "udplite", "sctp", "dccp", "mptcp", "raw", "unix", "netlink" or
            "packet".
        family: address family.
        type: SOCK_STREAM and the like; None if the kernel does not tell.
        state: "ESTABLISHED", "LISTEN", "TIME_WAIT" ...; "UNCONN" for what has no connection.
        local, remote: its two ends.
        rx_queue, tx_queue: bytes not read yet, and not acknowledged yet; of a listener the
            connections that wait, and how many may.
        inode: of the descriptor, 0 if there is none any more.
        uid: of the owner.
        cookie: never used twice in a kernel's life.
        interface: index of the interface that it is bound to, or 0.
        timer: None if no timer runs.
        memory: None if the kernel does not tell.
        congestion: name of its congestion control, or "".
        ulp: protocol on top of TCP, "mptcp" or "tls", or "".
        local_addresses, remote_addresses: of an SCTP association, all of them.
        tcp_info, mptcp_info, sctp_info, congestion_info: details; None if it has none.
        processes: (pid, descriptor) of those who have it open, if they were asked for.
    """

    protocol: str
    family: int
    type: int | None
    state: str
    local: Endpoint
    remote: Endpoint
    rx_queue: int = 0
    tx_queue: int = 0
    inode: int = 0
    uid: int = 0
    cookie: int = 0
    interface: int = 0
    timer: SocketTimer | None = None
    memory: SocketMemory | None = None
    congestion: str = ""
    ulp: str = ""
    local_addresses: tuple[str, ...] = ()
    remote_addresses: tuple[str, ...] = ()
    tcp_info: TcpInfo | None = None
    mptcp_info: MptcpInfo | None = None
    sctp_info: SctpInfo | None = None
    congestion_info: CongestionInfo | None = None
    processes: tuple[tuple[int, int], ...] = ()
