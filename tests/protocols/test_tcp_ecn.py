# SPDX-License-Identifier: GPL-2.0-only
"""ECN (RFC 3168): negotiation, marks by a program and by queueing disciplines, DCTCP."""

from __future__ import annotations

import struct

import dpkt
import pytest
from flight import ROUND_TRIP
from frames import segments
from topologies import SECOND, chain, ip_of, pattern
from wire import Chosen, connect, disable_gro, read_exactly, wire

import pylibos

ECN = {"net.ipv4.tcp_ecn": 1}
NO_ECT, ECT_0, CE = 0, 2, 3
SYN, ACK, ECE, CWR = (getattr(dpkt.tcp, f"TH_{name}") for name in ("SYN", "ACK", "ECE", "CWR"))
TCP_CC_INFO = 26
NEGOTIATED = pylibos.TcpOptions.ECN | pylibos.TcpOptions.ECN_SEEN

both = pytest.mark.parametrize("version", [4, 6])


def codepoint(segment):
    """The ECN field of a segment's IP header."""
    ip = segment.ip
    return (ip.tos if isinstance(ip, dpkt.ip.IP) else ip.fc) & 3


def marked(frame):
    """The frame with "congestion experienced" in its IP header."""
    ethernet = dpkt.ethernet.Ethernet(frame)
    ip = ethernet.data
    if isinstance(ip, dpkt.ip.IP):
        ip.tos |= CE
        ip.sum = 0
    else:
        ip.fc |= CE
    return [bytes(ethernet)]


@both
def test_both_ends_agree_on_ecn_in_the_handshake(net, tmp_path, version):
    pair = wire(net, Chosen(), sysctls=ECN)
    capture = pair.capture(tmp_path)
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    (syn, *others), (syn_ack, *_) = segments(capture), segments(capture, sent=False)
    assert syn.tcp.flags == SYN | ECE | CWR
    assert syn_ack.tcp.flags == SYN | ACK | ECE
    # RFC 3168, 6.1.4 and 6.1.6: only data of its first transmission is ECN-capable.
    assert codepoint(syn) == codepoint(syn_ack) == NO_ECT
    assert [codepoint(item) for item in others] == [ECT_0 if item.size else 0 for item in others]
    assert here.tcp_info().options & NEGOTIATED == NEGOTIATED
    assert there.tcp_info().options & NEGOTIATED == NEGOTIATED


@pytest.mark.parametrize(("client", "server", "agreed"), [(1, 2, 1), (2, 1, 0), (1, 0, 0)])
def test_server_agrees_by_default_but_client_does_not_ask(net, client, server, agreed):
    a, b = chain(net, "ab")
    a.sysctl["net.ipv4.tcp_ecn"] = client
    b.sysctl["net.ipv4.tcp_ecn"] = server
    here, _ = connect(net, a, b, b.ip)
    assert bool(here.tcp_info().options & pylibos.TcpOptions.ECN) == agreed


@both
def test_mark_lowers_the_window_without_a_loss(net, tmp_path, version):
    judge = Chosen(2, fate=marked)
    pair = wire(net, judge, sysctls=ECN)
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    window = here.tcp_info().snd_cwnd
    judge.reset()
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    data = pattern(10 * here.tcp_info().snd_mss_bytes)
    here.send(data)
    assert read_exactly(there, len(data)) == data
    net.run_for(SECOND)
    # Every ACK has ECE until the sender says CWR, which it does with its next data.
    assert all(item.has(ECE) for item in segments(capture, sent=False))
    here.send(b"x")
    net.run_for(SECOND)
    answer = segments(capture)[-1]
    assert answer.has(CWR)
    last = segments(capture, sent=False)[-1]
    assert last.time_ns == answer.time_ns + ROUND_TRIP
    assert not last.has(ECE)
    info = here.tcp_info()
    assert info.snd_ssthresh == window * 717 // 1024
    assert info.total_retrans == 0
    assert pair.b.counters()["IpExtInCEPkts" if version == 4 else "Ip6InCEPkts"] == 1
    assert segments(capture)[0].time_ns == start_ns


def bottleneck(net, discipline, sysctls, **options):
    """Three nodes in a row; the router shapes to 10 Mbit/s above a discipline that marks."""
    a, r, b = chain(net, "arb", delay_ms=5, offload=False)
    for node in (a, b):
        for name, value in sysctls.items():
            node.sysctl[name] = value
    # Else it would mark what GRO has merged.
    disable_gro(r, r.device_to(a))
    index = r.if_nametoindex(r.device_to(b))
    with r.iproute() as ip:
        # A bucket of two frames, 10**7 / 8 bytes a second.
        ip.tc("add", "tbf", index, 0x10000, rate="10mbit", burst=3200, limit=1_000_000)
        ip.tc("add", discipline, index, 0x20000, parent=0x10001, **options)
    return a, r, b, index


def statistics(router, index, name):
    """The attribute TCA_STATS_APP of a discipline."""
    with router.iproute() as ip:
        for queue in ip.get_qdiscs(index=index):
            if queue.get_attr("TCA_KIND") == name:
                return queue.get_attr("TCA_STATS2").get_attr("TCA_STATS_APP")
    raise AssertionError(f"no {name}")


@pytest.mark.parametrize(
    ("discipline", "options"),
    [("fq_codel", {"fqc_ecn": 1, "fqc_limit": 1000}), ("codel", {"cdl_ecn": 1, "cdl_limit": 1000})],
)
@both
def test_discipline_marks_instead_of_dropping(net, version, discipline, options):
    a, r, b, index = bottleneck(net, discipline, ECN, **options)
    here, there = connect(net, a, b, ip_of(b, version))
    before = b.counters()
    data = pattern(1 << 20)
    a.spawn(here.sendall, data)
    assert read_exactly(there, len(data)) == data
    marks = (b.counters() - before)["IpExtInCEPkts" if version == 4 else "Ip6InCEPkts"]
    assert marks > 0
    assert statistics(r, index, discipline)["ecn_mark"] == marks
    info = here.tcp_info()
    assert info.total_retrans == 0
    # The ACKs of a whole window say ECE for a mark.
    assert info.delivered_ce >= marks
    assert info.snd_ssthresh is not None


def test_dctcp_lowers_the_window_by_the_share_of_marks(net):
    sysctls = {**ECN, "net.ipv4.tcp_congestion_control": "dctcp"}
    # A threshold marks all that has waited for longer than 1 ms (RFC 8257, 3.1), not by time.
    options = {"fqc_ecn": 1, "fqc_ce_threshold": "1ms", "fqc_limit": 1000}
    a, r, b, index = bottleneck(net, "fq_codel", sysctls, **options)
    here, there = connect(net, a, b, b.ip)
    before = b.counters()
    data = pattern(1 << 20)
    a.spawn(here.sendall, data)
    assert read_exactly(there, len(data)) == data
    net.run_for(SECOND)
    marks = (b.counters() - before)["IpExtInCEPkts"]
    queue = statistics(r, index, "fq_codel")
    assert queue["ce_mark"] + queue["ecn_mark"] == marks
    info = here.tcp_info()
    # RFC 8257, 3.2: exactly those that were marked are told, unlike with RFC 3168.
    assert info.delivered_ce == marks
    assert info.total_retrans == 0
    enabled, _, alpha, _, _ = struct.unpack("=HHIII", here.getsockopt(6, TCP_CC_INFO, 16))
    assert enabled == 1
    # A share of 1024: it started at all, and the marks were fewer.
    assert 0 < alpha < 1024
