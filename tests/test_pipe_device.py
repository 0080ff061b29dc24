# SPDX-License-Identifier: GPL-2.0-only
"""Pipes as devices: another process at the other end, honest or not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct

import pytest
from device_peer import attach, echo, peer, wait_for_carrier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibos

MAC = "02:00:00:00:00:01"
FRAME = bytes.fromhex("020000000001 020000000002 88b5") + bytes(range(50))


@pytest.mark.parametrize("vnet_hdr", [0, 1])
def test_kernels_of_two_processes_talk(boot_one, one_build, tmp_path, vnet_hdr):
    kernel = boot_one(clock="real")
    device = kernel.open_device(f"pipe:in={tmp_path}/a,out={tmp_path}/b,vnet_hdr={vnet_hdr}")
    assert not device.carrier
    attach(kernel, device, "10.8.0.1/24")
    with peer(
        f"pipe:in={tmp_path}/b,out={tmp_path}/a,vnet_hdr={vnet_hdr}", "10.8.0.2/24", one_build
    ):
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 3_000_001)
    stats = device.stats()
    assert stats.tx_bytes > 3_000_000
    assert stats.rx_bytes > 3_000_000
    assert (stats.tx_bytes / stats.tx_frames > 1514) == bool(vnet_hdr)


def test_peer_that_dies_pulls_the_cable_out_until_another_comes(boot_one, one_build, tmp_path):
    kernel = boot_one(clock="real")
    device = kernel.open_device(f"pipe:in={tmp_path}/a,out={tmp_path}/b")
    attach(kernel, device, "10.8.0.1/24")
    for _ in range(2):
        with peer(f"pipe:in={tmp_path}/b,out={tmp_path}/a", "10.8.0.2/24", one_build) as other:
            wait_for_carrier(kernel, device, up=True)
            echo(kernel, "10.8.0.2", 1000)
            other.kill()
            wait_for_carrier(kernel, device, up=False)
    assert device.problem == f"The peer of {device.name} is gone."


class Wire:
    """The other ends of a kernel's pipes."""

    def __init__(self, kernel, **options):
        self.kernel = kernel
        theirs_in, self.out = os.pipe()
        self.incoming, theirs_out = os.pipe()
        self.device = kernel.add_pipe(in_fd=theirs_in, out_fd=theirs_out, mac=MAC, **options)
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self.incoming, False)
        os.set_blocking(self.out, False)
        attach(kernel, self.device, "10.8.0.1/24")

    def close(self):
        for fd in (self.incoming, self.out):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def wire(boot_one):
    made = Wire(boot_one(clock="real"))
    yield made
    made.close()


@pytest.mark.parametrize("piece", [1, 5, 64, 100])
def test_frames_may_come_in_any_pieces(wire, piece):
    data = (struct.pack("!I", len(FRAME)) + FRAME) * 20
    for start in range(0, len(data), piece):
        os.write(wire.out, data[start : start + piece])
        wire.kernel.world.run_for(0)
    stats = wire.device.stats()
    assert (stats.rx_frames, stats.rx_bytes) == (20, 20 * len(FRAME))


def test_full_pipe_tears_no_frame(wire):
    kernel, device = wire.kernel, wire.device
    sent = 0
    with kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device.name, 0))
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(FRAME + struct.pack("!I", sent) + bytes(1000))
                sent += 1
    assert device.stats().tx_frames < sent
    numbers, buffer = [], bytearray()
    deadline_ns = kernel.world.now_ns + 20 * 10**9
    while len(numbers) < sent:
        assert kernel.world.now_ns < deadline_ns
        kernel.world.run_for(0)
        with contextlib.suppress(BlockingIOError):
            buffer += os.read(wire.incoming, 4099)
        while len(buffer) >= 4:
            (length,) = struct.unpack_from("!I", buffer)
            if len(buffer) < 4 + length:
                break
            frame = bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]
            if frame.startswith(FRAME):
                assert length == len(FRAME) + 1004
                numbers.append(struct.unpack_from("!I", frame, len(FRAME))[0])
    assert numbers == list(range(sent))
    assert device.stats().tx_dropped == 0


@pytest.fixture
def deadly_signal():
    """SIGPIPE ends this process, as it does in a program in C."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 65536 + 18 + 1])
def test_length_that_no_frame_has_pulls_the_cable_out(wire, length):
    os.write(wire.out, struct.pack("!I", len(FRAME)) + FRAME + struct.pack("!I", length))
    wire.kernel.world.run_for(0)
    assert not wire.device.carrier
    assert (wire.device.stats().rx_frames, wire.device.stats().rx_dropped) == (1, 1)
    assert wire.device.problem == (
        f"The peer sent a frame of {length} bytes, which can be none: it speaks another protocol."
    )


@pytest.mark.usefixtures("deadly_signal")
def test_reader_that_is_gone_raises_no_signal_and_pulls_the_cable_out(wire):
    os.close(wire.incoming)
    with wire.kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((wire.device.name, 0))
        sock.send(FRAME)
    wait_for_carrier(wire.kernel, wire.device, up=False)
    assert wire.device.problem == f"The peer of {wire.device.name} is gone."


def test_writer_that_is_gone_pulls_the_cable_out(wire):
    os.write(wire.out, struct.pack("!I", len(FRAME)) + FRAME)
    os.close(wire.out)
    wait_for_carrier(wire.kernel, wire.device, up=False)
    assert wire.device.stats().rx_frames == 1


@pytest.fixture(scope="module")
def attacked():
    from kernel_builds import main_builds

    with pylibos.boot(clock="real", **main_builds()[0].options) as kernel:
        yield kernel


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.booleans(),
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.binary(min_size=12, max_size=12).map(
                lambda head: struct.pack("!I", len(head + FRAME)) + head + FRAME
            ),
        ),
        max_size=20,
    ),
)
def test_garbage_of_a_peer_does_no_harm(attacked, vnet_hdr, pieces):
    wire = Wire(attacked, vnet_hdr=vnet_hdr)
    try:
        for data in pieces:
            with contextlib.suppress(BrokenPipeError):
                os.write(wire.out, data)
            attacked.world.run_for(0)
    finally:
        wire.device.close()
        wire.close()
    assert attacked.syscall("getpid") > 0


def test_what_is_no_pipe_is_refused(boot_one, tmp_path):
    kernel = boot_one(clock="real")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(pylibos.PylibosError, match=r"The FIFO .*/file cannot be used"):
        kernel.add_pipe(tmp_path / "file", tmp_path / "b")
    with pytest.raises(pylibos.PylibosError, match=r"The FIFO /none/a cannot be used \(No such"):
        kernel.add_pipe("/none/a", "/none/b")
    readable, writable = os.pipe()
    with pytest.raises(pylibos.PylibosError, match="no end of a pipe that can be written"):
        kernel.add_pipe(in_fd=readable, out_fd=readable)
    os.close(readable)
    os.close(writable)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs two FIFOs, or two descriptors"),
        ({"in_path": "a"}, "needs two FIFOs, or two descriptors"),
        ({"in_path": "a", "out_path": "b", "in_fd": 1, "out_fd": 2}, "needs two FIFOs"),
        ({"in_path": "a", "out_path": "a"}, "reads another FIFO than the one that it writes"),
        ({"in_path": "a", "out_path": "b" * 256}, "at most 255 bytes, not 256"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(boot_one, arguments, message):
    with pytest.raises(ValueError, match=message):
        boot_one(clock="real").add_pipe(**arguments)


def test_virtual_time_is_refused(kernel):
    with pytest.raises(ValueError, match="boot with clock='real'"):
        kernel.add_pipe("a", "b")
