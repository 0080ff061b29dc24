# SPDX-License-Identifier: GPL-2.0-only
"""Pictures of captures and probes, and what is read out of captures for them."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import pylibos
from pylibos import plot
from pylibos._capture_file import read_frames
from pylibos._cli import main
from pylibos._packet import TCP, parse_packet, parse_segment
from pylibos._plot_rtt import round_trips_ns
from pylibos._plot_throughput import rates, read_flows
from pylibos._tcp_trace import read_traces

SECOND, MS = 10**9, 10**6
SIZE = 400_000


def transfer(build, folder, family=socket.AF_INET, loss_pct=1.0, size=SIZE):
    """A transfer from a to b, captured on the link and at the sender, with a probe."""
    folder.mkdir(exist_ok=True)
    link_path, sender_path = folder / "link.pcapng", folder / "sender.pcapng"
    with pylibos.World(seed=3) as world:
        a, b = (pylibos.boot(**build.options, world=world, name=name) for name in "ab")
        link = a.link_to(
            b,
            subnet=["10.0.0.0/24", "fd00::/64"],
            delay_ms=10,
            loss_pct=loss_pct,
            rate_mbit=20,
            back={"loss_pct": 0},
            offload=False,
        )
        with link.capture(link_path), a.capture(sender_path):

            def receive():
                with b.create_server(("", 80), family=family) as server:
                    peer, _ = server.accept()
                    with peer:
                        while peer.recv(1 << 16):
                            pass

            program = b.spawn(receive)
            world.run_for(1)
            host = "10.0.0.2" if family == socket.AF_INET else "fd00::2"
            with a.create_connection((host, 80)) as client:
                ends = client.getsockname()[:2], (host, 80)
                probe = a.probe(client, every_ms=5)
                client.sendall(bytes(size))
                client.shutdown(socket.SHUT_WR)
                world.run_for(5 * SECOND)
                info = client.tcp_info()
            program.result()
        lost = link.stats(0).lost
    return SimpleNamespace(
        link=link_path, sender=sender_path, probe=probe, info=info, lost=lost, ends=ends
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Makes one transfer for each build and family, once."""
    found = {}

    def run(build, family):
        key = str(build), family
        if key not in found:
            found[key] = transfer(build, tmp_path_factory.mktemp("run") / "x", family)
        return found[key]

    return run


@pytest.fixture
def run(build, runs):
    return runs(build, socket.AF_INET)


@pytest.fixture
def drawn(one_build, runs):
    """What pictures are drawn of: they do not depend on the kernel."""
    return runs(one_build, socket.AF_INET)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def each(build, runs, request):
    return runs(build, request.param)


# --- What is read out of captures ---


def test_frames_are_those_that_dpkt_reads(run):
    dpkt = pytest.importorskip("dpkt")
    frames = list(read_frames(run.sender))
    with run.sender.open("rb") as file:
        others = list(dpkt.pcapng.Reader(file))
    assert [frame.data for frame in frames] == [data for _, data in others]
    assert [frame.time_ns / 1e9 for frame in frames] == pytest.approx(
        [float(seconds) for seconds, _ in others], abs=1e-9
    )


def test_segments_are_those_that_dpkt_parses(each):
    dpkt = pytest.importorskip("dpkt")
    for frame in read_frames(each.sender):
        ip = dpkt.ethernet.Ethernet(frame.data).data
        packet = parse_packet(frame)
        if not isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6):
            assert packet is None
            continue
        assert packet.protocol == ip.p
        assert [socket.inet_pton(_family(end), end.address) for end in packet[2:4]] == [
            ip.src,
            ip.dst,
        ]
        if ip.p != TCP:
            continue
        segment, tcp = parse_segment(packet), ip.data
        assert (segment.seq, segment.ack, segment.window) == (tcp.seq, tcp.ack, tcp.win)
        assert (segment.flags, segment.payload_bytes) == (tcp.flags, len(tcp.data))
        options = dict(dpkt.tcp.parse_opts(tcp.opts))
        edges = struct.unpack(f"!{len(options.get(5, b'')) // 4}I", options.get(5, b""))
        assert [edge for block in segment.sack for edge in block] == list(edges)


