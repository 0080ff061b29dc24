# SPDX-License-Identifier: GPL-2.0-only
"""Every congestion control of the tree: its answer to a loss, a transfer through a bottleneck."""

from __future__ import annotations

import socket
import struct

import pytest
from flight import ONE_WAY, ROUND_TRIP, Flight
from frames import digest
from topologies import MS, SECOND, pattern
from wire import Chosen, connect, read_exactly

import pylibos

ALGORITHM = "net.ipv4.tcp_congestion_control"
TCP_CC_INFO = 26  # include/uapi/linux/tcp.h
SIZE = 1 << 18

# What each leaves of a window of so many segments when one is lost: its ssthresh().
AFTER_LOSS = {
    "reno": lambda window: window >> 1,
    "cubic": lambda window: window * 717 // 1024,
    # Up to 14 segments (low_window) it is as Reno.
    "bic": lambda window: window >> 1,
    # Without a delay gradient it is as Reno.
    "cdg": lambda window: window >> 1,
    # dctcp_react_to_loss(): as Reno; only marks count by their share.
    "dctcp": lambda window: window >> 1,
    # hstcp_aimd_vals[0].md is 128 of 256.
    "highspeed": lambda window: window - (window * 128 >> 8),
    # BETA_MIN is 64 of 128.
    "htcp": lambda window: window * 64 >> 7,
    # BETA_BASE is a half.
    "illinois": lambda window: window - (window >> 1),
    "lp": lambda window: window >> 1,
    # nv_loss_dec_factor is 819 of 1024.
    "nv": lambda window: window * 819 >> 10,
    # TCP_SCALABLE_MD_SCALE is 3.
    "scalable": lambda window: window - (window >> 3),
    "vegas": lambda window: window >> 1,
    # Nothing queued, so the loss was by chance.
    "veno": lambda window: window * 4 // 5,
    # No estimate of the bandwidth yet.
    "westwood": lambda window: 2,
    # TCP_YEAH_DELTA is 3.
    "yeah": lambda window: window - (window >> 3),
}
# BBR does not lower its threshold, Hybla starts with another window: each has its own test.
ALL = (*AFTER_LOSS, "bbr", "hybla")

each = pytest.mark.parametrize("name", ALL)


