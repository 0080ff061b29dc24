# SPDX-License-Identifier: GPL-2.0-only
"""Large segments cross a link whole only while that makes no difference."""

from __future__ import annotations

import ctypes
import socket
import struct

import pytest
from pcapng import read
from quiet_link import quiet_pair

import pylibos
from pylibos import GilbertElliott

FULL_FRAME = 1514
UDP_SEGMENT = 103


def largest_frame(pair, path):
    """Move 200 kB over TCP and return the largest frame that crossed the link."""

    def receive():
        with pair.b.create_server(("", 80)) as server:
            peer, _ = server.accept()
            with peer:
                while peer.recv(1 << 17):
                    pass

    program = pair.b.spawn(receive)
    pair.a.world.run_for(1)
    with pair.link.capture(path), pair.a.create_connection(("10.0.0.2", 80)) as conn:
        conn.sendall(bytes(200_000))
        conn.shutdown(socket.SHUT_WR)
        program.result()
    return max(packet.bytes for packet in read(path).packets)


WITHOUT_DIFFERENCE = [{}, {"delay_ms": 5}, {"queue_packets": 5}, {"loss_pct": 0}]
WITH_DIFFERENCE = [
    {"loss_pct": 0.01},
    {"loss_model": GilbertElliott(0.01, 50)},
    {"duplicate_pct": 0.01},
    {"reorder_pct": 0.01},
    {"corrupt_pct": 0.01},
    {"rate_mbit": 1000},
    {"jitter_ms": 1, "delay_ms": 5},
    {"back": {"loss_pct": 0.01}},
]


@pytest.mark.parametrize("settings", WITHOUT_DIFFERENCE, ids=str)
def test_segments_cross_whole_while_that_makes_no_difference(boot, tmp_path, settings):
    with quiet_pair(boot, **settings) as pair:
        assert largest_frame(pair, tmp_path / "link") > 2 * FULL_FRAME


@pytest.mark.parametrize("settings", WITH_DIFFERENCE, ids=str)
def test_packets_cross_as_soon_as_chance_or_a_rate_acts_on_them(boot, tmp_path, settings):
    with quiet_pair(boot, **settings) as pair:
        assert largest_frame(pair, tmp_path / "link") == FULL_FRAME


@pytest.mark.parametrize("settings", WITH_DIFFERENCE, ids=str)
def test_link_that_is_made_with_chance_carries_packets(boot, tmp_path, settings):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        link = a.link_to(b, subnet="10.0.0.0/24", **settings)
        pair = type("Pair", (), {"a": a, "b": b, "link": link})
        assert largest_frame(pair, tmp_path / "link") == FULL_FRAME


def test_features_follow_settings_while_the_link_runs(boot, tmp_path):
    with quiet_pair(boot) as pair:
        for settings, whole in (
            ({"loss_pct": 0.01}, False),
            ({"delay_ms": 1}, False),
            ({"loss_pct": 0}, True),
            ({"rate_mbit": 1000, "direction": 1}, False),
            ({"jitter_ms": 1}, False),
            ({"rate_mbit": 0}, False),
            ({"jitter_ms": 0}, True),
        ):
            pair.link.set(**settings)
            largest = largest_frame(pair, tmp_path / "link")
            assert (largest > FULL_FRAME) is whole, settings
            assert whole or largest == FULL_FRAME


def test_open_connection_follows_settings_as_well(boot, tmp_path):
    with quiet_pair(boot) as pair, pair.b.create_server(("", 80)) as server:
        with pair.a.create_connection(("10.0.0.2", 80)) as conn:
            peer, _ = server.accept()
            for loss_pct, whole in ((0, True), (0.01, False), (0, True)):
                pair.link.set(loss_pct=loss_pct)
                with pair.link.capture(tmp_path / "link"):
                    conn.sendall(bytes(200_000))
                    received = 0
                    while received < 200_000:
                        received += len(peer.recv(1 << 17))
                largest = max(packet.bytes for packet in read(tmp_path / "link").packets)
                assert largest > FULL_FRAME if whole else largest == FULL_FRAME
            peer.close()


@pytest.mark.parametrize("loss_pct", [0, 0.01])
def test_udp_segments_follow_settings_as_well(boot, tmp_path, loss_pct):
    with quiet_pair(boot, loss_pct=loss_pct) as pair:
        pair.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        with pair.link.capture(tmp_path / "link"):
            pair.sender.send(bytes(10_000))
            pair.a.world.run_for(10**9)
        sizes = [packet.bytes for packet in read(tmp_path / "link").udp()]
    assert sizes == ([1042] * 10 if loss_pct else [10_042])


