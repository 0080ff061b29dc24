# SPDX-License-Identifier: GPL-2.0-only
"""Devices with AF_XDP sockets: modes, queues, what is refused."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys

import pytest
from host_cable import wait_until
from interface_cases import (
    DEVICE_MAC,
    FAR_MAC,
    NEAR,
    cable,
    exchange,
    frame,
    give_addresses,
    kernel,
    make_cable,
    open_device,
    packets,
    rx,
)

import pylibos

pytestmark = pytest.mark.root


def program_of(cable):
    """The mode of the interface's XDP program as ip(8) shows it, or ""."""
    words = cable.near.ip("-o", "link", "show", "near0").split()
    return next((word for word in words if word.startswith("xdp")), "")


@pytest.mark.parametrize(
    ("mode", "shown"), [("any", "xdp"), ("native", "xdp"), ("generic", "xdpgeneric")]
)
def test_program_is_there_as_long_as_the_device(kernel, cable, mode, shown):
    device = open_device(kernel, cable, f"xdp:near0,mode={mode},copy=copy")
    assert program_of(cable) == shown
    exchange(kernel, device, cable, 1)
    device.close()
    assert program_of(cable) == ""


KILLED = """
import os, signal, sys, pylibos
kernel = pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], clock="real")
kernel.add_xdp("near0")
print("open", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_program_goes_with_a_process_that_is_killed(build, cable):
    with cable.near.entered():
        done = subprocess.run(
            [sys.executable, "-c", KILLED, *build.options.values()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("open\n", -9), done.stderr
    assert program_of(cable) == ""


LOCKED = """
import resource, sys, pylibos
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16))
with pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], clock="real") as kernel:
    try:
        kernel.add_xdp("near0")
    except pylibos.PylibosError as error:
        print(error)
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="The host has no setpriv.")
def test_limit_of_locked_memory_is_named(build, cable):
    with cable.near.entered():
        done = subprocess.run(
            [
                *("setpriv", "--bounding-set", "-ipc_lock"),
                *(sys.executable, "-c", LOCKED, *build.options.values()),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "near0 cannot share memory with the host" in done.stdout, done.stderr
    assert "raise 'ulimit -l'" in done.stdout
    assert program_of(cable) == ""


def test_zero_copy_is_refused_where_the_driver_cannot(kernel, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="near0 cannot bind a socket .* copy=any"):
            kernel.add_xdp("near0", copy="zero")
    assert program_of(cable) == ""


def test_second_device_of_a_queue_is_refused_and_the_first_goes_on(kernel, cable):
    device = open_device(kernel, cable, "xdp:near0")
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="near0 has an XDP program already"):
            kernel.add_xdp("near0")
    exchange(kernel, device, cable, 1)


def test_queue_that_is_not_there_is_refused(kernel, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="near0 cannot bind .*ethtool -l"):
            kernel.add_xdp("near0", first_queue=7)
    assert program_of(cable) == ""


def test_mtu_that_a_chunk_cannot_hold_is_refused(kernel, cable):
    with cable.near.entered():
        with pytest.raises(pylibos.PylibosError, match="at most 3822 bytes, and 3823 is too much"):
            kernel.add_xdp("near0", mtu=3823)


def test_frames_up_to_the_largest_chunk_cross(kernel, cable):
    for side in (cable.near, cable.far):
        side.ip("link", "set", side.name, "mtu", "3400")
    device = open_device(kernel, cable, "xdp:near0")
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        for number, size in enumerate([1774, 1792, 1793, 3414]):
            outside.send(frame(size, number))
            assert inside.recv(4096) == frame(size, number)
            inside.send(frame(size, number, FAR_MAC, DEVICE_MAC))
            assert outside.recv(4096) == frame(size, number, FAR_MAC, DEVICE_MAC)


def test_frame_longer_than_a_chunk_is_dropped_and_counted(kernel, cable):
    for side in (cable.near, cable.far):
        side.ip("link", "set", side.name, "mtu", "3400")
    device = open_device(kernel, cable, "xdp:near0", mtu=1500)
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        outside.send(frame(1793, 1))
        outside.send(frame(1792, 2))
        assert inside.recv(4096) == frame(1792, 2)
    assert rx(device) == (1, 1)


def test_busy_polled_device_works(kernel, cable):
    device = open_device(kernel, cable, "xdp:near0,busy_poll_us=20")
    exchange(kernel, device, cable, 1)


def test_queues_are_those_of_the_interface(kernel):
    with make_cable(queues=3) as cable:
        cable.far.ip("link", "set", "far0", "address", FAR_MAC)
        device = open_device(kernel, cable, "xdp:near0,queues=2,first_queue=1")
        with packets(kernel, device) as inside, cable.near.packets() as host:
            with cable.far.packets() as outside:
                for number in range(20):
                    inside.send(frame(60, number, FAR_MAC, DEVICE_MAC))
                for number in range(20):
                    assert outside.recv(100) == frame(60, number, FAR_MAC, DEVICE_MAC)
                for number in range(200):
                    outside.send(frame(60, number))
            ours, theirs = set(), set()
            wait_until(kernel, lambda: device.stats().rx_frames > 0)
            inside.settimeout(0)
            host.settimeout(0)
            for sock, got in ((inside, ours), (host, theirs)):
                while True:
                    try:
                        got.add(sock.recv(100))
                    except BlockingIOError:
                        break
        assert ours | theirs == {frame(60, number) for number in range(200)}
        assert not ours & theirs


@pytest.fixture
def listener(kernel):
    with kernel.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 9))
        yield sock


def send_datagram(kernel, cable, spec):
    device = open_device(kernel, cable, spec)
    give_addresses(kernel, device, cable)
    with cable.far.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.sendto(b"x" * 100, (NEAR, 9))
        wait_until(kernel, lambda: kernel.counters()["IpInDelivers"] == 1)


def test_checksum_that_a_veth_left_open_is_accepted(kernel, cable, listener):
    send_datagram(kernel, cable, "xdp:near0")
    assert listener.recv(200) == b"x" * 100
    assert kernel.counters()["UdpInCsumErrors"] == 0


def test_open_checksum_is_an_error_if_it_is_not_to_be_finished(kernel, cable, listener):
    send_datagram(kernel, cable, "xdp:near0,finish_checksums=0")
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.recv(200)
    assert kernel.counters()["UdpInCsumErrors"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ring_frames": 0}, "ring_frames is 1 to 32768, not 0"),
        ({"mode": "best"}, "mode is one of any, native, generic"),
        ({"copy": "none"}, "copy is one of any, copy, zero"),
        ({"busy_poll_us": -1}, "busy_poll_us is 0 to 1000000"),
        ({"first_queue": -1}, "first_queue is 0 to 65535"),
        ({"take_mac": True, "mac": DEVICE_MAC}, "give one of them"),
    ],
)
def test_wrong_argument_is_refused(boot_one, options, message):
    with pytest.raises(ValueError, match=message):
        boot_one(clock="real").add_xdp("eth0", **options)
