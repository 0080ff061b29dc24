# SPDX-License-Identifier: GPL-2.0-only
"""kernel.sockets() and sock.tcp_info(): what ss shows."""

from __future__ import annotations

import contextlib
import io
import socket

import pytest
from rich.console import Console

import pylibos
from pylibos._tcp_info import TcpInfo

IPPROTO_SCTP, IPPROTO_DCCP, IPPROTO_UDPLITE, IPPROTO_MPTCP = 132, 33, 136, 262
SOL_TCP, TCP_CONGESTION = 6, 13


@pytest.fixture
def connection(pair):
    """A listener, a client and its peer over a link of 10 ms."""
    a, b, _ = pair
    with b.create_server(("", 80)) as server, a.create_connection(("10.0.0.2", 80)) as client:
        peer, _ = server.accept()
        with peer:
            yield a, b, client, peer


def by_port(table, port):
    return [row for row in table if row.local.port == port]


# --- Tables ---


def test_listener_tells_how_many_wait_and_may(pair):
    a, b, _ = pair
    with b.create_server(("", 80), backlog=5), a.create_connection(("10.0.0.2", 80)):
        a.sleep(0.1)
        listener, _ = by_port(b.sockets("tcp"), 80)
    assert listener.state == "LISTEN"
    assert (listener.rx_queue, listener.tx_queue) == (1, 5)
    assert listener.local == ("0.0.0.0", 80)


def test_established_connection_has_both_ends(connection):
    a, b, client, _ = connection
    (row,) = a.sockets("tcp")
    assert row.protocol == "tcp"
    assert row.family == socket.AF_INET
    assert row.state == "ESTABLISHED"
    assert row.local == client.getsockname()
    assert row.remote == ("10.0.0.2", 80)
    assert row.congestion == a.sysctl["net.ipv4.tcp_congestion_control"]
    (other,) = [row for row in b.sockets("tcp") if row.remote.port]
    assert (other.local, other.remote) == (row.remote, row.local)


def test_queues_and_timer_tell_of_unacknowledged_data(connection):
    a, b, client, _ = connection
    client.sendall(b"x" * 1000)
    (row,) = a.sockets("tcp")
    assert row.tx_queue == 1000
    assert row.timer.kind == "on"
    assert 0 < row.timer.expires_ms <= 1000
    a.sleep(0.05)
    (row,) = a.sockets("tcp")
    assert (row.tx_queue, row.timer) == (0, None)
    (other,) = [row for row in b.sockets("tcp") if row.remote.port]
    assert other.rx_queue == 1000


def test_keepalive_timer_is_named(connection):
    a, _, client, _ = connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    (row,) = a.sockets("tcp")
    assert row.timer == pylibos.SocketTimer("keepalive", 7_200_000, 0)


def test_closed_connection_waits_for_its_time(connection):
    a, _, client, peer = connection
    client.close()
    peer.close()
    a.sleep(0.1)
    (row,) = a.sockets("tcp")
    assert row.state == "TIME_WAIT"
    assert row.timer.kind == "timewait"
    assert 59_000 < row.timer.expires_ms <= 60_000
    assert row.inode == 0


def test_memory_follows_the_buffers(connection):
    a, b, client, peer = connection
    client.sendall(b"x" * 1000)
    a.sleep(0.05)
    (row,) = [row for row in b.sockets("tcp") if row.remote.port]
    assert row.memory.rmem_alloc > 1000
    assert row.memory.rcvbuf == peer.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    peer.recv(1000)
    (row,) = [row for row in b.sockets("tcp") if row.remote.port]
    assert row.memory.rmem_alloc == 0
    assert row.memory.drops == 0


def test_drops_of_a_full_udp_socket_are_counted(kernel):
    with (
        kernel.socket(type=socket.SOCK_DGRAM) as receiver,
        kernel.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 5000))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5000)
        for _ in range(20):
            sender.sendto(bytes(1000), ("127.0.0.1", 5000))
        (row,) = by_port(kernel.sockets("udp"), 5000)
        receiver.setblocking(False)
        kept = 0
        with contextlib.suppress(BlockingIOError):
            while receiver.recv(2000):
                kept += 1
    assert row.state == "UNCONN"
    assert row.rx_queue == row.memory.rmem_alloc > 0
    assert row.memory.drops == 20 - kept > 0