def _family(end):
    return socket.AF_INET6 if ":" in end.address else socket.AF_INET


def test_trace_tells_what_tcp_info_counted(each):
    for path in (each.link, each.sender):
        (trace,) = read_traces(path)
        assert (trace.source, trace.target) == each.ends
        assert trace.payload_bytes == SIZE
        assert len(trace.data) == each.info.data_segs_out
        again = sum(point.end - point.start for point in trace.data if point.again)
        assert again == each.info.bytes_retrans > 0
        assert trace.acks[-1].ack == SIZE + 1  # the FIN counts


def test_losses_on_a_link_are_exact_and_at_a_sender_inferred(each):
    (exact,) = read_traces(each.link)
    (inferred,) = read_traces(each.sender)
    assert {point.lost for point in exact.data} == {"", "loss"}
    assert {point.lost for point in inferred.data} == {"", "sent again"}
    lost = [point.start for point in exact.data if point.lost]
    # What was lost was sent again; the link's other losses carried no data.
    assert len(lost) <= each.lost
    assert set(lost) <= {point.start for point in inferred.data if point.lost}


def test_window_ends_where_the_header_says(run):
    (trace,) = read_traces(run.sender)
    assert trace.at_sender
    assert trace.acks[-1].limit - trace.acks[-1].ack == run.info.snd_wnd_bytes
    assert all(point.end <= ack.limit for point, ack in zip(trace.data, trace.acks, strict=False))


def test_sack_blocks_lie_beyond_the_acknowledgement(run):
    (trace,) = read_traces(run.sender)
    blocks = [(ack.ack, block) for ack in trace.acks for block in ack.sack]
    assert blocks
    assert all(ack < left < right <= SIZE + 1 for ack, (left, right) in blocks)


def test_round_trips_take_at_least_twice_the_delay(run):
    (trace,) = read_traces(run.sender)
    trips = round_trips_ns(trace)
    assert len(trips) > 100
    assert 20 * MS < min(trips) < 22 * MS
    assert min(trips) / 1e3 >= run.info.min_rtt_us


def test_flow_carries_its_bytes_and_no_more_than_the_rate(run):
    flows = read_flows(run.link)
    flow = flows[0]
    assert flow.protocol == "TCP"
    assert (flow.source, flow.target) == run.ends
    segments = len(flow.packets)
    (trace,) = read_traces(run.link)
    arrived = sum(point.end - point.start for point in trace.data if not point.lost)
    # SYN has 40 bytes of headers and 20 of options, all else 12 of options.
    assert flow.total_bytes == arrived + segments * 52 + 8
    start_ns, end_ns = flow.packets[0][0], flow.packets[-1][0]
    values = rates(flow, start_ns, end_ns, 100 * MS)
    assert sum(values) * 100 * MS / 8e3 == pytest.approx(flow.total_bytes)
    assert 0 < max(values) <= 20.5


def test_wrapped_sequence_numbers_go_on(tmp_path):
    path = tmp_path / "wrap.pcap"
    first = 2**32 - 1000

    def frame(seq, ack, flags, payload, back):
        tcp = struct.pack("!HHIIBBHHH", 80 if back else 9, 9 if back else 80, seq, ack, 0x50, flags,
                          1000, 0, 0) + bytes(payload)  # fmt: skip
        ends = (b"\x0a\0\0\2", b"\x0a\0\0\1") if back else (b"\x0a\0\0\1", b"\x0a\0\0\2")
        ip = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(tcp), 0, 64, 6, 0) + b"".join(ends)
        data = bytes(12) + b"\x08\0" + ip + tcp
        return struct.pack("<4I", 1, seq % 1000, len(data), len(data)) + data

    path.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        + frame(first - 1, 0, 2, 0, back=False)
        + frame(0, first, 0x12, 0, back=True)
        + frame(first, 1, 0x18, 900, back=False)
        + frame((first + 900) % 2**32, 1, 0x18, 900, back=False)
        + frame(1, (first + 1800) % 2**32, 0x10, 0, back=True)
    )
    (trace,) = read_traces(path)
    assert [(point.start, point.end) for point in trace.data] == [(0, 900), (900, 1800)]
    assert trace.acks[-1].ack == 1800


