# SPDX-License-Identifier: GPL-2.0-only
"""XDP: verdicts and redirection, in the driver and before the stack, for whole and split frames.

A link with offloads carries checksums that are not filled in, and segments of many pages:
those the driver shows to a program as skbs. Without offloads it shows the page.
"""

from __future__ import annotations

import socket

import bpf
import pytest
from test_ethtool import statistics
from topologies import FAMILY, MS, SECOND, chain, ip_of, keep, repeats, round_trip_ns

DELAY_NS = 5 * MS
PACKET_HOST, PACKET_OTHERHOST, PACKET_OUTGOING = 0, 3, 4
HEADERS = {4: 14 + 20 + 8, 6: 14 + 40 + 8}
versions = pytest.mark.parametrize("version", [4, 6])
modes = pytest.mark.parametrize(
    ("mode", "offload"),
    [(bpf.GENERIC, None), (bpf.DRIVER, None), (bpf.DRIVER, False)],
    ids=["generic", "driver", "driver-plain"],
)
sizes = pytest.mark.parametrize("size", [10, 1400])


def listener(node, version):
    sock = keep(node.socket(FAMILY[version], socket.SOCK_DGRAM))
    sock.bind(("", 9))
    sock.settimeout(1)
    return sock


def send(a, address, *messages):
    with a.socket(FAMILY[6 if ":" in address else 4], socket.SOCK_DGRAM) as here:
        for message in messages:
            here.sendto(message, (address, 9))


def received(sock):
    found = []
    while True:
        try:
            found.append(sock.recv(2000))
        except TimeoutError:
            return found


def sniffer(node, device="eth0"):
    sock = keep(node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    sock.bind((device, 3))
    sock.settimeout(1)
    return sock


def sniff(sock, message):
    """The next frame that ends in a message, and its packet type."""
    while True:
        frame, address = sock.recvfrom(2000)
        if frame.endswith(message):
            return frame, address[2]


@modes
@versions
def test_xdp_drops_before_the_stack(net, version, mode, offload):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS, offload=offload)
    round_trip_ns(net, a, b, ip_of(b, version))
    array = bpf.make_array(b)
    bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.counting(array, bpf.DROP)), mode)
    sock = listener(b, version)
    before = b.counters()
    send(a, ip_of(b, version), *[b"x"] * 5)
    net.run_for(2 * DELAY_NS)
    assert (b.counters() - before)["UdpInDatagrams" if version == 4 else "Udp6InDatagrams"] == 0
    assert bpf.read_array(b, array) == 5
    bpf.attach_xdp(b, -1, mode)
    send(a, ip_of(b, version), b"again")
    assert received(sock) == [b"again"]


@modes
@versions
def test_xdp_pass_changes_nothing(net, version, mode, offload):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS, offload=offload)
    array = bpf.make_array(b)
    bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.counting(array, bpf.PASS)), mode)
    assert round_trip_ns(net, a, b, ip_of(b, version)) == 2 * DELAY_NS
    assert bpf.read_array(b, array) >= 2


@modes
@versions
@sizes
def test_xdp_tx_sends_the_frame_back(net, version, mode, offload, size):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS, offload=offload)
    round_trip_ns(net, a, b, ip_of(b, version))
    bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.send_back()), mode)
    sock = sniffer(a)
    start = net.now_ns
    message = bytes(range(256)) * 6
    send(a, ip_of(b, version), message[:size])
    sent, kind = sniff(sock, message[:size])
    assert (kind, net.now_ns - start) == (PACKET_OUTGOING, 0)
    back, kind = sniff(sock, message[:size])
    assert (kind, net.now_ns - start) == (PACKET_HOST, 2 * DELAY_NS)
    assert back[:12] == sent[6:12] + sent[:6]
    assert len(back) == len(sent) == HEADERS[version] + size


