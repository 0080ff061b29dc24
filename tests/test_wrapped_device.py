# SPDX-License-Identifier: GPL-2.0-only
"""Chance, delay and rate round devices of any kind."""

from __future__ import annotations

import socket
import struct

import pcapng
import pytest
from device_peer import attach, echo, peer, wait_for_carrier
from test_pcap_device import FRAME, MS, S, classic

import pylibos

MAC = "02:00:00:00:00:01"
COUNT = 2000


@pytest.fixture
def replayed(boot_one, tmp_path):
    """A function that replays numbered frames through wrappers: device, (ns, frame) of each."""

    def replay(settings, *, count=COUNT, distance_ns=MS, seed=1):
        path = tmp_path / "in.pcap"
        path.write_bytes(
            classic((n * distance_ns, FRAME + struct.pack("!I", n)) for n in range(count))
        )
        with pylibos.World(seed=seed) as world:
            kernel = boot_one(world=world, name="same")
            device = kernel.open_device(f"pcap:{path},{settings}", mac=MAC)
            with device.capture(tmp_path / "out.pcapng"):
                device.up()
                start_ns = world.now_ns
                world.run_for(count * distance_ns + 10 * S)
            stats, (_, arriving) = device.stats(), device.wrapper_stats()
            kernel.halt()
        packets = pcapng.read(tmp_path / "out.pcapng").packets
        found = [(packet.time_ns - start_ns, packet.data) for packet in packets if packet.inbound]
        return stats, arriving, found

    return replay


def numbers(found):
    return [struct.unpack_from("!I", data, len(FRAME))[0] for _, data in found]


def test_delay_is_exact(replayed):
    stats, arriving, found = replayed("delay_ms=7.5")
    assert [time for time, _ in found] == [n * MS + 7_500_000 for n in range(COUNT)]
    assert numbers(found) == list(range(COUNT))
    assert (stats.rx_frames, arriving.frames, arriving.lost) == (COUNT, COUNT, 0)


def test_rate_is_exact(replayed):
    _, _, found = replayed("rate_mbit=1", count=200, distance_ns=0)
    bits = 8 * (len(FRAME) + 4)
    assert [time for time, _ in found] == [(n + 1) * bits * 1000 for n in range(200)]


def test_queue_in_front_of_the_rate_overflows(replayed):
    _, arriving, found = replayed("rate_mbit=1,queue_packets=10", count=200, distance_ns=0)
    assert numbers(found) == list(range(11))
    assert arriving.queue_drops == 189


@pytest.mark.parametrize(
    ("setting", "counter"),
    [
        ("loss_pct=10", "lost"),
        ("duplicate_pct=10", "duplicated"),
        ("corrupt_pct=10", "corrupted"),
        ("truncate_pct=10", "truncated"),
        ("reorder_pct=10,delay_ms=5", "reordered"),
    ],
)
def test_chance_does_what_it_counts(replayed, setting, counter):
    stats, arriving, found = replayed(setting)
    happened = getattr(arriving, counter)
    assert 0.07 * COUNT < happened < 0.13 * COUNT
    others = {"lost", "duplicated", "corrupted", "truncated", "reordered"} - {counter}
    assert [getattr(arriving, other) for other in others] == [0] * 4
    whole = [FRAME + struct.pack("!I", n) for n in range(COUNT)]
    data = [frame for _, frame in found]
    assert len(data) == stats.rx_frames
    if counter == "lost":
        assert len(data) == COUNT - happened
        assert set(data) <= set(whole)
    elif counter == "duplicated":
        assert len(data) == COUNT + happened
        assert set(data) == set(whole)
    elif counter == "corrupted":
        wrong = [(a, b) for a, b in zip(data, whole, strict=True) if a != b]
        assert len(wrong) == happened
        flips = [sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True)) for a, b in wrong]
        assert set(flips) == {1}
    elif counter == "truncated":
        short = [(a, b) for a, b in zip(data, whole, strict=True) if a != b]
        assert len(short) == happened
        assert all(b.startswith(a) and len(a) >= 14 for a, b in short)
    else:
        assert sorted(data) == sorted(whole)
        assert data != whole


def test_certainty_of_loss_loses_all(replayed):
    stats, arriving, found = replayed("loss_pct=100")
    assert (stats.rx_frames, arriving.lost, found) == (0, COUNT, [])


def test_same_seed_gives_the_same_run_and_another_one_another(replayed):
    settings = "loss_pct=5,duplicate_pct=5,corrupt_pct=5,truncate_pct=5,jitter_ms=2,delay_ms=3"
    runs = [replayed(settings, seed=seed)[2] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_what_the_kernel_sends_is_harmed_as_well(boot_one, tmp_path):
    kernel = boot_one()
    device = kernel.open_device(
        f"pcap:record={tmp_path}/out.pcapng",
        wrappers={"loss_pct": 50, "delay_ms": 1},
        arriving={"loss_pct": 0},
        name="w0",
        mac=MAC,
    )
    attach(kernel, device, "10.8.0.1/24")
    with kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("w0", 0))
        for number in range(500):
            sock.send(FRAME + struct.pack("!I", number))
            kernel.world.run_for(MS)
    kernel.world.run_for(S)
    sent = [p for p in pcapng.read(tmp_path / "out.pcapng").packets if p.data.startswith(FRAME)]
    leaving, _ = device.wrapper_stats()
    assert 200 < len(sent) < 300
    assert leaving.lost + leaving.frames == device.stats().tx_frames
    device.close()
    with pytest.raises(pylibos.PylibosError, match="w0 is gone"):
        device.wrapper_stats()