# --- Pictures ---

PICTURES = {
    "time-sequence": lambda run, path: plot.time_sequence(run.link, path),
    "part": lambda run, path: plot.time_sequence(run.sender, path, start_s=0.1, end_s=0.3),
    "throughput": lambda run, path: plot.throughput(run.link, path),
    "congestion": lambda run, path: run.probe.plot(path),
    "rtt": lambda run, path: plot.rtt_histogram(run.sender, path),
}


@pytest.mark.parametrize("name", PICTURES)
def test_png_is_wide_enough_to_read_and_repeats(drawn, name, tmp_path):
    pages = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        PICTURES[name](drawn, path)
        pages.append(path.read_bytes())
    assert pages[0][:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack_from("!II", pages[0], 16)
    assert width == 1200
    assert 500 <= height <= 1000
    assert pages[0] == pages[1]


@pytest.mark.parametrize("name", PICTURES)
def test_svg_repeats_to_the_byte(drawn, name, tmp_path):
    pages = []
    for number in range(2):
        path = tmp_path / f"{number}.svg"
        PICTURES[name](drawn, path)
        pages.append(path.read_text())
    assert pages[0].startswith("<?xml")
    assert "<dc:date>" not in pages[0]
    assert pages[0] == pages[1]


def texts(function, *args, monkeypatch, **options):
    """All texts of a picture, and the picture."""
    from pylibos import _plot_style

    found = []
    leave = _plot_style.Picture.__exit__

    def keep(self, *error):
        found.append(self)
        return leave(self, *error)

    monkeypatch.setattr(_plot_style.Picture, "__exit__", keep)
    function(*args, **options)
    (picture,) = found
    words = [picture.figure.get_suptitle()]
    for axis in picture.axes:
        words += [axis.get_title("left"), axis.get_xlabel(), axis.get_ylabel()]
    for legend in picture.figure.legends:
        words += [text.get_text() for text in legend.get_texts()]
    return picture, words


def test_time_sequence_names_what_it_shows(each, tmp_path, monkeypatch):
    (trace,) = read_traces(each.link)
    again = sum(point.again for point in trace.data)
    lost = sum(bool(point.lost) for point in trace.data)
    _, words = texts(plot.time_sequence, each.link, tmp_path / "x.png", monkeypatch=monkeypatch)
    assert words[0] == " → ".join(str(pylibos.Endpoint(*end)) for end in each.ends)
    assert f"{again} of {len(trace.data)} segments sent again" in words[1]
    for expected in (
        f"segments ({len(trace.data) - again})",
        f"sent again ({again})",
        f"lost ({lost})",
        "acknowledged",
        "receiver's window",
        "SACK blocks",
        "sequence number, kB",
        "time since the connection's first packet, s",
    ):
        assert expected in words


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_overlaps_and_every_axis_has_a_label(drawn, name, tmp_path, monkeypatch):
    picture, _ = texts(PICTURES[name], drawn, tmp_path / "x.png", monkeypatch=monkeypatch)
    canvas = FigureCanvasAgg(picture.figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    page = picture.figure.bbox
    boxes = [picture.figure._suptitle.get_window_extent(renderer)]
    boxes += [axis.get_tightbbox(renderer) for axis in picture.axes]
    boxes += [legend.get_window_extent(renderer) for legend in picture.figure.legends]
    for number, box in enumerate(boxes):
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
    assert all(axis.get_ylabel() for axis in picture.axes)
    assert picture.axes[-1].get_xlabel().endswith((", s", ", ms"))


def test_congestion_of_several_connections_has_a_line_for_each(pair, tmp_path, monkeypatch):
    a, b, _ = pair
    with b.create_server(("", 80)) as server, a.probe(lambda _: True) as probe:
        for _ in range(3):
            with a.create_connection(("10.0.0.2", 80)) as client:
                client.sendall(bytes(10_000))
                a.world.run_for(SECOND)
            server.accept()[0].close()
        a.world.run_for(SECOND)
    picture, words = texts(plot.congestion, probe, tmp_path / "x.png", monkeypatch=monkeypatch)
    assert words[0] == "Congestion control"
    assert sum(word.endswith("→ 10.0.0.2:80") for word in words) == 3
    assert [len(axis.lines) for axis in picture.axes] == [3, 3, 3]


def test_small_flows_are_summed_up(drawn, tmp_path, monkeypatch):
    flows = read_flows(drawn.link)
    _, words = texts(
        plot.throughput, drawn.link, tmp_path / "x.png", flows=1, monkeypatch=monkeypatch
    )
    rest = sum(flow.total_bytes for flow in flows[1:])
    assert any(word.startswith(f"{len(flows) - 1} more flows (") for word in words)
    assert rest < flows[0].total_bytes / 10


# --- What cannot be drawn ---


def test_flow_is_chosen_by_its_ends(drawn, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no flow '9.9.9.9'; it holds 10.0.0.1:"):
        plot.time_sequence(drawn.link, tmp_path / "x.png", flow="9.9.9.9")
    _, words = texts(
        plot.time_sequence,
        drawn.link,
        tmp_path / "x.png",
        flow="-> 10.0.0.2:80",
        monkeypatch=monkeypatch,
    )
    assert words[0].endswith(" → 10.0.0.2:80")


def test_other_formats_are_refused(drawn, tmp_path):
    for name in PICTURES:
        with pytest.raises(ValueError, match=r"ends in \.png or \.svg, unlike '.*x\.gif'"):
            PICTURES[name](drawn, tmp_path / "x.gif")
    assert not (tmp_path / "x.gif").exists()


def test_round_trips_of_a_link_are_refused(drawn, tmp_path):
    with pytest.raises(ValueError, match="capture the sender's device instead"):
        plot.rtt_histogram(drawn.link, tmp_path / "x.png")


def test_file_that_is_no_capture_is_refused(tmp_path):
    (tmp_path / "x.pcapng").write_text("nonsense, and more than twenty-four bytes of it")
    for draw in (plot.time_sequence, plot.throughput, plot.rtt_histogram):
        with pytest.raises(ValueError, match="is neither pcapng nor pcap"):
            draw(tmp_path / "x.pcapng", tmp_path / "x.png")


def test_cut_capture_is_refused(drawn, tmp_path):
    (tmp_path / "x.pcapng").write_bytes(drawn.link.read_bytes()[:-10])
    with pytest.raises(ValueError, match="is cut off; close"):
        plot.throughput(tmp_path / "x.pcapng", tmp_path / "x.png")


def test_empty_capture_and_probe_are_refused(pair, tmp_path):
    a, _, link = pair
    with link.capture(tmp_path / "x.pcapng"):
        pass
    with pytest.raises(ValueError, match="holds no TCP connection that carries data"):
        plot.time_sequence(tmp_path / "x.pcapng", tmp_path / "x.png")
    with pytest.raises(ValueError, match="holds no IP packet that arrived"):
        plot.throughput(tmp_path / "x.pcapng", tmp_path / "x.png")
    with a.probe(lambda _: True) as probe, pytest.raises(ValueError, match="has seen no conn"):
        probe.plot(tmp_path / "x.png")


# --- The command line ---


def test_command_draws_each_picture(drawn, tmp_path):
    for name, capture in (
        ("time-sequence", drawn.link),
        ("throughput", drawn.link),
        ("rtt", drawn.sender),
    ):
        path = tmp_path / f"{name}.svg"
        assert main(["plot", name, str(capture), "-o", str(path)]) == 0
        assert path.read_text().startswith("<?xml")


def test_command_lists_flows(drawn, capsys):
    assert main(["plot", "flows", str(drawn.link)]) == 0
    output = capsys.readouterr().out
    assert "10.0.0.2:80" in output
    assert "TCP" in output


def test_command_says_in_one_line_what_is_wrong(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "pylibos", "plot", "throughput", "/none.pcapng", "-o", "x.png"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 1
    assert "No such file or directory" in result.stderr
    assert "Traceback" not in result.stderr
