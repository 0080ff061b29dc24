# SPDX-License-Identifier: GPL-2.0-only
"""UNIX sockets as devices: another process at the other end, honest or not."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from device_peer import attach, echo, peer, wait_for_carrier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibos

MAC = "02:00:00:00:00:01"
SOCKET_TYPES = {
    "seqpacket": socket.SOCK_SEQPACKET,
    "stream": socket.SOCK_STREAM,
    "dgram": socket.SOCK_DGRAM,
}
# To the kernel's address, of a protocol that nobody knows.
FRAME = bytes.fromhex("020000000001 020000000002 88b5") + bytes(range(50))


def specs(kind, folder, vnet_hdr):
    """Specs of this end and of the other one."""
    a, b = folder / "a", folder / "b"
    if kind == "dgram":
        ours, theirs = f"unix:{a},type=dgram,peer={b}", f"unix:{b},type=dgram,peer={a}"
    else:
        ours, theirs = f"unix:{a},type={kind},listen=1", f"unix:{a},type={kind}"
    return f"{ours},vnet_hdr={vnet_hdr}", f"{theirs},vnet_hdr={vnet_hdr}"


@pytest.mark.parametrize("vnet_hdr", [0, 1])
@pytest.mark.parametrize("kind", SOCKET_TYPES)
def test_kernels_of_two_processes_talk(boot_one, one_build, tmp_path, kind, vnet_hdr):
    ours, theirs = specs(kind, tmp_path, vnet_hdr)
    kernel = boot_one(clock="real")
    device = kernel.open_device(ours)
    assert not device.carrier
    attach(kernel, device, "10.8.0.1/24")
    with peer(theirs, "10.8.0.2/24", one_build):
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 3_000_001)
    stats = device.stats()
    assert stats.tx_bytes > 3_000_000
    assert stats.rx_bytes > 3_000_000
    # Segments cross whole just when there is a header to say so.
    assert (stats.tx_bytes / stats.tx_frames > 1514) == bool(vnet_hdr)


@pytest.mark.parametrize("kind", ["seqpacket", "stream"])
@pytest.mark.parametrize("listening", [True, False])
def test_peer_that_dies_pulls_the_cable_out_until_another_comes(
    boot_one, one_build, tmp_path, kind, listening
):
    ours, theirs = specs(kind, tmp_path, 0)
    if not listening:
        ours, theirs = theirs, ours
    kernel = boot_one(clock="real")
    device = kernel.open_device(ours)
    attach(kernel, device, "10.8.0.1/24")
    for _ in range(2):
        with peer(theirs, "10.8.0.2/24", one_build) as other:
            wait_for_carrier(kernel, device, up=True)
            echo(kernel, "10.8.0.2", 1000)
            other.kill()
            wait_for_carrier(kernel, device, up=False)
    assert device.problem == f"The peer of {device.name} is gone."


def test_datagrams_that_are_refused_pull_the_cable_out(boot_one, one_build, tmp_path):
    ours, theirs = specs("dgram", tmp_path, 0)
    kernel = boot_one(clock="real")
    device = kernel.open_device(ours)
    attach(kernel, device, "10.8.0.1/24")
    with peer(theirs, "10.8.0.2/24", one_build) as other:
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 1000)
        other.kill()
        with kernel.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"?", ("10.8.0.2", 9))
        wait_for_carrier(kernel, device, up=False)
    with peer(theirs, "10.8.0.2/24", one_build):
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 1000)


# --- One end is a plain socket of the test ---


@pytest.fixture
def joined(boot_one):
    """A function that joins a kernel to a plain socket."""
    sockets = []

    def join(kind, **options):
        ours, theirs = socket.socketpair(socket.AF_UNIX, SOCKET_TYPES[kind])
        kernel = boot_one(clock="real")
        with ours:
            device = kernel.add_unix(type=kind, fd=ours.fileno(), mac=MAC, **options)
        attach(kernel, device, "10.8.0.1/24")
        theirs.settimeout(20)
        sockets.append(theirs)
        return kernel, device, theirs

    yield join
    for sock in sockets:
        sock.close()


def feed(kernel, wire, packets):
    """Write packets while the kernel takes them out at the other end."""
    wire.setblocking(False)
    deadline_ns = kernel.world.now_ns + 20 * 10**9
    for data in packets:
        while data:
            assert kernel.world.now_ns < deadline_ns
            try:
                data = data[wire.send(data) :]
            except BlockingIOError:
                kernel.world.run_for(0)


def run_until_counted(kernel, device, counter, value):
    deadline_ns = kernel.world.now_ns + 20 * 10**9
    while getattr(device.stats(), counter) < value:
        assert kernel.world.now_ns < deadline_ns, device.stats()
        kernel.world.run_for(100_000)
    assert getattr(device.stats(), counter) == value


def test_stream_has_lengths_in_network_order(joined):
    kernel, _, wire = joined("stream")
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("10.8.0.2", 9))
        sock.send(b"x")
    (length,) = struct.unpack("!I", wire.recv(4, socket.MSG_WAITALL))
    frame = wire.recv(length, socket.MSG_WAITALL)
    assert frame[6:12] == bytes.fromhex(MAC.replace(":", ""))
    assert length >= 42


@pytest.mark.parametrize("piece", [1, 3, 7, 100])
def test_frames_of_a_stream_may_come_in_any_pieces(joined, piece):
    kernel, device, wire = joined("stream")
    data = (struct.pack("!I", len(FRAME)) + FRAME) * 20
    for start in range(0, len(data), piece):
        wire.sendall(data[start : start + piece])
        kernel.world.run_for(0)
    run_until_counted(kernel, device, "rx_frames", 20)
    assert device.stats().rx_bytes == 20 * len(FRAME)


@pytest.mark.parametrize("kind", SOCKET_TYPES)
def test_frames_that_cannot_be_are_counted_and_left_out(joined, kind):
    kernel, device, wire = joined(kind)
    head = (lambda data: struct.pack("!I", len(data)) + data) if kind == "stream" else bytes
    frames = [FRAME, FRAME[:13], FRAME, b"x", bytes(65000), FRAME]
    feed(kernel, wire, map(head, frames))
    # A stream brings long frames as virtio_net does; a datagram must fit the MTU.
    bad = 2 if kind == "stream" else 3
    run_until_counted(kernel, device, "rx_dropped", bad)
    run_until_counted(kernel, device, "rx_frames", 6 - bad)
    assert device.carrier


def test_frames_are_whole_whatever_does_not_fit_in_the_buffers(joined):
    kernel, device, wire = joined("seqpacket", vnet_hdr=True, mtu=9000)
    sizes = [60, 9014, 4096, 4097, 14, 8192, 65535, 8193, 100]
    feed(kernel, wire, (bytes(12) + (FRAME + bytes(size))[:size] for size in sizes * 3))
    run_until_counted(kernel, device, "rx_frames", 3 * len(sizes))
    assert device.stats().rx_bytes == 3 * sum(sizes)


@pytest.mark.parametrize("kind", ["seqpacket", "stream"])
def test_peer_that_does_not_read_gets_all_frames_whole_later(joined, kind):
    kernel, device, wire = joined(kind)
    with kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device.name, 0))
        sock.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(FRAME + struct.pack("!I", sent) + bytes(1000))
                sent += 1
    assert sent > 1000
    wire.setblocking(False)
    numbers, buffer = [], bytearray()
    deadline_ns = kernel.world.now_ns + 20 * 10**9
    while len(numbers) < sent:
        assert kernel.world.now_ns < deadline_ns
        kernel.world.run_for(0)
        try:
            data = wire.recv(1 << 20)
        except BlockingIOError:
            continue
        buffer += data if kind == "stream" else struct.pack("!I", len(data)) + data
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


@pytest.mark.parametrize("length", [0xFFFFFFFF, 65536 + 18 + 1])
def test_length_that_no_frame_has_ends_the_connection(joined, length):
    kernel, device, wire = joined("stream")
    wire.sendall(struct.pack("!I", len(FRAME)) + FRAME + struct.pack("!I", length))
    wait_for_carrier(kernel, device, up=False)
    assert device.stats().rx_frames == 1
    assert device.problem == (
        f"The peer sent a frame of {length} bytes, which can be none: it speaks another protocol."
    )
    assert wire.recv(1 << 20) is not None
    assert kernel.syscall("getpid") > 0


@pytest.fixture(scope="module")
def attacked():
    from kernel_builds import main_builds

    with pylibos.boot(clock="real", **main_builds()[0].options) as kernel:
        yield kernel


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(list(SOCKET_TYPES)),
    st.booleans(),
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=200),
            st.binary(max_size=60).map(lambda data: struct.pack("!I", 12 + len(FRAME)) + data),
            st.binary(min_size=12, max_size=12).map(
                lambda head: struct.pack("!I", len(head + FRAME)) + head + FRAME
            ),
            st.binary(min_size=12, max_size=12).map(lambda head: head + FRAME),
        ),
        max_size=30,
    ),
)
def test_garbage_of_a_peer_does_no_harm(attacked, kind, vnet_hdr, packets):
    ours, theirs = socket.socketpair(socket.AF_UNIX, SOCKET_TYPES[kind])
    with ours, theirs:
        device = attacked.add_unix(type=kind, fd=ours.fileno(), vnet_hdr=vnet_hdr, mac=MAC)
        attach(attacked, device, "10.8.0.1/24")
        theirs.setblocking(False)
        for data in packets:
            theirs.send(data)
        attacked.world.run_for(0)
        stats = device.stats()
        assert stats.rx_frames + stats.rx_dropped <= sum(map(len, packets))
        device.close()
    assert attacked.syscall("getpid") > 0


# --- Files ---


@pytest.mark.parametrize("kind", SOCKET_TYPES)
def test_file_of_a_dead_process_is_replaced_and_ours_is_removed(boot_one, tmp_path, kind):
    ours, _ = specs(kind, tmp_path, 0)
    path = tmp_path / "a"
    with socket.socket(socket.AF_UNIX, SOCKET_TYPES[kind]) as dead:
        dead.bind(str(path))
    device = boot_one(clock="real").open_device(ours)
    assert path.is_socket()
    device.close()
    assert not path.exists()


@pytest.mark.parametrize("kind", SOCKET_TYPES)
def test_socket_that_is_in_use_is_refused(boot_one, tmp_path, kind):
    ours, _ = specs(kind, tmp_path, 0)
    boot_one(clock="real").open_device(ours)
    with pytest.raises(pylibos.PylibosError, match=r"The socket .*/a cannot be .*in use"):
        boot_one(clock="real").open_device(ours)
    assert (tmp_path / "a").is_socket()


def test_abstract_names_leave_no_file(boot_one, one_build, tmp_path):
    kernel = boot_one(clock="real")
    device = kernel.add_unix(f"@{tmp_path}", listen=True)
    attach(kernel, device, "10.8.0.1/24")
    with peer(f"unix:@{tmp_path}", "10.8.0.2/24", one_build):
        echo(kernel, "10.8.0.2", 100)


def test_what_is_no_socket_is_refused(boot_one, tmp_path):
    kernel = boot_one(clock="real")
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(pylibos.PylibosError, match="is no UNIX socket of this type"):
            kernel.add_unix(fd=file.fileno())
        with pytest.raises(pylibos.PylibosError, match=r"/none/there cannot be listened at"):
            kernel.add_unix("/none/there", listen=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a path, or a descriptor"),
        ({"path": "x", "fd": 3}, "goes with no path or listen"),
        ({"path": "x", "type": "raw"}, "of type dgram, seqpacket, stream, not 'raw'"),
        ({"path": "x", "type": "dgram"}, "names its own path and its peer's"),
        ({"path": "x", "peer": "y"}, "a seqpacket socket has one path"),
        ({"path": "x" * 108}, "at most 107 bytes, not 108"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(boot_one, arguments, message):
    kernel = boot_one(clock="real")
    with pytest.raises(ValueError, match=message):
        kernel.add_unix(**arguments)


def test_virtual_time_is_refused(kernel, tmp_path):
    with pytest.raises(ValueError, match="boot with clock='real'"):
        kernel.add_unix(tmp_path / "a", listen=True)
