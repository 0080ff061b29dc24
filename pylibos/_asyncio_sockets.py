# SPDX-License-Identifier: GPL-2.0-only
"""asyncio's own methods that make sockets, for a kernel's sockets.

BaseEventLoop makes sockets by the name ``socket`` of its module, and looks at paths of unix
sockets by the name ``os``.  Here the same functions run with these two names bound to the
running loop's kernel, so that their behaviour stays that of the Python at hand.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import socket
import types
from asyncio import base_events, unix_events
from typing import TYPE_CHECKING, Any

from pylibos._file import library_file
from pylibos._socket import Socket

if TYPE_CHECKING:
    from pylibos._process import Process

_FILE_BLOCK = 1 << 18


class _Names:
    """A module of the host, with some of its functions taken from the running loop's kernel."""

    def __init__(self, module: types.ModuleType, methods: dict[str, str]) -> None:
        self._module = module
        for name, method in methods.items():
            setattr(self, name, functools.partial(_call, method))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _call(method: str, *args: Any, **options: Any) -> Any:
    loop: Any = asyncio.get_running_loop()
    return getattr(loop.process, method)(*args, **options)


_NAMES = {
    "socket": _Names(socket, {"socket": "socket", "socketpair": "socketpair"}),
    "os": _Names(os, {"stat": "stat", "remove": "unlink", "unlink": "unlink"}),
}


def _rebind(function: Any) -> Any:
    """Copy a function, with the names of its module that are in _NAMES bound anew."""
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **_NAMES},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return functools.update_wrapper(copy, function)


def _checked(name: str) -> Any:
    """A method of the loop that looks at the socket first that it is given."""
    method = getattr(asyncio.SelectorEventLoop, name)

    @functools.wraps(method)
    def call(self: SocketMethods, sock: Any, *args: Any, **options: Any) -> Any:
        self._require(sock)
        return method(self, sock, *args, **options)

    return call


class SocketMethods:
    """Mixin of KernelEventLoop."""

    _process: Process

    _connect_sock = _rebind(base_events.BaseEventLoop._connect_sock)  # type: ignore[attr-defined]
    create_server = _rebind(base_events.BaseEventLoop.create_server)
    create_datagram_endpoint = _rebind(base_events.BaseEventLoop.create_datagram_endpoint)
    create_unix_connection = _rebind(unix_events.SelectorEventLoop.create_unix_connection)
    create_unix_server = _rebind(unix_events.SelectorEventLoop.create_unix_server)

    sock_recv = _checked("sock_recv")
    sock_recv_into = _checked("sock_recv_into")
    sock_recvfrom = _checked("sock_recvfrom")
    sock_recvfrom_into = _checked("sock_recvfrom_into")
    sock_sendall = _checked("sock_sendall")
    sock_sendto = _checked("sock_sendto")
    sock_connect = _checked("sock_connect")
    sock_accept = _checked("sock_accept")
    sock_sendfile = _checked("sock_sendfile")
    add_reader = _checked("add_reader")
    add_writer = _checked("add_writer")
    _make_socket_transport = _checked("_make_socket_transport")
    _make_ssl_transport = _checked("_make_ssl_transport")
    _make_datagram_transport = _checked("_make_datagram_transport")

    def _require(self, item: Any) -> None:
        """Refuse a descriptor that is not one of the loop's own kernel.

        Raises:
            ValueError: it belongs to the host or to another kernel or task.
        """
        if isinstance(item, int):
            return
        owner = getattr(item, "process", None)
        if owner is not self._process:
            whose = "the host" if owner is None else repr(owner)
            raise ValueError(
                f"{item!r} belongs to {whose}, but this event loop waits for descriptors of "
                f"{self._process!r}; make the socket there."
            )

    def _start_serving(self, protocol_factory: Any, sock: Any, *args: Any, **options: Any) -> None:
        self._require(sock)
        super()._start_serving(protocol_factory, sock, *args, **options)  # type: ignore[misc]

    def _stop_serving(self, sock: Any) -> None:
        # Since 3.13 asyncio removes the path of a unix socket that it made: from the host.
        made: dict[Any, int] = getattr(self, "_unix_server_sockets", {})
        inode = made.pop(sock, None)
        path = sock.getsockname() if inode is not None else None
        super()._stop_serving(sock)  # type: ignore[misc]
        if path is not None:
            try:
                if self._process.stat(path).st_ino == inode:
                    self._process.unlink(path)
            except FileNotFoundError:
                pass

    async def _sock_sendfile_native(
        self, sock: Socket, file: Any, offset: int, count: int | None
    ) -> int:
        raw = library_file(file)
        if raw is None or raw.process is not self._process:
            raise asyncio.SendfileNotAvailableError("not a file of this kernel")
        position = offset
        try:
            while count is None or position - offset < count:
                left = _FILE_BLOCK if count is None else count - (position - offset)
                sent = await self._send_block(sock, raw.fileno(), position, left)
                if sent == 0:
                    break
                position += sent
        finally:
            file.seek(position)
        return position - offset

    async def _send_block(self, sock: Socket, fd: int, offset: int, size: int) -> int:
        """Send a part of a file by sendfile(2), once the socket takes some."""
        loop: Any = self
        place = ctypes.c_int64(offset)
        while True:
            try:
                return self._process.syscall(
                    "sendfile", sock.fileno(), fd, ctypes.addressof(place), size
                )
            except BlockingIOError:
                pass
            writable = loop.create_future()
            loop._add_writer(sock.fileno(), _release, writable)
            try:
                await writable
            finally:
                loop._remove_writer(sock.fileno())


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
