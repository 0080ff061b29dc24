# SPDX-License-Identifier: GPL-2.0-only
"""Names of hosts and of this host, as Python's socket module asks for them."""

from __future__ import annotations

import os
import socket as host_socket
from typing import TYPE_CHECKING, Any, cast

from pylibos import _resolve

if TYPE_CHECKING:
    from pylibos._process import Process


class NameCalls:
    """Mixin of Process."""

    @property
    def _named(self) -> Process:
        return cast("Process", self)

    def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name that socket.getaddrinfo has
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[Any, Any, int, str, tuple[Any, ...]]]:
        """Resolve a numeric address or a name of this world, as socket.getaddrinfo().

        Raises:
            socket.gaierror: a name that is not known; there is no name server in a kernel.
        """
        return _resolve.getaddrinfo(host, port, family, type, proto, flags, self._named)

    def gethostname(self) -> str:
        """Host name of the process's uts namespace."""
        buffer = bytearray(6 * 65)
        self._named.syscall("uname", buffer)
        return bytes(buffer[65:130]).partition(b"\0")[0].decode()

    def sethostname(self, name: str | bytes) -> None:
        """Set the host name of the process's uts namespace.

        Raises:
            OSError: longer than 64 bytes.
        """
        data = os.fsencode(name)
        self._named.syscall("sethostname", data, len(data))

    def gethostbyname(self, hostname: str) -> str:
        """The first IPv4 address of a host, as socket.gethostbyname().

        Raises:
            socket.gaierror: it is not known, or has none.
        """
        return self.gethostbyname_ex(hostname)[2][0]

    def gethostbyname_ex(self, hostname: str) -> tuple[str, list[str], list[str]]:
        """(name, aliases, IPv4 addresses) of a host, as socket.gethostbyname_ex().

        Raises:
            socket.gaierror: it is not known, or has none.
        """
        if hostname == "":
            return "", [], ["0.0.0.0"]
        found = _resolve.lookup(hostname, host_socket.AF_INET, self._named)
        addresses = [host_socket.inet_ntop(family, packed) for family, packed, _ in found]
        return hostname, [], addresses

    def gethostbyaddr(self, ip_address: str) -> tuple[str, list[str], list[str]]:
        """(name, aliases, addresses) of an address or a host, as socket.gethostbyaddr().

        Raises:
            socket.herror: no host of this world has that address.
            socket.gaierror: a name that is not known.
        """
        family, packed, _ = _resolve.lookup(ip_address, 0, self._named)[0]
        text = host_socket.inet_ntop(family, packed)
        names = self._named.known_names(text)
        if not names:
            raise host_socket.herror(1, "Unknown host")
        return names[0], names[1:], [text]

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
        """Find host and service name of an address of this world, as socket.getnameinfo().

        Raises:
            socket.gaierror: NI_NAMEREQD asks for a name, and there is none.
        """
        return _resolve.getnameinfo(sockaddr, flags, self._named.world.hosts)

    def getfqdn(self, name: str = "") -> str:
        """The full name of a host, as socket.getfqdn()."""
        name = name.strip()
        if not name or name in ("0.0.0.0", "::"):
            name = self.gethostname()
        try:
            host, aliases, _ = self.gethostbyaddr(name)
        except OSError:
            return name
        return next((item for item in (host, *aliases) if "." in item), host)
