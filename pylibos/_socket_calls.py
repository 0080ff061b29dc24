# SPDX-License-Identifier: GPL-2.0-only
"""The functions of Python's socket module, on a library kernel."""

from __future__ import annotations

import operator
import os
import socket as host_socket
import struct
from ctypes import addressof, c_int
from typing import TYPE_CHECKING, Any, cast

from pylibos._caller import fail
from pylibos._name_calls import NameCalls
from pylibos._socket import Socket
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process

_SOCKETPAIR = NUMBERS["socketpair"]
SIOCGIFNAME, SIOCGIFINDEX = 0x8910, 0x8933
_IFREQ = struct.Struct("=16si20x")
_GLOBAL_TIMEOUT: Any = object()


class SocketCalls(NameCalls):
    """Mixin of Process."""

    @property
    def _self(self) -> Process:
        return cast("Process", self)

    def socket(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the name that socket.socket has
        proto: int = -1,
        fileno: int | None = None,
    ) -> Socket:
        """Make a socket; arguments as for socket.socket().

        Raises:
            OSError: as socket.socket(), for instance EAFNOSUPPORT.
        """
        return Socket(self._self, family, type, proto, fileno)

    def socketpair(
        self,
        family: int = host_socket.AF_UNIX,
        type: int = host_socket.SOCK_STREAM,  # noqa: A002
        proto: int = 0,
    ) -> tuple[Socket, Socket]:
        """Make two connected sockets, as socket.socketpair()."""
        pair = (c_int * 2)()
        result = self._self.call(
            _SOCKETPAIR, family, type | host_socket.SOCK_CLOEXEC, proto, addressof(pair)
        )
        if result < 0:
            raise fail(result)
        first, second = (Socket(self._self, family, type, proto, fileno=fd) for fd in pair)
        return first, second

    def fromfd(self, fd: int, family: int, type: int, proto: int = 0) -> Socket:  # noqa: A002
        """Make a socket of a duplicate of a descriptor of this process."""
        copy = self._self.syscall("fcntl", fd, 1030, 0)  # F_DUPFD_CLOEXEC
        return Socket(self._self, family, type, proto, fileno=copy)

    def create_connection(
        self,
        address: tuple[Any, ...],
        timeout: float | None = _GLOBAL_TIMEOUT,
        source_address: tuple[Any, ...] | None = None,
        *,
        all_errors: bool = False,
    ) -> Socket:
        """Connect to a TCP service, as socket.create_connection()."""
        host, port = address[:2]
        errors: list[OSError] = []
        for family, kind, proto, _, found in self.getaddrinfo(
            host, port, 0, host_socket.SOCK_STREAM
        ):
            conn = None
            try:
                conn = self.socket(family, kind, proto)
                if timeout is not _GLOBAL_TIMEOUT:
                    conn.settimeout(timeout)
                if source_address:
                    conn.bind(source_address)
                conn.connect(found)
            except OSError as error:
                errors = [*errors, error] if all_errors else [error]
                if conn is not None:
                    conn.close()
            except BaseException:
                if conn is not None:
                    conn.close()
                raise
            else:
                return conn
        if not errors:
            raise OSError("getaddrinfo returns an empty list")
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        raise errors[0]

    def create_server(
        self,
        address: tuple[Any, ...],
        *,
        family: int = host_socket.AF_INET,
        backlog: int | None = None,
        reuse_port: bool = False,
        dualstack_ipv6: bool = False,
    ) -> Socket:
        """Make a listening TCP socket, as socket.create_server()."""
        if dualstack_ipv6:
            if not self.has_dualstack_ipv6():
                raise ValueError("dualstack_ipv6 not supported on this platform")
            if family != host_socket.AF_INET6:
                raise ValueError("dualstack_ipv6 requires AF_INET6 family")
        server = self.socket(family, host_socket.SOCK_STREAM)
        try:
            server.setsockopt(host_socket.SOL_SOCKET, host_socket.SO_REUSEADDR, 1)
            if reuse_port:
                server.setsockopt(host_socket.SOL_SOCKET, host_socket.SO_REUSEPORT, 1)
            if family == host_socket.AF_INET6:
                only = 0 if dualstack_ipv6 else 1
                server.setsockopt(host_socket.IPPROTO_IPV6, host_socket.IPV6_V6ONLY, only)
            try:
                server.bind(address)
            except OSError as error:
                message = f"{error.strerror} (while attempting to bind on address {address!r})"
                raise OSError(error.errno, message) from None
            if backlog is None:
                server.listen()
            else:
                server.listen(backlog)
        except BaseException:
            server.close()
            raise
        return server

    @property
    def has_ipv6(self) -> bool:
        """Whether the kernel speaks IPv6."""
        try:
            self.socket(host_socket.AF_INET6, host_socket.SOCK_DGRAM).close()
        except OSError:
            return False
        return True

    def has_dualstack_ipv6(self) -> bool:
        """Whether one socket can serve IPv4 and IPv6."""
        try:
            with self.socket(host_socket.AF_INET6, host_socket.SOCK_STREAM) as probe:
                probe.setsockopt(host_socket.IPPROTO_IPV6, host_socket.IPV6_V6ONLY, 0)
        except OSError:
            return False
        return True

    def if_nametoindex(self, name: str | bytes) -> int:
        """Index of a network interface.

        Raises:
            OSError: ENODEV, there is none of that name.
        """
        if not isinstance(name, str | bytes):
            raise TypeError(f"expected str, bytes or os.PathLike object, not {_name(name)}")
        data = os.fsencode(name)
        if len(data) > 15:
            raise OSError("interface name too long")
        request = bytearray(_IFREQ.pack(data, 0))
        self._interface_ioctl(SIOCGIFINDEX, request)
        return int(_IFREQ.unpack(request)[1])

    def if_indextoname(self, index: int) -> str:
        """Name of a network interface.

        Raises:
            OSError: ENODEV, there is none of that index.
        """
        if not 0 <= operator.index(index) <= 0x7FFFFFFF:
            raise OSError(6, "No such device or address")
        request = bytearray(_IFREQ.pack(b"", index))
        self._interface_ioctl(SIOCGIFNAME, request)
        name: bytes = _IFREQ.unpack(request)[0]
        return name.partition(b"\0")[0].decode()

    def if_nameindex(self) -> list[tuple[int, str]]:
        """All network interfaces as (index, name)."""
        lines = self._self.read_text("/proc/net/dev").splitlines()[2:]
        names = [line.partition(":")[0].strip() for line in lines]
        return sorted((self.if_nametoindex(name), name) for name in names)

    def _interface_ioctl(self, request: int, argument: bytearray) -> None:
        with self.socket(host_socket.AF_UNIX, host_socket.SOCK_DGRAM) as probe:
            probe.ioctl(request, argument)


def _name(value: Any) -> str:
    return type(value).__name__
