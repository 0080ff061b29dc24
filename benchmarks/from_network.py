# SPDX-License-Identifier: GPL-2.0-only
"""Networks in virtual time, from Python: how they scale, and what they cost."""

from __future__ import annotations

import contextlib
import itertools
import math
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pylibos
from benchmarks import namespaces
from benchmarks.figure import Measurement, Setting, median_of

SECOND = 10**9
# Of each node: what the scenarios need, so that a thousand fit.
_MEMORY = 8 << 20
# The scenario of DCE's documentation: hosts on each side, on-off flows, s of virtual time.
_HOSTS, _SECONDS = 100, 64
_PACKET, _RATE_BPS, _ON_S = 512, 1_000_000, 1.0


def _images(setting: Setting) -> list[tuple[str, Path]]:
    found = (("default", setting.default), ("lean", setting.lean))
    return [(name, image) for name, image in found if image is not None]


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def network_create(setting: Setting) -> list[Measurement]:
    """A network of three nodes, linked and routed, made and destroyed."""

    def once(image: Path) -> None:
        with pylibos.Network(kernel=image) as net:
            a, b, c = (net.node(name) for name in "abc")
            net.link(a, b)
            net.link(b, c)
            net.route_all()

    found = []
    for name, image in _images(setting):
        once(image)
        times = [_timed(lambda image=image: once(image)) * 1e3 for _ in range(setting.rounds)]
        found.append(median_of(f"network_create_{name}", "library", "ms", times))
    names = [item.name for item in found]
    return found + namespaces.native(
        names,
        "ms",
        lambda: [_timed(namespaces.three_nodes) * 1e3 for _ in range(setting.rounds)],
    )


def round_trip_nodes(setting: Setting) -> list[Measurement]:
    """Blocking send() and recv() between programs on two nodes, there and back, over TCP."""
    count = 3000

    def answer(server: socket.socket) -> None:
        with server, server.accept()[0] as peer:
            while data := peer.recv(100):
                peer.send(data)

    rounds = []
    with pylibos.Network(kernel=setting.image()) as net:
        a, b = net.node("a"), net.node("b")
        net.link(a, b)
        b.spawn(answer, b.create_server(("", 7)))
        data = bytes(64)
        with a.create_connection((b.ip, 7)) as conn:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(setting.rounds):
                start = time.perf_counter_ns()
                for _ in range(count):
                    conn.send(data)
                    conn.recv(100)
                rounds.append((time.perf_counter_ns() - start) / count / 1e3)
    name = "round_trip_nodes_python"
    return [
        median_of(name, "library", "us", rounds),
        *namespaces.native([name], "us", lambda: namespaces.round_trips(setting.rounds, count)),
    ]


def idle_hour(setting: Setting) -> list[Measurement]:
    """An hour of virtual time of ten nodes in a row that have nothing to do."""
    found = []
    for name, image in _images(setting):
        with pylibos.Network(kernel=image) as net:
            _chain(net, 10)
            net.run_for(60 * SECOND)  # what follows a start has calmed down
            times = [_timed(lambda net=net: net.run_for(3600 * SECOND)) for _ in range(3)]
        found.append(median_of(f"idle_hour_{name}", "library", "s", times))
    return found


def _chain(net: pylibos.Network, count: int) -> list[pylibos.Node]:
    nodes = [net.node(f"n{number}") for number in range(count)]
    for first, second in itertools.pairwise(nodes):
        net.link(first, second, delay_ms=0.01, offload=False)
    net.route_all()
    return nodes


def _anonymous_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    return math.nan


def thousand_kernels(setting: Setting) -> list[Measurement]:
    """1,000 kernels booted in one process: time, and memory that is theirs alone."""
    found = []
    for name, image in _images(setting):
        before = _anonymous_mb()
        with pylibos.Network(kernel=image, memory=_MEMORY) as net:
            took = _timed(lambda net=net: [net.node(f"n{number}") for number in range(1000)])
            used = (_anonymous_mb() - before) / 1e3
        found.append(median_of(f"thousand_kernels_{name}", "library", "s", [took]))
        found.append(median_of(f"thousand_kernels_{name}_memory", "library", "GB", [used]))
    names = [item.name for item in found if item.unit == "s"]
    return found + namespaces.native(names, "s", lambda: namespaces.create(1000))


def chains(setting: Setting) -> list[Measurement]:
    """UDP through chains of 10, 100 and 1,000 nodes: cost of a packet and hop, and its growth."""
    found: list[Measurement] = []
    for count in (10, 100, 1000):
        with pylibos.Network(kernel=setting.image(), memory=_MEMORY) as net:
            nodes = _chain(net, count)
            costs = _per_hop(count, partial(_open, nodes), partial(net.run_for, SECOND))
        found.append(median_of(f"chain_{count}_hop", "library", "ns", costs))
    growth = found[-1].median / found[0].median
    found.append(median_of("chain_growth", "library", "times", [growth]))
    # The host's neighbour table has 1,024 entries for all namespaces: too few for 1,000 routers.
    for count in (10, 100):
        found += namespaces.native([f"chain_{count}_hop"], "ns", partial(_native, count))
    return found


