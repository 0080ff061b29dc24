# SPDX-License-Identifier: GPL-2.0-only
"""A socket of a kernel as trio.socket has them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any

import trio
import trio.socket

from pylibos._socket import Socket
from pylibos._trio_waits import READ, WRITE, Waits, current_waits


class TrioSocket(trio.socket.SocketType):
    """A non-blocking socket of a kernel whose methods are trio's.

    Args:
        sock: the socket; it belongs to this object from now on.
    """

    def __init__(self, sock: Socket) -> None:
        super().__init__()
        self._sock = sock
        self._waits: Waits | None = None
        self._shut_for_writing = False
        sock.setblocking(False)

    # --- Waiting ---

    async def _wait(self, index: int) -> None:
        if self._waits is None:
            self._waits = current_waits()
        await self._waits.wait(self._sock.process, self._sock.fileno(), index)

    async def _attempt(self, index: int, call: Callable[..., Any], *args: Any) -> Any:
        """Make a call as soon as it does not block; a checkpoint in any case."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            result = call(*args)
        except BlockingIOError:
            pass
        except BaseException:
            await trio.lowlevel.cancel_shielded_checkpoint()
            raise
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return result
        while True:
            await self._wait(index)
            try:
                return call(*args)
            except BlockingIOError:
                pass

    async def wait_writable(self) -> None:
        """Wait until a send would not block."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._wait(WRITE)

    def is_readable(self) -> bool:
        """Whether a receive would not block."""
        return bool(self._sock.process.select([self._sock], [], [], 0)[0])

    # --- Opening and closing ---

    def close(self) -> None:
        """Close it; tasks that wait for it get trio.ClosedResourceError."""
        if self._waits is not None and self._sock.fileno() >= 0:
            self._waits.closing(self._sock.process, self._sock.fileno())
        self._sock.close()

    def detach(self) -> int:
        """Close the object but not its descriptor; return the descriptor."""
        if self._waits is not None:
            self._waits.closing(self._sock.process, self._sock.fileno())
        return self._sock.detach()

    def dup(self) -> TrioSocket:
        """Another socket object for the same socket."""
        return TrioSocket(self._sock.dup())

    async def bind(self, address: Any) -> None:
        """Give it a local address."""
        await trio.lowlevel.checkpoint()
        self._sock.bind(_plain(address))

    def listen(self, backlog: int = min(socket.SOMAXCONN, 128)) -> None:
        """Make it accept connections; backlog is how many may wait."""
        self._sock.listen(backlog)

    async def accept(self) -> tuple[TrioSocket, Any]:
        """Wait for a connection; return its socket and the peer's address."""
        peer, address = await self._attempt(READ, self._sock.accept)
        return TrioSocket(peer), address

    async def connect(self, address: Any) -> None:
        """Connect to an address; if it is cancelled, the socket is closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._sock.connect(_plain(address))
        except BlockingIOError:
            pass
        except BaseException:
            await trio.lowlevel.cancel_shielded_checkpoint()
            raise
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        try:
            await self._wait(WRITE)
        except trio.Cancelled:
            self.close()  # nobody can tell how far it got
            raise
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"Error connecting to {address!r}: {os.strerror(error)}")

    def shutdown(self, flag: int) -> None:
        """Shut one half down (SHUT_RD, SHUT_WR) or both (SHUT_RDWR)."""
        self._sock.shutdown(flag)
        if flag in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._shut_for_writing = True

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802 - trio's name
        """Whether shutdown() has ended sending."""
        return self._shut_for_writing

    # --- Data ---

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """As socket.recv()."""
        data: bytes = await self._attempt(READ, self._sock.recv, buflen, flags)
        return data

    async def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into()."""
        size: int = await self._attempt(READ, self._sock.recv_into, buffer, nbytes, flags)
        return size

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """As socket.recvfrom()."""
        found: tuple[bytes, Any] = await self._attempt(READ, self._sock.recvfrom, bufsize, flags)
        return found

    async def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As socket.recvfrom_into()."""
        call = self._sock.recvfrom_into
        found: tuple[int, Any] = await self._attempt(READ, call, buffer, nbytes, flags)
        return found

    async def recvmsg(self, *args: Any) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg()."""
        found: tuple[bytes, list[tuple[int, int, bytes]], int, Any] = await self._attempt(
            READ, self._sock.recvmsg, *args
        )
        return found

    async def recvmsg_into(self, *args: Any) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """As socket.recvmsg_into()."""
        found: tuple[int, list[tuple[int, int, bytes]], int, Any] = await self._attempt(
            READ, self._sock.recvmsg_into, *args
        )
        return found

    async def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send()."""
        size: int = await self._attempt(WRITE, self._sock.send, data, flags)
        return size

    async def sendto(self, *args: Any) -> int:
        """As socket.sendto()."""
        *rest, address = args
        size: int = await self._attempt(WRITE, self._sock.sendto, *rest, _plain(address))
        return size

    async def sendmsg(self, *args: Any) -> int:
        """As socket.sendmsg()."""
        size: int = await self._attempt(WRITE, self._sock.sendmsg, *args)
        return size

    # --- Options and names ---

    def fileno(self) -> int:
        """Its descriptor in the library's task, -1 once closed; not one of this process."""
        return self._sock.fileno()

    def getpeername(self) -> Any:
        """The address that it is connected to."""
        return self._sock.getpeername()

    def getsockname(self) -> Any:
        """Its own address."""
        return self._sock.getsockname()

    def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> Any:
        """As socket.getsockopt()."""
        return self._sock.getsockopt(level, optname, *(() if buflen is None else (buflen,)))

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        """As socket.setsockopt()."""
        self._sock.setsockopt(level, optname, value, optlen)

    def get_inheritable(self) -> bool:
        """Whether an exec in the library's task would keep it."""
        return self._sock.get_inheritable()

    def set_inheritable(self, inheritable: bool) -> None:
        """Set or clear close-on-exec."""
        self._sock.set_inheritable(inheritable)

    def share(self, process_id: int) -> bytes:
        """Refuse: only Windows has it."""
        return self._sock.share(process_id)

    @property
    def family(self) -> Any:
        """Address family."""
        return self._sock.family

    @property
    def proto(self) -> int:
        """Protocol number as it was given."""
        return self._sock.proto

    @property
    def type(self) -> Any:
        """Socket type."""
        return self._sock.type

    def __enter__(self) -> TrioSocket:
        return self

    def __exit__(
        self,
        kind: object,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._sock).replace("pylibos.Socket", "pylibos.TrioSocket", 1)


def _plain(address: Any) -> Any:
    """Let a path of a unix socket be any path."""
    return os.fspath(address) if isinstance(address, os.PathLike) else address
