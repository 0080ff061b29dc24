# SPDX-License-Identifier: GPL-2.0-only
"""Socket addresses: Python's tuples to the kernel's structures and back.

Types, error classes and messages are those of CPython's ``Modules/socketmodule.c``; layouts are
from the kernel's ``include/uapi/linux`` (``in.h``, ``in6.h``, ``un.h``, ``netlink.h``,
``if_packet.h``, ``vm_sockets.h``, ``tipc.h``).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

from pylibos._resolve import resolve

SUN_PATH_BYTES = 108


class Interfaces(Protocol):
    """Looks names up: of interfaces for AF_PACKET and IPv6 scopes, and of hosts."""

    def if_nametoindex(self, name: str) -> int:
        """Index of an interface, or OSError ENODEV."""

    def if_indextoname(self, index: int) -> str:
        """Name of an interface, or OSError ENXIO."""

    def known_hosts(self, name: str) -> list[str]:
        """Addresses of a host name in this world."""


def _need_tuple(address: Any, family: str, where: str) -> tuple[Any, ...]:
    if not isinstance(address, tuple):
        raise TypeError(f"{where}(): {family} address must be tuple, not {type(address).__name__}")
    return address


def _integer(value: Any, what: str = "an integer") -> int:
    if hasattr(value, "__index__"):
        return int(value.__index__())
    raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as {what}")


def _port(value: Any, where: str) -> int:
    port = _integer(value)
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{where}(): port must be 0-65535.")
    return port


def _host(value: Any) -> str:
    if isinstance(value, str):
        host = value if value.isascii() else value.encode("idna").decode()
    elif isinstance(value, bytes | bytearray):
        host = bytes(value).decode()
    else:
        raise TypeError(f"str, bytes or bytearray expected, not {type(value).__name__}")
    if "\0" in host:
        raise TypeError("host name must not contain null character")
    return host


def _pack_inet(kernel: Interfaces, address: Any, where: str) -> bytes:
    parts = _need_tuple(address, "AF_INET", where)
    if len(parts) != 2:
        raise TypeError("AF_INET address must be a pair (host, port)")
    host = _host(parts[0])
    port = _port(parts[1], where)
    packed, _ = resolve(host, socket.AF_INET, kernel)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + packed + bytes(8)


def _pack_inet6(kernel: Interfaces, address: Any, where: str) -> bytes:
    parts = _need_tuple(address, "AF_INET6", where)
    if not 2 <= len(parts) <= 4:
        raise TypeError("AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
    host = _host(parts[0])
    port = _port(parts[1], where)
    flowinfo = _integer(parts[2]) if len(parts) > 2 else 0
    scope = _integer(parts[3]) if len(parts) > 3 else 0
    if not 0 <= flowinfo <= 0xFFFFF:
        raise OverflowError(f"{where}(): flowinfo must be 0-1048575.")
    packed, found_scope = resolve(host, socket.AF_INET6, kernel)
    return (
        struct.pack("=H", socket.AF_INET6)
        + struct.pack("!HI", port, flowinfo)
        + packed
        + struct.pack("=I", (scope or found_scope) & 0xFFFFFFFF)
    )


def _pack_unix(kernel: Interfaces, address: Any, where: str) -> bytes:  # noqa: ARG001
    if isinstance(address, str):
        path = os.fsencode(address)
    else:
        try:
            path = bytes(memoryview(address))
        except TypeError:
            raise TypeError(
                f"a bytes-like object is required, not '{type(address).__name__}'"
            ) from None
    if path and path[0] == 0:
        if len(path) > SUN_PATH_BYTES:
            raise OSError("AF_UNIX path too long")
    else:
        if len(path) >= SUN_PATH_BYTES:
            raise OSError("AF_UNIX path too long")
        # No name at all asks bind() for an automatic one.
        path = path + b"\0" if path else b""
    return struct.pack("=H", socket.AF_UNIX) + path


def _pack_netlink(kernel: Interfaces, address: Any, where: str) -> bytes:  # noqa: ARG001
    parts = _need_tuple(address, "AF_NETLINK", where)
    if len(parts) != 2:
        raise TypeError("AF_NETLINK address must be a pair (pid, groups)")
    port, groups = (_integer(part) & 0xFFFFFFFF for part in parts)
    return struct.pack("=HHII", socket.AF_NETLINK, 0, port, groups)


def _pack_packet(kernel: Interfaces, address: Any, where: str) -> bytes:
    parts = _need_tuple(address, "AF_PACKET", where)
    if not 2 <= len(parts) <= 5:
        raise TypeError(
            "AF_PACKET address must be a tuple of two to five elements "
            "(ifname, protocol[, pkttype[, hatype[, addr]]])"
        )
    protocol, kind, hatype = (
        _integer(parts[place]) if len(parts) > place else 0 for place in (1, 2, 3)
    )
    mac = bytes(parts[4]) if len(parts) > 4 else b""
    if len(mac) > 8:
        raise ValueError("Hardware address must be 8 bytes or less")
    if not 0 <= protocol <= 0xFFFF:
        raise OverflowError(f"{where}(): proto must be 0-65535.")
    index = kernel.if_nametoindex(str(parts[0])) if parts[0] else 0
    return (
        struct.pack("=H", socket.AF_PACKET)
        + struct.pack("!H", protocol)
        + struct.pack("=iHBB", index, hatype & 0xFFFF, kind & 0xFF, len(mac))
        + mac.ljust(8, b"\0")
    )


def _pack_vsock(kernel: Interfaces, address: Any, where: str) -> bytes:  # noqa: ARG001
    parts = _need_tuple(address, "AF_VSOCK", where)
    if len(parts) != 2:
        raise TypeError("AF_VSOCK address must be a pair (CID, port)")
    cid, port = (_integer(part) & 0xFFFFFFFF for part in parts)
    return struct.pack("=HHIII", socket.AF_VSOCK, 0, port, cid, 0).ljust(16, b"\0")


def _pack_tipc(kernel: Interfaces, address: Any, where: str) -> bytes:  # noqa: ARG001
    parts = _need_tuple(address, "AF_TIPC", where)
    if not 4 <= len(parts) <= 5:
        raise TypeError("AF_TIPC address must be a tuple (addr_type, v1, v2, v3[, scope])")
    kind, first, second, third = (_integer(part) & 0xFFFFFFFF for part in parts[:4])
    scope = _integer(parts[4]) if len(parts) > 4 else socket.TIPC_CLUSTER_SCOPE
    if kind == socket.TIPC_ADDR_NAME:
        words = (first, second, third)
    else:
        words = (first, second, third if kind == socket.TIPC_ADDR_NAMESEQ else 0)
    return struct.pack("=HBbIII", socket.AF_TIPC, kind & 0xFF, scope, *words)


_PACKERS: dict[int, Callable[[Interfaces, Any, str], bytes]] = {
    socket.AF_INET: _pack_inet,
    socket.AF_INET6: _pack_inet6,
    socket.AF_UNIX: _pack_unix,
    socket.AF_NETLINK: _pack_netlink,
    socket.AF_PACKET: _pack_packet,
    socket.AF_VSOCK: _pack_vsock,
    socket.AF_TIPC: _pack_tipc,
}


def pack_address(kernel: Interfaces, family: int, address: Any, where: str) -> bytes:
    """Turn an address of Python's socket module into a struct sockaddr.

    Args:
        kernel: looks interface and host names up.
        family: AF_*.
        address: as socket.socket takes it; for other families than the known ones a whole
            struct sockaddr as bytes.
        where: name of the method, for messages.

    Raises:
        TypeError, ValueError, OverflowError, OSError: as socket.socket raises them.
        socket.gaierror: a host name that is not known in this world.
    """
    if packer := _PACKERS.get(family):
        return packer(kernel, address, where)
    if isinstance(address, bytes):
        return address
    raise OSError(f"{where}(): bad family")


def unpack_address(kernel: Interfaces, data: bytes) -> Any:
    """Turn a struct sockaddr into what socket.socket gives; None if it is empty."""
    if len(data) < 2:
        return None
    (family,) = struct.unpack_from("=H", data)
    if family == socket.AF_INET:
        (port,) = struct.unpack_from("!H", data, 2)
        return socket.inet_ntop(socket.AF_INET, data[4:8]), port
    if family == socket.AF_INET6:
        port, flowinfo = struct.unpack_from("!HI", data, 2)
        scope = struct.unpack_from("=I", data, 24)[0]
        return socket.inet_ntop(socket.AF_INET6, data[8:24]), port, flowinfo, scope
    if family == socket.AF_UNIX:
        path = data[2:]
        if path[:1] == b"\0":
            return path
        return os.fsdecode(path.partition(b"\0")[0])
    if family == socket.AF_NETLINK:
        return struct.unpack_from("=II", data, 4)
    if family == socket.AF_PACKET:
        (protocol,) = struct.unpack_from("!H", data, 2)
        index, hatype, kind, size = struct.unpack_from("=iHBB", data, 4)
        name = ""
        if index:
            try:
                name = kernel.if_indextoname(index)
            except OSError:
                name = ""
        return name, protocol, kind, hatype, data[12 : 12 + size]
    if family == socket.AF_VSOCK:
        port, cid = struct.unpack_from("=II", data, 4)
        return cid, port
    if family == socket.AF_TIPC:
        kind, scope, first, second, third = struct.unpack_from("=BbIII", data, 2)
        if kind == socket.TIPC_ADDR_ID:
            return kind, first, second, 0, scope
        return kind, first, second, third, scope
    return family, data[2:]
