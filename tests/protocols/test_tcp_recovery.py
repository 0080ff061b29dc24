# SPDX-License-Identifier: GPL-2.0-only
"""TCP finds out what was lost: fast retransmit, SACK, RACK, tail loss probes, undo.

Ten segments go out at once (the initial window of RFC 6928) over 10 ms each way, and a program
in the middle of the cable loses, delays or doubles chosen ones.
"""

from __future__ import annotations

import pytest
from flight import ONE_WAY, ROUND_TRIP, Flight
from frames import digest
from timer_wheel import wheel_ns
from topologies import MS, SECOND
from wire import Chosen, Late

import pylibos

both = pytest.mark.parametrize("version", [4, 6])


@both
def test_ten_segments_arrive_at_once_without_loss(net, tmp_path, version):
    flight = Flight(net, Chosen(), tmp_path, version=version)
    assert flight.took_ns == ONE_WAY
    assert flight.resent() == []
    assert flight.info.snd_ssthresh is None


@both
def test_lost_segment_is_sent_again_after_three_duplicate_acks(net, tmp_path, version):
    flight = Flight(net, Chosen(2), tmp_path, version=version)
    # The third SACK is back one round trip after the start (RFC 5681, 3.2).
    assert flight.resent() == [(ROUND_TRIP, 2)]
    assert flight.took_ns == ROUND_TRIP + ONE_WAY
    assert flight.counts["TcpExtTCPFastRetrans"] == flight.info.total_retrans == 1
    assert flight.counts["TcpExtTCPSackRecovery"] == 1
    assert flight.counts["TcpExtTCPTimeouts"] == 0
    # CUBIC leaves 717 / 1024 of the window, which the first ACK has opened by three: it is
    # for segments 0 and 1, and 3 is in its SACK.
    assert flight.info.snd_ssthresh == (flight.window + 3) * 717 // 1024 == 9


def test_capture_of_a_recovery_repeats(build, tmp_path):
    digests = set()
    for number in range(2):
        path = tmp_path / str(number)
        path.mkdir()
        with pylibos.Network(seed=7, **build.options) as net:
            digests.add(digest(Flight(net, Chosen(2, 4), path).capture))
    assert len(digests) == 1


@both
def test_sack_names_every_hole_and_all_are_filled_in_one_round_trip(net, tmp_path, version):
    flight = Flight(net, Chosen(2, 4, 6), tmp_path, version=version)
    assert flight.resent() == [(ROUND_TRIP, number) for number in (2, 4, 6)]
    assert flight.took_ns == ROUND_TRIP + ONE_WAY
    # RFC 2018, 4: the newest block first.  Then a hole is filled at a time.
    assert flight.sacks() == [
        [(3, 4)],
        [(5, 6), (3, 4)],
        [(7, 8), (5, 6), (3, 4)],
        [(7, 10), (5, 6), (3, 4)],
        [(7, 10), (5, 6)],
        [(7, 10)],
        [],
    ]


def test_without_sack_each_hole_takes_a_round_trip(net, tmp_path):
    flight = Flight(net, Chosen(2, 4, 6), tmp_path, **{"net.ipv4.tcp_sack": 0})
    # RFC 6582: a partial ACK tells of the next hole only.
    assert flight.resent() == [(ROUND_TRIP, 2), (2 * ROUND_TRIP, 4), (3 * ROUND_TRIP, 6)]
    assert flight.took_ns == 3 * ROUND_TRIP + ONE_WAY
    assert flight.counts["TcpExtTCPRenoRecovery"] == 1
    assert flight.counts["TcpExtTCPSackRecovery"] == 0
    assert not any(flight.sacks())


def test_lost_tail_is_probed(net, tmp_path):
    flight = Flight(net, Chosen(9), tmp_path)
    # tcp_schedule_loss_probe(): two round trips and 200 ms, but no later than the RTO, which
    # is 20 + 200 ms, from the ACK of the nine.
    probe_ns = wheel_ns(flight.start_ns + ROUND_TRIP, 220) - flight.start_ns
    assert flight.resent() == [(probe_ns, 9)]
    assert flight.took_ns == probe_ns + ONE_WAY
    assert flight.counts["TcpExtTCPLossProbes"] == 1
    assert flight.counts["TcpExtTCPTimeouts"] == 0
    assert flight.info.snd_ssthresh is None


