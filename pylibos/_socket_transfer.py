# SPDX-License-Identifier: GPL-2.0-only
"""The send and receive methods of a socket, and how they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ctypes import addressof, c_uint32, create_string_buffer
from typing import TYPE_CHECKING, Any

from pylibos._address import pack_address, unpack_address
from pylibos._ancillary import Message, pack_control
from pylibos._arguments import (
    BYTES_OFFSET,
    CLEARED,
    address_of,
    bytes_address,
    c_int,
    nanoseconds,
    new_bytes,
    pin,
)
from pylibos._caller import fail
from pylibos._select import ppoll
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process

_SENDTO = NUMBERS["sendto"]
_RECVFROM = NUMBERS["recvfrom"]
_SENDMSG = NUMBERS["sendmsg"]
_RECVMSG = NUMBERS["recvmsg"]
_EINTR, _EAGAIN = -4, -11
_NAME_BYTES = 128
# The very object, which costs less to see than that an object is the number.
_NO_FLAGS = 0


class Transfer:
    """Mixin of Socket."""

    READ = 0x001  # POLLIN
    WRITE = 0x004  # POLLOUT
    _process: Process
    _fd: int
    _family: int
    _timeout: float | None

    # --- Waiting ---

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            raise fail(result)
        return result

    def _deadline(self) -> int | None:
        """When a call that starts now times out, in ns of the kernel's clock."""
        if not self._timeout:
            return None
        return self._process.now_ns + nanoseconds(self._timeout)

    def _wait_ready(self, events: int, deadline_ns: int | None) -> None:
        """Wait until the socket is ready; TimeoutError if it is not in time."""
        if ppoll(self._process, [(self._fd, events)], deadline_ns) is None:
            raise TimeoutError("timed out")

    def _attempt(self, events: int, call: Callable[[], int], deadline_ns: int | None = None) -> int:
        """Make a call until it succeeds, fails or times out; it returns a result or -errno."""
        while True:
            result = call()
            if result >= 0:
                return result
            if result == _EAGAIN and self._timeout:
                deadline_ns = deadline_ns or self._deadline()
                self._wait_ready(events, deadline_ns)
            elif result != _EINTR:
                raise fail(result)

    # --- Sending ---

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send; return how many bytes were taken."""
        if type(data) is bytes:
            address, size, keep = id(data) + BYTES_OFFSET, len(data), data
        else:
            address, size, keep = _source(data)
        if flags is not _NO_FLAGS:
            flags = c_int(flags)
        result = self._process.call(_SENDTO, self._fd, address, size, flags)
        if result < 0:
            result = self._again(self.WRITE, result, _SENDTO, address, size, flags)
        del keep
        return result

    def _again(self, events: int, result: int, nr: int, address: int, size: int, flags: int) -> int:
        """Go on with a sendto() or recvfrom() without a name that has had a negative result."""
        call, fd = self._process.call, self._fd
        return self._attempt(events, _after(result, lambda: call(nr, fd, address, size, flags)))

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of the data; the timeout holds for the whole."""
        address, size, keep = _source(data)
        flags = c_int(flags)
        call = self._process.call
        deadline_ns = self._deadline()
        done = 0

        def send_rest() -> int:
            return call(_SENDTO, self._fd, address + done, size - done, flags, 0, 0)

        while True:
            done += self._attempt(self.WRITE, send_rest, deadline_ns)
            if done >= size:
                break
            if deadline_ns is not None and self._process.now_ns > deadline_ns:
                raise TimeoutError("timed out")
        del keep

    def sendto(self, data: Any, *args: Any) -> int:
        """sendto(data, address) or sendto(data, flags, address)."""
        if not 1 <= len(args) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(args) + 1} given)")
        flags = c_int(args[0]) if len(args) == 2 else 0
        address, size, keep = _source(data)
        name = pack_address(self._process, self._family, args[-1], "sendto")
        call, fd, at = self._process.call, self._fd, bytes_address(name)
        result = self._attempt(
            self.WRITE, lambda: call(_SENDTO, fd, address, size, flags, at, len(name))
        )
        del keep
        return result

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[Any] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Gather buffers and control messages into one message and send it."""
        control = pack_control(ancdata)
        flags = c_int(flags)
        name = b""
        if address is not None:
            name = pack_address(self._process, self._family, address, "sendmsg")
        message = Message(len(name), len(control))
        message.name.raw = name or b"\0"
        message.control.raw = control or b"\0"
        try:
            message.set_buffers(buffers, writable=False)
        except TypeError as error:
            if "iterable" in str(error):
                raise TypeError("sendmsg() argument 1 must be iterable") from None
            raise
        call, fd, at = self._process.call, self._fd, message.address
        return self._attempt(self.WRITE, lambda: call(_SENDMSG, fd, at, flags))

    def sendmsg_afalg(self, *_args: Any, **_options: Any) -> int:
        """Refuse: AF_ALG pins pages of the caller, which a kernel without an MMU cannot."""
        raise OSError(
            95,
            "AF_ALG needs pages of the caller pinned, which a library kernel cannot do; "
            "use hashlib or a cipher library in this process",
        )

    # --- Receiving ---

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive up to bufsize bytes; b"" at the end of a stream."""
        if 0 < bufsize <= CLEARED:
            data = bytes(bufsize)
        elif bufsize < 0:
            raise ValueError("negative buffersize in recv")
        elif bufsize == 0:
            return b""
        else:
            data = new_bytes(bufsize)
        address = id(data) + BYTES_OFFSET
        if flags is not _NO_FLAGS:
            flags = c_int(flags)
        size = self._process.call(_RECVFROM, self._fd, address, bufsize, flags)
        if size < 0:
            size = self._again(self.READ, size, _RECVFROM, address, bufsize, flags)
        return data if size == bufsize else data[:size]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a writable buffer; return how many bytes came."""
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        size = _room(buffer, "recv_into")
        if nbytes > size:
            raise ValueError("buffer too small for requested bytes")
        address, keep = pin(buffer)
        wanted = nbytes or size
        result = self._receive(address, wanted, flags) if wanted else 0
        del keep
        return result

    def _receive(self, address: int, size: int, flags: int) -> int:
        flags = c_int(flags)
        result = self._process.call(_RECVFROM, self._fd, address, size, flags)
        if result < 0:
            result = self._again(self.READ, result, _RECVFROM, address, size, flags)
        return result

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Receive up to bufsize bytes; return them and the sender's address."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recvfrom")
        data = new_bytes(bufsize) if bufsize else b""
        size, name = self._receive_from(bytes_address(data), bufsize, flags)
        return data if size == bufsize else data[:size], name

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Receive into a writable buffer; return the number of bytes and the sender."""
        if nbytes < 0:
            raise ValueError("negative buffersize in recvfrom_into")
        size = _room(buffer, "recvfrom_into")
        if nbytes > size:
            raise ValueError("nbytes is greater than the length of the buffer")
        address, keep = pin(buffer)
        result = self._receive_from(address, nbytes or size, flags)
        del keep
        return result

    def _receive_from(self, address: int, size: int, flags: int) -> tuple[int, Any]:
        flags = c_int(flags)
        name = create_string_buffer(_NAME_BYTES)
        name_size = c_uint32(_NAME_BYTES)
        call, fd = self._process.call, self._fd
        at, size_at = addressof(name), addressof(name_size)

        def receive() -> int:
            name_size.value = _NAME_BYTES
            return call(_RECVFROM, fd, address, size, flags, at, size_at)

        result = self._attempt(self.READ, receive)
        return result, unpack_address(self._process, name.raw[: name_size.value])

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """Receive; return (data, control messages, flags, sender's address)."""
        if bufsize < 0:
            raise ValueError("negative buffer size in recvmsg()")
        data = bytearray(bufsize)
        size, control, came, name = self._receive_message([data], ancbufsize, flags, "recvmsg")
        return bytes(memoryview(data)[:size]), control, came, name

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """Receive into buffers; return (bytes, control messages, flags, sender's address)."""
        return self._receive_message(buffers, ancbufsize, flags, "recvmsg_into")

    def _receive_message(
        self, buffers: Iterable[Any], control_bytes: int, flags: int, where: str
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        flags = c_int(flags)
        if not c_int(control_bytes) >= 0:
            raise ValueError("invalid ancillary data buffer length")
        message = Message(_NAME_BYTES, control_bytes)
        try:
            message.set_buffers(buffers, writable=True)
        except TypeError as error:
            if "iterable" in str(error):
                raise TypeError(f"{where}() argument 1 must be an iterable") from None
            raise
        call, fd, at, header = self._process.call, self._fd, message.address, message.header

        def receive() -> int:
            header.namelen = _NAME_BYTES
            header.controllen = control_bytes
            header.flags = 0
            return call(_RECVMSG, fd, at, flags)

        result = self._attempt(self.READ, receive)
        name = unpack_address(self._process, message.received_name())
        return result, message.received_control(), header.flags, name


def _after(first: int, call: Callable[[], int]) -> Callable[[], int]:
    """Return a function that gives a result that is already known, and calls from then on."""
    known = [first]
    return lambda: known.pop() if known else call()


def _source(data: Any) -> tuple[int, int, Any]:
    """Address, size in bytes and keeper of data to send."""
    if type(data) is bytes:
        return bytes_address(data), len(data), data
    if isinstance(data, str):
        raise TypeError("a bytes-like object is required, not 'str'")
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None
    if not view.contiguous:
        view = memoryview(view.tobytes())
    address, keep = address_of(view)
    return address, view.nbytes, keep


def _room(buffer: Any, where: str) -> int:
    """Size of a writable buffer in bytes."""
    try:
        view = memoryview(buffer)
    except TypeError:
        view = None
    if view is None or view.readonly:
        raise TypeError(
            f"{where}() argument 1 must be read-write bytes-like object, "
            f"not {type(buffer).__name__}"
        )
    return view.nbytes
