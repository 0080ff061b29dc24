# SPDX-License-Identifier: GPL-2.0-only
"""TLS on sockets of a library kernel, by Python's own ssl module.

``ssl.SSLSocket`` gives OpenSSL a descriptor of the host.  Here OpenSSL works in memory
(``ssl.MemoryBIO``), and what stands in for its C object moves the records.  All that
SSLSocket does in Python is inherited, so arguments, errors and timeouts are its own.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import ssl
import weakref
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from typing import Any

from pylibos._arguments import bytes_address, new_bytes
from pylibos._socket import Socket
from pylibos._socket_transfer import Transfer
from pylibos._syscalls import NUMBERS

_RECVFROM = NUMBERS["recvfrom"]
_SENDTO = NUMBERS["sendto"]
# A record's header: type, version 3.x, length of what follows (RFC 8446 section 5.1).
_HEADER_BYTES = 5
_RECORD_TYPES = range(20, 25)


class Channel:
    """A TLS session over a socket: what ``ssl._ssl._SSLSocket`` is to ``ssl.SSLSocket``.

    It reads record by record, never further, so that select() and pending() tell together
    whether there is something to read, as with a socket of the host.
    """

    def __init__(
        self,
        sock: TlsSocket,
        context: ssl.SSLContext,
        server_side: bool,
        server_hostname: str | None,
        session: ssl.SSLSession | None,
    ) -> None:
        self._sock = weakref.ref(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session: Any = context._wrap_bio(  # type: ignore[attr-defined]
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
            owner=sock,
            session=session,
        )
        # These never block anybody.
        self._sending, self._receiving = allocate_lock(), allocate_lock()
        self._unsent = b""
        self._accepted = 0
        self._header = bytearray()
        self._missing = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    @property
    def context(self) -> ssl.SSLContext:
        """Its context; may be changed while a server looks at the client's wishes."""
        context: ssl.SSLContext = self._session.context
        return context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._session.context = context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, to be taken up again by another connection."""
        session: ssl.SSLSession | None = self._session.session
        return session

    @session.setter
    def session(self, session: ssl.SSLSession | None) -> None:
        self._session.session = session

    # --- What OpenSSL does by itself on a descriptor ---

    def do_handshake(self) -> None:
        """Shake hands."""
        self._do("handshake", self._session.do_handshake)

    def read(self, size: int, buffer: Any = None) -> Any:
        """Read up to size bytes, or into a buffer."""
        if buffer is None:
            return self._do("read", lambda: self._session.read(size))
        return self._do("read", lambda: self._session.read(size, buffer))

    def write(self, data: Any) -> int:
        """Write; return how many bytes were taken.

        OpenSSL's contract: after an error that asks for patience it is called again with the
        same data, which is not encrypted twice.
        """
        with self._operation("write") as deadline_ns:
            self._flush(deadline_ns)
            if not self._accepted:
                self._accepted = self._drive(lambda: self._session.write(data), deadline_ns)
                self._flush(deadline_ns)
        accepted, self._accepted = self._accepted, 0
        return accepted

    def shutdown(self) -> TlsSocket:
        """Say goodbye and wait for the peer's; return the socket, plain again."""
        self._do("read", self._session.shutdown)
        return self._owner()

    # --- Moving records ---

    def _owner(self) -> TlsSocket:
        sock = self._sock()
        if sock is None:
            raise ValueError("The socket of this TLS session is gone.")
        return sock

    @contextlib.contextmanager
    def _operation(self, what: str) -> Iterator[int | None]:
        """One operation: the socket's timeout holds for the whole of it."""
        try:
            yield self._owner()._deadline()
        except TimeoutError:
            raise TimeoutError(f"The {what} operation timed out") from None

    def _do(self, what: str, operation: Callable[[], Any]) -> Any:
        with self._operation(what) as deadline_ns:
            result = self._drive(operation, deadline_ns)
            self._flush(deadline_ns)
            return result

    def _drive(self, operation: Callable[[], Any], deadline_ns: int | None) -> Any:
        """Repeat an operation, feeding it records, until it is done."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush(deadline_ns)
                self._feed(deadline_ns)
            except ssl.SSLError:
                # The peer is told why, if that is possible.
                with contextlib.suppress(OSError):
                    self._flush(deadline_ns)
                raise

    def _flush(self, deadline_ns: int | None) -> None:
        """Send what OpenSSL has written.

        A program that reads leaves it to the one that is in the middle of sending.
        """
        while (self._unsent or self._outgoing.pending) and self._sending.acquire(blocking=False):
            try:
                while data := self._unsent + self._outgoing.read():
                    self._unsent = data
                    self._unsent = data[self._send(data, deadline_ns) :]
            finally:
                self._sending.release()

    def _send(self, data: bytes, deadline_ns: int | None) -> int:
        sock = self._owner()
        call, fd = sock._process.call, sock._fd
        send = functools.partial(call, _SENDTO, fd, bytes_address(data), len(data), 0, 0, 0)
        try:
            return sock._attempt(Transfer.WRITE, send, deadline_ns)
        except BlockingIOError:
            raise ssl.SSLWantWriteError(
                ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)"
            ) from None

    def _receive(self, size: int, deadline_ns: int | None) -> bytes:
        sock = self._owner()
        data = new_bytes(size)
        call, fd = sock._process.call, sock._fd
        receive = functools.partial(call, _RECVFROM, fd, bytes_address(data), size, 0, 0, 0)
        try:
            got = sock._attempt(Transfer.READ, receive, deadline_ns)
        except BlockingIOError:
            raise ssl.SSLWantReadError(
                ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)"
            ) from None
        return data[:got]

    def _feed(self, deadline_ns: int | None) -> None:
        """Give OpenSSL the rest of a record, or its header if it makes no sense."""
        if not self._receiving.acquire(blocking=False):
            raise RuntimeError(
                "Another program or thread reads from this TLS socket; let one of them do so, "
                "others may write meanwhile."
            )
        try:
            self._feed_record(deadline_ns)
        finally:
            self._receiving.release()

    def _feed_record(self, deadline_ns: int | None) -> None:
        while True:
            data = self._receive(self._missing or _HEADER_BYTES - len(self._header), deadline_ns)
            if not data:
                self._incoming.write_eof()
                return
            self._incoming.write(data)
            if self._missing:
                self._missing -= len(data)
                if not self._missing:
                    return
                continue
            self._header += data
            if len(self._header) == _HEADER_BYTES:
                kind, major = self._header[:2]
                if kind in _RECORD_TYPES and major == 3:
                    self._missing = int.from_bytes(self._header[3:], "big")
                self._header.clear()
                if not self._missing:
                    return


class TlsSocket(ssl.SSLSocket, Socket):  # type: ignore[misc]
    """A TLS socket of a library kernel, with every method of ``ssl.SSLSocket``.

    Inside as_host() ``SSLContext.wrap_socket()`` makes it of a kernel's socket.  Elsewhere
    tell the context so: ``context.sslsocket_class = pylibos.TlsSocket``.
    """

    _sslobj: Any
    _session: Any
    _context: ssl.SSLContext
    _connected: bool
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool

    @classmethod
    def _create(
        cls,
        sock: Socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> TlsSocket:
        """Do what ssl.SSLSocket._create() does, which calls this its own hook.

        Raises:
            ValueError, NotImplementedError: as there.
            TypeError: a socket of the host.
        """
        assert context is not None
        if not isinstance(sock, Socket):
            raise TypeError(
                f"TlsSocket is for sockets of a library kernel; wrap {sock!r} by a context "
                "whose sslsocket_class is ssl.SSLSocket."
            )
        if sock.type != socket.SOCK_STREAM:
            raise NotImplementedError("only stream sockets are supported")
        if server_side and server_hostname:
            raise ValueError("server_hostname can only be specified in client mode")
        if server_side and session is not None:
            raise ValueError("session can only be specified in client mode")
        if context.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        self = cls.__new__(cls)
        self._sslobj = None
        timeout = sock.gettimeout()
        process, family, proto = sock.process, sock.family, sock.proto
        Socket.__init__(self, process, family, socket.SOCK_STREAM, proto, sock.detach())
        self.settimeout(timeout)
        self._context = context
        self._session = session
        self.server_side = server_side
        self.server_hostname = context._encode_hostname(server_hostname)  # type: ignore[attr-defined]
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        try:
            self._connected = self._is_connected()
            if self._connected:
                self._open_session()
        except (OSError, ValueError):
            self.close()
            raise
        return self

    def _is_connected(self) -> bool:
        try:
            self.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            self._refuse_early_data()
            return False
        return True

    def _refuse_early_data(self) -> None:
        """A peer that went before the handshake must not have its plain data taken for safe."""
        timeout = self.gettimeout()
        self.setblocking(False)
        try:
            data = Transfer.recv(self, 1)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EINVAL):
                raise
            data = b""
        finally:
            self.settimeout(timeout)
        if data:
            reason = "Closed before TLS handshake with data in recv buffer."
            refused = ssl.SSLError(errno.ENOTCONN, reason)
            refused.reason = reason
            raise refused

    def _open_session(self) -> None:
        self._sslobj = Channel(
            self, self._context, self.server_side, self.server_hostname, self._session
        )
        if self.do_handshake_on_connect:
            if self.gettimeout() == 0.0:
                raise ValueError(
                    "do_handshake_on_connect should not be specified for non-blocking sockets"
                )
            self.do_handshake()

    def _real_connect(self, addr: Any, connect_ex: bool) -> int | None:
        """What connect() and connect_ex() of ssl.SSLSocket end in."""
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connected or self._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        self._sslobj = Channel(self, self._context, False, self.server_hostname, self._session)
        try:
            result = Socket.connect_ex(self, addr) if connect_ex else None
            if not connect_ex:
                Socket.connect(self, addr)
            if not result:
                self._connected = True
                if self.do_handshake_on_connect:
                    self.do_handshake()
        except (OSError, ValueError):
            self._sslobj = None
            raise
        return result

    def accept(self) -> tuple[TlsSocket, Any]:
        """Wait for a connection, shake hands, and return it with the peer's address."""
        plain, address = Socket.accept(self)
        peer = self._create(
            plain,
            server_side=True,
            do_handshake_on_connect=self.do_handshake_on_connect,
            suppress_ragged_eofs=self.suppress_ragged_eofs,
            context=self.context,
        )
        return peer, address
