# SPDX-License-Identifier: GPL-2.0-only
"""Sockets: a drop-in for ``socket.socket`` on the kernel of the library.

Behaviour, error classes and messages are those of CPython's ``Lib/socket.py`` and
``Modules/socketmodule.c``.  What differs:

- ``fileno()`` is a descriptor of the library's task, not of this process: the host's select,
  poll and os functions must not get it; ``kernel.select()`` and its fellows take it.
- Timeouts count on the kernel's clock.
- Host names are resolved in the world, see ``_resolve.py``.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
import warnings
from ctypes import addressof, c_uint32, create_string_buffer
from typing import TYPE_CHECKING, Any

from pylibos._address import pack_address, unpack_address
from pylibos._arguments import address_of, bytes_address, c_int
from pylibos._caller import fail
from pylibos._errors import KernelDead
from pylibos._socket_files import Files
from pylibos._socket_transfer import Transfer
from pylibos._syscalls import NUMBERS
from pylibos._tcp_info import TcpInfo, tcp_info

if TYPE_CHECKING:
    from pylibos._process import Process

_BIND = NUMBERS["bind"]
_CLOSE = NUMBERS["close"]
_CONNECT = NUMBERS["connect"]
_LISTEN = NUMBERS["listen"]
_ACCEPT = NUMBERS["accept4"]
_SOCKET = NUMBERS["socket"]
_FCNTL = NUMBERS["fcntl"]
_IOCTL = NUMBERS["ioctl"]
_SHUTDOWN = NUMBERS["shutdown"]
_GETSOCKOPT = NUMBERS["getsockopt"]
_SETSOCKOPT = NUMBERS["setsockopt"]
_GETSOCKNAME = NUMBERS["getsockname"]
_GETPEERNAME = NUMBERS["getpeername"]

FIONBIO = 0x5421
F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, FD_CLOEXEC = 1030, 1, 2, 1
_EINTR, _EINPROGRESS, _EISCONN, _EWOULDBLOCK = 4, 115, 106, 11
_NAME_BYTES = 128  # struct sockaddr_storage
_TYPE_FLAGS = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_INT, _LONG = struct.Struct("=i"), struct.Struct("=Q")


class Socket(Files, Transfer, socket.socket):
    """A socket of a library kernel with every method of ``socket.socket``.

    Args:
        process: the kernel or task whose socket it is.
        family, type, proto: as for socket.socket; -1 with fileno: found out.
        fileno: an open descriptor of the process to take over.
    """

    __module__ = "pylibos"

    # No default in the class: that would make each access take twice as long.
    _fd: int
    _family: int = 0
    _type: int = 0
    _proto: int = 0
    _timeout: float | None = None

    def __init__(
        self,
        process: Process,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the name that socket.socket has
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        self._process = process
        self._fd = -1
        self._timeout: float | None = socket.getdefaulttimeout()
        self._io_refs = 0
        self._closed = False
        if fileno is not None:
            self._take(fileno, family, type, proto)
            return
        self._family = socket.AF_INET if family == -1 else int(family)
        self._type = socket.SOCK_STREAM if type == -1 else int(type)
        self._proto = 0 if proto == -1 else int(proto)
        result = process.call(_SOCKET, self._family, self._type | socket.SOCK_CLOEXEC, self._proto)
        if result < 0:
            self._closed = True
            raise fail(result)
        self._fd = result
        if self._type & socket.SOCK_NONBLOCK:
            self._timeout = 0.0
        elif self._timeout is not None:
            self._set_nonblocking(True)
        self._type &= ~_TYPE_FLAGS

    def _take(self, fileno: int, family: int, kind: int, proto: int) -> None:
        if isinstance(fileno, float):
            raise TypeError("integer argument expected, got float")
        if fileno < 0:
            raise ValueError("negative file descriptor")
        self._fd = fileno
        try:
            self._family = self._option(socket.SO_DOMAIN) if family == -1 else int(family)
            self._type = self._option(socket.SO_TYPE) if kind == -1 else int(kind)
            self._proto = self._option(socket.SO_PROTOCOL) if proto == -1 else int(proto)
        except OSError:
            self._fd = -1
            self._closed = True
            raise
        if self._type & socket.SOCK_NONBLOCK:
            self._timeout = 0.0
        elif self._timeout is not None:
            self._set_nonblocking(True)
        self._type &= ~_TYPE_FLAGS

    def _option(self, option: int) -> int:
        value = self.getsockopt(socket.SOL_SOCKET, option)
        return value if isinstance(value, int) else 0

    # --- What it is ---

    @property
    def process(self) -> Process:
        """The kernel or task whose descriptor it is."""
        return self._process

    @property
    def family(self) -> int:  # type: ignore[override]
        """Address family."""
        family: int = _enum(socket.AddressFamily, self._family)
        return family

    @property
    def type(self) -> int:  # type: ignore[override]
        """Socket type, without flags."""
        kind: int = _enum(socket.SocketKind, self._type)
        return kind

    @property
    def proto(self) -> int:
        """Protocol number as it was given."""
        return self._proto

    def fileno(self) -> int:
        """Its descriptor in the library's task, -1 once closed; not one of this process."""
        return self._fd

    def __repr__(self) -> str:
        if not hasattr(self, "_closed"):
            return f"<{type(self).__module__}.{type(self).__qualname__} [unopened]>"
        if self._process.alive():
            return super().__repr__()
        return f"<{type(self).__module__}.{type(self).__qualname__} of a dead kernel>"

    # --- Opening and closing ---

    def bind(self, address: Any) -> None:
        """Give it a local address."""
        name = pack_address(self._process, self._family, address, "bind")
        self._check(self._process.call(_BIND, self._fd, bytes_address(name), len(name)))

    def listen(self, backlog: int = min(socket.SOMAXCONN, 128), /) -> None:
        """Make it accept connections; backlog is how many may wait."""
        self._check(self._process.call(_LISTEN, self._fd, max(c_int(backlog), 0)))

    def _accept(self) -> tuple[int, Any]:
        name = create_string_buffer(_NAME_BYTES)
        size = c_uint32(_NAME_BYTES)
        call, fd = self._process.call, self._fd
        at, size_at = addressof(name), addressof(size)

        def accept() -> int:
            size.value = _NAME_BYTES
            return call(_ACCEPT, fd, at, size_at, socket.SOCK_CLOEXEC)

        result = self._attempt(self.READ, accept)
        return result, unpack_address(self._process, name.raw[: size.value])

    def accept(self) -> tuple[Socket, Any]:
        """Wait for a connection; return its socket and the peer's address."""
        fd, address = self._accept()
        peer = Socket(self._process, self._family, self._type, self._proto, fileno=fd)
        if socket.getdefaulttimeout() is None and self._timeout:
            peer.setblocking(True)
        return peer, address

    def _connect(self, address: Any, where: str) -> int:
        """Connect; return 0 or an errno."""
        name = pack_address(self._process, self._family, address, where)
        result = self._process.call(_CONNECT, self._fd, bytes_address(name), len(name))
        error = -result
        interrupted = error == _EINTR and self._timeout != 0
        if not interrupted and not (error == _EINPROGRESS and self._timeout):
            return error
        self._wait_ready(self.WRITE, self._deadline())
        error = self._option(socket.SO_ERROR)
        return 0 if error == _EISCONN else error

    def connect(self, address: Any) -> None:
        """Connect to an address; waits as long as the timeout allows."""
        if error := self._connect(address, "connect"):
            raise fail(-error)

    def connect_ex(self, address: Any) -> int:
        """Connect to an address; return 0 or the errno."""
        try:
            return self._connect(address, "connect_ex")
        except TimeoutError:
            return _EWOULDBLOCK

    def shutdown(self, how: int) -> None:
        """Shut one half down (SHUT_RD, SHUT_WR) or both (SHUT_RDWR)."""
        self._check(self._process.call(_SHUTDOWN, self._fd, c_int(how)))

    def _real_close(self, _ss: Any = None) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                result = self._process.call(_CLOSE, fd)
            except KernelDead:
                return
            if result < 0 and result != -104:  # ECONNRESET says nothing about the descriptor
                raise fail(result)

    def detach(self) -> int:
        """Close the object but not its descriptor; return the descriptor."""
        self._closed = True
        fd, self._fd = self._fd, -1
        return fd

    def dup(self) -> Socket:
        """Return another socket object for the same socket."""
        fd = self.fcntl(F_DUPFD_CLOEXEC, 0)
        copy = Socket(self._process, self._family, self._type, self._proto, fileno=fd)
        copy.settimeout(self.gettimeout())
        return copy

    def share(self, process_id: int) -> bytes:
        """Refuse: only Windows has it."""
        raise NotImplementedError(
            "socket.share() exists on Windows only; pass the socket by send_fds() instead."
        )

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) < 0 or sys.is_finalizing() or not self._process.alive():
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        fd, self._fd = self._fd, -1
        self._process.close_collected(fd)

    # --- Blocking, options, names ---

    def settimeout(self, value: float | None) -> None:
        """Set the timeout in seconds of the kernel's clock; None blocks, 0 never does."""
        timeout = None if value is None else _seconds(value)
        self._timeout = timeout
        self._set_nonblocking(timeout is not None)

    def gettimeout(self) -> float | None:
        """The timeout in seconds, or None."""
        return self._timeout

    @property
    def timeout(self) -> float | None:
        """The timeout in seconds, or None."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """settimeout(None) or settimeout(0.0)."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Whether calls may block."""
        return self._timeout is None or self._timeout > 0

    def _set_nonblocking(self, flag: bool) -> None:
        value = ctypes.c_int(flag)
        self._check(self._process.call(_IOCTL, self._fd, FIONBIO, addressof(value)))

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:
        """Return an option: an int, or up to buflen bytes (1 to 1024)."""
        level, optname = c_int(level), c_int(optname)
        if not 0 <= c_int(buflen) <= 1024:
            raise OSError("getsockopt buflen out of range")
        number = _LONG if self._family == socket.AF_VSOCK else _INT
        buffer = create_string_buffer(buflen or number.size)
        size = c_uint32(len(buffer))
        at, size_at = addressof(buffer), addressof(size)
        self._check(self._process.call(_GETSOCKOPT, self._fd, level, optname, at, size_at))
        if buflen:
            return buffer.raw[: size.value]
        return number.unpack(buffer.raw)[0]

    def setsockopt(self, level: int, optname: int, value: Any, optlen: Any = None, /) -> None:
        """Set an option to an int or bytes; or to nothing of optlen bytes (value None)."""
        level, optname = c_int(level), c_int(optname)
        keep: Any = None
        if optlen is not None:
            if value is not None:
                raise TypeError(f"setsockopt() argument 3 must be None, not {_name(value)}")
            address, size = 0, c_int(optlen)
        elif isinstance(value, int):
            wide = self._family == socket.AF_VSOCK
            keep = _LONG.pack(value) if wide else _INT.pack(c_int(value))
            address, size = bytes_address(keep), len(keep)
        elif value is None or isinstance(value, str):
            raise TypeError(f"a bytes-like object is required, not '{_name(value)}'")
        else:
            size = memoryview(value).nbytes
            address, keep = address_of(value)
        self._check(self._process.call(_SETSOCKOPT, self._fd, level, optname, address, size))
        del keep

    def _name_of(self, nr: int) -> Any:
        name = create_string_buffer(_NAME_BYTES)
        size = c_uint32(_NAME_BYTES)
        self._check(self._process.call(nr, self._fd, addressof(name), addressof(size)))
        return unpack_address(self._process, name.raw[: size.value])

    def getsockname(self) -> Any:
        """Its own address."""
        return self._name_of(_GETSOCKNAME)

    def getpeername(self) -> Any:
        """The address that it is connected to."""
        return self._name_of(_GETPEERNAME)

    def tcp_info(self) -> TcpInfo:
        """State of a TCP connection (TCP_INFO), typed and with units.

        Raises:
            OSError: it is no TCP socket.
        """
        return tcp_info(self)

    def get_inheritable(self) -> bool:
        """Whether an exec in the library's task would keep it."""
        return not self.fcntl(F_GETFD) & FD_CLOEXEC

    def set_inheritable(self, inheritable: bool) -> None:
        """Set or clear close-on-exec."""
        self.fcntl(F_SETFD, 0 if inheritable else FD_CLOEXEC)

    def fcntl(self, command: int, argument: int = 0) -> int:
        """fcntl(2) on its descriptor; the host's fcntl module cannot reach it."""
        return self._check(self._process.call(_FCNTL, self._fd, command, argument))

    def ioctl(self, request: int, argument: Any = 0) -> int:
        """ioctl(2) on its descriptor; argument is an int or a writable buffer."""
        if isinstance(argument, int):
            return self._check(self._process.call(_IOCTL, self._fd, request, argument))
        if isinstance(argument, ctypes.Structure | ctypes.Array):
            address, keep = addressof(argument), argument
        else:
            address, keep = address_of(argument)
        result = self._check(self._process.call(_IOCTL, self._fd, request, address))
        del keep
        return result


def _enum(kind: Any, value: int) -> Any:
    """Turn a number into its enum member where it has one, as socket.socket does."""
    try:
        return kind(value)
    except ValueError:
        return value


def _seconds(value: Any) -> float:
    """Check a timeout as CPython does."""
    if not isinstance(value, float):
        if not hasattr(value, "__index__"):
            raise TypeError(f"'{_name(value)}' object cannot be interpreted as an integer")
        value = float(value.__index__())
    if value != value:
        raise ValueError("Invalid value NaN (not a number)")
    if value < 0:
        raise ValueError("Timeout value out of range")
    return float(value)


def _name(value: Any) -> str:
    return type(value).__name__


__all__ = ["Socket"]
