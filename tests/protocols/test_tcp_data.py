# SPDX-License-Identifier: GPL-2.0-only
"""What TCP carries: urgent data, large segments, path MTU discovery, resets."""

from __future__ import annotations

import errno
import select
import socket
import struct

import dpkt
import pytest
from flight import ROUND_TRIP
from frames import segments
from topologies import MS, SECOND, chain, ip_of, pattern
from wire import Chosen, connect, read_exactly, wire

URG, RST = dpkt.tcp.TH_URG, dpkt.tcp.TH_RST
# Headers of TCP with time stamps, and of IP.
TCP_BYTES, IP_BYTES = 32, {4: 20, 6: 40}

both = pytest.mark.parametrize("version", [4, 6])


# --- Urgent data ---


@both
def test_urgent_byte_goes_beside_the_stream(net, tmp_path, version):
    pair = wire(net, Chosen())
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    capture = pair.capture(tmp_path)
    here.send(b"abc")
    here.send(b"!", socket.MSG_OOB)
    here.send(b"def")
    net.run_for(SECOND)
    # The pointer points behind the urgent byte (RFC 6093, 3.2), also from before it.
    ends = {item.offset + item.tcp.urp for item in segments(capture) if item.has(URG)}
    assert ends == {len(b"abc!")}
    poll = pair.b.poll()
    poll.register(there, select.POLLPRI)
    assert poll.poll(0) == [(there.fileno(), select.POLLPRI)]
    assert there.recv(10) == b"abc"  # a read ends at the mark
    assert there.recv(1, socket.MSG_OOB) == b"!"
    assert there.recv(10) == b"def"


def test_urgent_byte_can_stay_in_the_stream(net):
    pair = wire(net, Chosen())
    here, there = connect(net, pair.a, pair.b, pair.b.ip)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    here.send(b"abc")
    here.send(b"!", socket.MSG_OOB)
    here.send(b"def")
    net.run_for(SECOND)
    assert [there.recv(10), there.recv(10)] == [b"abc", b"!def"]
    with pytest.raises(OSError, match="Invalid argument") as refused:
        there.recv(1, socket.MSG_OOB)
    assert refused.value.errno == errno.EINVAL


# --- Segmentation ---


@both
def test_large_segments_cross_a_link_whole(net, tmp_path, version):
    a, b = chain(net, "ab", delay_ms=10)
    here, there = connect(net, a, b, ip_of(b, version))
    mss = here.tcp_info().snd_mss_bytes
    assert mss == 1500 - IP_BYTES[version] - TCP_BYTES
    link = a.links[0]
    with link.ends[0].device.capture(tmp_path / "a.pcapng") as capture:
        here.send(pattern(10 * mss))
        assert read_exactly(there, 10 * mss) == pattern(10 * mss)
        # The initial window of ten segments in one frame, or two when the pacing of TSO says so.
        sizes = [item.size for item in segments(capture) if item.size]
    assert sum(sizes) == 10 * mss
    assert max(sizes) > mss
    assert all(size % mss == 0 for size in sizes)


@both
def test_frames_of_a_link_without_offload_are_of_the_mtu_and_merged_by_gro(net, tmp_path, version):
    a, b = chain(net, "ab", delay_ms=10, offload=False)
    here, there = connect(net, a, b, ip_of(b, version))
    mss = here.tcp_info().snd_mss_bytes
    before = b.counters()
    with a.links[0].ends[0].device.capture(tmp_path / "a.pcapng") as capture:
        here.send(pattern(10 * mss))
        assert read_exactly(there, 10 * mss) == pattern(10 * mss)
        assert [item.size for item in segments(capture) if item.size] == [mss] * 10
    grown = b.counters() - before
    # One packet of ten segments reaches IP; TCP counts what was on the wire.
    assert grown["TcpInSegs"] < 10
    assert grown["eth0.rx_packets"] == 10


def test_offload_changes_no_bytes_of_a_stream(net):
    a, _, b = chain(net, "arb", delay_ms=2)
    here, there = connect(net, a, b, b.ip)
    data = pattern(1 << 20)
    a.spawn(here.sendall, data)
    assert read_exactly(there, len(data)) == data
    # A router passes large frames on as they are.
    assert b.links[0].stats().frames < len(data) // 1448


# --- Path MTU ---


@both
def test_path_mtu_is_learned_from_the_router(net, tmp_path, version):
    a, r, b = (net.node(name) for name in "arb")
    net.link(a, r, delay_ms=5, offload=False)
    net.link(r, b, delay_ms=5, offload=False)
    net.route_all()
    here, there = connect(net, a, b, ip_of(b, version))
    assert here.tcp_info().pmtu_bytes == 1500
    # The way becomes narrow after the handshake has told of a wide one.
    with r.iproute() as ip:
        ip.link("set", index=r.if_nametoindex(r.device_to(b)), mtu=1300)
    with a.links[0].ends[0].device.capture(tmp_path / "a.pcapng") as capture:
        start_ns = net.now_ns
        data = pattern(1400)
        here.send(data)
        assert read_exactly(there, len(data)) == data
        took_ns = net.now_ns - start_ns
        sent = [item.size for item in segments(capture) if item.size]
    mss = 1300 - IP_BYTES[version] - TCP_BYTES
    # Too big; the router says so after 10 ms; then two segments that fit.
    assert sent == [1400, mss, 1400 - mss]
    assert took_ns == 2 * 5 * MS + 2 * 5 * MS
    info = here.tcp_info()
    assert (info.pmtu_bytes, info.snd_mss_bytes) == (1300, mss)
    assert here.getsockopt(*mtu_option(version)) == 1300
    counters = r.counters()
    assert counters["IcmpOutDestUnreachs" if version == 4 else "Icmp6OutPktTooBigs"] == 1
    with a.iproute() as ip:
        (route,) = ip.route("get", dst=ip_of(b, version))
        assert dict(route.get_attr("RTA_METRICS")["attrs"])["RTAX_MTU"] == 1300


def mtu_option(version):
    """IP_MTU and IPV6_MTU."""
    return (socket.IPPROTO_IP, 14) if version == 4 else (socket.IPPROTO_IPV6, 24)


@both
def test_black_hole_is_found_by_probing(net, tmp_path, version):
    def judge(direction, frame):
        # A router that drops what is too large and says nothing.
        return [] if len(frame) > 1200 else [frame]

    pair = wire(net, judge, sysctls={"net.ipv4.tcp_mtu_probing": 1})
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    data = pattern(5000)
    here.send(data)
    assert read_exactly(there, len(data)) == data
    # RFC 4821: tcp_mtu_probing() begins with tcp_base_mss.
    assert here.tcp_info().snd_mss_bytes == 1024
    assert pair.a.counters()["TcpExtTCPTimeouts"] > 0


# --- Ends ---


@both
def test_linger_of_zero_resets(net, tmp_path, version):
    pair = wire(net, Chosen())
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    capture = pair.capture(tmp_path)
    start_ns = net.now_ns
    here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    here.close()
    with pytest.raises(ConnectionResetError):
        there.recv(1)
    assert net.now_ns - start_ns == ROUND_TRIP // 2
    (reset,) = segments(capture)
    assert reset.has(RST)


@both
def test_half_closed_connection_still_carries_the_other_way(net, version):
    pair = wire(net, Chosen())
    here, there = connect(net, pair.a, pair.b, pair.address(version))
    here.shutdown(socket.SHUT_WR)
    assert there.recv(1) == b""
    data = pattern(100_000)
    pair.b.spawn(there.sendall, data)
    assert read_exactly(here, len(data)) == data
