# SPDX-License-Identifier: GPL-2.0-only
"""TCP_INFO and the counters of /proc/net, for graphs and assertions."""

from __future__ import annotations

import ctypes
import socket
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._file_calls import FileCalls


class TcpInfo(ctypes.Structure):
    """struct tcp_info of include/uapi/linux/tcp.h; times in us, rates in bytes/s.

    Members that the kernel does not fill are 0.
    """

    _fields_ = tuple(
        (name, kind)
        for kind, names in (
            (c_uint8, "state ca_state retransmits probes backoff options wscale flags"),
            (c_uint32, "rto ato snd_mss rcv_mss unacked sacked lost retrans fackets"),
            (c_uint32, "last_data_sent last_ack_sent last_data_recv last_ack_recv pmtu"),
            (c_uint32, "rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering"),
            (c_uint32, "rcv_rtt rcv_space total_retrans"),
            (c_uint64, "pacing_rate max_pacing_rate bytes_acked bytes_received"),
            (c_uint32, "segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out"),
            (c_uint64, "delivery_rate busy_time rwnd_limited sndbuf_limited"),
            (c_uint32, "delivered delivered_ce"),
            (c_uint64, "bytes_sent bytes_retrans"),
            (c_uint32, "dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash"),
            (c_uint16, "total_rto total_rto_recoveries"),
            (c_uint32, "total_rto_time"),
        )
        for name in names.split()
    )


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Ask a TCP socket for its state.

    Raises:
        OSError: it is no TCP socket.
    """
    data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ctypes.sizeof(TcpInfo))
    return TcpInfo.from_buffer_copy(data.ljust(ctypes.sizeof(TcpInfo), b"\0"))


def counters(files: FileCalls) -> dict[str, int]:
    """Read the counters that nstat(8) shows, such as "TcpRetransSegs"."""
    found: dict[str, int] = {}
    for path in ("/proc/net/snmp", "/proc/net/netstat"):
        lines = files.read_text(path).splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            prefix, _, rest = names.partition(":")
            fields = zip(rest.split(), values.partition(":")[2].split(), strict=True)
            found.update((prefix + name, int(value)) for name, value in fields)
    if files.exists("/proc/net/snmp6"):
        for line in files.read_text("/proc/net/snmp6").splitlines():
            name, value = line.split()
            found[name] = int(value, 0)
    return found