@pytest.mark.parametrize("kind", ["unix", "shm", "pipe"])
def test_connection_through_a_faulty_device_is_whole(boot_one, one_build, tmp_path, kind):
    ours, theirs = f"{kind}:{tmp_path}/a,listen=1", f"{kind}:{tmp_path}/a"
    if kind == "pipe":
        ours = f"pipe:in={tmp_path}/a,out={tmp_path}/b"
        theirs = f"pipe:in={tmp_path}/b,out={tmp_path}/a"
    if kind == "shm":
        theirs += ",offload=0"
    kernel = boot_one(clock="real")
    faults = "loss_pct=1,duplicate_pct=1,corrupt_pct=1,truncate_pct=1,delay_ms=0.2"
    device = kernel.open_device(f"{ours},{faults}")
    attach(kernel, device, "10.8.0.1/24")
    assert not device.carrier
    for _ in range(2):
        with peer(theirs, "10.8.0.2/24", one_build) as other:
            wait_for_carrier(kernel, device, up=True)
            echo(kernel, "10.8.0.2", 300_000)
            other.kill()
            wait_for_carrier(kernel, device, up=False)
    assert device.problem == f"The peer of {device.name} is gone."
    for direction in device.wrapper_stats():
        assert direction.lost + direction.duplicated + direction.corrupted > 0


def test_delay_alone_lets_segments_cross_whole(boot_one, one_build, tmp_path):
    kernel = boot_one(clock="real")
    device = kernel.open_device(f"shm:{tmp_path}/a,listen=1,delay_ms=1")
    attach(kernel, device, "10.8.0.1/24")
    with peer(f"shm:{tmp_path}/a", "10.8.0.2/24", one_build):
        wait_for_carrier(kernel, device, up=True)
        echo(kernel, "10.8.0.2", 1_000_000)
    stats = device.stats()
    assert stats.tx_bytes / stats.tx_frames > 1514


def test_peer_that_does_not_read_holds_frames_back(boot_one):
    """The backend's stall goes through to the kernel's queue: nothing is lost."""
    kernel = boot_one(clock="real")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        device = kernel.open_device(
            f"unix:fd={ours.fileno()},type=stream", wrappers={"delay_ms": 0.001}, mac=MAC
        )
        attach(kernel, device, "10.8.0.1/24")
        theirs.setblocking(False)
        with kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((device.name, 0))
            for number in range(500):
                sock.send(FRAME + struct.pack("!I", number) + bytes(1400))
                kernel.world.run_for(1000)
        received = bytearray()
        deadline_ns = kernel.world.now_ns + 20 * S
        seen = []
        while len(seen) < 500:
            assert kernel.world.now_ns < deadline_ns
            kernel.world.run_for(10_000)
            try:
                received += theirs.recv(1 << 16)
            except BlockingIOError:
                continue
            while len(received) >= 4:
                (length,) = struct.unpack_from("!I", received)
                if len(received) < 4 + length:
                    break
                frame = bytes(received[4 : 4 + length])
                del received[: 4 + length]
                if frame.startswith(FRAME):
                    seen.append(struct.unpack_from("!I", frame, len(FRAME))[0])
        assert seen == list(range(500))


def test_device_without_wrappers_has_no_counters_of_them(boot_one, tmp_path):
    device = boot_one().add_pcap(record=tmp_path / "x")
    with pytest.raises(pylibos.PylibosError, match="Nothing is round the device eth0"):
        device.wrapper_stats()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pcap:record=x,loss_pct=101", "loss_pct is '101'; expected a number from 0 to 100"),
        ("pcap:record=x,delay_ms=-1", "delay_ms is '-1'; expected a number from 0"),
        ("pcap:record=x,los_pct=1", "has no key 'los_pct'"),
        ("tap:vnet_hdr=1,loss_pct=1", "vnet_hdr lets large segments cross"),
    ],
)
def test_settings_that_cannot_be_are_refused(boot_one, spec, message):
    with pytest.raises(pylibos.DeviceSpecError, match=message):
        boot_one().open_device(spec)


def test_backends_errors_come_through(boot_one, tmp_path):
    kernel = boot_one()
    with pytest.raises(pylibos.PylibosError, match="cannot be replayed: No such file"):
        kernel.open_device(f"pcap:{tmp_path}/none,loss_pct=1")
    with pytest.raises(TypeError, match="A link has no setting 'los_pct'"):
        kernel.open_device(f"pcap:record={tmp_path}/x", wrappers={"los_pct": 1})
    assert kernel.syscall("getpid") > 0
