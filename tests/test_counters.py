# SPDX-License-Identifier: GPL-2.0-only
"""kernel.counters(): nstat's counters and their differences."""

from __future__ import annotations

import io
import re
import socket

import pytest
from rich.console import Console

import pylibos


@pytest.fixture
def datagram(pair):
    """Two kernels between which one UDP datagram of 5 bytes has crossed, and what changed."""
    a, b, _ = pair
    with (
        b.socket(type=socket.SOCK_DGRAM) as server,
        a.socket(type=socket.SOCK_DGRAM) as client,
    ):
        server.bind(("", 7))
        client.sendto(b"first", ("10.0.0.2", 7))
        server.recv(10)
        before = a.counters(), b.counters()
        client.sendto(b"again", ("10.0.0.2", 7))
        server.recv(10)
        yield a, a.counters() - before[0], b.counters() - before[1]


def test_names_are_those_of_nstat(kernel):
    names = set(kernel.counters())
    assert {
        "IpInReceives",
        "TcpRetransSegs",
        "UdpInDatagrams",
        "TcpExtTCPTimeouts",
        "IpExtInOctets",
        "MPTcpExtMPCapableSYNRX",
        "Ip6InReceives",
        "Udp6InDatagrams",
        "SctpInSCTPPacks",
        "XfrmInError",
        "TlsCurrTxSw",
        "lo.rx_packets",
        "lo.tx_dropped",
    } <= names


def test_every_counter_of_proc_is_there(kernel):
    counters = kernel.counters()
    for path in ("/proc/net/snmp", "/proc/net/netstat"):
        lines = kernel.read_text(path).splitlines()
        for line in lines[::2]:
            prefix, _, names = line.partition(":")
            assert all(prefix + name in counters for name in names.split())


def test_difference_holds_what_one_datagram_changed(datagram):
    _, sent, received = datagram
    ip_bytes, frame_bytes = 20 + 8 + 5, 14 + 20 + 8 + 5
    assert dict(sent) == {
        "IpOutRequests": 1,
        "IpOutTransmits": 1,
        "UdpOutDatagrams": 1,
        "IpExtOutOctets": ip_bytes,
        "eth0.tx_packets": 1,
        "eth0.tx_bytes": frame_bytes,
    }
    assert dict(received) == {
        "IpInReceives": 1,
        "IpInDelivers": 1,
        "UdpInDatagrams": 1,
        "IpExtInOctets": ip_bytes,
        "IpExtInNoECTPkts": 1,
        "eth0.rx_packets": 1,
        "eth0.rx_bytes": frame_bytes,
    }
    assert received.duration_ns == 10_000_000


def test_unchanged_counter_is_0_and_unknown_one_a_key_error(datagram):
    _, sent, _ = datagram
    assert sent["TcpRetransSegs"] == 0
    assert "TcpRetransSegs" not in sent
    with pytest.raises(KeyError, match="The kernel a has no counter 'TcpRetransmissions'"):
        sent["TcpRetransmissions"]


def test_counters_of_two_times_without_change_are_empty(kernel):
    assert dict(kernel.counters() - kernel.counters()) == {}


def test_level_that_fell_is_negative(kernel):
    with kernel.create_server(("127.0.0.1", 7)) as server:
        client = kernel.create_connection(("127.0.0.1", 7))
        peer, _ = server.accept()
        before = kernel.counters()
        client.close()
        peer.close()
    assert (kernel.counters() - before)["TcpCurrEstab"] == -2


def test_lost_segments_are_counted_as_retransmissions(pair):
    a, b, link = pair
    with b.create_server(("", 80)) as server, a.create_connection(("10.0.0.2", 80)) as client:
        peer, _ = server.accept()
        before = a.counters()
        link.set(loss_pct=100, direction=0)
        client.sendall(b"x")
        a.sleep(0.3)  # the loss probe after 2 round trips and 2 ms is lost, too
        link.set(loss_pct=0, direction=0)
        assert peer.recv(10) == b"x"
        grown = a.counters() - before
        assert grown["TcpRetransSegs"] == client.tcp_info().total_retrans >= 1
        assert grown["TcpExtTCPOrigDataSent"] == 1
        peer.close()


def test_ipv6_counts_as_ipv4_does(pair):
    a, b, _ = pair
    with (
        b.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server,
        a.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("", 7))
        client.sendto(b"first", ("fd00::2", 7))
        server.recv(10)
        before = b.counters()
        client.sendto(b"again", ("fd00::2", 7))
        server.recv(10)
        grown = b.counters() - before
    assert grown["Udp6InDatagrams"] == 1
    assert grown["Ip6InOctets"] == 40 + 8 + 5
    assert grown["UdpInDatagrams"] == 0


def test_namespace_has_counters_of_its_own(kernel):
    with kernel.task(share_files=False, namespaces=["net"]) as task:
        before = task.counters()
        with kernel.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("127.0.0.1", 7))
        assert dict(task.counters() - before) == {}


def test_table_shows_values_and_rates(datagram):
    _, _, received = datagram
    console = Console(file=io.StringIO(), width=100)
    console.print(received)
    text = console.file.getvalue()
    assert "b, during 0.010000 s" in text
    assert re.search(r"UdpInDatagrams\W+1\W+100\.0 ", text)
    assert "TcpRetransSegs" not in text


def test_text_has_a_line_for_each_counter(datagram):
    _, sent, _ = datagram
    lines = str(sent).splitlines()
    assert lines[0].startswith("#a, during ")
    assert ["UdpOutDatagrams", "1"] in [line.split() for line in lines]
    assert repr(sent).startswith("<pylibos.Counters of a, during ")


def test_only_counters_can_be_subtracted(kernel):
    with pytest.raises(TypeError, match="unsupported operand"):
        kernel.counters() - {}
    assert isinstance(kernel.counters(), pylibos.Counters)
