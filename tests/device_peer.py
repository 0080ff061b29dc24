# SPDX-License-Identifier: GPL-2.0-only
"""The other process of the tests of devices.

    python tests/device_peer.py SPEC ADDRESS KERNEL PROFILE

boots a kernel, opens the device, says "ready", and echoes what it gets by TCP and UDP at
port 7 until its standard input ends.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pylibos
from pylibos import _netlink

ROOT = Path(__file__).resolve().parent.parent


class Peer:
    """The parent's side of it."""

    def __init__(self, spec: str, address: str, build: object) -> None:
        options = build.options  # type: ignore[attr-defined]
        self.process = subprocess.Popen(
            [sys.executable, __file__, spec, address, options["kernel"], options["profile"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ready(self) -> None:
        """Wait until it has opened its device."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", line

    def kill(self) -> None:
        """Let it die without a farewell."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def peer(spec: str, address: str, build: object) -> Iterator[Peer]:
    """A process with a kernel at the other end of a device."""
    made = Peer(spec, address, build)
    try:
        yield made
    finally:
        made.kill()


def attach(kernel: pylibos.Kernel, device: pylibos.Device, address: str) -> None:
    """Bring a device up, with an address."""
    device.up()
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface(address))


def wait_for_carrier(kernel: pylibos.Kernel, device: pylibos.Device, up: bool) -> None:
    """Run until the cable is in or out; an error after 20 s."""
    deadline_ns = kernel.world.now_ns + 20 * 10**9
    while device.carrier != up:
        assert kernel.world.now_ns < deadline_ns, f"carrier stays {device.carrier}"
        kernel.world.run_for(1_000_000)


def echo(kernel: pylibos.Kernel, address: str, size: int) -> None:
    """Let the peer send so many bytes back by TCP, while we send."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    back, sent = bytearray(), 0
    with kernel.create_connection((address, 7), timeout=20) as sock:
        sock.setblocking(False)
        poller = kernel.poll()
        poller.register(sock, select.POLLIN | select.POLLOUT)
        while len(back) < size:
            events = poller.poll(20_000)
            assert events, f"{len(back)} bytes came back of {size}"
            if events[0][1] & select.POLLOUT:
                sent += sock.send(data[sent : sent + (1 << 18)])
                if sent == size:
                    poller.modify(sock, select.POLLIN)
            if events[0][1] & select.POLLIN:
                back += sock.recv(1 << 20)
    assert back == data


def exit_with_parent() -> None:
    """End when standard input does."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    spec, address, series, profile = sys.argv[1:]
    with pylibos.boot(clock="real", kernel=series, profile=profile) as kernel:
        # The one that comes after it has the same: nobody's neighbour tables are wrong.
        device = kernel.open_device(spec, mac="02:00:00:00:00:02")
        attach(kernel, device, address)
        with kernel.create_server(("", 7)) as server:
            print("ready", flush=True)
            threading.Thread(target=exit_with_parent, daemon=True).start()
            while True:
                connection, _ = server.accept()
                with connection:
                    while data := connection.recv(1 << 20):
                        connection.sendall(data)


if __name__ == "__main__":
    main()
