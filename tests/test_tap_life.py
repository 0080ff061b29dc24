# SPDX-License-Identifier: GPL-2.0-only
"""Taps: several queues, frames of all sizes, and a tap that is deleted while it is in use."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from host_namespaces import HostNamespace, need_namespaces

import pylibos
from pylibos import _netlink

pytestmark = pytest.mark.root

ADDRESS, HOST = "10.77.0.2", "10.77.0.1"


@pytest.fixture
def outside():
    """A namespace of the host, where the taps are."""
    need_namespaces()
    with HostNamespace() as namespace:
        yield namespace


@pytest.fixture
def join(boot, outside):
    """A kernel with a tap, which a thread runs; the host's end has an address."""

    def start(wait="epoll", **options):
        kernel = boot(clock="real", wait=wait)
        with outside.inside():
            device = kernel.add_tap("tap0", name="eth0", host_up=True, **options)
        device.up()
        _netlink.add_address(kernel, device.index, ipaddress.ip_interface(f"{ADDRESS}/24"))
        outside.run("ip", "address", "add", f"{HOST}/24", "dev", "tap0")
        thread = kernel.world.run_thread()
        return kernel, device, thread

    return start


def until(kernel, condition):
    """Run the kernel until something holds, at most ten seconds."""
    end_ns = time.monotonic_ns() + 10_000_000_000
    while not condition():
        assert time.monotonic_ns() < end_ns, "it never came to that"
        kernel.sleep(0.001)


def carrier(kernel):
    return kernel.read_text("/sys/class/net/eth0/carrier") == "1\n"


def host_socket(outside, kind=socket.SOCK_DGRAM):
    with outside.inside():
        return socket.socket(socket.AF_INET, kind)


def ping(outside, *options):
    return outside.run("ping", "-n", "-c1", "-W5", *options, ADDRESS)


# --- Queues ---


@pytest.mark.parametrize("wait", ["epoll", "busy"])
def test_flows_of_both_directions_cross_by_any_queue(join, outside, wait):
    kernel, device, _ = join(wait, queues=4)
    queues = {name for name in kernel.listdir("/sys/class/net/eth0/queues") if name[0] == "t"}
    assert queues == {f"tx-{number}" for number in range(4)}
    assert "multi_queue" in outside.run("ip", "-d", "link", "show", "tap0")
    with kernel.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", 9))
        receiver.settimeout(5)
        flows = [host_socket(outside) for _ in range(64)]
        for number, flow in enumerate(flows):
            flow.settimeout(5)
            flow.sendto(b"%d" % number, (ADDRESS, 9))
            data, sender = receiver.recvfrom(99)
            assert data == b"%d" % number
            receiver.sendto(data, sender)
        assert [int(flow.recv(99)) for flow in flows] == list(range(64))
        for flow in flows:
            flow.close()
    stats = device.stats()
    assert stats.rx_frames >= 64
    assert stats.rx_dropped == 0


def test_tap_that_has_one_queue_is_refused_for_more(boot, outside):
    kernel = boot(clock="real")
    outside.run("ip", "tuntap", "add", "mode", "tap", "tap0")
    with outside.inside(), pytest.raises(pylibos.PylibosError, match="with 'multi_queue'"):
        kernel.add_tap("tap0", queues=2)
    assert kernel.syscall("getpid") > 0


def test_descriptor_for_more_than_one_queue_is_refused(boot):
    kernel = boot(clock="real")
    with pytest.raises(pylibos.PylibosError, match="has one queue, not 2"):
        kernel.add_tap(fd=0, queues=2)


# --- Frames of all sizes ---


@pytest.mark.parametrize("wait", ["epoll", "busy", "adaptive"])
@pytest.mark.parametrize("vnet_hdr", [True, False])
def test_small_and_large_segments_in_turn_arrive_as_they_were_sent(join, outside, wait, vnet_hdr):
    """Reads offer few buffers after small frames, so the first large one takes another way."""
    kernel, device, _ = join(wait, vnet_hdr=vnet_hdr)
    pieces = []
    for _ in range(12):
        pieces += [os.urandom(20) for _ in range(12)]
        pieces.append(os.urandom(300_000))
    with (
        kernel.create_server(("", 7)) as server,
        host_socket(outside, socket.SOCK_STREAM) as client,
    ):
        client.connect((ADDRESS, 7))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer, _ = server.accept()
        sent = b"".join(pieces)

        def send():
            for piece in pieces:
                client.sendall(piece)

        thread = threading.Thread(target=send)
        thread.start()
        received = bytearray()
        while len(received) < len(sent):
            received += peer.recv(1 << 20)
        thread.join()
        assert received == sent
        back = os.urandom(2_000_000)
        thread = threading.Thread(target=peer.sendall, args=(back,))
        thread.start()
        returned = bytearray()
        while len(returned) < len(back):
            returned += client.recv(1 << 20)
        thread.join()
        assert returned == back
        peer.close()
    if vnet_hdr:
        assert device.stats().rx_bytes / device.stats().rx_frames > 3000, "nothing came in segments"
    assert device.stats().rx_dropped == 0


