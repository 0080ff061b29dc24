# SPDX-License-Identifier: GPL-2.0-only
"""Raw devices: what packet sockets alone can do."""

from __future__ import annotations

import ctypes
import fcntl
import struct

import pcapng
import pytest
from host_cable import in_background, wait_until
from interface_cases import (
    DEVICE_MAC,
    FAR,
    FAR_MAC,
    NEAR,
    PAYLOAD,
    cable,
    carrier,
    download,
    exchange,
    frame,
    give_addresses,
    kernel,
    open_device,
    packets,
    rx,
)

import pylibos

pytestmark = pytest.mark.root

SIOCETHTOOL, ETHTOOL_STSO = 0x8946, 0x1F  # linux/sockios.h, linux/ethtool.h


@pytest.fixture
def device(kernel, cable):
    return open_device(kernel, cable, "raw:near0")


def test_frames_longer_than_a_slot_arrive_whole(kernel, cable):
    for side in (cable.near, cable.far):
        side.ip("link", "set", side.name, "mtu", "9000")
    device = open_device(kernel, cable, "raw:near0")
    assert kernel.read_text(f"/sys/class/net/{device.name}/mtu").strip() == "9000"
    sizes = [1900, 1980, 2048, 4095, 4096, 4097, 9013, 9014]
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        for number, size in enumerate(sizes):
            outside.send(frame(size, number))
        for number, size in enumerate(sizes):
            assert inside.recv(10000) == frame(size, number)
            inside.send(frame(size, number, FAR_MAC, DEVICE_MAC))
            assert outside.recv(10000) == frame(size, number, FAR_MAC, DEVICE_MAC)
    assert rx(device) == (len(sizes), 0)


@pytest.mark.parametrize("size", [100, 3000])
def test_vlan_tags_are_put_back(kernel, cable, tmp_path, size):
    for side in (cable.near, cable.far):
        side.ip("link", "set", side.name, "mtu", "4000")
    device = open_device(kernel, cable, "raw:near0")
    tagged = frame(size)[:12] + struct.pack("!HH", 0x8100, 0x6005) + frame(size)[12:]
    with device.capture(tmp_path / "tags.pcapng"), cable.far.packets() as outside:
        outside.send(tagged)
        wait_until(kernel, lambda: device.stats().rx_frames == 1)
    [packet] = pcapng.read(tmp_path / "tags.pcapng").packets
    assert packet.data == tagged


def test_tcp_without_offload_keeps_its_content(kernel, cable):
    device = open_device(kernel, cable, "raw:near0,offload=0")
    give_addresses(kernel, device, cable)
    with kernel.create_server(("", 80)) as server:
        with in_background(download, cable.far.socket()) as results:
            with server.accept()[0] as peer:
                peer.sendall(PAYLOAD)
            wait_until(kernel, lambda: bool(results))
        assert results == [PAYLOAD]
    stats = device.stats()
    assert stats.tx_bytes / stats.tx_frames <= 1514


def test_segments_cross_whole(kernel, device, cable):
    give_addresses(kernel, device, cable)
    with kernel.create_server(("", 80)) as server:
        with in_background(download, cable.far.socket()) as results:
            with server.accept()[0] as peer:
                peer.sendall(PAYLOAD)
            wait_until(kernel, lambda: bool(results))
        assert results == [PAYLOAD]
    stats = device.stats()
    assert stats.tx_bytes / stats.tx_frames > 5000


def add_vlan(kernel, device, address):
    with kernel.iproute() as routes:
        routes.link("add", ifname="vlan5", kind="vlan", link=device.index, vlan_id=5)
        [index] = routes.link_lookup(ifname="vlan5")
        routes.link("set", index=index, state="up")
        routes.addr("add", index=index, address=address, prefixlen=24)


def test_segments_with_vlan_tags_keep_their_content(boot, kernel, device, cable):
    other = boot(world=kernel.world)
    with cable.far.entered():
        far = other.open_device("raw:far0")
    far.up()
    add_vlan(kernel, device, NEAR)
    add_vlan(other, far, FAR)
    with other.create_server(("", 80)) as server:
        sender = kernel.create_connection((FAR, 80))
        peer, _ = server.accept()
        with in_background(send_all, sender), peer:
            parts = []
            while part := peer.recv(1 << 16):
                parts.append(part)
    assert b"".join(parts) == PAYLOAD
    stats = far.stats()
    assert (device.stats().tx_dropped, stats.rx_dropped) == (0, 0)
    assert stats.rx_bytes / stats.rx_frames > 2000


def send_all(sock):
    with sock:
        sock.sendall(PAYLOAD)


def stop_taking_segments(side):
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STSO, 0))
    with side.socket() as control:
        request = struct.pack("16sP16x", side.name.encode(), ctypes.addressof(value))
        fcntl.ioctl(control, SIOCETHTOOL, request)


def test_segments_are_cut_when_the_interface_stops_to_take_them(kernel, device, cable):
    give_addresses(kernel, device, cable)
    stop_taking_segments(cable.near)
    with kernel.create_server(("", 80)) as server:
        with in_background(download, cable.far.socket()) as results:
            with server.accept()[0] as peer:
                peer.sendall(PAYLOAD)
            wait_until(kernel, lambda: bool(results))
        assert results == [PAYLOAD]
    assert device.stats().tx_dropped == 0


def test_interface_is_promiscuous_while_the_device_is_there(kernel, cable):
    device = open_device(kernel, cable, "raw:near0")
    assert "promiscuity 1" in cable.near.ip("-d", "link", "show", "near0")
    device.close()
    assert "promiscuity 0" in cable.near.ip("-d", "link", "show", "near0")


@pytest.mark.parametrize("fanout", ["hash", "lb", "cpu", "rollover", "rnd", "qm"])
def test_queues_share_what_comes(kernel, cable, fanout):
    device = open_device(kernel, cable, f"raw:near0,queues=2,fanout={fanout}")
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        for number in range(200):
            outside.send(frame(60, number))
        got = sorted(inside.recv(100) for _ in range(200))
        assert got == sorted(frame(60, number) for number in range(200))
        for number in range(20):
            inside.send(frame(60, number, FAR_MAC, DEVICE_MAC))
        for number in range(20):
            assert outside.recv(100) == frame(60, number, FAR_MAC, DEVICE_MAC)
    assert rx(device) == (200, 0)


def test_queues_come_back_with_a_new_interface(kernel, cable):
    device = open_device(kernel, cable, "raw:near0,queues=2,fanout=lb")
    cable.near.ip("link", "del", "near0")
    wait_until(kernel, lambda: carrier(kernel, device) == "0")
    cable.plug()
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 1)
    exchange(kernel, device, cable, 2)


def test_several_queues_of_an_interface_that_is_down_are_refused(kernel, cable):
    cable.near.ip("link", "set", "near0", "down")
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="near0 cannot share .* bring it up first"):
            kernel.add_raw("near0", queues=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ring_frames": 0}, "ring_frames is 1 to 65536, not 0"),
        ({"fanout": "evenly"}, "fanout is one of hash, lb"),
        ({"take_mac": True, "mac": DEVICE_MAC}, "give one of them"),
        ({"queues": 17}, "1 to 16 queues"),
    ],
)
def test_wrong_argument_is_refused(boot_one, options, message):
    with pytest.raises(ValueError, match=message):
        boot_one(clock="real").add_raw("eth0", **options)
