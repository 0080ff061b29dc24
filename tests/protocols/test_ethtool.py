# SPDX-License-Identifier: GPL-2.0-only
"""What ethtool(8) sees of our devices (include/uapi/linux/ethtool.h), by ioctl."""

from __future__ import annotations

import ctypes
import socket
import struct

from topologies import chain, keep

import pylibos

SIOCETHTOOL = 0x8946
GSET, SSET, GDRVINFO, GLINK, GRINGPARAM = 0x01, 0x02, 0x03, 0x0A, 0x10
GSTRINGS, GSTATS, GCHANNELS, GLINKSETTINGS = 0x1B, 0x1D, 0x3C, 0x4C
STATS_SET, PORT_OTHER = 1, 0xFF
NAME = 32


def ethtool(process: pylibos.Process, device: str, request: bytes) -> bytes:
    """One SIOCETHTOOL; returns the structure as the kernel leaves it."""
    data = ctypes.create_string_buffer(request, len(request))
    ifreq = struct.pack("=16sQQQ", device.encode(), ctypes.addressof(data), 0, 0)
    with process.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        process.syscall("ioctl", sock.fileno(), SIOCETHTOOL, bytearray(ifreq))
    return data.raw


def driver_info(process: pylibos.Process, device: str) -> tuple[str, int]:
    """The driver's name, and how many statistics it keeps."""
    info = ethtool(process, device, struct.pack("=I", GDRVINFO) + bytes(192))
    return info[4:36].rstrip(b"\0").decode(), struct.unpack_from("=I", info, 180)[0]


def statistics(process: pylibos.Process, device: str) -> dict[str, int]:
    """``ethtool -S``."""
    _, count = driver_info(process, device)
    names = ethtool(
        process, device, struct.pack("=III", GSTRINGS, STATS_SET, 0) + bytes(NAME * count)
    )
    values = ethtool(process, device, struct.pack("=II", GSTATS, count) + bytes(8 * count))
    return {
        names[12 + NAME * i : 12 + NAME * (i + 1)].rstrip(b"\0").decode(): value
        for i, value in enumerate(struct.unpack_from(f"={count}Q", values, 8))
    }


def link_settings(process: pylibos.Process, device: str) -> tuple[int, int]:
    """Speed in Mbit/s and duplex (1: full)."""
    words = ethtool(process, device, struct.pack("=I", GLINKSETTINGS) + bytes(44))
    # The first answer says how long the link mode masks are.
    masks = -struct.unpack_from("=b", words, 15)[0]
    request = bytearray(48 + 3 * 4 * masks)
    struct.pack_into("=I", request, 0, GLINKSETTINGS)
    struct.pack_into("=b", request, 15, masks)
    return struct.unpack_from("=IB", ethtool(process, device, bytes(request)), 4)


def test_driver_is_named(net):
    a, _ = chain(net, "ab")
    assert driver_info(a, "eth0")[0] == "liblinux"


def test_link_follows_the_carrier(net):
    a, _ = chain(net, "ab")
    request = struct.pack("=II", GLINK, 0)
    assert struct.unpack("=II", ethtool(a, "eth0", request))[1] == 1
    net.links[0].down()
    assert struct.unpack("=II", ethtool(a, "eth0", request))[1] == 0


def test_link_has_a_speed_which_bonding_asks_for(net):
    a, _ = chain(net, "ab")
    assert link_settings(a, "eth0") == (10000, 1)


def test_speed_can_be_set(net):
    a, _ = chain(net, "ab")
    legacy = bytearray(struct.pack("=IIIHBB", SSET, 0, 0, 1000, 1, PORT_OTHER) + bytes(28))
    ethtool(a, "eth0", bytes(legacy))
    assert link_settings(a, "eth0") == (1000, 1)


def test_ring_has_entries_and_fewer_buffers_at_first(net):
    a, _ = chain(net, "ab")
    ring = struct.unpack("=9I", ethtool(a, "eth0", struct.pack("=I", GRINGPARAM) + bytes(32)))
    assert (ring[1], ring[4], ring[5], ring[8]) == (128,) * 4
    assert statistics(a, "eth0")["rx0_buffers"] == 64


def test_queues_are_combined_channels(net):
    a, _ = chain(net, "ab")
    channels = struct.unpack("=9I", ethtool(a, "eth0", struct.pack("=I", GCHANNELS) + bytes(32)))
    assert (channels[4], channels[8]) == (1, 1)


def test_statistics_are_those_of_the_interface(net):
    a, b = chain(net, "ab")
    before = statistics(a, "eth0"), statistics(b, "eth0")
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(20):
            sock.sendto(b"x" * 100, (b.ip, 9))
        net.run_for(1)
    after = statistics(a, "eth0"), statistics(b, "eth0")
    sent, seen = (
        {name: new[name] - old[name] for name in new}
        for new, old in zip(after, before, strict=True)
    )
    # An ARP request and its answer, 20 datagrams and an ICMP error for some of them.
    assert sent["tx0_frames"] == seen["rx0_frames"] >= 21
    assert sent["tx0_bytes"] == seen["rx0_bytes"] >= 20 * 142
    assert sent["rx0_frames"] == seen["tx0_frames"]
    for node, device in ((a, after[0]), (b, after[1])):
        with node.open("/sys/class/net/eth0/statistics/rx_packets") as file:
            assert int(file.read()) == device["rx0_frames"]
        with node.open("/sys/class/net/eth0/statistics/tx_bytes") as file:
            assert int(file.read()) == device["tx0_bytes"]


def test_ring_gets_more_buffers_when_they_run_out(net):
    a, b = chain(net, "ab")
    assert statistics(b, "eth0")["rx0_buffers"] == 64
    assert statistics(b, "eth0")["rx0_ring_low"] == 0
    server = keep(b.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("", 9))
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (b.ip, 9))
        net.run_for(1)
        device = net.links[0].ends[1].device
        device.down()
        for _ in range(100):
            sock.sendto(b"x", (b.ip, 9))
        device.up()
        net.run_for(1)
    after = statistics(b, "eth0")
    assert (after["rx0_buffers"], after["rx0_ring_low"]) == (128, 1)
