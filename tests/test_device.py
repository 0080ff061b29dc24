# SPDX-License-Identifier: GPL-2.0-only
"""Devices that Python serves: frames out, frames in, valid and hostile ones."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibos
from pylibos import _netlink

MAC = "02:00:00:00:00:01"
PEER = bytes.fromhex("020000000002")


class Wire:
    """Takes frames, and answers for a host at 10.9.0.2."""

    def __init__(self):
        self.frames = []

    def transmit(self, frame):
        self.frames.append(bytes(frame))


@pytest.fixture
def wire(kernel):
    wire = Wire()
    device = kernel.add_device(wire, name="wire0", mac=MAC)
    device.up()
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface("10.9.0.1/24"))
    wire.device = device
    return wire


def arp_reply():
    header = bytes.fromhex("020000000001") + PEER + b"\x08\x06"
    body = struct.pack("!HHBBH", 1, 0x800, 6, 4, 2) + PEER + socket.inet_aton("10.9.0.2")
    return header + body + bytes.fromhex("020000000001") + socket.inet_aton("10.9.0.1")


def udp_frame(payload, port=9):
    udp = struct.pack("!HHHH", 99, port, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    ip += socket.inet_aton("10.9.0.2") + socket.inet_aton("10.9.0.1")
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~total & 0xFFFF) + ip[12:]
    return bytes.fromhex("020000000001") + PEER + b"\x08\x00" + ip + udp


def test_frames_leave_through_the_callback(kernel, wire):
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"out", ("10.9.0.2", 9))
        kernel.world.run_for(0)
        requests = [frame for frame in wire.frames if frame[12:14] == b"\x08\x06"]
        assert requests
        wire.device.inject(arp_reply())
        kernel.world.run_for(1_000_000)
    sent = [frame for frame in wire.frames if frame[12:14] == b"\x08\x00"]
    assert sent
    assert sent[0].endswith(b"out")
    assert sent[0][:6] == PEER


def test_frames_arrive_through_inject(kernel, wire):
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("10.9.0.1", 9))
        wire.device.inject(udp_frame(b"in"))
        assert sock.recvfrom(100) == (b"in", ("10.9.0.2", 99))
    stats = wire.device.stats()
    assert stats.rx_frames >= 1
    assert stats.rx_bytes >= len(udp_frame(b"in"))


def test_plain_callable_is_a_device(kernel):
    frames = []
    device = kernel.add_device(lambda frame: frames.append(bytes(frame)))
    device.up()
    kernel.world.run_for(10**10)
    assert frames  # multicast listener reports and router solicitations
    assert device.name == "eth0"


def test_frame_is_void_after_its_call(kernel):
    kept = []
    device = kernel.add_device(kept.append)
    device.up()
    kernel.world.run_for(10**10)
    with pytest.raises(ValueError, match="released"):
        bytes(kept[0])


def test_error_of_a_device_comes_out_of_the_run(kernel):
    def broken(frame):
        raise RuntimeError("the wire is cut")

    device = kernel.add_device(broken)

    def run():
        device.up()
        kernel.world.run_for(10**10)

    with pytest.raises(RuntimeError, match="the wire is cut"):
        run()
    assert kernel.syscall("getpid") > 0


def test_object_that_is_no_device_is_refused(kernel):
    with pytest.raises(TypeError, match="A device is a callable that takes a frame"):
        kernel.add_device(7)


@pytest.mark.parametrize("mac", ["01:00:00:00:00:01", "02:00", b"\x02", "zz:00:00:00:00:01"])
def test_senseless_hardware_addresses_are_refused(kernel, mac):
    with pytest.raises(ValueError, match="six bytes|non-hexadecimal"):
        kernel.add_device(print, mac=mac)


def test_name_that_is_taken_is_refused(kernel):
    kernel.add_device(lambda frame: None, name="twice")
    with pytest.raises((OSError, pylibos.PylibosError), match="exist|EEXIST|-17"):
        kernel.add_device(lambda frame: None, name="twice")


def test_hardware_address_and_mtu_are_as_asked(kernel):
    kernel.add_device(lambda frame: None, name="x0", mac=MAC, mtu=9000)
    assert kernel.read_text("/sys/class/net/x0/address").strip() == MAC
    assert kernel.read_text("/sys/class/net/x0/mtu").strip() == "9000"


def test_device_can_be_removed(kernel, wire):
    wire.device.close()
    wire.device.close()
    assert "wire0" not in [name for _, name in kernel.if_nameindex()]
    with pytest.raises(pylibos.PylibosError, match="wire0 is gone"):
        wire.device.stats()


def test_carrier_follows_the_cable(kernel, wire):
    wire.device.set_carrier(False)
    kernel.world.run_for(10**9)
    assert kernel.read_text("/sys/class/net/wire0/carrier").strip() == "0"
    wire.device.set_carrier(True)
    kernel.world.run_for(10**9)
    assert kernel.read_text("/sys/class/net/wire0/carrier").strip() == "1"


def test_frames_of_impossible_sizes_are_refused(kernel, wire):
    with pytest.raises(OSError, match="Invalid argument"):
        wire.device.inject(b"short")
    with pytest.raises(OSError, match="Message too long"):
        wire.device.inject(bytes(200_000))


def test_flood_of_frames_is_taken(kernel, wire):
    frame = udp_frame(b"x")
    for _ in range(10_000):
        wire.device.inject(frame)
    kernel.world.run_for(0)
    stats = wire.device.stats()
    assert stats.rx_frames == 10_000
    assert stats.rx_dropped == 0


def test_flood_from_within_a_callback_runs_out_of_buffers(kernel):
    errors = []

    def answer(frame):
        try:
            for _ in range(10_000):
                device.inject(udp_frame(b"x"))
        except OSError as error:
            errors.append(error.strerror)

    device = kernel.add_device(answer)
    device.up()
    kernel.world.run_for(10**10)
    assert errors[0] == "No buffer space available"
    assert kernel.syscall("getpid") > 0


def test_tap_needs_the_real_clock(kernel):
    with pytest.raises(ValueError, match="boot with clock='real'"):
        kernel.add_tap()


headers = st.sampled_from(
    [b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00", b"\x88\x47", b"\x00\x10", b"\xff\xff"]
)
to = st.sampled_from([bytes.fromhex("020000000001"), b"\xff" * 6, bytes.fromhex("3333000000fb")])
starts = st.sampled_from([b"", b"\x45\x00", b"\x4f\xff", b"\x60\x00\x00\x00", b"\x65", b"\x00" * 8])


@pytest.fixture(scope="module")
def attacked():
    """A kernel that lives through all hostile frames."""
    from kernel_builds import main_builds

    found = main_builds()
    if not found:
        pytest.fail("No kernel is built; run 'make liblinux.so'.")
    with pylibos.boot(**found[0].options) as kernel:
        wire = Wire()
        device = kernel.add_device(wire, name="wire0", mac=MAC)
        device.up()
        for address in ("10.9.0.1/24", "fd09::1/64"):
            _netlink.add_address(kernel, device.index, ipaddress.ip_interface(address))
        servers = [
            kernel.create_server(("", 80)),
            kernel.create_server(("", 80), family=socket.AF_INET6),
        ]
        yield kernel, device
        for server in servers:
            server.close()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(to, headers, starts, st.binary(max_size=1600)), min_size=1, max_size=8))
def test_hostile_frames_do_no_harm(attacked, frames):
    kernel, device = attacked
    for target, kind, start, rest in frames:
        device.inject(target + PEER + kind + start + rest)
    kernel.world.run_for(1_000_000)
    assert kernel.syscall("getpid") > 0


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 255),
    st.binary(min_size=0, max_size=200),
    st.integers(0, 0xFFFF),
    st.integers(5, 15),
)
def test_hostile_transport_headers_do_no_harm(attacked, protocol, payload, fragment, words):
    kernel, device = attacked
    ip = struct.pack("!BBHHHBBH", 0x40 | words, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    ip += socket.inet_aton("10.9.0.2") + socket.inet_aton("10.9.0.1")
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + ip[12:]
    device.inject(bytes.fromhex("020000000001") + PEER + b"\x08\x00" + ip + payload)
    kernel.world.run_for(1_000_000)
    assert kernel.syscall("getpid") > 0
