# SPDX-License-Identifier: GPL-2.0-only
"""passt: a kernel reaches what the host reaches, without a tap and without root."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import subprocess
import threading
import urllib.request

import pytest
from device_peer import attach, wait_for_carrier

pytestmark = pytest.mark.skipif(shutil.which("passt") is None, reason="The host has no passt.")
GATEWAY = "10.0.2.2"  # what passt takes for the host's loopback


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def passt(tmp_path):
    """The socket of a passt, and the host's port that it forwards to port 80 of the kernel."""
    port = free_port()
    settings = [
        f"--runas={os.getuid()}:{os.getgid()}",
        "-a",
        "10.0.2.15",
        "-n",
        "24",
        "-g",
        GATEWAY,
    ]
    process = subprocess.Popen(
        ["passt", "-f", "-q", "-4", "-s", tmp_path / "socket", "-t", f"{port}:80", *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield tmp_path / "socket", port
    process.kill()
    process.wait()


@pytest.fixture
def inside(boot, passt):
    """A kernel behind passt."""
    path, _ = passt
    kernel = boot(clock="real")
    device = kernel.open_device(f"unix:{path},type=stream", mtu=65520)
    attach(kernel, device, "10.0.2.15/24")
    wait_for_carrier(kernel, device, up=True)
    return kernel


@pytest.fixture
def host_files(tmp_path):
    """A web server on the host's loopback."""
    (tmp_path / "file").write_bytes(os.urandom(3_000_001))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, (tmp_path / "file").read_bytes()
        server.shutdown()
        thread.join()


def test_kernel_fetches_a_file_from_the_hosts_loopback(inside, host_files):
    port, content = host_files
    with inside.as_host():
        fetched = urllib.request.urlopen(f"http://{GATEWAY}:{port}/file", timeout=20).read()
    assert fetched == content


def test_host_reaches_a_server_of_the_kernel_through_a_forwarded_port(inside, passt):
    _, port = passt
    answers = []
    # passt learns the kernel's hardware address from what it sends.
    with socket.create_server(("127.0.0.1", 0)) as server:
        inside.create_connection((GATEWAY, server.getsockname()[1]), timeout=20).close()

    def ask():
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(b"ask")
            answers.append(sock.recv(100))

    with inside.create_server(("", 80)) as server:
        server.settimeout(20)
        thread = threading.Thread(target=ask)
        thread.start()
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b"ask"
            connection.sendall(b"answer")
        thread.join()
    assert answers == [b"answer"]
