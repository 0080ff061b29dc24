# SPDX-License-Identifier: GPL-2.0-only
"""Links that go down, are closed, lose a kernel or change: every frame is accounted for."""

from __future__ import annotations

import pytest
from pcapng import read
from quiet_link import RING_BUFFERS, quiet_pair

import pylibos

MS = 1_000_000


def counters(link, direction=0):
    """What can become of a frame."""
    stats = link.stats(direction)
    return stats.frames, stats.down_drops, stats.in_flight


def carrier(kernel):
    return kernel.read_text("/sys/class/net/eth0/carrier").strip()


@pytest.fixture
def quiet(boot):
    with quiet_pair(boot, delay_ms=10) as pair:
        yield pair


def test_what_is_on_its_way_is_lost_with_the_link(quiet):
    delivered = counters(quiet.link)[0]
    quiet.send(5)
    assert counters(quiet.link) == (delivered, 0, 5)
    quiet.link.down()
    assert counters(quiet.link) == (delivered, 5, 0)
    assert quiet.received() == []


def test_cable_can_be_pulled_and_plugged(quiet):
    quiet.link.down()
    assert carrier(quiet.a) == carrier(quiet.b) == "0"
    delivered = counters(quiet.link)[0]
    quiet.a.world.run_for(10**9)
    # The kernel has noticed: it does not even try.
    quiet.send(3)
    assert counters(quiet.link) == (delivered, 0, 0)
    quiet.link.up()
    quiet.a.world.run_for(2 * 10**9)
    assert carrier(quiet.a) == carrier(quiet.b) == "1"
    # It asked for its neighbour again, and kept them meanwhile.
    assert quiet.waiting() == [0, 1, 2]
    assert quiet.exchange(3) == [0, 1, 2]


def test_short_cut_loses_what_was_on_its_way_and_no_more(quiet):
    delivered, _, _ = counters(quiet.link)
    quiet.send(2)
    quiet.a.world.run_for(9 * MS)
    quiet.link.down()
    quiet.link.up()
    quiet.send(3)
    assert quiet.received() == [0, 1, 2]
    # The kernel forgot its neighbour with the carrier, so there is an ARP request, too.
    assert counters(quiet.link) == (delivered + 4, 2, 0)


def test_up_and_down_twice_are_like_once(quiet):
    quiet.link.up()
    assert quiet.exchange(1) == [0]
    quiet.link.down()
    quiet.link.down()
    quiet.link.up()
    quiet.a.world.run_for(10**9)
    assert quiet.exchange(1) == [0]
    assert counters(quiet.link)[1] == 0


def test_close_loses_what_is_on_its_way_and_takes_the_devices_along(quiet, tmp_path):
    with quiet.link.capture(tmp_path / "link") as capture:
        quiet.send(4)
        quiet.send(2, back=True)
        quiet.link.close()
        quiet.link.close()
        capture.flush()
        file = read(tmp_path / "link")
    late = file.commented("dropped: link down")
    assert [packet.interface for packet in late if packet.data[23] == 17] == [1] * 4 + [0] * 2
    assert all(interface.dropped is not None for interface in file.interfaces)
    for kernel in (quiet.a, quiet.b):
        assert "eth0" not in [name for _, name in kernel.if_nameindex()]
    with pytest.raises(pylibos.PylibosError, match="This link is gone"):
        quiet.link.stats()


def test_device_of_a_link_is_not_closed_alone(quiet):
    with pytest.raises(pylibos.PylibosError, match="close the link instead"):
        quiet.link.ends[0].device.close()
    assert quiet.exchange(1) == [0]
    quiet.link.close()


def test_halt_of_the_receiver_loses_what_is_on_its_way(quiet):
    delivered, _, _ = counters(quiet.link)
    quiet.send(5)
    quiet.b.halt()
    assert counters(quiet.link) == (delivered, 5, 0)
    quiet.a.world.run_for(10**9)
    assert carrier(quiet.a) == "0"
    quiet.link.set(delay_ms=1, loss_pct=50)
    quiet.link.up()
    assert carrier(quiet.a) == "0"


def test_halt_of_the_sender_loses_what_is_on_its_way(quiet):
    delivered, _, _ = counters(quiet.link)
    quiet.send(5)
    quiet.a.halt()
    assert counters(quiet.link) == (delivered, 5, 0)
    quiet.b.world.run_for(10**9)
    assert carrier(quiet.b) == "0"
    assert quiet.waiting() == []


def test_link_is_gone_with_the_second_kernel(quiet):
    quiet.b.halt()
    assert quiet.link.stats().frames > 0
    quiet.a.halt()
    with pytest.raises(pylibos.PylibosError, match="This link is gone"):
        quiet.link.stats()
    quiet.link.close()


def test_link_with_one_kernel_can_be_closed(quiet):
    quiet.b.halt()
    quiet.link.close()
    assert "eth0" not in [name for _, name in quiet.a.if_nameindex()]
    with pytest.raises(pylibos.PylibosError, match="This link is gone"):
        quiet.link.set(delay_ms=1)


def test_interface_that_is_down_takes_what_its_ring_holds(quiet):
    quiet.link.ends[1].device.down()
    before = quiet.link.stats(0)
    quiet.send(300)
    assert quiet.received() == []
    after = quiet.link.stats(0)
    assert after.frames - before.frames == RING_BUFFERS
    assert after.rx_full - before.rx_full == 300 - RING_BUFFERS
    # What lies in the ring is taken when the interface comes up, as with a real card.
    quiet.link.ends[1].device.up()
    assert quiet.received() == list(range(RING_BUFFERS))


def test_delay_holds_for_frames_that_are_sent_later(quiet):
    quiet.send(1)
    quiet.link.set(delay_ms=2)
    quiet.send(1)
    start = quiet.a.now_ns
    # Order is kept: the second one does not overtake the first.
    quiet.receiver.recv(10)
    assert quiet.a.now_ns - start == 10 * MS
    quiet.receiver.recv(10)
    assert quiet.a.now_ns - start == 10 * MS
    quiet.send(1)
    start = quiet.a.now_ns
    quiet.receiver.recv(10)
    assert quiet.a.now_ns - start == 2 * MS


def test_direction_that_does_not_exist_is_refused(quiet):
    with pytest.raises(ValueError, match="A link has the directions 0"):
        quiet.link.set(direction=2, delay_ms=1)
    with pytest.raises(pylibos.PylibosError, match="A link has the directions 0"):
        quiet.link.stats(2)


def test_refused_settings_change_nothing(quiet):
    with pytest.raises(TypeError, match="no setting 'speed'"):
        quiet.link.set(delay_ms=77, speed=1)
    quiet.send(1)
    start = quiet.a.now_ns
    quiet.receiver.recv(10)
    assert quiet.a.now_ns - start == 10 * MS
