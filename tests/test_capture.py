# SPDX-License-Identifier: GPL-2.0-only
"""Captures: which frames are in them, and what is said about these."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from pcapng import APPLICATION, read
from quiet_link import PORT, RING_BUFFERS, quiet_pair

import pylibos

MS = 1_000_000
TSHARK_FIELDS = (
    "frame.time_epoch",
    "frame.interface_name",
    "frame.interface_description",
    "frame.comment",
    "udp.length",
    "udp.checksum.status",
)


@pytest.fixture
def quiet(boot):
    with quiet_pair(boot, delay_ms=10) as pair:
        yield pair


# --- What is in them ---


def test_link_capture_has_each_frame_once_when_it_is_sent(quiet, tmp_path):
    with quiet.link.capture(tmp_path / "link") as capture:
        start = quiet.a.now_ns
        quiet.exchange(2)
        middle = quiet.a.now_ns
        quiet.exchange(1, back=True)
    assert repr(capture) == f"<pylibos.Capture {tmp_path / 'link'} closed>"
    quiet.exchange(1)  # not any more
    file = read(tmp_path / "link")
    assert [(p.interface, p.time_ns, p.inbound, p.comments) for p in file.packets] == [
        (0, start, False, ()),
        (0, start, False, ()),
        (1, middle, False, ()),
    ]
    assert [packet.payload for packet in file.packets] == [bytes(4), b"\0\0\0\1", bytes(4)]


def test_device_capture_has_both_directions_with_the_time_at_the_device(quiet, tmp_path):
    with quiet.link.ends[1].device.capture(tmp_path / "b"):
        start = quiet.a.now_ns
        quiet.exchange(1)
        middle = quiet.a.now_ns
        quiet.exchange(1, back=True)
    file = read(tmp_path / "b")
    assert [(p.time_ns, p.inbound) for p in file.packets] == [
        (start + 10 * MS, True),
        (middle, False),
    ]


def test_interfaces_name_their_devices_and_kernels(quiet, tmp_path):
    with quiet.link.capture(tmp_path / "link", snaplen=60):
        quiet.exchange(3)
    file = read(tmp_path / "link")
    assert [(i.name, i.description, i.snaplen, i.received, i.dropped) for i in file.interfaces] == [
        ("eth0", "a", 60, 3, 0),
        ("eth0", "b", 60, 0, 0),
    ]


def test_section_tells_the_application_and_nothing_of_the_host(quiet, tmp_path):
    quiet.link.capture(tmp_path / "link").close()
    assert read(tmp_path / "link").section == {APPLICATION: [b"pylibos"]}


def test_kernel_capture_has_all_devices_also_later_ones(quiet, tmp_path):
    frames = []
    with quiet.a.capture(tmp_path / "a"):
        second = quiet.a.link_to(quiet.b, subnet="10.0.1.0/24")
        taker = quiet.a.add_device(lambda frame: frames.append(bytes(frame)), name="tap0")
        taker.up()
        quiet.exchange(1)
        with quiet.a.socket(type=2) as sock:
            sock.sendto(b"second", (second.ends[1].addresses[0], PORT))
            sock.setsockopt(1, 25, b"tap0\0")  # SO_BINDTODEVICE
            sock.setsockopt(1, 6, 1)  # SO_BROADCAST
            sock.sendto(b"third", ("255.255.255.255", PORT))
        quiet.a.world.run_for(10 * MS)
    file = read(tmp_path / "a")
    assert [(i.name, i.description) for i in file.interfaces] == [
        ("eth0", "a"),
        ("eth1", "a"),
        ("tap0", "a"),
    ]
    payloads = [(p.interface, p.payload) for p in file.udp() if not p.inbound]
    assert sorted(payloads) == [(0, bytes(4)), (1, b"second"), (2, b"third")]
    assert [frame[42:] for frame in frames if frame[12:14] == b"\x08\x00"] == [b"third"]


def test_devices_of_several_kernels_and_links_share_a_file(quiet, tmp_path):
    world = quiet.a.world
    with pylibos.Capture(world, tmp_path / "all") as capture:
        capture.add(quiet.a, quiet.link.ends[0].device, quiet.b)  # the device once, not twice
        capture.add(quiet.link)
        quiet.exchange(1)
    file = read(tmp_path / "all")
    assert [interface.description for interface in file.interfaces] == ["a", "b", "a", "b"]
    assert [(p.interface, p.inbound) for p in file.packets] == [(0, False), (2, False), (1, True)]


def test_captures_of_the_same_device_do_not_disturb_each_other(quiet, tmp_path):
    device = quiet.link.ends[0].device
    with device.capture(tmp_path / "long"):
        quiet.exchange(1)
        with device.capture(tmp_path / "short"):
            quiet.exchange(2)
        quiet.exchange(1)
    long, short = read(tmp_path / "long"), read(tmp_path / "short")
    assert [packet.payload[3] for packet in long.packets] == [0, 0, 1, 0]
    assert short.packets == long.packets[1:3]


def test_snaplen_keeps_the_beginning_and_the_true_length(quiet, tmp_path):
    with quiet.link.capture(tmp_path / "link", snaplen=50):
        quiet.exchange(1, 1000)
        quiet.exchange(1, 1)
    long, short = read(tmp_path / "link").packets
    assert (len(long.data), long.bytes) == (50, 1042)
    assert (len(short.data), short.bytes) == (46, 46)


def test_same_run_gives_the_same_bytes(boot_one, tmp_path):
    contents = []
    for name in ("one", "two"):
        with quiet_pair(boot_one, loss_pct=20, delay_ms=1) as pair:
            with pylibos.Capture(pair.a.world, tmp_path / name) as capture:
                capture.add(pair.link, pair.a, pair.b)
                pair.exchange(100)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


# --- What befell a frame ---


@pytest.mark.parametrize(
    ("settings", "comment", "counter"),
    [
        ({"loss_pct": 30}, "dropped: loss", "lost"),
        ({"loss_model": pylibos.GilbertElliott(10, 20)}, "dropped: loss", "lost"),
        ({"rate_mbit": 1, "queue_packets": 5}, "dropped: queue full", "queue_drops"),
        ({"rate_mbit": 1, "queue_bytes": 500}, "dropped: queue full", "queue_drops"),
        ({"duplicate_pct": 30, "delay_ms": 1}, "duplicate", "duplicated"),
        ({"corrupt_pct": 30}, "corrupted", "corrupted"),
    ],
    ids=str,
)
def test_comment_tells_what_befell_a_frame(boot, tmp_path, settings, comment, counter):
    with quiet_pair(boot, **settings) as pair:
        with pair.link.capture(tmp_path / "link"):
            pair.exchange(100)
        count = getattr(pair.link.stats(0), counter)
    file = read(tmp_path / "link")
    assert 0 < len(file.commented(comment)) == count
    drops = count if comment.startswith("dropped") else 0
    assert file.interfaces[0].dropped == drops
    assert (
        file.interfaces[0].received == len(file.packets) == 100 + (comment == "duplicate") * count
    )
    plain = [packet for packet in file.packets if not packet.comments]
    assert len(plain) == len(file.packets) - count


def test_frame_can_be_a_corrupted_duplicate(boot, tmp_path):
    with quiet_pair(boot, duplicate_pct=100, corrupt_pct=100) as pair:
        with pair.link.capture(tmp_path / "link"):
            pair.exchange(1)
    comments = [packet.comments for packet in read(tmp_path / "link").packets]
    assert comments == [("corrupted",), ("corrupted", "duplicate")]


@pytest.mark.parametrize("delay_ms", [0, 10])
def test_frames_for_an_interface_without_buffers_are_commented(boot, tmp_path, delay_ms):
    with quiet_pair(boot, delay_ms=delay_ms) as pair:
        pair.link.ends[1].device.down()
        with pair.link.capture(tmp_path / "link"):
            start = pair.a.now_ns
            pair.send(300)
            pair.a.world.run_for(10**9)
        rx_full = pair.link.stats(0).rx_full
    dropped = read(tmp_path / "link").commented("dropped: no receive buffer")
    assert len(dropped) == rx_full == 300 - RING_BUFFERS
    # With a delay it is known only at the other end.
    assert {(p.interface, p.inbound, p.time_ns) for p in dropped} == (
        {(1, True, start + 10 * MS)} if delay_ms else {(0, False, start)}
    )


def test_frames_on_a_link_that_goes_down_are_commented(quiet, tmp_path):
    with quiet.link.capture(tmp_path / "link"):
        start = quiet.a.now_ns
        quiet.send(3)
        quiet.a.world.run_for(4 * MS)
        quiet.link.down()
        quiet.a.world.run_for(10**9)
    file = read(tmp_path / "link")
    assert [(p.interface, p.time_ns, p.inbound, p.comments) for p in file.packets] == [
        *[(0, start, False, ())] * 3,
        *[(1, start + 4 * MS, True, ("dropped: link down",))] * 3,
    ]
    assert quiet.link.stats(0).down_drops == file.interfaces[1].dropped == 3


# --- Other readers ---


def test_tshark_shows_names_times_and_comments(boot_one, tmp_path):
    assert shutil.which("tshark"), "tshark is missing: apt-get install tshark"
    with quiet_pair(boot_one, delay_ms=1, duplicate_pct=100) as pair:
        with pair.link.capture(tmp_path / "link"):
            start = pair.a.now_ns
            pair.exchange(1)
            pair.link.set(loss_pct=100)
            pair.exchange(1, back=True)
    fields = [word for name in TSHARK_FIELDS for word in ("-e", name)]
    command = ["tshark", "-n", "-o", "udp.check_checksum:TRUE", "-T", "fields"]
    output = subprocess.run(
        [*command, *fields, "-r", str(tmp_path / "link")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    first, second = f"{start / 1e9:.9f}", f"{start / 1e9 + 1:.9f}"
    assert [line.split("\t") for line in output.splitlines()] == [
        [first, "eth0", "a", "", "12", "1"],
        [first, "eth0", "a", "duplicate", "12", "1"],
        [second, "eth0", "b", "dropped: loss", "12", "1"],
    ]


def test_dpkt_reads_a_capture(quiet, tmp_path):
    import dpkt

    with quiet.link.ends[0].device.capture(tmp_path / "a"):
        quiet.exchange(3)
    with (tmp_path / "a").open("rb") as file:
        frames = [dpkt.ethernet.Ethernet(frame) for _, frame in dpkt.pcapng.Reader(file)]
    assert [frame.data.data.data[3] for frame in frames] == [0, 1, 2]
