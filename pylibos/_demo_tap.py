# SPDX-License-Identifier: GPL-2.0-only
"""The part of the demo with the host: a web server on a kernel, behind a tap.

The tap lives in a network namespace of a helper process, so nothing of the host's own network
changes, and all of it goes when the helper ends, whatever happens.
"""

from __future__ import annotations

import hashlib
import http.server
import ipaddress
import shutil
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pylibos._demo_netns import Namespace, NoTapError
from pylibos._kernel import Kernel, boot
from pylibos._netlink import add_address

HOST_ADDRESS, KERNEL_ADDRESS, PREFIX = "10.77.0.1", "10.77.0.2", 24
PORT = 80


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder of the host, without a line per request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class KernelHttpServer(http.server.HTTPServer):
    """http.server on a socket of a kernel, one request at a time.

    Args:
        kernel: whose socket.
        folder: what it serves.
    """

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        super().__init__(
            ("", PORT), partial(_Handler, directory=str(folder)), bind_and_activate=False
        )
        self.socket.close()
        self.socket = kernel.create_server(("", PORT))
        self.socket.settimeout(0.1)
        self.server_name, self.server_port = kernel.name, PORT
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="web server")

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._handle_request_noblock()  # type: ignore[attr-defined]

    def __enter__(self) -> KernelHttpServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self.server_close()


def serve_to_host(
    console: Console, kernel_name: str, profile: str, path: Path, expected: str
) -> bool:
    """Let the host ping a kernel and fetch a file from it; return whether all went well.

    Without the right to make a tap it says so and returns True.
    """
    try:
        namespace = Namespace(f"{HOST_ADDRESS}/{PREFIX}")
    except NoTapError as error:
        console.print(f"Left out: {error}", highlight=False)
        return True
    with namespace, boot(kernel=kernel_name, profile=profile, clock="real", name="web") as kernel:
        device = kernel.add_tap(fd=namespace.tap_fd)
        device.up()
        interface = ipaddress.ip_interface(f"{KERNEL_ADDRESS}/{PREFIX}")
        add_address(kernel, device.index, interface)
        with KernelHttpServer(kernel, path.parent):
            return _visit(console, namespace, path, expected)


def _visit(console: Console, namespace: Namespace, path: Path, expected: str) -> bool:
    table = Table(show_header=False)
    held = True
    if shutil.which("ping"):
        status, output = namespace.run(["ping", "-n", "-c", "3", "-i", "0.2", KERNEL_ADDRESS])
        held = status == 0
        lines = [line for line in output.splitlines() if "transmitted" in line or "rtt" in line]
        table.add_row("ping", "; ".join(lines) or output.strip())
    else:
        table.add_row("ping", "left out: the host has no ping")
    if shutil.which("curl"):
        copy = path.with_suffix(".fetched")
        start = time.perf_counter()
        url = f"http://{KERNEL_ADDRESS}:{PORT}/{path.name}"
        status, output = namespace.run(["curl", "-sS", "-o", str(copy), url])
        seconds = time.perf_counter() - start
        same = status == 0 and _digest(copy) == expected
        held = held and same
        rate = path.stat().st_size * 8 / seconds / 1e6
        said = "SHA-256 equal" if same else f"FAILED {output.strip()}"
        table.add_row("curl", f"{path.stat().st_size:,} bytes, {rate:.0f} Mbit/s, {said}")
    else:
        table.add_row("curl", "left out: the host has no curl")
    console.print(table)
    return held


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
