# SPDX-License-Identifier: GPL-2.0-only
"""Traffic, counters and repeats that the protocol tests share."""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pcapng import read

import pylibos

MS = 10**6
SECOND = 10**9
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def chain(net: pylibos.Network, names: str, **settings: Any) -> list[pylibos.Node]:
    """Nodes in a row, with links of both families and routes between them."""
    nodes = [net.node(name) for name in names]
    for first, second in itertools.pairwise(nodes):
        net.link(first, second, **settings)
    net.route_all()
    return nodes


def ip_of(node: pylibos.Node, version: int) -> str:
    """Its first address of a version of IP."""
    return node.ip if version == 4 else node.ip6


def round_trip_ns(
    net: pylibos.Network,
    client: pylibos.Process,
    server: pylibos.Process,
    address: str,
    size: int = 100,
    source: str | None = None,
) -> int:
    """Time of a datagram and its echo; neighbours and tunnels are warmed up by another one."""
    family = family_of(address)

    def answer() -> None:
        for _ in range(2):
            data, peer = there.recvfrom(70000)
            there.sendto(data, peer)

    with server.socket(family, socket.SOCK_DGRAM) as there:
        there.bind((address, 7))
        server.spawn(answer)
        with client.socket(family, socket.SOCK_DGRAM) as here:
            here.settimeout(10)
            if source:
                here.bind((source, 0))
            for _ in range(2):
                before = net.now_ns
                here.sendto(b"x" * size, (address, 7))
                assert here.recv(70000) == b"x" * size
            return net.now_ns - before


def largest_frames(
    net: pylibos.Network, path: Path, sender: pylibos.Process, address: str, size: int = 1000
) -> list[int]:
    """Bytes of the largest frame that each link's first end sends because of a datagram."""
    captures = [
        link.ends[0].device.capture(path / f"{number}.pcapng")
        for number, link in enumerate(net.links)
    ]
    with sender.socket(family_of(address), socket.SOCK_DGRAM) as here:
        here.sendto(b"x" * size, (address, 9))
        net.run_for(SECOND)
    for capture in captures:
        capture.close()
    sent = [
        [len(packet.data) for packet in read(capture.path).packets if not packet.inbound]
        for capture in captures
    ]
    return [max(sizes) for sizes in sent]


def family_of(address: str) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def keep(sock: pylibos.Socket) -> pylibos.Socket:
    """Leave a socket open until its network ends, which closes it."""
    vars(sock.process.world).setdefault("kept", []).append(sock)
    return sock


def receive_all(sock: pylibos.Socket) -> bytes:
    """Read a stream to its end."""
    parts = []
    while part := sock.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


def pattern(size: int) -> bytes:
    """Bytes in which no two places look alike."""
    return hashlib.shake_128(b"pylibos").digest(size)


def repeats(
    build: Any, tmp_path: Path, scenario: Callable[[pylibos.Network, Path], None], seed: int = 7
) -> bool:
    """Whether a scenario, which captures into the path it is given, gives the same bytes twice."""
    digests = []
    for run in range(2):
        path = tmp_path / f"{run}.pcapng"
        with pylibos.Network(seed=seed, **build.options) as net:
            scenario(net, path)
        data = path.read_bytes()
        assert len(data) > 1000, "the capture holds no traffic"
        digests.append(hashlib.sha256(data).hexdigest())
    return digests[0] == digests[1]
