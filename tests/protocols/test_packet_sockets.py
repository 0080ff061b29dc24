# SPDX-License-Identifier: GPL-2.0-only
"""AF_PACKET: what a host sends and receives, frames made by hand, fanout."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from topologies import MS, SECOND, chain, ip_of, keep, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
OWN = 0x88B5  # IEEE 802 local experimental
SOL_PACKET, STATISTICS, FANOUT, IGNORE_OUTGOING = 263, 6, 18, 23
FANOUT_HASH, FANOUT_LB = 0, 1
OUTGOING, FOR_US, OTHER_HOST = 4, 0, 3  # packet types
versions = pytest.mark.parametrize("version", [4, 6])


def packets(node, protocol=ETH_P_ALL, kind=socket.SOCK_RAW, device="eth0"):
    sock = keep(node.socket(socket.AF_PACKET, kind, socket.htons(protocol)))
    sock.bind((device, protocol))
    return sock


def drain(sock):
    sock.setblocking(False)
    found = []
    while sock.process.select([sock], [], [], 0)[0]:
        found.append(sock.recvfrom(70000))
    return found


def mac(node, device="eth0"):
    text = node.read_text(f"/sys/class/net/{device}/address").strip()
    return bytes.fromhex(text.replace(":", ""))


@versions
def test_own_traffic_is_seen_in_both_directions(net, version):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    sniffer = packets(a, ETH_P_ALL)
    round_trip_ns(net, a, b, ip_of(b, version))
    seen = [(address[2], frame) for frame, address in drain(sniffer) if b"xxxx" in frame]
    assert [kind for kind, _ in seen] == [OUTGOING, FOR_US] * 2
    assert seen[0][1][:12] == mac(b) + mac(a)
    assert seen[1][1][:12] == mac(a) + mac(b)


@versions
def test_protocol_filters_and_datagrams_have_no_link_header(net, version):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    sniffers = {
        number: packets(b, protocol, socket.SOCK_DGRAM)
        for number, protocol in ((4, ETH_P_IP), (6, ETH_P_IPV6))
    }
    round_trip_ns(net, a, b, ip_of(b, version))
    seen = [data for data, _ in drain(sniffers[version]) if b"xxxx" in data]
    assert len(seen) == 2  # incoming ones: outgoing ones are for ETH_P_ALL only
    assert all(data[0] >> 4 == version for data in seen)
    assert not [data for data, _ in drain(sniffers[10 - version]) if b"xxxx" in data]


def test_frame_made_by_hand_arrives_byte_by_byte(net):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    receiver = packets(b, OWN)
    frame = mac(b) + mac(a) + struct.pack("!H", OWN) + bytes(range(100))
    start = net.now_ns
    with a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        assert sender.sendto(frame, ("eth0", OWN)) == len(frame)
    data, address = receiver.recvfrom(2000)
    assert net.now_ns - start == DELAY_NS
    assert data == frame
    assert address == ("eth0", OWN, FOR_US, 1, mac(a))


def test_frame_for_another_host_is_marked_so(net):
    a, b = chain(net, "ab")
    receiver = packets(b, OWN)
    frame = b"\x02\0\0\0\0\x77" + mac(a) + struct.pack("!H", OWN) + bytes(50)
    with a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.sendto(frame, ("eth0", OWN))
    net.run_for(MS)
    assert [(data, address[2]) for data, address in drain(receiver)] == [(frame, OTHER_HOST)]


def test_outgoing_frames_can_be_left_out(net):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    sniffer = packets(a)
    sniffer.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    round_trip_ns(net, a, b, b.ip)
    kinds = {address[2] for frame, address in drain(sniffer) if b"xxxx" in frame}
    assert kinds == {FOR_US}


@pytest.mark.parametrize("mode", [FANOUT_HASH, FANOUT_LB], ids=["hash", "round-robin"])
def test_fanout_divides_frames_among_sockets(net, mode):
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, b.ip)
    group = [packets(b, ETH_P_IP) for _ in range(4)]
    for sock in group:
        sock.setsockopt(SOL_PACKET, FANOUT, 7 | mode << 16)
    for port in range(2000, 2064):
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.bind(("", port))
            for _ in range(2):
                here.sendto(b"fanout", (b.ip, 9))
    net.run_for(MS)
    shares = [[data for data, _ in drain(sock) if b"fanout" in data] for sock in group]
    assert sum(map(len, shares)) == 128
    if mode == FANOUT_LB:
        assert [len(share) for share in shares] == [32] * 4
    else:  # both datagrams of a flow are in one share
        ports = [{data[34:36] for data in share} for share in shares]
        assert sum(map(len, ports)) == 64
        assert all(len(share) == 2 * len(found) for share, found in zip(shares, ports, strict=True))
        assert all(len(found) > 4 for found in ports)


def test_statistics_count_frames_and_what_was_dropped(net):
    a, b = chain(net, "ab")
    receiver = packets(b, OWN)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least
    frame = mac(b) + mac(a) + struct.pack("!H", OWN) + bytes(100)
    with a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        for _ in range(50):
            sender.sendto(frame, ("eth0", OWN))
    net.run_for(MS)
    seen, dropped = struct.unpack("=II", receiver.getsockopt(SOL_PACKET, STATISTICS, 8))
    assert seen == 50
    assert len(drain(receiver)) == 50 - dropped
    assert 0 < dropped < 50


def test_closed_interface_is_reported(net):
    a, _ = chain(net, "ab")
    sock = packets(a)
    drain(sock)
    sock.setblocking(True)
    net.links[0].ends[0].device.down()
    with pytest.raises(OSError, match="Network is down"):
        sock.recv(100)


def test_frame_above_the_mtu_is_refused(net):
    a, _ = chain(net, "ab")
    with a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            sender.sendto(bytes(1515), ("eth0", OWN))
    assert caught.value.errno == errno.EMSGSIZE


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b = chain(net, "ab", delay_ms=1)
        net.links[0].capture(path)
        frame = mac(b) + mac(a) + struct.pack("!H", OWN) + bytes(1000)
        with a.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            for _ in range(10):
                sender.sendto(frame, ("eth0", OWN))
        net.run_for(SECOND)

    assert repeats(build, tmp_path, scenario)
