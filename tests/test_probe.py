# SPDX-License-Identifier: GPL-2.0-only
"""kernel.probe(): time series of TCP connections; progress of long runs."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import ipaddress
import sys
import time

import pytest

import pylibos
from pylibos._netlink import add_route, set_link

SECOND, MS = 10**9, 10**6
SIZE = 600_000


def transfer(boot, path, probe=None, seed=1, loss_pct=1):
    """Send SIZE bytes from a to b; return the probe and all that a run can show."""
    with pylibos.World(seed=seed) as world:
        a, b = boot(world=world, name="a"), boot(world=world, name="b")
        link = a.link_to(
            b, subnet=["10.0.0.0/24", "fd00::/64"], delay_ms=10, loss_pct=loss_pct, rate_mbit=50
        )
        link.capture(path)

        def receive():
            with b.create_server(("", 80)) as server:
                peer, _ = server.accept()
                with peer:
                    while peer.recv(1 << 16):
                        pass

        program = b.spawn(receive)
        world.run_for(1)
        with a.create_connection(("10.0.0.2", 80)) as client:
            seen = probe(a, client) if probe else None
            client.sendall(bytes(SIZE))
        program.result()
        world.run_for(2 * SECOND)
        room = bytearray(16)
        a.syscall("getrandom", room, 16, 0)
        trace = (
            world.now_ns,
            dict(a.counters()),
            dict(b.counters()),
            a.pid,
            a.socket().detach(),
            room.hex(),
        )
    return seen, trace, hashlib.sha256(path.read_bytes()).hexdigest()


def test_rows_come_at_the_exact_interval(boot, tmp_path):
    probe, _, _ = transfer(boot, tmp_path / "x", lambda a, client: a.probe(client, every_ms=5))
    times = [row.time_ns for row in probe.rows]
    assert times == list(range(probe.start_ns, times[-1] + 1, 5 * MS))
    assert len(probe) == len(times) > 50
    assert probe.closed


@pytest.mark.parametrize(
    "what", [lambda client: client, lambda _: lambda row: row.remote.port == 80]
)
def test_run_is_the_same_with_a_probe(boot, tmp_path, what):
    bare = transfer(boot, tmp_path / "bare")
    probed = transfer(
        boot, tmp_path / "probed", lambda a, client: a.probe(what(client), every_ms=0.3)
    )
    assert len(probed[0]) > 500
    assert probed[1:] == bare[1:]


def test_rows_repeat_exactly(boot, tmp_path):
    runs = [
        transfer(boot, tmp_path / "x", lambda a, client: a.probe(client))[0].rows for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_row_is_the_state_at_its_time(pair):
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        with a.probe(client, every_ms=3) as probe:
            client.sendall(bytes(5000))
            for _ in range(20):
                a.world.run_for(3 * MS)
                info, row = client.tcp_info(), probe.rows[-1]
                assert row.time_ns == a.now_ns
                assert (row.cwnd, row.srtt_us, row.rto_us) == (
                    info.snd_cwnd,
                    info.rtt_us,
                    info.rto_us,
                )
                assert (row.in_flight, row.acked_bytes) == (info.in_flight, info.bytes_acked)
        assert [row.in_flight for row in probe.rows[:8]] == [4] * 7 + [0]
        assert probe.rows[0].in_flight_bytes == 4 * 1448
        assert probe.rows[0].local == client.getsockname()
        assert probe.rows[0].remote == ("10.0.0.2", 80)


def test_losses_and_their_repair_are_seen(boot, tmp_path):
    def start(a, client):
        return a.probe(client, every_ms=1)

    probe, trace, _ = transfer(boot, tmp_path / "x", start, seed=2)
    states = {row.ca_state for row in probe.rows}
    assert pylibos.CongestionState.RECOVERY in states
    retransmits = [row.retransmits for row in probe.rows]
    assert retransmits == sorted(retransmits)
    assert 0 < retransmits[-1] <= trace[1]["TcpRetransSegs"]
    assert probe.rows[0].ssthresh is None
    assert probe.rows[-1].ssthresh is not None


def test_lossless_transfer_opens_its_window(boot, tmp_path):
    probe, _, _ = transfer(
        boot, tmp_path / "x", lambda a, client: a.probe(client, every_ms=1), loss_pct=0
    )
    assert probe.rows[0].cwnd == 10
    # Slow start doubles it three times and more, before the receiver's window limits: at 98 on
    # 7.3, whose tcp_rcvbuf_grow() keeps no reserve.
    assert max(row.cwnd for row in probe.rows) >= 80
    assert all(row.retransmits == 0 for row in probe.rows)
    assert min(row.srtt_us for row in probe.rows if row.srtt_us) >= 20_000
    assert min(row.min_rtt_us for row in probe.rows if row.min_rtt_us) >= 20_000


def test_probe_ends_with_its_socket(pair):
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        probe = a.probe(client, every_ms=10)
        a.world.run_for(100 * MS)
        assert (len(probe), probe.closed) == (11, False)
    a.world.run_for(100 * MS)
    assert (len(probe), probe.closed) == (11, True)
    assert repr(probe) == "<pylibos.Probe closed: 11 rows>"


def test_probe_ends_with_a_reset(pair):
    a, b, _ = pair
    with b.create_server(("", 80)) as server, a.create_connection(("10.0.0.2", 80)) as client:
        peer, _ = server.accept()
        probe = a.probe(client, every_ms=10)
        a.world.run_for(20 * MS)
        peer.setsockopt(1, 13, (1).to_bytes(4, "little") + bytes(4))  # SO_LINGER: reset
        peer.close()
        a.world.run_for(200 * MS)
        assert [row.state.name for row in probe.rows] == ["ESTABLISHED"] * 3 + ["CLOSE"]
        assert probe.closed


def test_closed_probe_has_no_more_rows(pair):
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        with a.probe(client) as probe:
            a.world.run_for(50 * MS)
        probe.close()
        a.world.run_for(50 * MS)
        assert len(probe) == 6


def test_probe_sees_a_connection_from_its_first_syn(pair):
    a, b, _ = pair
    with b.create_server(("", 80)), a.socket() as client:
        probe = a.probe(client, every_ms=10)
        client.connect(("10.0.0.2", 80))
        a.world.run_for(10 * MS)
        states = [row.state.name for row in probe.rows]
    # Two round trips: ARP and the handshake.
    assert states == ["SYN_SENT"] * 4 + ["ESTABLISHED"] * 2
    assert probe.rows[0].remote == ("", 0)  # getpeername(2) knows none before the handshake
    assert probe.rows[-1].remote == ("10.0.0.2", 80)


def test_filter_takes_connections_as_they_come_and_go(pair):
    a, b, _ = pair
    with b.create_server(("", 80)) as server, a.probe(lambda row: row.remote.port == 80) as probe:
        for _ in range(2):
            with a.create_connection(("10.0.0.2", 80)):
                a.world.run_for(100 * MS)
            server.accept()[0].close()
            a.world.run_for(100 * MS)
        assert not probe.closed
        flows = probe.flows()
    assert len(flows) == 2
    assert all(remote == ("10.0.0.2", 80) for _, remote in flows)
    first, second = flows.values()
    assert first[-1].time_ns < second[0].time_ns


def test_two_probes_look_at_once(pair):
    a, b, _ = pair
    with b.create_server(("", 80)) as server, a.create_connection(("10.0.0.2", 80)) as client:
        peer, _ = server.accept()
        fast, slow = a.probe(client, every_ms=2), b.probe(peer, every_ms=7)
        client.sendall(bytes(5000))
        a.world.run_for(70 * MS)
        assert (len(fast), len(slow)) == (36, 11)
        assert fast.rows[-1].acked_bytes == 5001
        assert slow.rows[-1].received_bytes == 5000
        peer.close()


def test_idle_hour_with_a_probe_takes_no_time(pair):
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        probe = a.probe(client, every_ms=10)
        calls = a.stats().calls
        start = time.perf_counter()
        a.world.run_for(3600 * SECOND)
        assert time.perf_counter() - start < 60  # nobody waited that long
        assert len(probe) == 360_001
        looks = (a.stats().calls - calls) / 64  # see QuietCalls.even_out()
        assert looks < 36_000  # it was not asked at each of them


def test_deadlock_is_found_beside_a_probe(boot):
    with pylibos.World(deadlock_ns=30 * SECOND) as world:
        a, b = boot(world=world), boot(world=world)
        a.link_to(b, subnet="10.0.0.0/24")
        with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
            before = world.now_ns
            with a.probe(client), pytest.raises(pylibos.DeadlockError):
                client.recv(1)
            assert world.now_ns - before < 60 * SECOND


def test_probe_outlives_the_halt_of_its_kernel(pair):
    a, b, _ = pair
    with b.create_server(("", 80)) as server:
        client = a.create_connection(("10.0.0.2", 80))
        peer, _ = server.accept()
        probe = a.probe(client)
        every = a.probe(lambda row: True)
        b.world.run_for(50 * MS)
        a.halt()
        b.world.run_for(50 * MS)
        assert probe.closed
        assert every.closed
        assert len(probe) == 6
        peer.close()
        client.detach()


def test_error_of_a_filter_comes_out_of_the_run_once(pair):
    a, b, _ = pair

    def broken(_row):
        raise LookupError("lost")

    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)):
        probe = a.probe(broken)
        with pytest.raises(LookupError, match="lost"):
            a.world.run_for(50 * MS)
        a.world.run_for(50 * MS)
        assert probe.closed


def test_probe_of_a_task_sees_its_own_namespace(kernel):
    with kernel.task(share_files=False, namespaces=["net"]) as task:
        set_link(task, 1, up=True)
        with task.create_server(("127.0.0.1", 7)), task.create_connection(("127.0.0.1", 7)) as sock:
            mine, inner = task.probe(sock), task.probe(lambda _: True)
            outer = kernel.probe(lambda _: True)
            kernel.world.run_for(50 * MS)
            assert len(mine) == 6
            assert len(inner) == 12  # both ends
            assert len(outer) == 0


def test_probe_follows_the_first_subflow_of_mptcp(pair):
    a, b, _ = pair
    with b.socket(proto=262) as server, a.socket(proto=262) as client:  # IPPROTO_MPTCP
        server.bind(("", 80))
        server.listen()
        client.connect(("10.0.0.2", 80))
        with a.probe(client) as probe:
            client.sendall(bytes(1000))
            a.world.run_for(100 * MS)
        assert probe.rows[-1].remote == ("10.0.0.2", 80)
        assert probe.rows[-1].acked_bytes == 1001


def test_probe_in_real_time_keeps_to_its_times(boot_one):
    kernel = boot_one(clock="real")
    with (
        kernel.create_server(("127.0.0.1", 7)),
        kernel.create_connection(("127.0.0.1", 7)) as sock,
        kernel.probe(sock, every_ms=5) as probe,
    ):
        kernel.sleep(0.05)
        times = [row.time_ns - probe.start_ns for row in probe.rows]
    assert 1 <= len(times) <= 11
    assert all(time_ns % (5 * MS) == 0 for time_ns in times)
    assert times == sorted(set(times))


def test_csv_has_a_line_for_each_row(pair, tmp_path):
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        probe = a.probe(client)
        a.world.run_for(50 * MS)
    probe.to_csv(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[0]["state"] == "ESTABLISHED"
    assert rows[0]["remote"] == "10.0.0.2:80"
    assert rows[0]["ssthresh"] == ""
    assert [int(row["time_ns"]) for row in rows] == [row.time_ns for row in probe.rows]


def test_pandas_gets_a_column_for_each_attribute(pair):
    pandas = pytest.importorskip("pandas")
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        probe = a.probe(client)
        a.world.run_for(50 * MS)
    frame = probe.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["cwnd"]) == [10] * 6
    assert list(frame.columns) == list(pylibos.ProbeRow.__dataclass_fields__)


def test_missing_pandas_is_said(pair, monkeypatch):
    a, b, _ = pair
    with b.create_server(("", 80)), a.create_connection(("10.0.0.2", 80)) as client:
        probe = a.probe(client)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(pylibos.PylibosError, match="pandas is not installed; install it by"):
        probe.to_pandas()


def test_senseless_probes_are_refused(pair):
    a, b, _ = pair
    with a.socket() as sock, b.socket() as other, a.socket(type=2) as datagram:
        with pytest.raises(ValueError, match="every_ms is more than 0"):
            a.probe(sock, every_ms=0)
        with pytest.raises(ValueError, match="is a socket of"):
            a.probe(other)
        with pytest.raises(TypeError, match="A probe takes a Socket, or a function"):
            a.probe(80)
        with pytest.raises(ValueError, match="A probe follows TCP connections, and"):
            a.probe(datagram)
    with pytest.raises(ValueError, match="A probe needs an open socket; this one is closed"):
        a.probe(sock)


# --- Progress ---


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_time_and_speed_on_a_terminal(kernel, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    kernel.world.run_until(kernel.now_ns + 5 * SECOND, progress=True)
    assert "5.000 of 5.000 s" in stream.getvalue()
    assert "virtual s per s" in stream.getvalue()
    assert kernel.now_ns == 6 * SECOND


def test_progress_is_silent_elsewhere(kernel, capsys):
    kernel.world.run_for(5 * SECOND, progress=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert kernel.now_ns == 6 * SECOND


# --- A run full of everything is the same, too ---


def busy_run(boot, path, every_ms=None):
    """Datagrams by the hundred, connections both ways through a lossy router; all that shows."""
    log, probes = [], []
    with pylibos.World(seed=2) as world:
        a, r, b = (boot(world=world, name=name) for name in "arb")
        a.link_to(r, subnet="10.0.1.0/24", delay_ms=1.3, jitter_ms=0.4)
        r.link_to(
            b,
            subnet="10.0.2.0/24",
            delay_ms=5,
            loss_pct=2,
            rate_mbit=30,
            queue_packets=40,
            duplicate_pct=1,
            reorder_pct=1,
        )
        r.sysctl["net.ipv4.ip_forward"] = 1
        everywhere = ipaddress.ip_network("0.0.0.0/0")
        for kernel, gateway in ((a, "10.0.1.2"), (b, "10.0.2.1")):
            add_route(kernel, everywhere, gateway=ipaddress.ip_address(gateway))
        capture = pylibos.Capture(world, path)
        capture.add(a, r, b)

        def serve(kernel):
            with kernel.create_server(("", 80)) as server:
                for _ in range(3):
                    kernel.spawn(answer, server.accept()[0])

        def answer(peer):
            with peer:
                while data := peer.recv(20_000):
                    peer.sendall(data[:100])

        def flood():
            with a.socket(type=2) as sock:
                for _ in range(30):
                    for _ in range(100):
                        sock.sendto(bytes(300), ("10.0.2.2", 9))
                    a.sleep(0.01)

        def ask(kernel, host, size):
            with kernel.create_connection((host, 80)) as sock:
                if every_ms:
                    probes.append(kernel.probe(sock, every_ms=every_ms))
                for _ in range(10):
                    sock.sendall(bytes(size))
                sock.shutdown(1)
                total = 0
                while data := sock.recv(5000):
                    total += len(data)
                log.append((size, total, world.now_ns))

        for kernel in (a, b):
            kernel.spawn(serve, kernel)
        world.run_for(1)
        if every_ms:
            probes.append(r.probe(lambda _: True, every_ms=every_ms))
            probes.append(a.probe(lambda _: True, every_ms=every_ms * 3))
        with contextlib.suppress(pylibos.ProgramFailed):
            a.spawn(flood)
            for size in (700, 9000, 20_000):
                a.spawn(ask, a, "10.0.2.2", size)
                b.spawn(ask, b, "10.0.1.1", size)
            world.run_for(5 * SECOND)
        counted = [dict(kernel.counters()) for kernel in (a, r, b)]
    return probes, (log, counted, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("every_ms", [0.37, 11])
def test_busy_run_is_the_same_with_probes(boot_one, tmp_path, every_ms):
    _, bare = busy_run(boot_one, tmp_path / "bare")
    probes, probed = busy_run(boot_one, tmp_path / "probed", every_ms)
    assert len(probes) == 8
    assert sum(map(len, probes)) > 100
    assert probed == bare
