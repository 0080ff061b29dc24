# SPDX-License-Identifier: GPL-2.0-only
"""Addresses and names, without a kernel."""

from __future__ import annotations

import socket
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos._address import pack_address, unpack_address
from pylibos._resolve import getaddrinfo, resolve


class World:
    """Two interfaces and one host name."""

    names: ClassVar = {"lo": 1, "eth0": 2}

    def if_nametoindex(self, name):
        if name not in self.names:
            raise OSError(19, "No such device")
        return self.names[name]

    def if_indextoname(self, index):
        for name, number in self.names.items():
            if number == index:
                return name
        raise OSError(6, "No such device or address")

    def known_hosts(self, name):
        return {"node": ["10.0.0.7", "fd00::7"]}.get(name, [])


WORLD = World()


@pytest.mark.parametrize(
    ("family", "address", "back"),
    [
        (socket.AF_INET, ("10.1.2.3", 80), ("10.1.2.3", 80)),
        (socket.AF_INET, ("", 0), ("0.0.0.0", 0)),
        (socket.AF_INET, ("<broadcast>", 9), ("255.255.255.255", 9)),
        (socket.AF_INET, ("localhost", 9), ("127.0.0.1", 9)),
        (socket.AF_INET, ("node", 9), ("10.0.0.7", 9)),
        (socket.AF_INET, (b"10.1.2.3", 80), ("10.1.2.3", 80)),
        (socket.AF_INET6, ("node", 9), ("fd00::7", 9, 0, 0)),
        (socket.AF_INET6, ("", 0), ("::", 0, 0, 0)),
        (socket.AF_INET6, ("fe80::1%eth0", 9), ("fe80::1", 9, 0, 2)),
        (socket.AF_INET6, ("fe80::1%7", 9), ("fe80::1", 9, 0, 7)),
        (socket.AF_INET6, ("fe80::1", 9, 5, 3), ("fe80::1", 9, 5, 3)),
        (socket.AF_UNIX, "/tmp/x", "/tmp/x"),
        (socket.AF_UNIX, b"\0abstract", b"\0abstract"),
        (socket.AF_UNIX, "", ""),
        (socket.AF_NETLINK, (7, 3), (7, 3)),
        (socket.AF_PACKET, ("eth0", 0x800), ("eth0", 0x800, 0, 0, b"")),
        (
            socket.AF_PACKET,
            ("lo", 3, 4, 1, b"\1\2\3\4\5\6"),
            ("lo", 3, 4, 1, b"\1\2\3\4\5\6"),
        ),
        (socket.AF_VSOCK, (2, 1024), (2, 1024)),
        (77, b"\x4d\0rest", (77, b"rest")),
    ],
)
def test_round_trip(family, address, back):
    assert unpack_address(WORLD, pack_address(WORLD, family, address, "bind")) == back


def test_empty_name_is_none():
    assert unpack_address(WORLD, b"") is None


def test_vanished_interface_has_no_name():
    packed = pack_address(WORLD, socket.AF_PACKET, ("eth0", 3), "bind")
    changed = packed[:4] + (99).to_bytes(4, "little") + packed[8:]
    assert unpack_address(WORLD, changed)[0] == ""


def test_unknown_family_is_refused():
    with pytest.raises(OSError, match=r"bind\(\): bad family"):
        pack_address(WORLD, 77, ("x", 1), "bind")


def test_unknown_name_is_refused_with_a_reason():
    with pytest.raises(socket.gaierror, match="a kernel has no name server"):
        resolve("www.example.org", socket.AF_INET, WORLD)


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_any_ipv4_address_round_trips(host, port):
    packed = pack_address(WORLD, socket.AF_INET, (str(host), port), "bind")
    assert unpack_address(WORLD, packed) == (str(host), port)


@given(st.ip_addresses(v=6), st.integers(0, 65535))
def test_any_ipv6_address_round_trips(host, port):
    packed = pack_address(WORLD, socket.AF_INET6, (str(host), port), "bind")
    expected = socket.inet_ntop(socket.AF_INET6, host.packed)
    assert unpack_address(WORLD, packed) == (expected, port, 0, 0)


@given(st.binary(max_size=128))
def test_any_bytes_from_the_kernel_are_readable(data):
    sizes = {socket.AF_INET: 16, socket.AF_INET6: 28, socket.AF_NETLINK: 12, socket.AF_PACKET: 20}
    family = int.from_bytes(data[:2], "little")
    if len(data) >= sizes.get(family, 16):
        unpack_address(WORLD, data)


def test_known_names_give_all_addresses():
    found = getaddrinfo("node", 80, 0, socket.SOCK_STREAM, 0, 0, WORLD)
    assert [item[4][0] for item in found] == ["10.0.0.7", "fd00::7"]


def test_names_are_asked_of_the_world_first():
    with pytest.raises(socket.gaierror):
        getaddrinfo("node", 80, socket.AF_INET6, 0, 0, socket.AI_NUMERICHOST, WORLD)