@modes
@versions
@sizes
def test_xdp_redirects_to_another_device(net, version, mode, offload, size):
    a, r, b = chain(net, "arb", delay_ms=DELAY_NS / MS, offload=offload)
    round_trip_ns(net, a, b, ip_of(b, version))
    devices = bpf.make_device_map(r, "eth1")
    bpf.attach_xdp(r, bpf.load(r, bpf.XDP, bpf.redirect(devices)), mode)
    before = r.counters()
    sent, arrived = sniffer(a), sniffer(b)
    start = net.now_ns
    messages = [bytes([number]) * size for number in range(40)]
    send(a, ip_of(b, version), *messages)
    for message in messages:
        frame, kind = sniff(arrived, message)
        assert (kind, net.now_ns - start) == (PACKET_OTHERHOST, 2 * DELAY_NS)
        # The checksum of the first may be left to the device.
        assert frame[:14] == sniff(sent, message)[0][:14]
        assert len(frame) == HEADERS[version] + size
    forwarded = "IpForwDatagrams" if version == 4 else "Ip6OutForwDatagrams"
    assert (r.counters() - before)[forwarded] == 0


def test_driver_counts_what_programs_decide(net):
    a, r, b = chain(net, "arb", offload=False)
    round_trip_ns(net, a, b, b.ip)
    devices = bpf.make_device_map(r, "eth1")
    for code in (bpf.redirect(devices), bpf.verdict(bpf.DROP), bpf.send_back()):
        bpf.attach_xdp(r, bpf.load(r, bpf.XDP, code), bpf.DRIVER)
        send(a, b.ip, *[b"x"] * 7)
        net.run_for(1)
        bpf.attach_xdp(r, -1, bpf.DRIVER)
    seen, sent = statistics(r, "eth0"), statistics(r, "eth1")
    assert {name: seen[name] for name in seen if "xdp" in name} == {
        "rx0_xdp_redirects": 7,
        "rx0_xdp_drops": 7,
        "rx0_xdp_tx": 7,
        "tx0_xdp": 7,
    }
    assert sent["tx0_xdp"] == 7


def test_segments_of_tcp_pass_a_program_in_the_driver(net):
    a, b = chain(net, "ab")
    array = bpf.make_array(b)
    bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.counting(array, bpf.PASS)), bpf.DRIVER)
    data = bytes(range(256)) * 4000

    def receive():
        with b.create_server(("", 80)) as server:
            peer, _ = server.accept()
            with peer:
                return b"".join(iter(lambda: peer.recv(1 << 17), b""))

    program = b.spawn(receive)
    net.run_for(1)
    with a.create_connection((b.ip, 80)) as conn:
        conn.sendall(data)
    assert program.result() == data
    # Far fewer than frames of 1,500 bytes: they crossed whole.
    assert 0 < bpf.read_array(b, array) < len(data) / 1500


def test_packets_of_tcp_pass_a_program_in_the_driver(net):
    a, b = chain(net, "ab", offload=False)
    array = bpf.make_array(b)
    bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.counting(array, bpf.PASS)), bpf.DRIVER)
    data = bytes(range(256)) * 2000

    def receive():
        with b.create_server(("", 80)) as server:
            peer, _ = server.accept()
            with peer:
                return b"".join(iter(lambda: peer.recv(1 << 17), b""))

    program = b.spawn(receive)
    net.run_for(1)
    with a.create_connection((b.ip, 80)) as conn:
        conn.sendall(data)
    assert program.result() == data
    assert bpf.read_array(b, array) > len(data) / 1500


def test_program_in_the_driver_outlives_down_and_up(net):
    a, b = chain(net, "ab", offload=False)
    round_trip_ns(net, a, b, b.ip)
    array = bpf.make_array(b)
    device = net.links[0].ends[1].device
    device.down()
    bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.counting(array, bpf.DROP)), bpf.DRIVER)
    device.up()
    send(a, b.ip, *[b"x"] * 3)
    net.run_for(1)
    assert bpf.read_array(b, array) == 3


def test_program_of_another_kind_is_refused(net):
    a, _ = chain(net, "ab")
    fd = bpf.load(a, bpf.SOCKET_FILTER, bpf.verdict(0))
    with pytest.raises(OSError, match="Invalid argument"):
        bpf.attach_xdp(a, fd, bpf.DRIVER)


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b = chain(net, "ab", delay_ms=1, offload=False)
        bpf.attach_xdp(b, bpf.load(b, bpf.XDP, bpf.send_back()), bpf.DRIVER)
        net.links[0].capture(path)
        send(a, b.ip6, *[bytes(500)] * 5)
        net.run_for(SECOND)

    assert repeats(build, tmp_path, scenario)