def test_lost_tail_waits_for_a_timeout_without_probes(net, tmp_path):
    flight = Flight(net, Chosen(8, 9), tmp_path, **{"net.ipv4.tcp_early_retrans": 0})
    timeout_ns = wheel_ns(flight.start_ns + ROUND_TRIP, 220) - flight.start_ns
    # RFC 5681, 3.1: the window is one segment after a timeout, and a single segment is
    # acknowledged after 40 ms (TCP_ATO_MIN).
    arrival_ns = flight.start_ns + timeout_ns + ONE_WAY
    ack_ns = wheel_ns(arrival_ns, 40) + ONE_WAY - flight.start_ns
    assert flight.resent() == [(timeout_ns, 8), (ack_ns, 9)]
    assert flight.counts["TcpExtTCPLossProbes"] == 0
    assert flight.counts["TcpExtTCPTimeouts"] == 1


def test_segment_that_is_late_by_less_than_the_reordering_window_is_not_sent_again(net, tmp_path):
    late = Chosen(7, fate=lambda frame: [Late(frame, 4 * MS)])
    flight = Flight(net, late, tmp_path)
    # RFC 8985, 6.2: the window is a quarter of the smallest round trip, 5 ms.
    assert flight.resent() == []
    assert flight.took_ns == ONE_WAY + 4 * MS
    assert flight.counts["TcpExtTCPSACKReorder"] == 1
    assert flight.info.reord_seen == 1


def test_segment_that_is_later_is_sent_again_and_the_window_restored(net, tmp_path):
    late = Chosen(7, fate=lambda frame: [Late(frame, 15 * MS)])
    flight = Flight(net, late, tmp_path)
    # tcp_rack_reo_timeout(): the window, and two jiffies (TCP_TIMEOUT_MIN).
    sent_again_ns = wheel_ns(flight.start_ns + ROUND_TRIP, 5 + 2) - flight.start_ns
    assert flight.resent() == [(sent_again_ns, 7)]
    assert flight.took_ns == ONE_WAY + 15 * MS
    # The ACK echoes the time stamp of the original: the reduction is undone (RFC 3522).
    assert flight.counts["TcpExtTCPFullUndo"] == 1
    # Both copies have arrived, as a DSACK tells (RFC 2883).
    assert flight.counts["TcpExtTCPDSACKRecv"] == flight.info.dsack_dups == 1
    assert flight.info.snd_ssthresh is None


def test_doubled_segment_is_reported_by_dsack(net, tmp_path):
    flight = Flight(net, Chosen(3, fate=lambda frame: [frame, frame]), tmp_path)
    assert flight.peer_counts["TcpExtTCPDSACKOldSent"] == 1
    assert flight.counts["TcpExtTCPDSACKRecv"] == 1
    assert (3, 4) in [block for blocks in flight.sacks() for block in blocks]
    assert flight.resent() == []


def test_retransmission_that_is_lost_is_sent_a_third_time(net, tmp_path):
    # Number 10 on the cable is the retransmission of number 2; those after it are acknowledged.
    flight = Flight(net, Chosen(2, 10), tmp_path, count=17)
    times = [time_ns for time_ns, number in flight.resent() if number == 2]
    assert times == [ROUND_TRIP, 2 * ROUND_TRIP]
    assert flight.counts["TcpExtTCPLostRetransmit"] == 1
    assert flight.counts["TcpExtTCPTimeouts"] == 0


@pytest.mark.parametrize("timestamps", [1, 0])
def test_timeout_that_was_needless_is_found_by_the_first_ack(net, tmp_path, timestamps):
    # All ten are late, by a little less than the time after which they are given up.
    late = Chosen(*range(10), fate=lambda frame: [Late(frame, 220 * MS)])
    flight = Flight(
        net,
        late,
        tmp_path,
        **{"net.ipv4.tcp_early_retrans": 0, "net.ipv4.tcp_timestamps": timestamps},
    )
    assert flight.resent() == [(wheel_ns(flight.start_ns, 220) - flight.start_ns, 0)]
    assert flight.counts["TcpExtTCPTimeouts"] == 1
    # By the time stamp of the original (RFC 3522); else since it is of segments that were
    # never sent again (RFC 5682, F-RTO).
    assert flight.counts["TcpExtTCPLossUndo"] == 1
    assert flight.counts["TcpExtTCPSpuriousRTOs"] == (0 if timestamps else 1)
    assert flight.info.snd_ssthresh is None


def test_timeout_that_was_needless_is_undone_by_dsacks(net, tmp_path):
    late = Chosen(*range(10), fate=lambda frame: [Late(frame, SECOND // 2)])
    flight = Flight(net, late, tmp_path, **{"net.ipv4.tcp_early_retrans": 0})
    assert sorted(number for _, number in flight.resent()) == list(range(10))
    assert flight.info.dsack_dups == 10
    assert flight.counts["TcpExtTCPDSACKUndo"] == 1
    assert flight.info.snd_ssthresh is None
