# SPDX-License-Identifier: GPL-2.0-only
"""Devices that share an Ethernet interface of the host."""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import shutil
import socket
import struct
import subprocess
import sys

import pcapng
import pytest
from host_cable import ETH_P_TEST, Cable, NoCableError, in_background, wait_until

import pylibos
from pylibos import _netlink

pytestmark = pytest.mark.root

NEAR, FAR = "10.78.0.1", "10.78.0.2"
DEVICE_MAC = "02:00:00:00:00:01"
FAR_MAC = "02:00:00:00:00:02"
SIOCETHTOOL, ETHTOOL_STSO = 0x8946, 0x1F  # linux/sockios.h, linux/ethtool.h
KINDS = ["raw"]


def make_cable(queues=1):
    try:
        return Cable(queues)
    except NoCableError as error:
        pytest.skip(str(error))


@pytest.fixture
def cable():
    with make_cable() as made:
        made.far.ip("link", "set", "far0", "address", FAR_MAC)
        yield made


@pytest.fixture
def kernel(boot):
    kernel = boot(clock="real")
    kernel.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1  # no frames that nobody asked for
    return kernel


def open_device(kernel, cable, spec, **options):
    with cable.near.entered():
        device = kernel.open_device(spec, **{"mac": DEVICE_MAC, **options})
    device.up()
    return device


@pytest.fixture(params=KINDS)
def device(request, kernel, cable):
    return open_device(kernel, cable, f"{request.param}:near0")


def give_addresses(kernel, device, cable):
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface(f"{NEAR}/24"))
    cable.far.ip("address", "add", f"{FAR}/24", "dev", "far0")


def frame(size, number=0, to=DEVICE_MAC, source=FAR_MAC):
    addresses = bytes.fromhex((to + source).replace(":", ""))
    body = bytes((number + i) % 251 for i in range(size - 14))
    return addresses + struct.pack("!H", ETH_P_TEST) + body


def packets(kernel, device):
    sock = kernel.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_TEST))
    sock.bind((device.name, ETH_P_TEST))
    sock.settimeout(5)
    return sock


def carrier(kernel, device):
    return kernel.read_text(f"/sys/class/net/{device.name}/carrier").strip()


# --- Frames ---


def test_frames_of_all_sizes_cross_and_are_counted(kernel, device, cable):
    sizes = [60, 61, 64, 127, 128, 129, 590, 1024, 1513, 1514]
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        for number, size in enumerate(sizes):
            outside.send(frame(size, number))
            assert inside.recv(4096) == frame(size, number)
            inside.send(frame(size, number, FAR_MAC, DEVICE_MAC))
            assert outside.recv(4096) == frame(size, number, FAR_MAC, DEVICE_MAC)
    assert device.stats() == pylibos.DeviceStats(
        tx_frames=len(sizes),
        tx_bytes=sum(sizes),
        tx_dropped=0,
        rx_frames=len(sizes),
        rx_bytes=sum(sizes),
        rx_dropped=0,
    )


def test_bursts_cross_in_order(kernel, device, cable):
    count = 1500
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        inside.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for number in range(count):
            outside.send(frame(60 + number % 1000, number))
        for number in range(count):
            assert inside.recv(4096) == frame(60 + number % 1000, number)
    stats = device.stats()
    assert (stats.rx_frames, stats.rx_dropped) == (count, 0)


def test_frames_that_found_no_room_are_counted(kernel, cable):
    device = open_device(kernel, cable, "raw:near0,ring_frames=32")
    with cable.far.packets() as outside:
        for number in range(100):
            outside.send(frame(60, number))
    wait_until(kernel, lambda: sum(rx(device)) == 100)
    assert rx(device) == (32, 68)


def rx(device):
    stats = device.stats()
    return stats.rx_frames, stats.rx_dropped


def test_frame_longer_than_the_hosts_mtu_is_dropped_and_others_go_on(kernel, cable):
    device = open_device(kernel, cable, "raw:near0", mtu=3000)
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        inside.send(frame(2500, 1, FAR_MAC, DEVICE_MAC))
        inside.send(frame(1000, 2, FAR_MAC, DEVICE_MAC))
        assert outside.recv(4096) == frame(1000, 2, FAR_MAC, DEVICE_MAC)
    stats = device.stats()
    assert (stats.tx_frames, stats.tx_bytes, stats.tx_dropped) == (1, 1000, 1)


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


def test_own_frames_do_not_come_back(kernel, device, cable):
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        with cable.near.packets() as host:
            inside.send(frame(60, 1, "ff:ff:ff:ff:ff:ff", DEVICE_MAC))
            host.send(frame(60, 2, "ff:ff:ff:ff:ff:ff", DEVICE_MAC))
            assert outside.recv(100)[14] == 1
            assert outside.recv(100)[14] == 2
        outside.send(frame(60, 3))
        assert inside.recv(100) == frame(60, 3)
    assert rx(device) == (1, 0)


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


# --- Protocols ---


@pytest.mark.skipif(shutil.which("ping") is None, reason="The host has no ping.")
def test_host_pings_the_kernel(kernel, device, cable):
    give_addresses(kernel, device, cable)
    command = ("ping", "-n", "-c", "3", "-i", "0.01", NEAR)
    with in_background(cable.far.run, *command) as results:
        wait_until(kernel, lambda: bool(results))
    status, output = results[0]
    assert status == 0, output
    assert " 0% packet loss" in output


PAYLOAD = bytes(range(256)) * 4096 * 4


def download(sock):
    with sock:
        sock.connect((NEAR, 80))
        parts = []
        while part := sock.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


def upload(sock):
    with sock:
        sock.connect((NEAR, 80))
        sock.sendall(PAYLOAD)


