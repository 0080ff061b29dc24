# SPDX-License-Identifier: GPL-2.0-only
"""Netlink requests of test_profile.py: queueing, classification, nftables, IPsec, dumps."""

from __future__ import annotations

import itertools
import os
import socket
import struct
from typing import Any

from pylibos._netlink import attribute, request

CREATE, EXCLUSIVE, DUMP = 0x400, 0x200, 0x300
RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_NEWACTION = 36, 37, 44, 48
TCA_KIND, TCA_OPTIONS = 1, 2
ROOT, INGRESS, CLSACT_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFFFFF2
NESTED = 0x8000
HEADER = struct.Struct("=IHHII")
DONE, ERROR = 3, 2
SOCK_DIAG, NETFILTER, XFRM = 4, 12, 6
_spis = itertools.count(0x100)


def u8(kind: int, value: int) -> bytes:
    """An attribute of one byte."""
    return attribute(kind, struct.pack("=B", value))


def u16(kind: int, value: int) -> bytes:
    """An attribute of two bytes, in the host's order."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """An attribute of four bytes, in the host's order."""
    return attribute(kind, struct.pack("=I", value))


def be16(kind: int, value: int) -> bytes:
    """An attribute of two bytes, in network order."""
    return attribute(kind, struct.pack(">H", value))


def be32(kind: int, value: int) -> bytes:
    """An attribute of four bytes, in network order."""
    return attribute(kind, struct.pack(">I", value))


