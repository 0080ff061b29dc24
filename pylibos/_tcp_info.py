# SPDX-License-Identifier: GPL-2.0-only
"""TCP_INFO of a socket, typed and with units.

Source: ``struct tcp_info`` of include/uapi/linux/tcp.h and ``tcp_get_info()`` of net/ipv4/tcp.c.
"""

from __future__ import annotations

import enum
import socket
import struct
from dataclasses import dataclass
from typing import Any


class TcpState(enum.IntEnum):
    """State of a TCP socket, include/net/tcp_states.h."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12
    BOUND_INACTIVE = 13


class CongestionState(enum.IntEnum):
    """What the sender makes of its acknowledgements, ``enum tcp_ca_state``."""

    OPEN = 0
    DISORDER = 1
    CWR = 2
    RECOVERY = 3
    LOSS = 4


class TcpOptions(enum.IntFlag):
    """What both ends agreed on, ``TCPI_OPT_*``."""

    TIMESTAMPS = 1
    SACK = 2
    WSCALE = 4
    ECN = 8
    ECN_SEEN = 16
    SYN_DATA = 32
    USEC_TS = 64
    TFO_CHILD = 128


# What stands for "none yet", or "no limit".
INFINITE_SSTHRESH, NO_RATE, NO_RTT = 0x7FFFFFFF, 2**64 - 1, 2**32 - 1


@dataclass(frozen=True)
class TcpInfo:
    """State of a TCP socket; each unit is the last word of a name, "segments" if there is none.

    In a listening socket ``unacked`` are the connections that wait for accept(), and ``sacked``
    how many may.  What an older kernel does not tell is 0.

    Attributes:
        state, ca_state: of the connection, and of its congestion control.
        retransmits: timeouts in a row for the oldest segment.
        probes: unanswered window and keepalive probes.
        backoff: how often the timeout was doubled.
        options: what both ends agreed on.
        snd_wscale, rcv_wscale: shifts of the peer's window and of ours.
        app_limited: the delivery rate was limited by the program, not by the network.
        fastopen_client_fail: why fast open was not used, ``enum tcp_fastopen_client_fail``.
        rto_us, ato_us: timeouts of retransmission and of delayed acknowledgement.
        snd_mss_bytes, rcv_mss_bytes, advmss_bytes: segment sizes: sent, estimated of the peer,
            told to the peer.
        unacked, sacked, lost, retrans, fackets: segments out; of these selectively
            acknowledged, taken for lost, sent again; the last is unused.
        last_data_sent_ms, last_ack_sent_ms, last_data_recv_ms, last_ack_recv_ms: ago.
        pmtu_bytes: of the path.
        rtt_us, rttvar_us, min_rtt_us, rcv_rtt_us: round-trip time: smoothed, its deviation, the
            least of the last minutes (None: not measured yet), the receiver's estimate.
        snd_cwnd, snd_ssthresh: congestion window, and slow start's end (None: not found yet).
        reordering: by how many segments the network is known to reorder.
        rcv_ssthresh_bytes, rcv_space_bytes: limit of the window, and what autotuning aims at.
        total_retrans: segments sent again.
        pacing_rate_bytes_s, max_pacing_rate_bytes_s: None: no limit.
        bytes_acked, bytes_received: RFC 4898 tcpEStatsAppHCThruOctetsAcked, ...Received.
        segs_out, segs_in, data_segs_out, data_segs_in: segments of any kind, and with data.
        notsent_bytes: written and not sent yet.
        delivery_rate_bytes_s: the latest measured.
        busy_time_us, rwnd_limited_us, sndbuf_limited_us: time with data to send, and of it what
            the peer's window and the socket's buffer cost.
        delivered, delivered_ce: segments that arrived, and of these with ECN's mark.
        bytes_sent, bytes_retrans: payload, retransmissions included; and these alone.
        dsack_dups: duplicates that the peer reported.
        reord_seen: times that reordering was seen.
        rcv_ooopack: segments that came out of order.
        snd_wnd_bytes, rcv_wnd_bytes: window of the peer, and ours.
        rehash: times that another path was tried.
        total_rto, total_rto_recoveries, total_rto_time_ms: timeouts, and recoveries from them.
        received_ce, delivered_e1_bytes ... received_ce_bytes, ecn_mode, accecn_opt_seen,
            accecn_fail_mode: Accurate ECN, RFC 9768; None before Linux 6.18.
    """

    state: TcpState
    ca_state: CongestionState
    retransmits: int
    probes: int
    backoff: int
    options: TcpOptions
    snd_wscale: int
    rcv_wscale: int
    app_limited: bool
    fastopen_client_fail: int
    rto_us: int
    ato_us: int
    snd_mss_bytes: int
    rcv_mss_bytes: int
    unacked: int
    sacked: int
    lost: int
    retrans: int
    fackets: int
    last_data_sent_ms: int
    last_ack_sent_ms: int
    last_data_recv_ms: int
    last_ack_recv_ms: int
    pmtu_bytes: int
    rcv_ssthresh_bytes: int
    rtt_us: int
    rttvar_us: int
    snd_ssthresh: int | None
    snd_cwnd: int
    advmss_bytes: int
    reordering: int
    rcv_rtt_us: int
    rcv_space_bytes: int
    total_retrans: int
    pacing_rate_bytes_s: int | None
    max_pacing_rate_bytes_s: int | None
    bytes_acked: int
    bytes_received: int
    segs_out: int
    segs_in: int
    notsent_bytes: int
    min_rtt_us: int | None
    data_segs_in: int
    data_segs_out: int
    delivery_rate_bytes_s: int
    busy_time_us: int
    rwnd_limited_us: int
    sndbuf_limited_us: int
    delivered: int
    delivered_ce: int
    bytes_sent: int
    bytes_retrans: int
    dsack_dups: int
    reord_seen: int
    rcv_ooopack: int
    snd_wnd_bytes: int
    rcv_wnd_bytes: int
    rehash: int
    total_rto: int
    total_rto_recoveries: int
    total_rto_time_ms: int
    received_ce: int | None = None
    delivered_e1_bytes: int | None = None
    delivered_e0_bytes: int | None = None
    delivered_ce_bytes: int | None = None
    received_e1_bytes: int | None = None
    received_e0_bytes: int | None = None
    received_ce_bytes: int | None = None
    ecn_mode: int | None = None
    accecn_opt_seen: int | None = None
    accecn_fail_mode: int | None = None

    @property
    def in_flight(self) -> int:
        """Segments in the network as the sender sees it, ``tcp_packets_in_flight()``."""
        return self.unacked - self.sacked - self.lost + self.retrans

    @classmethod
    def parse(cls, data: bytes) -> TcpInfo:
        """Read a struct tcp_info of any length; what is longer than known is left alone."""
        words = words_of(data)
        state, ca_state, retransmits, probes, backoff, options, scales, flags = words[:8]
        values: list[Any] = list(words[8:])
        for place, unknown in _UNKNOWN:
            if values[place] == unknown:
                values[place] = None
        tail: list[int] = []
        if len(data) >= _BASE.size + _ACCURATE_ECN.size:
            *counts, bits = _ACCURATE_ECN.unpack_from(data, _BASE.size)
            tail = [*counts, bits & 3, bits >> 2 & 3, bits >> 4 & 15]
        return cls(
            TcpState(state),
            CongestionState(ca_state),
            retransmits,
            probes,
            backoff,
            TcpOptions(options),
            scales & 15,
            scales >> 4,
            bool(flags & 1),
            flags >> 1 & 3,
            *values,
            *tail,
        )


def words_of(data: bytes) -> tuple[int, ...]:
    """The members of a struct tcp_info up to Linux 6.7 as they are; ``WORDS`` has the names."""
    return _BASE.unpack_from(data.ljust(_BASE.size, b"\0"))


# struct tcp_info as of Linux 6.7, and what 6.18 added; neither has holes.
_BASE = struct.Struct("=8B24I4Q6I4Q2I2Q6I2HI")
_ACCURATE_ECN = struct.Struct("=8I")
_FIRST_WORD = 10  # of the fields, the first one after the bytes
_NAMES = tuple(TcpInfo.__dataclass_fields__)
WORDS = (*_NAMES[:6], "scales", "flags", *_NAMES[_FIRST_WORD : _NAMES.index("received_ce")])
_UNKNOWN = tuple(
    (_NAMES.index(name) - _FIRST_WORD, unknown)
    for name, unknown in (
        ("snd_ssthresh", INFINITE_SSTHRESH),
        ("pacing_rate_bytes_s", NO_RATE),
        ("max_pacing_rate_bytes_s", NO_RATE),
        ("min_rtt_us", NO_RTT),
    )
)
# More than any kernel has, so that a newer one is not cut.
ROOM_BYTES = 512


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Ask a TCP socket, of a kernel or of the host, for its state.

    Raises:
        OSError: it is no TCP socket, or closed.
    """
    data: Any = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ROOM_BYTES)
    return TcpInfo.parse(data)