@pytest.mark.parametrize(
    ("name", "family", "kind", "number"),
    [
        ("udp", socket.AF_INET6, socket.SOCK_DGRAM, 0),
        ("udplite", socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE),
        ("sctp", socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP),
        ("sctp", socket.AF_INET6, socket.SOCK_SEQPACKET, IPPROTO_SCTP),
        ("mptcp", socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP),
        ("mptcp", socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_MPTCP),
        ("dccp", socket.AF_INET, 6, IPPROTO_DCCP),
    ],
)
def test_protocol_has_a_table(kernel, name, family, kind, number):
    try:
        sock = kernel.socket(family, kind, number)
    except OSError:
        # It left mainline, so there is nothing to list either.
        assert name in ("dccp", "udplite")
        assert not kernel.release.startswith("6.12")
        assert kernel.sockets(name) == []
        return
    with sock:
        sock.bind(("", 5000))
        if kind != socket.SOCK_DGRAM:
            sock.listen(3)
        (row,) = kernel.sockets(name)
    assert (row.protocol, row.family, row.local.port) == (name, family, 5000)
    assert row.state == ("UNCONN" if kind == socket.SOCK_DGRAM else "LISTEN")


def test_sctp_association_has_its_addresses_and_state(pair):
    a, b, _ = pair
    with (
        b.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP) as server,
        a.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP) as client,
    ):
        server.bind(("", 5000))
        server.listen()
        client.connect(("10.0.0.2", 5000))
        client.sendall(b"hello")
        a.sleep(1)
        endpoint, row = a.sockets("sctp")
    assert (endpoint.inode, endpoint.remote_addresses) == (row.inode, ())
    assert (row.local.address, row.remote) == ("10.0.0.1", ("10.0.0.2", 5000))
    assert row.state == "ESTABLISHED"
    assert "10.0.0.1" in row.local_addresses
    assert row.remote_addresses == ("10.0.0.2",)
    assert row.sctp_info.instrms > 0
    assert row.sctp_info.oodchunks == 1
    assert row.sctp_info.primary_srtt_ms >= 20


def test_mptcp_connection_lists_its_subflow_under_tcp(pair):
    a, b, _ = pair
    with (
        b.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as server,
        a.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as client,
    ):
        server.bind(("", 5000))
        server.listen()
        client.connect(("10.0.0.2", 5000))
        client.sendall(b"hello")
        a.sleep(1)
        (row,) = a.sockets("mptcp")
        (subflow,) = a.sockets("tcp")
    assert row.state == "ESTABLISHED"
    assert not row.mptcp_info.fallback
    assert row.mptcp_info.bytes_sent == 5
    assert subflow.ulp == "mptcp"
    assert (subflow.local, subflow.remote) == (row.local, row.remote)


def test_unix_pair_names_each_others_inode(kernel):
    left, right = kernel.socketpair()
    with left, right, kernel.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named:
        named.bind("\0name")
        right.sendall(b"123")
        table = kernel.sockets("unix")
        one, two = (row for row in table if row.type == socket.SOCK_STREAM)
        (other,) = (row for row in table if row.type == socket.SOCK_DGRAM)
    assert (one.local.port, one.remote.port) == (two.remote.port, two.local.port)
    assert sorted((one.rx_queue, two.rx_queue)) == [0, 3]
    assert other.local == ("@name", other.inode)


def test_netlink_and_packet_sockets_are_listed(kernel):
    with (
        kernel.netlink() as route,
        kernel.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as packet,
    ):
        route.bind((0, 0))
        packet.bind(("lo", 0x0800))
        netlink = [row for row in kernel.sockets("netlink") if row.local.port]
        (sniffer,) = kernel.sockets("packet")
        assert [row.local for row in netlink] == [("route", route.getsockname()[0])]
    assert sniffer.local == ("ip", 1)
    assert sniffer.interface == 1


def test_processes_name_who_has_it_open(kernel):
    with (
        kernel.task(share_files=False) as task,
        task.socket(type=socket.SOCK_DGRAM) as mine,
    ):
        mine.bind(("", 5000))
        (row,) = kernel.sockets("udp", processes=True)
        # The process itself and its thread that made the calls.
        assert {number for _, number in row.processes} == {mine.fileno()}
        assert task.pid in {pid for pid, _ in row.processes}
        assert kernel.pid not in {pid for pid, _ in row.processes}


def test_table_of_all_holds_every_protocol_and_leaves_no_socket(kernel):
    with (
        kernel.socket() as tcp,
        kernel.socket(type=socket.SOCK_DGRAM) as udp,
        kernel.socket(socket.AF_UNIX) as unix,
    ):
        tcp.bind(("", 1))
        udp.bind(("", 2))
        unix.bind("/socket")
        tcp.listen()
        first = kernel.sockets()
        assert {"tcp", "udp", "unix", "netlink"} <= {row.protocol for row in first}
        assert [row.inode for row in kernel.sockets()] == [row.inode for row in first]