def algorithm(sock):
    """TCP_CONGESTION of a socket."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def state(sock, layout):
    """TCP_CC_INFO of a socket."""
    return struct.unpack(layout, sock.getsockopt(socket.IPPROTO_TCP, TCP_CC_INFO, 64))


class Bottleneck:
    """Two nodes and 20 Mbit/s, 10 ms between them."""

    def __init__(self, net, name, version=4, sysctls=(), **settings):
        self.net = net
        a, b = (net.node(node, **{ALGORITHM: name}, **dict(sysctls)) for node in "ab")
        settings = {"delay_ms": 10, "rate_mbit": 20, "queue_packets": 30} | settings
        self.link = net.link(a, b, back={"loss_pct": 0}, offload=False, **settings)
        self.here, self.there = connect(net, a, b, b.ip if version == 4 else b.ip6)
        self.before = self.here.tcp_info()

    def transfer(self, size):
        """Send some bytes; return how long it took in ns."""
        data = pattern(size)
        start_ns = self.net.now_ns
        self.here.process.spawn(self.here.sendall, data)
        assert read_exactly(self.there, size) == data
        return self.net.now_ns - start_ns


def test_all_algorithms_of_the_tree_are_there(net):
    node = net.node("a")
    assert set(node.sysctl["net.ipv4.tcp_available_congestion_control"].split()) == set(ALL)


@pytest.mark.parametrize("name", AFTER_LOSS)
def test_loss_lowers_the_window_by_the_algorithms_own_share(net, tmp_path, name):
    # tcp_lp_owd_calculator() multiplies time stamps, whose origin is chance (ts_off), by a rate
    # that is a guess at first, and may see congestion in that: TCP-LP gets none.
    stamps = {"net.ipv4.tcp_timestamps": int(name != "lp")}
    flight = Flight(net, Chosen(2), tmp_path, **{ALGORITHM: name}, **stamps)
    assert algorithm(flight.here) == name
    assert flight.resent() == [(ROUND_TRIP, 2)]
    # Slow start: the first ACK tells that three segments have arrived.
    assert flight.info.snd_ssthresh == AFTER_LOSS[name](flight.window + 3)


def test_loss_is_no_sign_of_congestion_for_bbr(net, tmp_path):
    flight = Flight(net, Chosen(2), tmp_path, **{ALGORITHM: "bbr"})
    assert flight.resent() == [(ROUND_TRIP, 2)]
    assert flight.info.snd_ssthresh is None
    low, high, min_rtt_us, pacing_gain, cwnd_gain = state(flight.here, "=5I")
    assert low | high << 32 > 0
    assert min_rtt_us == ROUND_TRIP // 1000
    # bbr_high_gain is 2 / ln 2 in units of 1 / 256: it still looks for the bandwidth.
    assert pacing_gain == cwnd_gain == 256 * 2885 // 1000 + 1


def test_hybla_starts_with_two_segments(net, tmp_path):
    flight = Flight(net, Chosen(), tmp_path, **{ALGORITHM: "hybla"})
    assert flight.window == 2
    # rho is 1 for round trips below rtt0 of 25 ms: 2, 3 or 4, ... segments a round trip.
    assert flight.took_ns > 2 * ROUND_TRIP + ONE_WAY


@pytest.mark.parametrize("version", [4, 6])
@each
def test_transfer_through_a_lossy_bottleneck_is_whole_and_repeats(build, tmp_path, name, version):
    runs = set()
    for number in range(2):
        with pylibos.Network(seed=7, **build.options) as net:
            bottleneck = Bottleneck(net, name, version, loss_pct=1)
            path = tmp_path / f"{number}.pcapng"
            with bottleneck.link.capture(path, snaplen=96) as capture:
                took_ns = bottleneck.transfer(SIZE)
                net.run_for(SECOND)
                bytes_of_capture = digest(capture)
            info, stats = bottleneck.here.tcp_info(), bottleneck.link.stats()
        assert algorithm_was_used(info, stats)
        assert info.bytes_sent - info.bytes_retrans == SIZE + 1
        assert info.bytes_acked == SIZE + 2  # the SYN counts
        # Ethernet, IP and TCP headers with time stamps cost at least 66 bytes a segment.
        segments = -(-SIZE // info.snd_mss_bytes)
        assert took_ns > (SIZE + 66 * segments) * 8 * SECOND // 20_000_000 + 10 * MS
        runs.add((took_ns, info.total_retrans, info.snd_cwnd, info.rtt_us, bytes_of_capture))
    assert len(runs) == 1


def algorithm_was_used(info, stats):
    """Whether something was lost and all that was lost was sent again."""
    return 0 < stats.lost + stats.queue_drops <= info.total_retrans


# A full frame of 1448 bytes of data takes 1514 * 8 bits at 20 Mbit/s; a byte's and its ACK's
# frames, from which the smallest round trip comes, 67 and 66 bytes.
FRAME_US = 1514 * 8 / 20
BASE_US = 20_000 + (67 + 66) * 8 // 20


@pytest.mark.parametrize("name", ["vegas", "nv", "cdg", "bbr"])
def test_queue_stays_short_with_algorithms_that_watch_delay(net, name):
    # A receive window that never limits.  By default it does on 7.3, whose tcp_rcvbuf_grow() has
    # no reserve of 16 segments as tcp_rcv_space_adjust() of 6.12 has: the first round trip makes
    # a buffer of 132268 bytes, not 248613.  Then the queue runs empty once more, Vegas sees no
    # delay and leaves slow start with 121 segments, not 76; it takes one back a round trip.
    window = {"net.ipv4.tcp_rmem": "4096 1000000 6291456"}
    bottleneck = Bottleneck(net, name, sysctls=window, queue_packets=100)
    bottleneck.transfer(4 << 20)
    info = bottleneck.here.tcp_info()
    assert info.min_rtt_us == BASE_US
    assert info.rtt_us - BASE_US < 25 * FRAME_US
    assert bottleneck.link.stats().queue_drops == info.total_retrans == 0


@pytest.mark.parametrize("name", ["reno", "scalable", "lp", "veno"])
def test_queue_fills_with_algorithms_that_wait_for_loss(net, name):
    bottleneck = Bottleneck(net, name, queue_packets=100)
    bottleneck.transfer(4 << 20)
    assert bottleneck.here.tcp_info().rtt_us - BASE_US > 50 * FRAME_US


def test_bbr_measures_the_bandwidth(net):
    bottleneck = Bottleneck(net, "bbr", queue_packets=100)
    bottleneck.transfer(4 << 20)
    low, high, min_rtt_us, pacing_gain, cwnd_gain = state(bottleneck.here, "=5I")
    bandwidth = low | high << 32
    assert bandwidth == pytest.approx(20_000_000 / 8 * 1448 / 1514, rel=0.001)
    assert min_rtt_us == BASE_US
    # BBR_UNIT is 256: it has left STARTUP; cruising has a window of twice the path's product.
    assert pacing_gain in (256 * 5 // 4, 256 * 3 // 4, 256)
    assert cwnd_gain == 2 * 256
    assert bottleneck.here.tcp_info().pacing_rate_bytes_s is not None


def test_vegas_tells_its_round_trip(net):
    bottleneck = Bottleneck(net, "vegas", queue_packets=100)
    bottleneck.transfer(4 << 20)
    enabled, _, rtt_us, _ = state(bottleneck.here, "=4I")
    assert enabled == 1
    assert BASE_US < rtt_us < BASE_US + 12 * FRAME_US


def test_algorithm_changes_while_connected(net):
    bottleneck = Bottleneck(net, "reno")
    here = bottleneck.here
    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"westwood")
    assert algorithm(here) == "westwood"
    bottleneck.transfer(1 << 18)
    with pytest.raises(FileNotFoundError):
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"nonsense")
