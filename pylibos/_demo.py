# SPDX-License-Identifier: GPL-2.0-only
"""The main job: a file over TCP through a lossy link between real Linux kernels.

Two kernels and a router between them run in virtual time in this one process.  Then, where
the machine allows it, the host's own programs fetch the same file through a tap.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import random
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pylibos import plot
from pylibos._demo_tap import serve_to_host
from pylibos._kernel import Kernel, boot
from pylibos._link import Link
from pylibos._netlink import add_route
from pylibos._probe import Probe
from pylibos._socket import Socket
from pylibos._world import World

DELAY_MS = 20
PORT = 80
_BLOCK = 1 << 18
# Between two samples of TCP_INFO, in virtual time.
_INTERVAL_MS = 20
_SNAPLEN = 128
# How much of the connection the time sequence shows: single segments are to be seen.
_SEQUENCE_S = 4


@dataclass
class Transfer:
    """What came of a transfer.

    Attributes:
        digest: SHA-256 of what arrived, in hex.
        size: bytes that arrived.
        virtual_ns, wall_s: how long it took.
        retransmissions: segments that the sender sent again.
        probe: TCP_INFO of the sender over virtual time.
    """

    digest: str = ""
    size: int = 0
    virtual_ns: int = 0
    wall_s: float = 0
    retransmissions: int = 0
    probe: Probe | None = None


def make_file(path: Path, size: int, seed: int) -> str:
    """Write pseudo-random bytes; return their SHA-256 in hex."""
    source = random.Random(seed)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, 1 << 22):
            block = source.randbytes(min(1 << 22, size - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def build_network(
    world: World, kernel: str, profile: str, loss_pct: float
) -> tuple[Kernel, Kernel, Kernel, Link, Socket]:
    """Boot sender, router and receiver, link them, and open the receiver's server."""
    sender, router, receiver = (
        boot(kernel=kernel, profile=profile, world=world, name=name)
        for name in ("sender", "router", "receiver")
    )
    link = sender.link_to(router, subnet="10.1.0.0/24", delay_ms=0.1, offload=False)
    router.link_to(
        receiver,
        subnet="10.2.0.0/24",
        delay_ms=DELAY_MS,
        loss_pct=loss_pct,
        back={"loss_pct": 0},
        offload=False,
    )
    router.sysctl["net.ipv4.ip_forward"] = 1
    everywhere = ipaddress.ip_network("0.0.0.0/0")
    add_route(sender, everywhere, gateway=ipaddress.ip_address("10.1.0.2"))
    add_route(receiver, everywhere, gateway=ipaddress.ip_address("10.2.0.1"))
    return sender, router, receiver, link, receiver.create_server(("", PORT))


def transfer(
    sender: Kernel, receiver: Kernel, server: Socket, path: Path, progress: Progress
) -> Transfer:
    """Send a file from one kernel to the other; return what came of it."""
    result = Transfer()
    size = path.stat().st_size
    bar = progress.add_task("virtual time", total=size)
    world = sender.world

    def receive() -> None:
        digest = hashlib.sha256()
        peer, _ = server.accept()
        room = bytearray(_BLOCK)
        view = memoryview(room)
        with peer:
            while count := peer.recv_into(room):
                digest.update(view[:count])
                result.size += count
                progress.update(bar, completed=result.size)
        result.digest = digest.hexdigest()

    start_wall, start_ns = time.perf_counter(), world.now_ns
    program = receiver.spawn(receive)
    with sender.create_connection(("10.2.0.2", PORT)) as conn, path.open("rb") as file:
        result.probe = sender.probe(conn, every_ms=_INTERVAL_MS)
        conn.sendfile(file)
        conn.shutdown(socket.SHUT_WR)
        program.result()
        result.retransmissions = conn.tcp_info().total_retrans
    result.virtual_ns = world.now_ns - start_ns
    result.wall_s = time.perf_counter() - start_wall
    return result


def _report(console: Console, kernels: list[Kernel], result: Transfer, same: bool) -> None:
    table = Table(show_header=False)
    boots = ", ".join(f"{kernel.stats().boot_wall_ns / 1e6:.1f} ms" for kernel in kernels)
    nstat = kernels[0].counters()
    seconds = result.virtual_ns / 1e9
    table.add_row("kernel", f"Linux {kernels[0].release} ({kernels[0].image.profile})")
    table.add_row("boot times", boots)
    table.add_row("congestion control", kernels[0].sysctl["net.ipv4.tcp_congestion_control"])
    table.add_row("bytes", f"{result.size:,}")
    table.add_row("SHA-256", f"{result.digest[:16]}... {'equal' if same else 'DIFFERENT'}")
    table.add_row("virtual time", f"{seconds:.6f} s ({result.size * 8 / seconds / 1e6:.1f} Mbit/s)")
    table.add_row("wall time", f"{result.wall_s:.2f} s")
    table.add_row(
        "retransmissions",
        f"{result.retransmissions} (nstat TcpRetransSegs {nstat['TcpRetransSegs']}, "
        f"TcpExtTCPTimeouts {nstat['TcpExtTCPTimeouts']})",
    )
    console.print(table)


def run_demo(
    *,
    kernel: str,
    profile: str,
    size: int,
    loss_pct: float,
    seed: int,
    with_tap: bool,
    out: Path,
) -> bool:
    """Run both parts; return whether every check held.

    Args:
        kernel, profile: which image.
        size: of the file, in bytes.
        loss_pct: loss of the slow link, from router to receiver.
        seed: of the file's content and of the world.
        with_tap: whether to try the second part.
        out: folder for connection.pcapng and the pictures.
    """
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pylibos-demo-") as folder:
        path = Path(folder) / "file.bin"
        expected = make_file(path, size, seed)
        console.rule(f"{size / 1e6:g} MB through a link of {DELAY_MS} ms that loses {loss_pct:g} %")
        result, same = _first_part(console, kernel, profile, loss_pct, seed, path, expected, out)
        capture = out / "connection.pcapng"
        pictures = [out / "connection.png", out / "time-sequence.png"]
        assert result.probe is not None
        title = f"TCP over {DELAY_MS} ms and {loss_pct:g} % loss"
        plot.congestion(result.probe, pictures[0], title=title)
        plot.time_sequence(capture, pictures[1], title=title, end_s=_SEQUENCE_S)
        console.print(f"capture: {capture}", highlight=False)
        for picture in pictures:
            console.print(f"picture: {picture}", highlight=False)
        if with_tap:
            console.rule("the same file to the host's ping and curl, through a tap")
            same = serve_to_host(console, kernel, profile, path, expected) and same
    return same


def _first_part(
    console: Console,
    kernel: str,
    profile: str,
    loss_pct: float,
    seed: int,
    path: Path,
    expected: str,
    out: Path,
) -> tuple[Transfer, bool]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with World(seed=seed) as world:
        sender, router, receiver, link, server = build_network(world, kernel, profile, loss_pct)
        capture = os.fspath(out / "connection.pcapng")
        with server, Progress(*columns, console=console, transient=True) as progress:
            link.capture(capture, snaplen=_SNAPLEN)
            result = transfer(sender, receiver, server, path, progress)
        same = result.digest == expected and result.size == path.stat().st_size
        _report(console, [sender, router, receiver], result, same)
    return result, same
