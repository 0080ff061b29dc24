# SPDX-License-Identifier: GPL-2.0-only
"""``socket``, ``select``, ``selectors``, ``ssl``, ``asyncio`` inside as_host(): the kernel's.

Where the module's own Python code can do the work it does: create_connection(),
create_server(), getfqdn() and all of ``selectors`` run unchanged on what is replaced here. So do
copies of them that a library took long before (``from socket import socket``).
"""

from __future__ import annotations

import _socket
import asyncio
import asyncio.events
import select
import selectors
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pylibos._asyncio import KernelEventLoop
from pylibos._host_context import (
    Dispatcher,
    Patches,
    Target,
    Variants,
    current_process,
    on_the_host,
)
from pylibos._select import Epoll
from pylibos._socket import F_DUPFD_CLOEXEC, Socket
from pylibos._tls import TlsSocket

_new_real: Callable[..., Any] = _socket.socket.__new__


class HostedSocket(Socket):
    """What ``socket.socket(...)`` makes inside as_host()."""

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the name that socket.socket has
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        process = current_process()
        if process is None:
            raise RuntimeError(
                "This socket was begun inside as_host() and is initialised outside of it; "
                "do both inside."
            )
        super().__init__(process, family, type, proto, fileno)


_hosted_class = Variants(HostedSocket)


def _new(wanted: type, *args: Any, **options: Any) -> Any:
    """socket.socket.__new__: so that subclasses of it follow, too."""
    if current_process() is None or issubclass(wanted, (Socket, ssl.SSLSocket)):
        return _new_real(wanted, *args, **options)
    return _new_real(_hosted_class(wanted))


def _initialiser(real: Callable[..., None]) -> Callable[..., None]:
    """socket.socket.__init__, which subclasses may call by that name."""

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807
        if isinstance(self, HostedSocket):
            HostedSocket.__init__(self, *args, **options)
        else:
            real(self, *args, **options)

    return __init__


def _hosts_own(real: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the host's sockets that makes another one: that one is the host's."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        with on_the_host():
            return real(self, *args, **options)

    return method


class _TlsChooser:
    """SSLContext.sslsocket_class: the socket decides."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def _create(self, sock: Any, *args: Any, **options: Any) -> Any:
        if isinstance(sock, Socket):
            return TlsSocket._create(sock, *args, **options)
        with on_the_host():
            return self._real._create(sock, *args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _method(name: str) -> Callable[[Any], Dispatcher]:
    """Replace a function by the method of that name of the process."""
    return lambda real: Dispatcher(
        real, lambda process, *args, **options: getattr(process, name)(*args, **options)
    )


def _dup(process: Any, fd: int) -> int:
    number: int = process.syscall("fcntl", fd, F_DUPFD_CLOEXEC, 0)
    return number


def _close(process: Any, fd: int) -> None:
    process.syscall("close", fd)


def _epoll(process: Any, sizehint: int = -1, flags: int = 0) -> Any:
    return process.epoll(sizehint, flags)


def _host_selector(real: Any) -> Any:
    """A selector for pipes of host processes."""
    return type(real.__name__, (real,), {"_selector_cls": staticmethod(_real_poll)})


_real_poll = select.poll
_NAMES = (
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "getnameinfo",
    "gethostname",
    "sethostname",
    "if_nameindex",
    "if_nametoindex",
    "if_indextoname",
)


def _targets() -> Iterator[Target]:
    yield socket.socket, "__new__", lambda _: staticmethod(_new)
    yield socket.socket, "__init__", _initialiser
    yield socket.socket, "accept", _hosts_own
    yield socket.socket, "dup", _hosts_own
    for name in _NAMES:
        yield socket, name, _method(name)
    yield socket, "dup", lambda real: Dispatcher(real, _dup)
    yield socket, "close", lambda real: Dispatcher(real, _close)
    # What the functions of these names in the socket module rest on.
    yield _socket, "getaddrinfo", _method("getaddrinfo")
    yield _socket, "socketpair", _method("socketpair")

    yield select, "select", _method("select")
    yield select, "poll", _method("poll")
    yield select, "epoll", lambda real: Dispatcher(real, _epoll, (Epoll,))
    yield selectors.SelectSelector, "_select", _method("select")
    yield selectors.PollSelector, "_selector_cls", _method("poll")
    yield selectors.EpollSelector, "_selector_cls", lambda real: Dispatcher(real, _epoll)
    # Host processes and the pipes to them stay the host's.
    for module, name in (
        ("subprocess", "_PopenSelector"),
        ("multiprocessing.connection", "_WaitSelector"),
    ):
        if (owner := sys.modules.get(module)) is not None and hasattr(owner, name):
            yield owner, name, _host_selector

    yield ssl.SSLContext, "sslsocket_class", _TlsChooser
    for place in (asyncio, asyncio.events):
        yield place, "new_event_loop", lambda real: Dispatcher(real, KernelEventLoop)


MODULES = Patches(_targets)
