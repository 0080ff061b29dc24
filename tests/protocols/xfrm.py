# SPDX-License-Identifier: GPL-2.0-only
"""IPsec states and policies by raw netlink (include/uapi/linux/xfrm.h); pyroute2 has none."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from dataclasses import dataclass

import pylibos

NETLINK_XFRM = 6
ESP, AH = 50, 51
# Mobile IPv6 (RFC 6275): a type 2 routing header, a home address option.
ROUTING, DESTINATION_OPTIONS = 43, 60
TRANSPORT, TUNNEL, ROUTE_OPTIMIZATION = 0, 1, 2
IN, OUT, FORWARD = 0, 1, 2
_NEWSA, _GETSA, _NEWPOLICY, _UPDSA = 0x10, 0x12, 0x13, 0x1A
_ALG_AUTH, _TMPL, _COADDR, _ALG_AEAD = 1, 5, 14, 18
_REQUEST, _ACK, _DUMP, _CREATE = 1, 4, 0x300, 0x600
_ANY_FAMILY = 32  # XFRM_STATE_AF_UNSPEC
_INFINITE = 2**64 - 1
_ERROR, _DONE = 2, 3


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed.ljust(16, b"\0")


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _selector(source: str, destination: str) -> bytes:
    """struct xfrm_selector of two networks."""
    ends = [ipaddress.ip_network(text) for text in (source, destination)]
    family = socket.AF_INET6 if ends[0].version == 6 else socket.AF_INET
    return struct.pack(
        "=16s16sHHHHHBBB3xiI",
        *(end.network_address.packed.ljust(16, b"\0") for end in reversed(ends)),
        *(0, 0, 0, 0, family, ends[1].prefixlen, ends[0].prefixlen, 0, 0, 0),
    )


def _lifetime(packets: int = 0, seconds: int = 0) -> bytes:
    """struct xfrm_lifetime_cfg with hard limits."""
    limit = packets or _INFINITE
    return struct.pack("=8Q", *(_INFINITE,) * 3, limit, 0, seconds, 0, 0) + bytes(32)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data.ljust(len(data) + 3 & ~3, b"\0")


def _request(process: pylibos.Process, kind: int, body: bytes) -> None:
    with process.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM) as channel:
        flags = _REQUEST | _ACK | _CREATE
        channel.sendto(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body, (0, 0))
        (error,) = struct.unpack_from("=i", channel.recv(65536), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def add_state(
    process: pylibos.Process,
    source: str,
    destination: str,
    spi: int,
    key: bytes,
    *,
    mode: int = TRANSPORT,
    protocol: int = ESP,
    packets: int = 0,
    seconds: int = 0,
    care_of: str | None = None,
    update: bool = False,
) -> None:
    """Add a state: ESP with AES-GCM, a key of 16 bytes and 4 of salt; AH with HMAC-SHA-1.

    Args:
        packets, seconds: hard limits of its life; 0: none.
        care_of: the address that stands for the home address, with ROUTE_OPTIMIZATION.
        update: change the state that there is.
    """
    family = _family(source)
    # Without a selector: a tunnel may carry the other version of IP.
    body = bytes(56)
    body += struct.pack("=16s4sB3x16s", _packed(destination), struct.pack("!I", spi), protocol,
                        _packed(source))  # fmt: skip
    body += _lifetime(packets, seconds)
    body += struct.pack("=5IHBBB7x", 0, 0, 0, 0, 0, family, mode, 32,
                        _ANY_FAMILY if mode == TUNNEL else 0)  # fmt: skip
    if care_of is not None:
        body += _attribute(_COADDR, _packed(care_of))
    elif protocol == ESP:
        algorithm = struct.pack("=64sII", b"rfc4106(gcm(aes))", 8 * len(key), 128) + key
        body += _attribute(_ALG_AEAD, algorithm)
    else:
        body += _attribute(_ALG_AUTH, struct.pack("=64sI", b"hmac(sha1)", 8 * len(key)) + key)
    _request(process, _UPDSA if update else _NEWSA, body)


def add_policy(
    process: pylibos.Process,
    source: str,
    destination: str,
    direction: int,
    *,
    tunnel: tuple[str, str] | None = None,
    protocol: int = ESP,
) -> None:
    """Ask for protection of what goes from one network to another one.

    Args:
        tunnel: its ends; None: transport mode.
    """
    network = ipaddress.ip_network(source)
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    body = _selector(source, destination) + _lifetime()
    body += struct.pack("=IIBBBB4x", 0, 0, direction, 0, 0, 0)
    ends = [bytes(16), bytes(16)] if tunnel is None else [_packed(end) for end in tunnel]
    family = _family(tunnel[0]) if tunnel else family
    template = struct.pack("=16sIB3xHxx16sI", ends[1], 0, protocol, family, ends[0], 0)
    mode = TRANSPORT if tunnel is None else TUNNEL
    if protocol in (ROUTING, DESTINATION_OPTIONS):
        mode = ROUTE_OPTIMIZATION
    template += struct.pack("=BBBx3I", mode, 0, 0, *(0xFFFFFFFF,) * 3)
    _request(process, _NEWPOLICY, body + _attribute(_TMPL, template))


@dataclass(frozen=True)
class State:
    """What a state has done so far."""

    spi: int
    bytes: int
    packets: int
    integrity_failed: int


def states(process: pylibos.Process) -> dict[int, State]:
    """All states by SPI."""
    found = {}
    with process.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM) as channel:
        channel.sendto(struct.pack("=IHHII", 16, _GETSA, _REQUEST | _DUMP, 1, 0), (0, 0))
        while True:
            data = channel.recv(65536)
            at = 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == _DONE:
                    return found
                info = at + 16
                (spi,) = struct.unpack_from("!I", data, info + 56 + 16)
                octets, packets = struct.unpack_from("=QQ", data, info + 56 + 24 + 16 + 64)
                failed = struct.unpack_from("=3I", data, info + 56 + 24 + 16 + 64 + 32)[2]
                found[spi] = State(spi, octets, packets, failed)
                at += size + 3 & ~3