def be64(kind: int, value: int) -> bytes:
    """An attribute of eight bytes, in network order."""
    return attribute(kind, struct.pack(">Q", value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string."""
    return attribute(kind, value.encode() + b"\0")


def nest(kind: int, *inner: bytes) -> bytes:
    """An attribute of attributes."""
    return attribute(kind | NESTED, b"".join(inner))


# --- Queueing disciplines, filters, actions (rtnetlink) ---


def tc_message(index: int, handle: int, parent: int, info: int, kind: str, options: bytes) -> bytes:
    """The body of a request about a qdisc or a filter."""
    body = struct.pack("=BxHiIII", 0, 0, index, handle, parent, info)
    return body + text(TCA_KIND, kind) + nest(TCA_OPTIONS, options)


def qdisc_message(index: int, kind: str, options: bytes | None, parent: int) -> bytes:
    """The body of a request about a qdisc; options None: leave them out."""
    handle = 0xFFFF0000 if parent == INGRESS else 0x10000
    body = tc_message(index, handle, parent, 0, kind, options or b"")
    return body if options is not None else body[: -len(nest(TCA_OPTIONS))]


def add_qdisc(kernel: Any, index: int, kind: str, options: bytes | None, parent: int) -> None:
    """Put a queueing discipline on a device."""
    body = qdisc_message(index, kind, options, parent)
    request(kernel, RTM_NEWQDISC, CREATE | EXCLUSIVE, body)


def delete_qdisc(kernel: Any, index: int, parent: int) -> None:
    """Take the queueing discipline off again."""
    request(kernel, RTM_DELQDISC, 0, struct.pack("=BxHiIII", 0, 0, index, 0, parent, 0))


def add_filter(kernel: Any, index: int, kind: str, handle: int, options: bytes) -> None:
    """Put a classifier on the ingress of a device that has clsact."""
    info = (1 << 16) | socket.htons(0x0003)  # preference 1, ETH_P_ALL
    body = tc_message(index, handle, CLSACT_INGRESS, info, kind, options)
    request(kernel, RTM_NEWTFILTER, CREATE | EXCLUSIVE, body)


def add_action(kernel: Any, kind: str, options: bytes) -> None:
    """Make an action that no filter uses yet."""
    action = nest(1, text(1, kind), nest(2, options))
    body = struct.pack("=BxH", 0, 0) + nest(1, action)
    request(kernel, RTM_NEWACTION, CREATE | EXCLUSIVE, body)


# --- nftables and ipset (nfnetlink) ---


def netfilter_message(subsystem: int, kind: int, flags: int, family: int, body: bytes) -> bytes:
    """One nfnetlink message with an acknowledgement."""
    body = struct.pack(">BBH", family, 0, 0) + body
    return HEADER.pack(16 + len(body), subsystem << 8 | kind, flags | 5, 1, 0) + body


def batch(kernel: Any, messages: list[bytes]) -> None:
    """Send nf_tables requests as one transaction; the first error is raised."""
    edge = struct.pack(">BBH", 0, 0, 10)
    begin = HEADER.pack(20, 0x10, 1, 0, 0) + edge
    end = HEADER.pack(20, 0x11, 1, 0, 0) + edge
    with kernel.netlink(NETFILTER) as channel:
        channel.sendto(begin + b"".join(messages) + end, (0, 0))
        for _ in messages:
            _, kind, _, _, _ = HEADER.unpack_from(reply := channel.recv(65536))
            assert kind == ERROR
            raise_error(reply)


def raise_error(reply: bytes) -> None:
    """Raise the OSError that an NLMSG_ERROR carries, unless it is an acknowledgement."""
    (error,) = struct.unpack_from("=i", reply, 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def nft_table(family: int, name: str) -> bytes:
    """A request for a table."""
    return netfilter_message(10, 0, CREATE, family, text(1, name))


def nft_delete_table(family: int, name: str) -> bytes:
    """A request that a table goes, with all in it."""
    return netfilter_message(10, 2, 0, family, text(1, name))


def nft_helper(table: str, name: str, protocol: int) -> bytes:
    """A request for an object that names a helper of connection tracking."""
    data = nest(4, text(1, name), be16(2, 2), u8(3, protocol))
    body = text(1, table) + text(2, name) + be32(3, 3) + data
    return netfilter_message(10, 18, CREATE, 2, body)


def nft_chain(family: int, table: str, name: str, kind: str, hook: int, device: str = "") -> bytes:
    """A request for a base chain."""
    place = be32(1, hook) + be32(2, 0) + (text(3, device) if device else b"")
    body = text(1, table) + text(3, name) + nest(4, place) + text(7, kind)
    return netfilter_message(10, 3, CREATE, family, body)


def nft_rule(family: int, table: str, chain: str, *expressions: tuple[str, bytes]) -> bytes:
    """A request for a rule of some expressions: (name, data)."""
    listed = [nest(1, text(1, name), nest(2, data)) for name, data in expressions]
    body = text(1, table) + text(2, chain) + nest(4, *listed)
    return netfilter_message(10, 6, CREATE | 0x800, family, body)


def nft_flowtable(family: int, table: str, name: str, device: str) -> bytes:
    """A request for a flowtable on one device's ingress."""
    hook = be32(1, 0) + be32(2, 0) + nest(3, text(1, device))
    return netfilter_message(10, 22, CREATE, family, text(1, table) + text(2, name) + nest(3, hook))


def add_ipset(kernel: Any, kind: str, data: bytes) -> None:
    """Make an IP set named after its kind."""
    body = u8(1, 7) + text(2, kind) + text(3, kind) + u8(4, 0) + u8(5, 2) + nest(7, data)
    with kernel.netlink(NETFILTER) as channel:
        channel.sendto(netfilter_message(6, 2, CREATE | EXCLUSIVE, 2, body), (0, 0))
        raise_error(channel.recv(65536))


# --- IPsec (NETLINK_XFRM) ---


def add_state(kernel: Any, family: int, protocol: int, mode: int, attributes: bytes) -> None:
    """Add a security association or a Mobile IPv6 state between two addresses."""
    ends = [
        socket.inet_pton(family, end).ljust(16, b"\0")
        for end in (("10.9.0.1", "10.9.0.2") if family == 2 else ("fd09::1", "fd09::2"))
    ]
    spi = next(_spis) if protocol in (50, 51, 108) else 0
    selector = bytes(40) + struct.pack("=HBBBxxxiI", family, 0, 0, 0, 0, 0)
    body = selector + ends[1] + struct.pack(">IBxxx", spi, protocol) + ends[0]
    body += struct.pack("=4Q", *[2**64 - 1] * 4) + bytes(32) + bytes(32) + bytes(12)
    body += struct.pack("=IIHBBBxxxxxxx", 0, 0, family, mode, 0, 0)
    assert len(body) == 224
    message = HEADER.pack(16 + len(body) + len(attributes), 0x10, 5 | CREATE, 1, 0)
    with kernel.netlink(XFRM) as channel:
        channel.sendto(message + body + attributes, (0, 0))
        raise_error(channel.recv(65536))


def algorithm(kind: int, name: str, key: bytes, icv_bits: int | None = None) -> bytes:
    """XFRMA_ALG_*: an algorithm with its key; with icv_bits one that also authenticates."""
    lengths = struct.pack("=I", 8 * len(key))
    if icv_bits is not None:
        lengths += struct.pack("=I", icv_bits)
    return attribute(kind, name.encode().ljust(64, b"\0") + lengths + key)


# --- sock_diag(7) ---


def diag(kernel: Any, body: bytes) -> list[bytes]:
    """Dump the sockets of a family; each answer's body."""
    found: list[bytes] = []
    with kernel.netlink(SOCK_DIAG) as channel:
        channel.sendto(HEADER.pack(16 + len(body), 20, 1 | DUMP, 1, 0) + body, (0, 0))
        while True:
            data = channel.recv(1 << 17)
            while data:
                length, kind, _, _, _ = HEADER.unpack_from(data)
                if kind == DONE:
                    return found
                if kind == ERROR:
                    raise_error(data)
                found.append(data[16:length])
                data = data[(length + 3) & ~3 :]
