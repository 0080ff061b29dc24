# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel tells of SCTP and MPTCP sockets and of congestion control, typed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MPTCP = struct.Struct("=6B2xII3Q3BxI4QB3x3I")
_SCTP = struct.Struct("=3I4H8I2B2x14Q128si10IH2x3I4BI4x")
_VEGAS = struct.Struct("=4I")
_DCTCP = struct.Struct("=2H3I")
_BBR = struct.Struct("=5I")
_UNITY = 256  # BBR's gains are fixed point with eight bits


@dataclass(frozen=True)
class MptcpInfo:
    """``struct mptcp_info`` of include/uapi/linux/mptcp.h.

    Attributes:
        subflows: beside the first one.
        subflows_total: with the first one, if it is still there.
        flags: 1: fell back to TCP, 2: the peer's key is known.
        token: of the connection.
        write_seq, snd_una, rcv_nxt: data sequence numbers.
    """

    subflows: int
    add_addr_signal: int
    add_addr_accepted: int
    subflows_max: int
    add_addr_signal_max: int
    add_addr_accepted_max: int
    flags: int
    token: int
    write_seq: int
    snd_una: int
    rcv_nxt: int
    local_addr_used: int
    local_addr_max: int
    csum_enabled: int
    retransmits: int
    bytes_retrans: int
    bytes_sent: int
    bytes_received: int
    bytes_acked: int
    subflows_total: int
    last_data_sent_ms: int
    last_data_recv_ms: int
    last_ack_recv_ms: int

    @property
    def fallback(self) -> bool:
        """Whether it is plain TCP, since the peer or the path does not let more."""
        return bool(self.flags & 1)

    @classmethod
    def parse(cls, data: bytes) -> MptcpInfo:
        """Read a struct mptcp_info of any length; what is missing is 0."""
        return cls(*_MPTCP.unpack_from(data.ljust(_MPTCP.size, b"\0")))


@dataclass(frozen=True)
class SctpInfo:
    """``struct sctp_info`` of include/uapi/linux/sctp.h; ``primary_`` is the primary path.

    Attributes:
        tag, peer_tag: verification tags.
        state: of the association, ``enum sctp_state``.
        rwnd_bytes, peer_rwnd_bytes: windows.
        unackdata, penddata: chunks sent and not acknowledged, received and not delivered.
        instrms, outstrms: streams.
        isacks ... ictrlchunks: counters of the association: SACKs and packets in and out, chunks
            sent again, out-of-sequence and duplicate ones, gaps, (un)ordered data and control
            chunks out and in.
    """

    tag: int
    state: int
    rwnd_bytes: int
    unackdata: int
    penddata: int
    instrms: int
    outstrms: int
    fragmentation_point_bytes: int
    inqueue: int
    outqueue: int
    overall_error: int
    max_burst: int
    maxseg_bytes: int
    peer_rwnd_bytes: int
    peer_tag: int
    peer_capable: int
    peer_sack: int
    isacks: int
    osacks: int
    opackets: int
    ipackets: int
    rtxchunks: int
    outofseqtsns: int
    idupchunks: int
    gapcnt: int
    ouodchunks: int
    iuodchunks: int
    oodchunks: int
    iodchunks: int
    octrlchunks: int
    ictrlchunks: int
    primary_address: bytes
    primary_state: int
    primary_cwnd_bytes: int
    primary_srtt_ms: int
    primary_rto_ms: int
    primary_hbinterval_ms: int
    primary_pathmaxrxt: int
    primary_sackdelay_ms: int
    primary_sackfreq: int
    primary_ssthresh_bytes: int
    primary_partial_bytes_acked: int
    primary_flight_bytes: int
    primary_errors: int
    autoclose_s: int
    adaptation: int
    partial_delivery_point_bytes: int
    nodelay: int
    disable_fragments: int
    v4mapped: int
    fragment_interleave: int
    kind: int

    @classmethod
    def parse(cls, data: bytes) -> SctpInfo:
        """Read a struct sctp_info of any length; what is missing is 0."""
        return cls(*_SCTP.unpack_from(data.ljust(_SCTP.size, b"\0")))


@dataclass(frozen=True)
class VegasInfo:
    """``struct tcpvegas_info``: Vegas, Veno, Westwood, YeAH and Illinois tell this."""

    enabled: bool
    rtt_count: int
    rtt_us: int
    min_rtt_us: int

    @classmethod
    def parse(cls, data: bytes) -> VegasInfo:
        """Read a struct tcpvegas_info."""
        enabled, *rest = _VEGAS.unpack_from(data)
        return cls(bool(enabled), *rest)


@dataclass(frozen=True)
class DctcpInfo:
    """``struct tcp_dctcp_info``; alpha is a fraction of 1024."""

    enabled: bool
    ce_state: int
    alpha: int
    acked_ecn_bytes: int
    acked_bytes: int

    @classmethod
    def parse(cls, data: bytes) -> DctcpInfo:
        """Read a struct tcp_dctcp_info."""
        enabled, *rest = _DCTCP.unpack_from(data)
        return cls(bool(enabled), *rest)


@dataclass(frozen=True)
class BbrInfo:
    """``struct tcp_bbr_info``: what BBR has found out about the path, and its gains."""

    bandwidth_bytes_s: int
    min_rtt_us: int
    pacing_gain: float
    cwnd_gain: float

    @classmethod
    def parse(cls, data: bytes) -> BbrInfo:
        """Read a struct tcp_bbr_info."""
        low, high, min_rtt_us, pacing, cwnd = _BBR.unpack_from(data)
        return cls(low | high << 32, min_rtt_us, pacing / _UNITY, cwnd / _UNITY)


CongestionInfo = VegasInfo | DctcpInfo | BbrInfo