def _native(count: int) -> list[float]:
    with contextlib.ExitStack() as stack:
        nodes = namespaces.chain(stack, count)
        return _per_hop(count, partial(namespaces.flow, nodes), lambda: None)


def _per_hop(
    count: int,
    open_flow: Callable[[int, int], tuple[socket.socket, socket.socket]],
    rest: Callable[[], None],
) -> list[float]:
    """Cost of a packet and hop in a chain of so many nodes, in ns."""
    # Hops are limited to 255: in a longer chain several flows share the way.
    span = min(count, 200)
    packets = max(2000 // count, 4) * 64
    flows = [open_flow(start, span) for start in range(0, count - span + 1, span)]
    _send(rest, flows, 64)  # neighbours are known now
    hops = len(flows) * (span - 1)
    times = [_timed(lambda: _send(rest, flows, packets)) for _ in range(3)]
    for sock in itertools.chain.from_iterable(flows):
        sock.close()
    return [took * 1e9 / (packets * hops) for took in times]


def _open(nodes: list[pylibos.Node], start: int, span: int) -> tuple[socket.socket, socket.socket]:
    first, last = nodes[start], nodes[start + span - 1]
    receiver = last.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    receiver.bind(("", 9))
    receiver.setblocking(False)
    sender = first.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    sender.connect((last.ip, 9))
    return sender, receiver


def _send(
    rest: Callable[[], None], flows: list[tuple[socket.socket, socket.socket]], packets: int
) -> None:
    """Send in bursts of 64 on all flows at once and let them arrive, all of them."""
    data = bytes(64)
    for _ in range(0, packets, 64):
        for sender, _ in flows:
            for _ in range(64):
                sender.send(data)
        rest()
        for _, receiver in flows:
            for _ in range(64):
                receiver.recv(100)


def dce_scaling(setting: Setting) -> list[Measurement]:
    """DCE's scaling figure: 100 + 100 hosts, 2 routers, a slow lossy link, 100 TCP on-off flows."""
    found = []
    for name, image in _images(setting):
        times, delivered = [], 0
        for _ in range(3):
            start = time.perf_counter()
            delivered = _dumbbell(image)
            times.append(time.perf_counter() - start)
        found.append(median_of(f"dce_scaling_{name}", "library", "s", times))
        rate = delivered * 8 / _SECONDS / 1e6
        found.append(median_of(f"dce_scaling_{name}_goodput", "library", "Mbit/s", [rate]))
    return found


def _dumbbell(image: Path) -> int:
    """Build and run it, boot included; return the bytes that arrived."""
    arrived = 0

    def sink(server: pylibos.Socket) -> None:
        nonlocal arrived
        room = bytearray(1 << 16)
        with server:
            while True:
                with server.accept()[0] as peer, contextlib.suppress(ConnectionResetError):
                    while count := peer.recv_into(room):
                        arrived += count

    def on_off(node: pylibos.Node, address: str, end_ns: int) -> None:
        # A server forgets who could not finish the handshake for a minute: such flows begin anew.
        while net.now_ns < end_ns:
            with contextlib.suppress(ConnectionResetError):
                send_on_off(node, address, end_ns)

    def send_on_off(node: pylibos.Node, address: str, end_ns: int) -> None:
        packet, gap_s = bytes(_PACKET), _PACKET * 8 / _RATE_BPS
        with node.create_connection((address, 9)) as conn:
            while net.now_ns < end_ns:
                for _ in range(round(_ON_S / gap_s)):
                    conn.send(packet)
                    node.sleep(gap_s)
                    if net.now_ns >= end_ns:
                        return
                node.sleep(_ON_S)

    with pylibos.Network(kernel=image, memory=_MEMORY, seed=1) as net:
        # A router has a hundred links, and receive buffers for each.
        left, right = (net.node(name, memory=256 << 20) for name in ("left", "right"))
        net.link(left, right, rate_mbit=2, delay_ms=100, loss_pct=5)
        pairs = []
        for number in range(_HOSTS):
            client, server = net.node(f"c{number}"), net.node(f"s{number}")
            net.link(client, left, rate_mbit=5, delay_ms=1e-6)
            net.link(server, right, rate_mbit=5, delay_ms=1e-6)
            pairs.append((client, server))
        net.route_all()
        start_ns = net.now_ns
        sinks, sources = [], []
        for client, server in pairs:
            sinks.append(server.spawn(sink, server.create_server(("", 9))))
            sources.append(client.spawn(on_off, client, server.ip, start_ns + _SECONDS * SECOND))
        net.run_until(start_ns + _SECONDS * SECOND)
        for program in sources + sinks:
            program.kill()
    return arrived
