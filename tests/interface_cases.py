# SPDX-License-Identifier: GPL-2.0-only
"""What tests of devices on an interface of the host share: a cable, frames, transfers."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from host_cable import ETH_P_TEST, Cable, NoCableError

from pylibos import _netlink

NEAR, FAR = "10.78.0.1", "10.78.0.2"
DEVICE_MAC = "02:00:00:00:00:01"
FAR_MAC = "02:00:00:00:00:02"
PAYLOAD = bytes(range(256)) * 4096 * 4


def make_cable(queues=1):
    try:
        return Cable(queues)
    except NoCableError as error:
        pytest.skip(str(error))


@pytest.fixture
def cable():
    with make_cable() as made:
        made.far.ip("link", "set", "far0", "address", FAR_MAC)
        yield made


@pytest.fixture
def kernel(boot):
    kernel = boot(clock="real")
    kernel.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1  # no frames that nobody asked for
    return kernel


def open_device(kernel, cable, spec, **options):
    with cable.near.entered():
        device = kernel.open_device(spec, **{"mac": DEVICE_MAC, **options})
    device.up()
    return device


def give_addresses(kernel, device, cable):
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface(f"{NEAR}/24"))
    cable.far.ip("address", "add", f"{FAR}/24", "dev", "far0")


def frame(size, number=0, to=DEVICE_MAC, source=FAR_MAC):
    addresses = bytes.fromhex((to + source).replace(":", ""))
    body = bytes((number + i) % 251 for i in range(size - 14))
    return addresses + struct.pack("!H", ETH_P_TEST) + body


def packets(kernel, device):
    sock = kernel.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_TEST))
    sock.bind((device.name, ETH_P_TEST))
    sock.settimeout(5)
    return sock


def carrier(kernel, device):
    return kernel.read_text(f"/sys/class/net/{device.name}/carrier").strip()


def rx(device):
    stats = device.stats()
    return stats.rx_frames, stats.rx_dropped


def exchange(kernel, device, cable, number):
    with packets(kernel, device) as inside, cable.far.packets() as outside:
        outside.send(frame(100, number))
        assert inside.recv(4096) == frame(100, number)
        inside.send(frame(100, number, FAR_MAC, DEVICE_MAC))
        assert outside.recv(4096) == frame(100, number, FAR_MAC, DEVICE_MAC)


def download(sock):
    with sock:
        sock.connect((NEAR, 80))
        parts = []
        while part := sock.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


def upload(sock):
    with sock:
        sock.connect((NEAR, 80))
        sock.sendall(PAYLOAD)
