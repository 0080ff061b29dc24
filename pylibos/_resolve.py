# SPDX-License-Identifier: GPL-2.0-only
"""Host and service names.

There is no name server in a kernel: numeric addresses, the names of the loopback address and
the names that its world knows (``World.hosts``) are all there is.  Others are refused.
"""

from __future__ import annotations

import socket
from socket import getnameinfo as _host_getnameinfo
from typing import Any, Protocol

LOOPBACK = {
    "localhost": ["::1", "127.0.0.1"],
    "ip6-localhost": ["::1"],
    "ip6-loopback": ["::1"],
}


class Names(Protocol):
    """What a resolver needs to know."""

    def if_nametoindex(self, name: str) -> int:
        """Index of an interface, or OSError."""

    def known_hosts(self, name: str) -> list[str]:
        """Numeric addresses of a host name."""


def _numeric(host: str, family: int, names: Names) -> tuple[int, bytes, int] | None:
    """Parse a numeric address: (family, packed, scope), or None if it is none."""
    host, percent, zone = host.partition("%")
    scope = 0
    if percent:
        scope = int(zone) if zone.isdecimal() else names.if_nametoindex(zone)
    for kind in (socket.AF_INET, socket.AF_INET6):
        if family not in (0, kind) or (percent and kind == socket.AF_INET):
            continue
        try:
            return kind, socket.inet_pton(kind, host), scope
        except OSError:
            continue
    if family != socket.AF_INET6 and not percent and host[:1].isdigit():
        try:
            return socket.AF_INET, socket.inet_aton(host), 0
        except OSError:
            return None
    return None


def _unknown(host: str) -> socket.gaierror:
    return socket.gaierror(
        socket.EAI_NONAME,
        f"The name {host!r} is not known here: a kernel has no name server. "
        "Use a numeric address, 'localhost', or add the name to World.hosts.",
    )


def lookup(host: str, family: int, names: Names) -> list[tuple[int, bytes, int]]:
    """Find the addresses of a host: (family, packed, scope) each.

    Raises:
        socket.gaierror: there is none.
    """
    if found := _numeric(host, family, names):
        return [found]
    if family and _numeric(host, 0, names):
        raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
    known = names.known_hosts(host) or LOOPBACK.get(host.lower().rstrip("."), [])
    results = [_numeric(text, family, names) for text in known]
    addresses = [item for item in results if item]
    if not addresses:
        raise _unknown(host)
    return addresses


def resolve(host: str, family: int, names: Names) -> tuple[bytes, int]:
    """Turn a host of an address tuple into packed bytes and a scope.

    "" is the wildcard address, "<broadcast>" the IPv4 broadcast address.

    Raises:
        socket.gaierror: it is not known.
    """
    if host == "":
        return (bytes(4) if family == socket.AF_INET else bytes(16)), 0
    if host in ("<broadcast>", "255.255.255.255"):
        if family != socket.AF_INET:
            raise OSError("address family mismatched")
        return b"\xff" * 4, 0
    _, packed, scope = lookup(host, family, names)[0]
    return packed, scope


_SOCK_DCCP = 6
_KINDS = (
    (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    (socket.SOCK_RAW, 0),
)


# The services that tests and examples name, for hosts without /etc/services.
_SERVICES = {"echo": 7, "ftp": 21, "ssh": 22, "smtp": 25, "domain": 53, "http": 80, "https": 443}


def _service(port: Any, kind: int) -> int:
    if port is None:
        return 0
    if isinstance(port, bytes):
        port = port.decode()
    if isinstance(port, int):
        return port & 0xFFFF
    if not isinstance(port, str):
        raise OSError("Int or String expected")
    if port.isdecimal():
        return int(port) & 0xFFFF
    if port in _SERVICES:
        return _SERVICES[port]
    try:
        return socket.getservbyname(port, "udp" if kind == socket.SOCK_DGRAM else "tcp")
    except OSError:
        raise socket.gaierror(
            socket.EAI_SERVICE, "Servname not supported for ai_socktype"
        ) from None


def getaddrinfo(
    host: str | bytes | None,
    port: str | bytes | int | None,
    family: int,
    kind: int,
    proto: int,
    flags: int,
    names: Names,
) -> list[tuple[Any, Any, int, str, tuple[Any, ...]]]:
    """Do what socket.getaddrinfo() does, for the names of a world.

    Raises:
        socket.gaierror: as socket.getaddrinfo().
    """
    if isinstance(host, bytes):
        host = host.decode()
    if host is None and port is None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if host is None:
        passive = ["0.0.0.0", "::"] if flags & socket.AI_PASSIVE else ["::1", "127.0.0.1"]
        found = [_numeric(text, family, names) for text in passive]
        addresses = [item for item in found if item]
    elif flags & socket.AI_NUMERICHOST:
        numeric = _numeric(host, family, names)
        if numeric is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = [numeric]
    else:
        addresses = lookup(host, family, names)
    kinds = [
        (known, number)
        for known, number in _KINDS
        if kind in (0, known) and (proto in (0, number) or known == socket.SOCK_RAW)
    ]
    if not kinds:
        if kind in (socket.SOCK_SEQPACKET, _SOCK_DCCP) or proto:
            kinds = [(socket.SocketKind(kind or socket.SOCK_STREAM), proto)]
        else:
            raise socket.gaierror(socket.EAI_SOCKTYPE, "ai_socktype not supported")
    canonical = (host or "") if flags & socket.AI_CANONNAME else ""
    results: list[tuple[Any, Any, int, str, tuple[Any, ...]]] = []
    for known_family, packed, scope in addresses:
        text = socket.inet_ntop(known_family, packed)
        for known, number in kinds:
            service = _service(port, known)
            address: tuple[Any, ...] = (text, service)
            if known_family == socket.AF_INET6:
                address = (text, service, 0, scope)
            results.append(
                (
                    socket.AddressFamily(known_family),
                    socket.SocketKind(known),
                    proto or number,
                    canonical,
                    address,
                )
            )
    return results


def getnameinfo(
    sockaddr: tuple[Any, ...], flags: int, hosts: dict[str, list[str]]
) -> tuple[str, str]:
    """Do what socket.getnameinfo() does, for the names of a world.

    Args:
        sockaddr: an address of AF_INET or AF_INET6 with a numeric host.
        flags: NI_NUMERICHOST, NI_NAMEREQD and so on.
        hosts: names of the world, see World.hosts.

    Raises:
        socket.gaierror: the host is not numeric, or has no name and NI_NAMEREQD asks for it.
    """
    # Both numbers are the host's to print; only names are the world's.
    numeric = flags | socket.NI_NUMERICHOST
    host, service = _host_getnameinfo(sockaddr, numeric & ~socket.NI_NAMEREQD)
    if not flags & socket.NI_NUMERICHOST:
        for name, addresses in hosts.items():
            if host in addresses:
                return name, service
        for name, addresses in LOOPBACK.items():
            if host in addresses:
                return name, service
        if flags & socket.NI_NAMEREQD:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return host, service
