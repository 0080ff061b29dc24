# SPDX-License-Identifier: GPL-2.0-only
"""Files of a library kernel's file system, below Python's own io stack."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from pylibos._arguments import address_of, pin
from pylibos._caller import fail
from pylibos._syscalls import NUMBERS

if TYPE_CHECKING:
    from pylibos._process import Process

_READ = NUMBERS["read"]
_WRITE = NUMBERS["write"]
_LSEEK = NUMBERS["lseek"]
_FTRUNCATE = NUMBERS["ftruncate"]
_CLOSE = NUMBERS["close"]
_IOCTL = NUMBERS["ioctl"]
_EAGAIN, _EINTR = -11, -4
AT_FDCWD = -100
_TCGETS = 0x5401


class RawFile(io.RawIOBase):
    """An open descriptor of a library kernel as a raw stream.

    Attributes:
        process: the kernel or task whose descriptor it is.
        name: the path it was opened by.
        mode: "rb", "wb", "rb+" or "ab".
    """

    def __init__(self, process: Process, fd: int, name: str, mode: str) -> None:
        self.process = process
        self.name = name
        self.mode = mode
        self._fd = fd
        self._reading = "r" in mode or "+" in mode
        self._writing = any(letter in mode for letter in "wax+")

    def fileno(self) -> int:
        """Its descriptor in the library's task; not one of this process."""
        self._require_open()
        return self._fd

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        self._require_open()
        return self._reading

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        self._require_open()
        return self._writing

    def seekable(self) -> bool:
        """Whether it has a position."""
        self._require_open()
        return self.process.call(_LSEEK, self._fd, 0, os.SEEK_CUR) >= 0

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        self._require_open()
        room = bytearray(64)
        address, _keep = pin(room)
        return self.process.call(_IOCTL, self._fd, _TCGETS, address) == 0

    def _retry(self, nr: int, address: int, size: int) -> int | None:
        while (result := self.process.call(nr, self._fd, address, size)) == _EINTR:
            pass
        if result == _EAGAIN:
            return None
        if result < 0:
            raise fail(result)
        return result

    def readinto(self, buffer: Any) -> int | None:
        """Read into a buffer; None if nothing is there yet."""
        self._require_open()
        if not self._reading:
            raise io.UnsupportedOperation("File not open for reading")
        address, keep = pin(buffer)
        result = self._retry(_READ, address, memoryview(buffer).nbytes)
        del keep
        return result

    def write(self, data: Any) -> int | None:
        """Write; return how many bytes were taken."""
        self._require_open()
        if not self._writing:
            raise io.UnsupportedOperation("File not open for writing")
        view = memoryview(data)
        address, keep = address_of(data)
        result = self._retry(_WRITE, address, view.nbytes)
        del keep
        return result

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; return it."""
        self._require_open()
        result = self.process.call(_LSEEK, self._fd, offset, whence)
        if result < 0:
            raise fail(result)
        return result

    def tell(self) -> int:
        """The position."""
        return self.seek(0, os.SEEK_CUR)

    def truncate(self, size: int | None = None) -> int:
        """Cut it or let it grow to a size, else to the position."""
        self._require_open()
        wanted = self.tell() if size is None else size
        result = self.process.call(_FTRUNCATE, self._fd, wanted)
        if result < 0:
            raise fail(result)
        return wanted

    def close(self) -> None:
        """Close its descriptor."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            fd, self._fd = self._fd, -1
            if self.process.alive():
                self.process.call(_CLOSE, fd)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"mode={self.mode!r}"
        return f"<pylibos.RawFile name={self.name!r} {state}>"


def library_file(file: Any) -> RawFile | None:
    """The RawFile below a stream, or None if it is not of a library kernel."""
    for layer in (file, getattr(file, "raw", None), getattr(file, "buffer", None)):
        if isinstance(layer, RawFile):
            return layer
    return library_file(file.buffer) if hasattr(file, "buffer") else None


def _flags(mode: str) -> tuple[int, str]:
    """Split a mode of open(): flags of open(2), and the raw mode."""
    letters = set(mode)
    if letters - set("axrwb+t") or len(mode) > len(letters):
        raise ValueError(f"invalid mode: {mode!r}")
    if len(letters & set("axrw")) != 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    if {"t", "b"} <= letters:
        raise ValueError("can't have text and binary mode at once")
    kind = next(iter(letters & set("axrw")))
    flags = {
        "r": 0,
        "w": os.O_CREAT | os.O_TRUNC,
        "x": os.O_CREAT | os.O_EXCL,
        "a": os.O_CREAT | os.O_APPEND,
    }[kind]
    if "+" in letters:
        flags |= os.O_RDWR
    elif kind != "r":
        flags |= os.O_WRONLY
    return flags, f"{kind}b{'+' if '+' in letters else ''}"


def open_file(
    process: Process,
    path: str | os.PathLike[str],
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> Any:
    """Do what io.open() does, on a library kernel's file system."""
    flags, raw_mode = _flags(mode)
    binary = "b" in mode
    if binary and (encoding or errors or newline is not None):
        name = "encoding" if encoding else "errors" if errors else "newline"
        raise ValueError(
            f"binary mode doesn't take {'a' if name == 'newline' else 'an'} {name} argument"
        )
    text = os.fspath(path)
    try:
        fd = process.syscall("openat", AT_FDCWD, text, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OSError(error.errno, error.strerror, text) from None
    raw = RawFile(process, fd, text, raw_mode)
    try:
        return _stack(raw, mode, buffering, encoding, errors, newline)
    except BaseException:
        raw.close()
        raise


def _stack(
    raw: RawFile,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> Any:
    binary = "b" in mode
    line_buffering = buffering == 1 and not binary
    if buffering < 0 or buffering == 1:
        buffering = io.DEFAULT_BUFFER_SIZE
    if buffering == 0:
        if binary:
            return raw
        raise ValueError("can't have unbuffered text I/O")
    buffer: Any
    if "+" in mode:
        buffer = io.BufferedRandom(raw, buffering)
    elif raw.writable():
        buffer = io.BufferedWriter(raw, buffering)
    else:
        buffer = io.BufferedReader(raw, buffering)
    if binary:
        return buffer
    text = io.TextIOWrapper(
        buffer, encoding or "utf-8", errors, newline, line_buffering=line_buffering
    )
    text.mode = mode  # type: ignore[misc]
    return text
