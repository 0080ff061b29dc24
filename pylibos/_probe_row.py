# SPDX-License-Identifier: GPL-2.0-only
"""What a probe notes of a connection."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from pylibos._socket_record import Endpoint
from pylibos._tcp_info import (
    INFINITE_SSTHRESH,
    NO_RATE,
    NO_RTT,
    WORDS,
    CongestionState,
    TcpState,
    words_of,
)


@dataclass(frozen=True)
class ProbeRow:
    """One connection at one time.

    Attributes:
        time_ns: of the world's clock.
        local, remote: the connection's ends.
        state, ca_state: of the connection, and of its congestion control.
        cwnd, ssthresh: segments; None: slow start has no end yet.
        srtt_us, rttvar_us, rto_us: 0: not measured yet.
        min_rtt_us: None: not measured yet.
        pacing_rate_bytes_s: None: no limit.
        delivery_rate_bytes_s: the latest measured.
        in_flight: segments in the network, as the sender sees it.
        in_flight_bytes: as many full segments.
        lost: segments taken for lost and not sent again yet.
        retransmits: segments sent again since the connection began.
        rwnd_bytes: the peer's window.
        acked_bytes, sent_bytes, received_bytes: since the connection began; sent with
            retransmissions.
        notsent_bytes: written by the program and not sent yet.
    """

    time_ns: int
    local: Endpoint
    remote: Endpoint
    state: TcpState
    ca_state: CongestionState
    cwnd: int
    ssthresh: int | None
    srtt_us: int
    rttvar_us: int
    rto_us: int
    min_rtt_us: int | None
    pacing_rate_bytes_s: int | None
    delivery_rate_bytes_s: int
    in_flight: int
    in_flight_bytes: int
    lost: int
    retransmits: int
    rwnd_bytes: int
    acked_bytes: int
    sent_bytes: int
    received_bytes: int
    notsent_bytes: int


# The values of a row after its time, states as plain numbers.
Sample = tuple[Any, ...]

_COPIED = (
    "snd_cwnd rtt_us rttvar_us rto_us delivery_rate_bytes_s lost total_retrans snd_wnd_bytes "
    "bytes_acked bytes_sent bytes_received notsent_bytes"
)
_PARTS = "state ca_state snd_ssthresh min_rtt_us pacing_rate_bytes_s unacked sacked retrans"
_pick = itemgetter(*map(WORDS.index, f"{_COPIED} {_PARTS} snd_mss_bytes".split()))


def sample_of(local: Endpoint, remote: Endpoint, data: bytes) -> Sample:
    """Pick what a row holds out of a struct tcp_info; about as fast as Python can."""
    (
        cwnd,
        srtt,
        rttvar,
        rto,
        delivery_rate,
        lost,
        retransmits,
        rwnd,
        acked,
        sent,
        received,
        notsent,
        state,
        ca_state,
        ssthresh,
        min_rtt,
        pacing_rate,
        unacked,
        sacked,
        retrans,
        mss,
    ) = _pick(words_of(data))
    in_flight = unacked - sacked - lost + retrans
    return (
        local,
        remote,
        state,
        ca_state,
        cwnd,
        None if ssthresh == INFINITE_SSTHRESH else ssthresh,
        srtt,
        rttvar,
        rto,
        None if min_rtt == NO_RTT else min_rtt,
        None if pacing_rate == NO_RATE else pacing_rate,
        delivery_rate,
        in_flight,
        in_flight * mss,
        lost,
        retransmits,
        rwnd,
        acked,
        sent,
        received,
        notsent,
    )


def row_of(time_ns: int, sample: Sample) -> ProbeRow:
    """Make a row of a sample."""
    local, remote, state, ca_state, *rest = sample
    return ProbeRow(time_ns, local, remote, TcpState(state), CongestionState(ca_state), *rest)
