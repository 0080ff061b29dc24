# SPDX-License-Identifier: GPL-2.0-only
"""kernel.drops(): which packets the kernel dropped, where and why."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest

import pylibos
from pylibos._netlink import add_address

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD


@pytest.fixture
def kernel(boot, build):
    """A fresh kernel of the profile that has the drop monitor."""
    if build.profile != "defconfig":
        pytest.skip("Only the default profile has the drop monitor.")
    return boot()


def test_closed_port_is_the_reason(kernel):
    with kernel.drops() as drops, kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"nobody listens", ("127.0.0.1", 9))
        (drop,) = drops
    assert drop.reason == "NO_SOCKET"
    assert drop.symbol.startswith(("__udp4_lib_rcv+0x", "udp_rcv+0x"))
    assert drop.protocol == ETH_P_IP
    assert drop.payload[12:14] == struct.pack(">H", ETH_P_IP)
    assert drop.payload.endswith(b"nobody listens")
    assert drop.length_bytes == len(drop.payload) == 14 + 20 + 8 + 14
    assert drop.ifindex == 1


def test_closed_port_is_the_reason_over_ipv6(kernel):
    with kernel.drops() as drops, kernel.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"nobody listens", ("::1", 9))
        (drop,) = drops
    assert (drop.reason, drop.protocol) == ("NO_SOCKET", ETH_P_IPV6)


def test_time_is_the_clock_of_the_world(kernel):
    kernel.sleep(3)
    with kernel.drops() as drops, kernel.socket(type=socket.SOCK_DGRAM) as sock:
        kernel.sleep(2)
        sock.sendto(b"", ("127.0.0.1", 9))
        now_ns = kernel.now_ns
        (drop,) = drops
    assert drop.time_ns == now_ns


def test_each_drop_is_told_once_and_in_order(kernel):
    with kernel.drops() as drops, kernel.socket(type=socket.SOCK_DGRAM) as sock:
        assert list(drops) == []
        for number in range(20):
            sock.sendto(bytes([number]), ("127.0.0.1", 9))
        assert [drop.payload[-1] for drop in drops] == list(range(20))
        assert list(drops) == []
        assert drops.lost_packets == 0


def test_delivered_packets_are_no_drops(kernel):
    with kernel.drops() as drops, kernel.create_server(("127.0.0.1", 0)) as server:
        with kernel.create_connection(server.getsockname()) as client, server.accept()[0] as peer:
            client.sendall(b"x" * 100)
            assert peer.recv(1000) == b"x" * 100
            assert list(drops) == []


def test_payload_is_cut_to_what_was_asked_for(kernel):
    with kernel.drops(payload_bytes=14) as drops:
        with kernel.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(bytes(1000), ("127.0.0.1", 9))
        (drop,) = drops
    assert len(drop.payload) == 14
    assert drop.length_bytes == 14 + 20 + 8 + 1000


def frame(destination, checksum_error=0):
    """An Ethernet frame with an IPv4 header and no payload, from 10.0.0.9 to 10.0.0.1."""
    header = bytearray(
        struct.pack(
            ">BBHHHBBH4s4s",
            0x45,
            0,
            20,
            1,
            0,
            64,
            17,
            0,
            bytes([10, 0, 0, 9]),
            bytes([10, 0, 0, 1]),
        )
    )
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = struct.pack(">H", (~total + checksum_error) & 0xFFFF)
    return destination + b"\x02\x00\x00\x00\x00\x09" + b"\x08\x00" + bytes(header)


MAC = bytes([2, 0, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("destination", "checksum_error", "reason"),
    [(MAC, 1, "IP_CSUM"), (bytes([2, 0, 0, 0, 0, 77]), 0, "OTHERHOST")],
    ids=["wrong-checksum", "for-another-host"],
)
def test_reason_names_what_was_wrong_with_a_frame(kernel, destination, checksum_error, reason):
    device = kernel.add_device(lambda _frame: None, mac=MAC)
    device.up()
    add_address(kernel, device.index, ipaddress.ip_interface("10.0.0.1/24"))
    with kernel.drops() as drops:
        device.inject(frame(destination, checksum_error))
        kernel.world.run_for(0)
        (drop,) = drops
    assert drop.reason == reason
    assert drop.ifindex == device.index


def test_same_seed_gives_the_same_drops(boot, build):
    if build.profile != "defconfig":
        pytest.skip("Only the default profile has the drop monitor.")

    def run():
        kernel = boot(seed=7)
        with kernel.drops() as drops, kernel.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(5):
                kernel.sleep(0.1)
                sock.sendto(b"", ("127.0.0.1", 9))
            found = list(drops)
        kernel.halt()
        return found

    first = run()
    assert len(first) == 5
    assert run() == first


def test_flood_is_counted_where_it_is_not_told(kernel):
    with kernel.drops() as drops, kernel.socket(type=socket.SOCK_DGRAM) as sock:
        for _ in range(12_000):
            sock.sendto(b"", ("127.0.0.1", 9))
        told = len(list(drops))
        assert told < 12_000
        assert told + drops.lost_packets == 12_000


def test_second_watcher_is_refused(kernel):
    with kernel.drops() as drops:
        with pytest.raises(OSError, match="busy"), kernel.drops():
            pass
        assert list(drops) == []
    with kernel.drops():
        pass


def test_watching_ends_with_the_block(kernel):
    with kernel.drops() as drops:
        pass
    with pytest.raises(pylibos.PylibosError, match="inside 'with kernel.drops\\(\\) as drops:'"):
        list(drops)


def test_negative_payload_size_is_refused(kernel):
    with pytest.raises(ValueError, match="payload_bytes is how much to keep"):
        kernel.drops(payload_bytes=-1)


def test_profile_without_a_drop_monitor_says_so(any_build):
    if any_build.profile != "lean":
        pytest.skip("This is about a profile without a drop monitor.")
    with pylibos.boot(**any_build.options) as kernel:
        with pytest.raises(pylibos.PylibosError, match="has no drop monitor; use the profile"):
            kernel.drops().__enter__()
