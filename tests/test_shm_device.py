# SPDX-License-Identifier: GPL-2.0-only
"""Memory shared between processes as a device: another process at the other end, honest or not."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import struct

import pytest
from device_peer import attach, echo, peer, wait_for_carrier
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibos

MAC = "02:00:00:00:00:01"
FRAME = bytes.fromhex("020000000001 020000000002 88b5") + bytes(range(50))
# host/shm_ring.h, host/shm.c
HELLO = struct.Struct("=QII")
MAGIC, VERSION = 0x314D48534C50, 1
RING_BYTES, DATA_OFFSET = 1 << 17, 4096
CONTROL = (64, 64 + 256)
HEAD, WANT_ROOM, TAIL, WANT_FRAMES = 0, 64, 128, 192
RECORD = struct.Struct("=IBBHHHHH")
GREETING = HELLO.pack(MAGIC, VERSION, RING_BYTES)
SKIP = 0xFFFFFFFF


@pytest.mark.parametrize("offload", [0, 1])
def test_kernels_of_two_processes_talk(boot_one, one_build, tmp_path, offload):
    kernel = boot_one(clock="real")
    device = kernel.open_device(f"shm:{tmp_path}/a,listen=1,offload={offload}")
    assert not device.carrier
    attach(kernel, device, "10.8.0.1/24")
    with peer(f"shm:{tmp_path}/a,offload={offload}", "10.8.0.2/24", one_build):
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 10_000_001)
    stats = device.stats()
    assert stats.tx_bytes > 10_000_000
    assert stats.rx_bytes > 10_000_000
    assert (stats.tx_bytes / stats.tx_frames > 1514) == bool(offload)


def test_small_rings_carry_large_segments(boot_one, one_build, tmp_path):
    kernel = boot_one(clock="real")
    device = kernel.open_device(f"shm:{tmp_path}/a,listen=1,ring_kib=128", mtu=9000)
    attach(kernel, device, "10.8.0.1/24")
    with peer(f"shm:{tmp_path}/a", "10.8.0.2/24", one_build):
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 10_000_001)


@pytest.mark.parametrize("wait", ["busy", "adaptive"])
def test_worlds_that_poll_talk(boot_one, one_build, tmp_path, wait):
    with pylibos.World(clock="real", wait=wait) as world:
        kernel = boot_one(world=world)
        device = kernel.open_device(f"shm:{tmp_path}/a,listen=1")
        attach(kernel, device, "10.8.0.1/24")
        with peer(f"shm:{tmp_path}/a", "10.8.0.2/24", one_build) as other:
            wait_for_carrier(kernel, device, up=True)
            echo(kernel, "10.8.0.2", 1_000_000)
            other.kill()
            wait_for_carrier(kernel, device, up=False)
        kernel.halt()


@pytest.mark.parametrize("listening", [True, False])
def test_peer_that_dies_pulls_the_cable_out_until_another_comes(
    boot_one, one_build, tmp_path, listening
):
    ours, theirs = f"shm:{tmp_path}/a,listen=1", f"shm:{tmp_path}/a"
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


def test_two_kernels_of_one_process_talk(boot_one):
    with pylibos.World(clock="real") as world:
        a, b = boot_one(world=world), boot_one(world=world)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            one = a.add_shm(fd=ours.fileno(), listen=True)
            other = b.add_shm(fd=theirs.fileno())
        attach(a, one, "10.8.0.1/24")
        attach(b, other, "10.8.0.2/24")
        wait_for_carrier(a, one, up=True)
        wait_for_carrier(b, other, up=True)
        with b.create_server(("", 7)) as server:
            with a.create_connection(("10.8.0.2", 7), timeout=20) as sock:
                connection, _ = server.accept()
                with connection:
                    sock.sendall(b"over memory")
                    assert connection.recv(100) == b"over memory"
        b.halt()
        a.halt()


# --- The test is the other end ---


class Liar:
    """The end that made the memory, and writes into it whatever it likes."""

    def __init__(self, kernel, *, seals=fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW, extra=0):
        self.kernel = kernel
        theirs, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        size = DATA_OFFSET + 2 * RING_BYTES
        fd = os.memfd_create("liar", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size + extra)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        self.memory = mmap.mmap(fd, size)
        with theirs:
            self.device = kernel.add_shm(fd=theirs.fileno(), mac=MAC)
        attach(kernel, self.device, "10.8.0.1/24")
        self.fd = fd

    def greet(self, hello=GREETING, *, fds=True):
        if fds:
            socket.send_fds(self.socket, [hello], [self.fd])
        else:
            self.socket.send(hello)

    def join(self):
        self.greet()
        wait_for_carrier(self.kernel, self.device, up=True)
        assert self.socket.recv(100) == HELLO.pack(MAGIC, VERSION, RING_BYTES)

    def put(self, offset, form, value):
        struct.pack_into(form, self.memory, offset, value)

    def get(self, offset, form):
        return struct.unpack_from(form, self.memory, offset)[0]

    def write(self, offset, *record, data=b""):
        at = DATA_OFFSET + offset
        packed = RECORD.pack(*record) + data
        self.memory[at : at + len(packed)] = packed

    def publish(self, head):
        """Move the head of the ring that the kernel reads, and ring the doorbell."""
        self.put(CONTROL[0] + HEAD, "=Q", head)
        with contextlib.suppress(OSError):
            self.socket.send(b"", socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
            self.socket.send(b"!", socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)

    def close(self):
        self.device.close()
        self.memory.close()
        self.socket.close()
        os.close(self.fd)


@pytest.fixture
def lie(boot_one):
    """A function that makes a Liar."""
    liars = []

    def make(**options):
        liars.append(Liar(boot_one(clock="real"), **options))
        return liars[-1]

    yield make
    for liar in liars:
        liar.close()


def record(size):
    return (size, 0, 0, 0, 0, 0, 0, 0)


def test_frame_in_the_memory_arrives(lie):
    liar = lie()
    liar.join()
    liar.write(0, *record(len(FRAME)), data=FRAME)
    liar.publish(80)
    deadline_ns = liar.kernel.world.now_ns + 20 * 10**9
    while liar.get(CONTROL[0] + TAIL, "=Q") != 80:
        assert liar.kernel.world.now_ns < deadline_ns
        liar.kernel.world.run_for(100_000)
    assert (liar.device.stats().rx_frames, liar.device.stats().rx_bytes) == (1, len(FRAME))
    assert liar.get(CONTROL[0] + WANT_FRAMES, "=I") == 1


@pytest.mark.parametrize(
    ("head", "first"),
    [
        (RING_BYTES + 16, record(64)),  # more than there can be
        (2**64 - 16, record(64)),
        (24, record(64)),  # in the middle of something
        (16, record(64)),  # a record that goes on behind the head
        (RING_BYTES, record(0xFFFFFFF0)),
        (RING_BYTES, record(65536 + 23)),
        (32, record(SKIP)),  # to where nothing was written
    ],
)
def test_positions_and_lengths_that_cannot_be_end_the_connection(lie, head, first):
    liar = lie()
    liar.join()
    liar.write(0, *first)
    liar.publish(head)
    wait_for_carrier(liar.kernel, liar.device, up=False)
    assert liar.device.problem.endswith("has written into the shared memory what cannot be.")
    assert liar.device.stats().rx_frames == 0


def test_reader_that_is_ahead_of_the_writer_ends_the_connection(lie):
    liar = lie()
    liar.join()
    liar.put(CONTROL[1] + TAIL, "=Q", 1 << 40)
    with liar.kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((liar.device.name, 0))
        # The tail is looked at when the ring seems to be full.
        for _ in range(2 * RING_BYTES // 1500):
            sock.send(FRAME + bytes(1400))
    wait_for_carrier(liar.kernel, liar.device, up=False)


def test_full_ring_holds_frames_back_and_loses_none(lie):
    liar = lie()
    liar.join()
    kernel, device = liar.kernel, liar.device
    with kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device.name, 0))
        for number in range(200):
            sock.send(FRAME + struct.pack("=I", number) + bytes(1000))
    assert device.stats().tx_frames < 200
    assert liar.get(CONTROL[1] + WANT_ROOM, "=I") == 1
    numbers, tail = [], 0
    deadline_ns = kernel.world.now_ns + 20 * 10**9
    while len(numbers) < 200:
        assert kernel.world.now_ns < deadline_ns
        while tail != liar.get(CONTROL[1] + HEAD, "=Q"):
            at = tail % RING_BYTES
            size = liar.get(DATA_OFFSET + RING_BYTES + at, "=I")
            if size == SKIP:
                tail += RING_BYTES - at
                continue
            start = DATA_OFFSET + RING_BYTES + at + 16
            frame = liar.memory[start : start + size]
            if frame.startswith(FRAME):
                numbers.append(struct.unpack_from("=I", frame, len(FRAME))[0])
            tail += 16 + (size + 15) // 16 * 16
        liar.put(CONTROL[1] + TAIL, "=Q", tail)
        liar.socket.send(b"!")
        kernel.world.run_for(100_000)
    assert numbers == list(range(200))
    assert device.stats().tx_dropped == 0


@pytest.mark.parametrize(
    ("hello", "fds", "problem"),
    [
        (HELLO.pack(MAGIC + 1, VERSION, RING_BYTES), True, "speaks another protocol"),
        (b"hello", True, "speaks another protocol"),
        (HELLO.pack(MAGIC, 2, RING_BYTES), True, "another version of the protocol"),
        (HELLO.pack(MAGIC, VERSION, RING_BYTES), False, "passed no memory on"),
        (HELLO.pack(MAGIC, VERSION, RING_BYTES + 1), True, "rings of an impossible size"),
        (HELLO.pack(MAGIC, VERSION, 1 << 31), True, "rings of an impossible size"),
        (HELLO.pack(MAGIC, VERSION, 2 * RING_BYTES), True, "another size than it says"),
    ],
)
def test_greeting_that_is_none_is_refused(lie, hello, fds, problem):
    liar = lie()
    liar.greet(hello, fds=fds)
    liar.kernel.world.run_for(0)
    assert problem in liar.device.problem
    assert not liar.device.carrier


def test_memory_that_could_be_shortened_is_refused(lie):
    liar = lie(seals=fcntl.F_SEAL_GROW)
    liar.greet()
    liar.kernel.world.run_for(0)
    assert "a memory on that it could shorten" in liar.device.problem
    assert not liar.device.carrier


@pytest.fixture(scope="module")
def attacked():
    from kernel_builds import main_builds

    with pylibos.boot(clock="real", **main_builds()[0].options) as kernel:
        yield kernel


positions = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, RING_BYTES // 16).map(lambda n: n * 16)
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("positions"), positions, positions),
            st.tuples(
                st.just("record"),
                st.integers(0, 200).map(lambda n: n * 16),
                st.tuples(
                    st.one_of(st.integers(0, SKIP), st.integers(0, 3000)),
                    st.integers(0, 255),
                    st.integers(0, 255),
                    *[st.integers(0, 65535)] * 5,
                ),
            ),
            st.tuples(st.just("bytes"), st.integers(0, 2**13), st.binary(max_size=300)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_garbage_in_the_memory_does_no_harm(attacked, lies):
    liar = Liar(attacked)
    try:
        liar.join()
        for kind, where, what in lies:
            if kind == "positions":
                liar.put(CONTROL[1] + TAIL, "=Q", what)
                liar.publish(where)
            elif kind == "record":
                liar.write(where, *what, data=FRAME)
            else:
                liar.memory[where : where + len(what)] = what
                liar.publish(where // 16 * 16)
            attacked.world.run_for(0)
    finally:
        liar.close()
    assert attacked.syscall("getpid") > 0


def test_rings_of_no_power_of_two_are_refused(boot_one, tmp_path):
    kernel = boot_one(clock="real")
    with pytest.raises(pylibos.PylibosError, match="give a power of two from 131072"):
        kernel.add_shm(tmp_path / "a", listen=True, ring_kib=1000)


def test_arguments_that_do_not_fit_are_refused(boot_one, kernel):
    real = boot_one(clock="real")
    with pytest.raises(ValueError, match="needs the path of a socket, or a descriptor"):
        real.add_shm()
    with pytest.raises(ValueError, match="goes with no path"):
        real.add_shm("x", fd=3)
    with pytest.raises(ValueError, match="boot with clock='real'"):
        kernel.add_shm("x")
