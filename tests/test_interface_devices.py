# SPDX-License-Identifier: GPL-2.0-only
"""Devices on an Ethernet interface of the host, of each kind."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys

import pytest
from host_cable import in_background, wait_until
from interface_cases import (
    DEVICE_MAC,
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
    upload,
)

import pylibos

pytestmark = pytest.mark.root

KINDS = ["raw", "xdp"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def device(kind, kernel, cable):
    return open_device(kernel, cable, f"{kind}:near0")


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


def test_frames_that_found_no_room_are_counted(kernel, kind, cable):
    device = open_device(kernel, cable, f"{kind}:near0,ring_frames=32")
    with cable.far.packets() as outside:
        for number in range(100):
            outside.send(frame(60, number))
    wait_until(kernel, lambda: sum(rx(device)) == 100)
    assert rx(device) == (32, 68)


def test_frame_longer_than_the_hosts_mtu_is_dropped_and_others_go_on(kernel, kind, cable):
    device = open_device(kernel, cable, f"{kind}:near0", mtu=3000)
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        inside.send(frame(2500, 1, FAR_MAC, DEVICE_MAC))
        inside.send(frame(1000, 2, FAR_MAC, DEVICE_MAC))
        assert outside.recv(4096) == frame(1000, 2, FAR_MAC, DEVICE_MAC)
    stats = device.stats()
    assert (stats.tx_frames, stats.tx_bytes, stats.tx_dropped) == (1, 1000, 1)


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


@pytest.mark.skipif(shutil.which("ping") is None, reason="The host has no ping.")
def test_host_pings_the_kernel(kernel, device, cable):
    give_addresses(kernel, device, cable)
    command = ("ping", "-n", "-c", "3", "-i", "0.01", NEAR)
    with in_background(cable.far.run, *command) as results:
        wait_until(kernel, lambda: bool(results))
    status, output = results[0]
    assert status == 0, output
    assert " 0% packet loss" in output


def test_tcp_keeps_its_content_both_ways(kernel, device, cable):
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


def test_mtu_and_address_are_the_interfaces_if_asked(kernel, kind, cable):
    cable.near.ip("link", "set", "near0", "mtu", "1400", "address", "02:00:00:00:00:09")
    device = open_device(kernel, cable, f"{kind}:near0,take_mac=1", mac=None)
    assert kernel.read_text(f"/sys/class/net/{device.name}/mtu").strip() == "1400"
    assert kernel.read_text(f"/sys/class/net/{device.name}/address").strip() == "02:00:00:00:00:09"
    assert "promiscuity 0" in cable.near.ip("-d", "link", "show", "near0")


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


def test_device_begins_with_the_interfaces_carrier(kernel, cable, kind):
    cable.near.ip("link", "set", "near0", "down")
    device = open_device(kernel, cable, f"{kind}:near0")
    assert carrier(kernel, device) == "0"
    cable.near.ip("link", "set", "near0", "up")
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 1)


def test_device_sends_at_once_on_an_interface_that_was_just_made(kernel, kind, cable):
    cable.near.ip("link", "del", "near0")
    cable.plug(wait=False)  # the flags of the interface follow up to a second later
    cable.far.ip("link", "set", "far0", "address", FAR_MAC)
    device = open_device(kernel, cable, f"{kind}:near0")
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        inside.send(frame(60, 1, FAR_MAC, DEVICE_MAC))
        assert outside.recv(100) == frame(60, 1, FAR_MAC, DEVICE_MAC)


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


def test_frames_cross_after_many_changes_of_the_interface(kernel, device, cable):
    def send_burst(inside):
        for number in range(100):
            with contextlib.suppress(OSError):  # ENETDOWN
                inside.send(frame(1514, number, FAR_MAC, DEVICE_MAC))

    near = cable.near
    with packets(kernel, device) as inside:
        inside.settimeout(0)
        for change in range(8):
            send_burst(inside)
            near.ip("link", "set", "near0", "down")
            send_burst(inside)
            if change % 3 == 2:
                near.ip("link", "del", "near0")
                send_burst(inside)
                cable.plug(wait=False)
                cable.far.ip("link", "set", "far0", "address", FAR_MAC)
            near.ip("link", "set", "near0", "name", "near1")
            send_burst(inside)
            near.ip("link", "set", "near1", "name", "near0")
            near.ip("link", "set", "near0", "up")
    wait_until(kernel, lambda: "state UP" in near.ip("link", "show", "near0"))
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    with cable.far.packets():  # what is on its way is not for the next one
        kernel.world.run_for(20_000_000)
    exchange(kernel, device, cable, 1)
    stats = device.stats()
    assert stats.tx_bytes == (stats.tx_frames - 1) * 1514 + 100
    assert stats.tx_dropped > 0


def test_renamed_interface_is_kept(kernel, device, cable):
    cable.near.ip("link", "set", "near0", "name", "other0")
    exchange(kernel, device, cable, 1)
    cable.near.ip("link", "set", "other0", "down")
    wait_until(kernel, lambda: carrier(kernel, device) == "0")
    cable.near.ip("link", "set", "other0", "up")
    wait_until(kernel, lambda: carrier(kernel, device) == "1")
    exchange(kernel, device, cable, 2)


def test_interface_that_was_renamed_and_deleted_is_found_by_its_first_name(kernel, device, cable):
    cable.near.ip("link", "set", "near0", "name", "other0")
    exchange(kernel, device, cable, 1)
    cable.near.ip("link", "set", "other0", "down")
    wait_until(kernel, lambda: carrier(kernel, device) == "0")
    cable.near.ip("link", "del", "other0")
    cable.plug()
    cable.far.ip("link", "set", "far0", "address", FAR_MAC)
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


def test_missing_interface_is_named_with_those_that_are_there(kernel, kind, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="no interface eth77 .*there are lo, near0"):
            kernel.open_device(f"{kind}:eth77")


def test_interface_without_ethernet_is_refused(kernel, kind, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="lo carries no Ethernet frames"):
            kernel.open_device(f"{kind}:lo")


def test_virtual_clock_is_refused(boot_one, kind):
    with pytest.raises(ValueError, match=f"An? {kind} device needs the real clock"):
        boot_one().open_device(f"{kind}:eth0")


UNPRIVILEGED = """
import os, sys, pylibos
with pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], clock="real") as kernel:
    os.setuid(65534)
    try:
        kernel.open_device(sys.argv[3] + ":near0")
    except pylibos.PylibosError as error:
        print(error)
"""


def test_missing_right_is_named(build, kind, cable):
    options = build.options
    with cable.near.entered():
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, options["kernel"], options["profile"], kind],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "(Operation not permitted): it needs CAP_NET_RAW" in done.stdout, done.stderr


@pytest.mark.parametrize("wait", ["busy", "adaptive"])
def test_world_that_polls_sees_frames_and_the_interface(build, kind, cable, wait):
    with pylibos.World("real", wait=wait) as world:
        kernel = pylibos.boot(**build.options, world=world)
        kernel.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
        device = open_device(kernel, cable, f"{kind}:near0")
        exchange(kernel, device, cable, 1)
        cable.near.ip("link", "set", "near0", "down")
        wait_until(kernel, lambda: carrier(kernel, device) == "0")
        cable.near.ip("link", "set", "near0", "up")
        wait_until(kernel, lambda: carrier(kernel, device) == "1")
        exchange(kernel, device, cable, 2)
        assert rx(device) == (2, 0)