@pytest.mark.parametrize("offload", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_tcp_keeps_its_content_both_ways(kernel, cable, kind, offload):
    device = open_device(kernel, cable, f"{kind}:near0,offload={offload}")
    give_addresses(kernel, device, cable)
    with kernel.create_server(("", 80)) as server:
        with in_background(download, cable.far.socket()) as results:
            with server.accept()[0] as peer:
                peer.sendall(PAYLOAD)
            wait_until(kernel, lambda: bool(results))
        assert results == [PAYLOAD]
        with in_background(upload, cable.far.socket()), server.accept()[0] as peer:
            parts = []
            while part := peer.recv(1 << 16):
                parts.append(part)
            assert b"".join(parts) == PAYLOAD
    assert (device.stats().tx_dropped, device.stats().rx_dropped) == (0, 0)


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


# --- The interface ---


def test_mtu_and_address_are_the_interfaces_if_asked(kernel, cable):
    cable.near.ip("link", "set", "near0", "mtu", "1400", "address", "02:00:00:00:00:09")
    device = open_device(kernel, cable, "raw:near0,take_mac=1", mac=None)
    assert kernel.read_text(f"/sys/class/net/{device.name}/mtu").strip() == "1400"
    assert kernel.read_text(f"/sys/class/net/{device.name}/address").strip() == "02:00:00:00:00:09"
    assert "promiscuity 0" in cable.near.ip("-d", "link", "show", "near0")


def test_interface_is_promiscuous_while_the_device_is_there(kernel, cable):
    device = open_device(kernel, cable, "raw:near0")
    assert "promiscuity 1" in cable.near.ip("-d", "link", "show", "near0")
    device.close()
    assert "promiscuity 0" in cable.near.ip("-d", "link", "show", "near0")


def exchange(kernel, device, cable, number):
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        outside.send(frame(100, number))
        assert inside.recv(4096) == frame(100, number)
        inside.send(frame(100, number, FAR_MAC, DEVICE_MAC))
        assert outside.recv(4096) == frame(100, number, FAR_MAC, DEVICE_MAC)


@pytest.mark.parametrize("side", ["near", "far"])
def test_carrier_follows_the_interface_down_and_up(kernel, device, cable, side):
    end = getattr(cable, side)
    exchange(kernel, device, cable, 1)
    end.ip("link", "set", end.name, "down")
    wait_until(kernel, lambda: carrier(kernel, device) == "0")
    end.ip("link", "set", end.name, "up")
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 2)
    assert rx(device) == (2, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_device_begins_with_the_interfaces_carrier(kernel, cable, kind):
    cable.near.ip("link", "set", "near0", "down")
    device = open_device(kernel, cable, f"{kind}:near0")
    assert carrier(kernel, device) == "0"
    cable.near.ip("link", "set", "near0", "up")
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 1)


def test_frame_that_an_interface_went_away_from_is_dropped(kernel, device, cable):
    # The kernel has not been told yet.
    cable.near.ip("link", "set", "near0", "down")
    with packets(kernel, device) as inside:
        inside.send(frame(60, 1, FAR_MAC, DEVICE_MAC))
    stats = device.stats()
    assert (stats.tx_frames, stats.tx_dropped) == (0, 1)
    wait_until(kernel, lambda: carrier(kernel, device) == "0")


def test_deleted_interface_is_joined_again_when_it_is_made_again(kernel, device, cable):
    exchange(kernel, device, cable, 1)
    cable.near.ip("link", "del", "near0")
    wait_until(kernel, lambda: carrier(kernel, device) == "0")
    cable.plug()
    cable.far.ip("link", "set", "far0", "address", FAR_MAC)
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 2)
    assert rx(device) == (2, 0)


def test_renamed_interface_is_kept(kernel, device, cable):
    cable.near.ip("link", "set", "near0", "name", "other0")
    exchange(kernel, device, cable, 1)
    cable.near.ip("link", "set", "other0", "down")
    wait_until(kernel, lambda: carrier(kernel, device) == "0")
    cable.near.ip("link", "set", "other0", "up")
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 2)


def test_device_that_is_down_lets_frames_pass_by(kernel, device, cable):
    exchange(kernel, device, cable, 1)
    device.down()
    with cable.far.packets() as outside:
        for number in range(300):
            outside.send(frame(60, number))
    wait_until(kernel, lambda: sum(rx(device)) == 301)
    device.up()
    wait_until(kernel, lambda: carrier(kernel, device) == "1")


# --- Several queues ---


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


# --- Refusals ---


def test_missing_interface_is_named_with_those_that_are_there(kernel, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="no interface eth77 .*there are lo, near0"):
            kernel.add_raw("eth77")


def test_interface_without_ethernet_is_refused(kernel, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="lo carries no Ethernet frames"):
            kernel.add_raw("lo")


def test_several_queues_of_an_interface_that_is_down_are_refused(kernel, cable):
    cable.near.ip("link", "set", "near0", "down")
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="near0 cannot share .* bring it up first"):
            kernel.add_raw("near0", queues=2)


def test_virtual_clock_is_refused(boot_one):
    with pytest.raises(ValueError, match="A raw device needs the real clock"):
        boot_one().add_raw("eth0")


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


UNPRIVILEGED = """
import os, sys, pylibos
with pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], clock="real") as kernel:
    os.setuid(65534)
    try:
        kernel.add_raw("near0")
    except pylibos.PylibosError as error:
        print(error)
"""


def test_missing_right_is_named(build, cable):
    options = {"kernel": "6.12", "profile": "defconfig", **build.options}
    with cable.near.entered():
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(options["kernel"]), options["profile"]],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "cannot have a packet socket (Operation not permitted)" in done.stdout, done.stderr
    assert "CAP_NET_RAW" in done.stdout
