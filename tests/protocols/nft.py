# SPDX-License-Identifier: GPL-2.0-only
"""nftables by raw netlink (include/uapi/linux/netfilter/nf_tables.h)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pylibos

NETLINK_NETFILTER, SUBSYSTEM = 12, 10
IPV4, IPV6, INET = 2, 10, 1
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING, INGRESS = 0, 1, 2, 3, 4, 0
DROP, ACCEPT = 0, 1
NETWORK, TRANSPORT = 1, 2  # bases of payload()
ESTABLISHED, RELATED, NEW = 2, 4, 8  # bits of ct_state()
_NEWTABLE, _NEWCHAIN, _NEWRULE, _GETRULE, _NEWFLOWTABLE = 0, 3, 6, 7, 22
_NESTED, _DONE, _ERROR = 0x8000, 3, 2

Expression = tuple[str, bytes]


def _attribute(kind: int, data: bytes | str | int) -> bytes:
    """One attribute: bytes, a string, or a number of 32 bits in network order."""
    if isinstance(data, str):
        data = data.encode() + b"\0"
    elif isinstance(data, int):
        data = struct.pack("!I", data)
    return struct.pack("=HH", 4 + len(data), kind) + data.ljust(len(data) + 3 & ~3, b"\0")


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + size]
        at += size + 3 & ~3


def _message(kind: int, flags: int, family: int, body: bytes, resource: int = 0) -> bytes:
    head = struct.pack("=IHHII", 20 + len(body), kind, flags, 0, 0)
    return head + struct.pack("!BBH", family, 0, resource) + body


def _apply(process: pylibos.Process, kind: int, family: int, body: bytes) -> None:
    """Send one change as a transaction of its own.

    Raises:
        OSError: the kernel refused it.
    """
    batch = _message(0x10, 1, 0, b"", SUBSYSTEM)
    batch += _message(SUBSYSTEM << 8 | kind, 0xC05, family, body)  # REQUEST, ACK, CREATE, APPEND
    batch += _message(0x11, 1, 0, b"", SUBSYSTEM)
    with process.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as channel:
        channel.sendto(batch, (0, 0))
        (error,) = struct.unpack_from("=i", channel.recv(65536), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def add_table(process: pylibos.Process, family: int, name: str = "t") -> None:
    """Add a table."""
    _apply(process, _NEWTABLE, family, _attribute(1, name))


def add_chain(
    process: pylibos.Process,
    family: int,
    name: str,
    hook: int,
    *,
    kind: str = "filter",
    priority: int = 0,
    policy: int = ACCEPT,
) -> None:
    """Add a base chain to the table "t"."""
    body = _attribute(1, "t") + _attribute(3, name)
    body += _nested(4, _attribute(1, hook), _attribute(2, priority & 0xFFFFFFFF))
    _apply(process, _NEWCHAIN, family, body + _attribute(5, policy) + _attribute(7, kind))


def add_rule(
    process: pylibos.Process, family: int, chain: str, *expressions: Expression | list[Expression]
) -> None:
    """Append a rule to a chain of the table "t"."""
    flat: list[Expression] = []
    for item in expressions:
        flat.extend(item if isinstance(item, list) else [item])
    listed = [_nested(1, _attribute(1, name), _nested(2, data)) for name, data in flat]
    body = _attribute(1, "t") + _attribute(2, chain) + _nested(4, *listed)
    _apply(process, _NEWRULE, family, body)


def add_flowtable(
    process: pylibos.Process, family: int, devices: list[str], name: str = "f"
) -> None:
    """Add a flow table over some devices to the table "t"."""
    names = _nested(3, *(_attribute(1, device) for device in devices))
    hook = _nested(3, _attribute(1, INGRESS), _attribute(2, 0), names)
    _apply(process, _NEWFLOWTABLE, family, _attribute(1, "t") + _attribute(2, name) + hook)


def counted(process: pylibos.Process, family: int, chain: str) -> list[int]:
    """Packets that the counters of a chain of the table "t" have seen, in order."""
    found: list[int] = []
    body = _attribute(1, "t") + _attribute(2, chain)
    with process.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as channel:
        channel.sendto(_message(SUBSYSTEM << 8 | _GETRULE, 0x301, family, body), (0, 0))
        while True:
            data = channel.recv(65536)
            at = 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == _DONE:
                    return found
                listed = dict(_split(data[at + 20 : at + size])).get(4, b"")
                for _, item in _split(listed):
                    parts = dict(_split(item))
                    if parts[1].rstrip(b"\0") == b"counter":
                        (packets,) = struct.unpack("!Q", dict(_split(parts[2]))[2])
                        found.append(packets)
                at += size + 3 & ~3


# --- Expressions ---


def payload(base: int, offset: int, value: bytes) -> list[Expression]:
    """Bytes of a header are a value."""
    load = _attribute(1, 1) + _attribute(2, base) + _attribute(3, offset)
    return [("payload", load + _attribute(4, len(value))), _compare(value)]


def _compare(value: bytes, operation: int = 0) -> Expression:
    data = _nested(3, _attribute(1, value))
    return "cmp", _attribute(1, 1) + _attribute(2, operation) + data


def protocol(number: int) -> list[Expression]:
    """The protocol above IP is a number."""
    return [("meta", _attribute(1, 1) + _attribute(2, 16)), _compare(bytes([number]))]


def out_interface(name: str) -> list[Expression]:
    """The packet leaves by an interface."""
    value = name.encode().ljust(16, b"\0")
    return [("meta", _attribute(1, 1) + _attribute(2, 7)), _compare(value)]


def port(number: int) -> list[Expression]:
    """The destination port is a number."""
    return payload(TRANSPORT, 2, struct.pack("!H", number))


def ct_state(bits: int) -> list[Expression]:
    """The connection's state is one of some."""
    mask = _nested(4, _attribute(1, struct.pack("=I", bits)))
    zero = _nested(5, _attribute(1, bytes(4)))
    masked = _attribute(1, 1) + _attribute(2, 1) + _attribute(3, 4) + mask + zero
    return [
        ("ct", _attribute(1, 1) + _attribute(2, 0)),
        ("bitwise", masked),
        _compare(bytes(4), operation=1),
    ]


def counter() -> Expression:
    """Count packets and bytes."""
    return "counter", b""


def verdict(code: int) -> Expression:
    """Accept or drop."""
    return "immediate", _attribute(1, 0) + _nested(2, _nested(2, _attribute(1, code)))


def masquerade() -> Expression:
    """Change the source to the address of the interface."""
    return "masq", b""


def change_destination(address: str, number: int) -> list[Expression]:
    """Change the destination to an address and a port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    load = _attribute(1, 1) + _nested(2, _attribute(1, packed))
    load_port = _attribute(1, 2) + _nested(2, _attribute(1, struct.pack("!H", number)))
    nat = _attribute(1, 1) + _attribute(2, family) + _attribute(3, 1) + _attribute(5, 2)
    return [("immediate", load), ("immediate", load_port), ("nat", nat)]


def reject(version: int) -> Expression:
    """Answer with "port unreachable" of a version of IP."""
    return "reject", _attribute(1, 0) + _attribute(2, b"\x03" if version == 4 else b"\x04")


def limit(packets: int, burst: int) -> Expression:
    """Match so many packets a second, and a burst."""
    rate = _attribute(1, struct.pack("!Q", packets)) + _attribute(2, struct.pack("!Q", 1))
    return "limit", rate + _attribute(3, burst) + _attribute(4, 0)


def offload(name: str = "f") -> Expression:
    """Hand the connection over to a flow table."""
    return "flow_offload", _attribute(1, name)