def test_frame_that_is_longer_than_the_device_takes_is_counted(join, outside):
    kernel, device, _ = join(vnet_hdr=False)
    outside.run("ip", "link", "set", "tap0", "mtu", "9000")
    assert " 0% packet loss" in ping(outside, "-s1400")
    assert device.stats().rx_dropped == 0
    with host_socket(outside) as sock:
        sock.sendto(bytes(5000), (ADDRESS, 9))
        until(kernel, lambda: device.stats().rx_dropped == 1)
    assert " 0% packet loss" in ping(outside, "-s1400")


# --- A tap that vanishes ---


@pytest.mark.parametrize("wait", ["epoll", "busy", "adaptive"])
@pytest.mark.parametrize("queues", [1, 2])
def test_deleted_tap_takes_the_carrier_along_and_brings_it_back(join, outside, wait, queues):
    kernel, device, _ = join(wait, queues=queues)
    assert " 0% packet loss" in ping(outside)
    kind = ["mode", "tap", *(["multi_queue"] if queues > 1 else [])]
    for _ in range(2):
        outside.run("ip", "link", "delete", "tap0")
        until(kernel, lambda: not carrier(kernel))
        assert not device.carrier
        assert device.problem.startswith("The tap tap0 was deleted: it is joined again when")
        outside.run("ip", "tuntap", "add", *kind, "tap0")
        until(kernel, lambda: carrier(kernel))
        assert device.carrier
        outside.run("ip", "link", "set", "tap0", "up")
        outside.run("ip", "address", "add", f"{HOST}/24", "dev", "tap0")
        assert " 0% packet loss" in ping(outside)
    assert device.stats().rx_dropped == 0


def test_deleted_tap_does_not_keep_the_world_busy(join, outside):
    kernel, _, thread = join()
    outside.run("ip", "link", "delete", "tap0")
    until(kernel, lambda: not carrier(kernel))

    def cpu_ns():
        path = Path(f"/proc/self/task/{thread.native_id}/schedstat")
        return int(path.read_text().split()[0])

    before, end_ns = cpu_ns(), time.monotonic_ns() + 50_000_000
    while time.monotonic_ns() < end_ns:
        os.sched_yield()
    assert cpu_ns() - before < 25_000_000


def test_deleted_tap_is_not_made_again_by_us(join, outside):
    kernel, _, _ = join()
    outside.run("ip", "link", "delete", "tap0")
    until(kernel, lambda: not carrier(kernel))
    outside.run("ip", "link", "add", "one", "type", "veth", "peer", "other")
    outside.run("ip", "link", "set", "other", "up")
    kernel.sleep(0.01)
    assert "tap0" not in outside.run("ip", "link")
    assert not carrier(kernel)


def test_other_interface_of_the_name_is_left_alone(join, outside):
    kernel, device, _ = join()
    outside.run("ip", "link", "delete", "tap0")
    until(kernel, lambda: not carrier(kernel))
    outside.run("ip", "link", "add", "tap0", "type", "veth", "peer", "other")
    until(kernel, lambda: "cannot be attached" in device.problem)
    assert not carrier(kernel)
    outside.run("ip", "link", "delete", "tap0")
    outside.run("ip", "tuntap", "add", "mode", "tap", "tap0")
    until(kernel, lambda: carrier(kernel))


def test_tap_of_another_namespace_is_still_ours(join, outside):
    kernel, _, _ = join()
    with HostNamespace() as elsewhere:
        elsewhere.take("tap0", outside, f"{HOST}/24")
        assert " 0% packet loss" in ping(elsewhere)
        assert carrier(kernel)
    until(kernel, lambda: not carrier(kernel))


def test_device_can_be_closed_while_its_tap_is_gone(join, outside):
    kernel, device, _ = join()
    outside.run("ip", "link", "delete", "tap0")
    until(kernel, lambda: not carrier(kernel))
    device.close()
    assert "eth0" not in kernel.listdir("/sys/class/net")