def test_table_is_printed_with_ipv6_brackets(kernel):
    with kernel.create_server(("::1", 80), family=socket.AF_INET6):
        console = Console(file=io.StringIO(), width=120)
        console.print(kernel.sockets("tcp"))
    text = console.file.getvalue()
    assert "[::1]:80" in text
    assert "LISTEN" in text


def test_unknown_protocol_is_refused(kernel):
    with pytest.raises(ValueError, match="There is no protocol 'tpc'; known are tcp, udp"):
        kernel.sockets("tpc")


def test_pyroute2_lists_the_same_tcp_sockets(connection):
    pyroute2 = pytest.importorskip("pyroute2")
    a, _, client, _ = connection
    with a.pyroute2(pyroute2.DiagSocket) as diag:
        diag.bind()
        found = [
            (row["idiag_src"], row["idiag_sport"])
            for row in diag.get_sock_stats(family=socket.AF_INET)
        ]
    assert found == [client.getsockname()]


# --- TCP_INFO ---


def test_tcp_info_has_units_and_states(connection):
    a, _, client, _ = connection
    client.sendall(b"x" * 1000)
    before = client.tcp_info()
    assert (before.unacked, before.in_flight, before.bytes_sent) == (1, 1, 1000)
    a.sleep(0.5)
    info = client.tcp_info()
    assert info.state is pylibos.TcpState.ESTABLISHED
    assert info.ca_state is pylibos.CongestionState.OPEN
    assert pylibos.TcpOptions.SACK in info.options
    assert (info.unacked, info.data_segs_out, info.total_retrans) == (0, 1, 0)
    assert info.bytes_acked == 1000 + 1  # the SYN counts
    assert info.min_rtt_us == 20_000
    assert 20_000 <= info.rtt_us < 60_000
    assert info.snd_mss_bytes == 1448
    assert info.pmtu_bytes == 1500
    assert info.snd_ssthresh is None
    assert info.max_pacing_rate_bytes_s is None
    assert info.last_data_sent_ms == 500


def test_tcp_info_of_a_listener_tells_its_backlog(kernel):
    with kernel.create_server(("127.0.0.1", 7), backlog=5) as server:
        info = server.tcp_info()
        assert info.state is pylibos.TcpState.LISTEN
        assert (info.unacked, info.sacked) == (0, 5)


def test_tcp_info_of_a_datagram_socket_is_refused(kernel):
    with (
        kernel.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(OSError, match="not supported|not available"),
    ):
        sock.tcp_info()


def test_tcp_info_of_the_table_is_that_of_the_socket(connection):
    a, _, client, _ = connection
    (row,) = a.sockets("tcp")
    assert row.tcp_info == client.tcp_info()


def test_bbr_tells_what_it_knows_of_the_path(connection):
    a, _, client, _ = connection
    client.setsockopt(SOL_TCP, TCP_CONGESTION, b"bbr")
    client.sendall(bytes(50_000))
    a.sleep(1)
    (row,) = a.sockets("tcp")
    assert row.congestion == "bbr"
    assert isinstance(row.congestion_info, pylibos.BbrInfo)
    assert row.congestion_info.min_rtt_us == 20_000
    assert row.congestion_info.bandwidth_bytes_s > 0


def test_dctcp_counts_what_was_acknowledged(pair):
    a, b, _ = pair
    for kernel in (a, b):
        kernel.sysctl["net.ipv4.tcp_congestion_control"] = "dctcp"
        kernel.sysctl["net.ipv4.tcp_ecn"] = 1
    with b.create_server(("", 80)) as server, a.create_connection(("10.0.0.2", 80)) as client:
        server.accept()[0].close()
        client.sendall(b"x")
        (row,) = a.sockets("tcp")
    assert row.congestion == "dctcp"
    assert isinstance(row.congestion_info, pylibos.DctcpInfo)
    assert (row.congestion_info.enabled, row.congestion_info.alpha) == (True, 1024)


def test_short_tcp_info_reads_as_zeros():
    info = TcpInfo.parse(bytes([1, 0, 3]))
    assert (info.state, info.retransmits, info.bytes_sent, info.received_ce) == (1, 3, 0, None)
    assert info.total_rto == 0


def test_long_tcp_info_reads_what_is_known():
    old = bytes([1, *bytes(247)])
    accurate = b"".join(number.to_bytes(4, "little") for number in range(1, 8))
    info = TcpInfo.parse(old + accurate + bytes([0b0011_0110, 0, 0, 0]) + bytes(100))
    assert info.received_ce == 1
    assert info.received_ce_bytes == 7
    assert (info.ecn_mode, info.accecn_opt_seen, info.accecn_fail_mode) == (2, 1, 3)
