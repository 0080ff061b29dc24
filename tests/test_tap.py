# SPDX-License-Identifier: GPL-2.0-only
"""A tap: the host's own programs talk to a kernel."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import threading

import pytest

from pylibos import _netlink
from pylibos._demo_netns import Namespace, NoTapError
from pylibos._demo_tap import KernelHttpServer

pytestmark = pytest.mark.root


@pytest.fixture
def namespace():
    try:
        made = Namespace("10.77.0.1/24")
    except NoTapError as error:
        pytest.skip(str(error))
    with made:
        yield made


@pytest.fixture
def web(boot, namespace):
    kernel = boot(clock="real")
    device = kernel.add_tap(fd=namespace.tap_fd, name="tap0")
    device.up()
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface("10.77.0.2/24"))
    return kernel


def serve_pings(kernel, stop):
    """A thread that waits in the kernel, so that it runs."""
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", 9))
        sock.settimeout(0.05)
        while not stop.is_set():
            try:
                sock.recv(10)
            except TimeoutError:
                continue


@pytest.mark.skipif(shutil.which("ping") is None, reason="The host has no ping.")
def test_host_pings_the_kernel(web, namespace):
    stop = threading.Event()
    thread = threading.Thread(target=serve_pings, args=(web, stop))
    thread.start()
    try:
        status, output = namespace.run(["ping", "-n", "-c", "2", "-i", "0.2", "10.77.0.2"])
    finally:
        stop.set()
        thread.join()
    assert status == 0, output
    assert " 0% packet loss" in output


@pytest.mark.skipif(shutil.which("curl") is None, reason="The host has no curl.")
@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_host_fetches_a_file_from_pythons_web_server(web, namespace, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    with KernelHttpServer(web, tmp_path):
        copy = tmp_path / "copy"
        url = "http://10.77.0.2/file"
        status, output = namespace.run(["curl", "-sS", "-o", str(copy), url])
    assert status == 0, output
    assert copy.read_bytes() == path.read_bytes()


def test_descriptor_that_is_no_tap_is_refused(boot, tmp_path):
    kernel = boot(clock="real")
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(Exception, match="is no tap"):
            kernel.add_tap(fd=file.fileno())
    assert kernel.syscall("getpid") > 0


def test_helper_takes_the_tap_along(boot, namespace):
    kernel = boot(clock="real")
    device = kernel.add_tap(fd=namespace.tap_fd)
    device.up()
    namespace.close()
    kernel.sleep(0.05)
    assert kernel.syscall("getpid") > 0