def test_offload_false_never_carries_segments_whole(boot, tmp_path):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        link = a.link_to(b, subnet="10.0.0.0/24", offload=False)
        pair = type("Pair", (), {"a": a, "b": b, "link": link})
        assert largest_frame(pair, tmp_path / "one") == FULL_FRAME
        link.set(loss_pct=0.01)
        link.set(loss_pct=0)
        assert largest_frame(pair, tmp_path / "two") == FULL_FRAME


def test_offload_true_carries_segments_whole_and_refuses_chance(boot, tmp_path):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        link = a.link_to(b, subnet="10.0.0.0/24", offload=True, rate_mbit=1000)
        pair = type("Pair", (), {"a": a, "b": b, "link": link})
        assert largest_frame(pair, tmp_path / "link") > FULL_FRAME
        for settings in ({"loss_pct": 1}, {"loss_model": GilbertElliott(1, 1)}, {"corrupt_pct": 1}):
            with pytest.raises(ValueError, match="leave offload at None"):
                link.set(**settings)
        with pytest.raises(ValueError, match="leave offload at None"):
            link.set(direction=1, duplicate_pct=1)


def test_loss_is_that_of_packets_in_a_tcp_transfer(boot, tmp_path):
    """One loss of one packet each: no segment of 64 KiB is lost as a whole."""
    with quiet_pair(boot, delay_ms=1, loss_pct=2, back={"loss_pct": 0}) as pair:
        largest_frame(pair, tmp_path / "link")
        stats = pair.link.stats(0)
    lost = read(tmp_path / "link").commented("dropped: loss")
    assert 0 < len(lost) == stats.lost
    assert max(packet.bytes for packet in lost) <= FULL_FRAME


def test_segments_that_come_all_the_same_are_left_alone(boot, tmp_path):
    """A user may switch a device's offload on by hand."""
    siocethtool, ethtool_stso = 0x8946, 0x1F
    with quiet_pair(boot, jitter_ms=1) as pair, pair.b.create_server(("", 80)) as server:
        command = ctypes.create_string_buffer(struct.pack("=II", ethtool_stso, 1))
        request = struct.pack("=16sQ16x", b"eth0", ctypes.addressof(command))
        assert pair.a.syscall("ioctl", pair.sender.fileno(), siocethtool, request) == 0
        with pair.a.create_connection(("10.0.0.2", 80)) as conn:
            peer, _ = server.accept()
            # All of it fits: sendall() must not wait, since nobody reads yet.
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
            pair.link.set(corrupt_pct=100, duplicate_pct=100, direction=0)
            with pair.link.capture(tmp_path / "link"):
                conn.sendall(bytes(200_000))
                pair.a.world.run_for(10**8)
                assert len(peer.recv(1 << 18)) > FULL_FRAME
            peer.close()
    sent = [packet for packet in read(tmp_path / "link").packets if packet.interface == 0]
    large = [packet for packet in sent if packet.bytes > FULL_FRAME]
    assert large
    assert not any(packet.comments for packet in large)
    assert all(packet.comments for packet in sent if packet.bytes <= FULL_FRAME)


def test_device_is_known_by_its_index(boot, tmp_path):
    with quiet_pair(boot) as pair:
        index = pair.link.ends[0].device.index
        with pair.a.iproute() as iproute:
            iproute.link("set", index=index, state="down")
            iproute.link("set", index=index, ifname="uplink", state="up")
        pair.link.set(loss_pct=0.01)
        assert largest_frame(pair, tmp_path / "link") == FULL_FRAME


def test_device_in_another_namespace_cannot_be_switched(boot):
    with quiet_pair(boot) as pair, pair.a.task(namespaces=["net"]) as task:
        with pair.a.iproute() as iproute:
            index = pair.link.ends[0].device.index
            iproute.link("set", index=index, net_ns_pid=task.syscall("getpid"))
        with pytest.raises(pylibos.PylibosError, match="moved to another network namespace"):
            pair.link.set(loss_pct=100, direction=1)
        pair.link.set(delay_ms=1)
        pair.send(1, back=True)
        pair.a.world.run_for(10**9)
        assert pair.link.stats(1).lost == 0
