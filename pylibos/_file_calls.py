# SPDX-License-Identifier: GPL-2.0-only
"""Files of a library kernel: what Python's open() and os have, on its file system."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, cast

from pylibos._file import AT_FDCWD, open_file

if TYPE_CHECKING:
    from pylibos._process import Process

_DIRENT = struct.Struct("=QqHB")
_AT_REMOVEDIR = 0x200
# struct statx up to the device's numbers, see statx(2): the same on every processor.
_STATX = struct.Struct("=IIQIIIHxxQQQQqIxxxxqIxxxxqIxxxxqIxxxxIIII112x")
_STATX_BASIC = 0x7FF


class FileCalls:
    """Mixin of Process."""

    @property
    def _files(self) -> Process:
        return cast("Process", self)

    def _path_call(self, name: str, path: str | os.PathLike[str], *args: Any) -> int:
        text = os.fspath(path)
        try:
            return self._files.syscall(name, AT_FDCWD, text, *args)
        except OSError as error:
            raise OSError(error.errno, error.strerror, text) from None

    def open(
        self,
        path: str | os.PathLike[str],
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Open a file of the kernel's file system; arguments and results as io.open().

        Text is UTF-8 unless an encoding is given.

        Raises:
            OSError: as open(2), with the path in it.
            ValueError: a mode that io.open() refuses.
        """
        return open_file(self._files, path, mode, buffering, encoding, errors, newline)

    def read_bytes(self, path: str | os.PathLike[str]) -> bytes:
        """Whole content of a file."""
        with self.open(path, "rb", buffering=0) as file:
            data: bytes = file.readall()
            return data

    def read_text(self, path: str | os.PathLike[str]) -> str:
        """Whole content of a UTF-8 file."""
        return self.read_bytes(path).decode()

    def write_bytes(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Make a file, or replace its content."""
        with self.open(path, "wb") as file:
            file.write(data)

    def write_text(self, path: str | os.PathLike[str], text: str) -> None:
        """Make a UTF-8 file, or replace its content."""
        self.write_bytes(path, text.encode())

    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path leads to something."""
        try:
            self._path_call("faccessat", path, 0)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def stat(self, path: str | os.PathLike[str]) -> os.stat_result:
        """What os.stat() tells of a path.

        Raises:
            OSError: as stat(2), with the path in it.
        """
        room = bytearray(_STATX.size)
        self._path_call("statx", path, 0, _STATX_BASIC, room)
        (_, _, _, links, uid, gid, mode, inode, size, _, _, *rest) = _STATX.unpack(room)
        accessed, _, _, _, changed, _, modified, _, _, _, major, minor = rest
        device = os.makedev(major, minor)
        return os.stat_result(
            (mode, inode, device, links, uid, gid, size, accessed, modified, changed)
        )

    def listdir(self, path: str | os.PathLike[str] = ".") -> list[str]:
        """Names in a folder, sorted.

        Raises:
            OSError: as open(2), with the path in it.
        """
        names = []
        fd = self._path_call("openat", path, os.O_DIRECTORY | os.O_CLOEXEC, 0)
        try:
            room = bytearray(32768)
            while size := self._files.syscall("getdents64", fd, room, len(room)):
                place = 0
                while place < size:
                    length = _DIRENT.unpack_from(room, place)[2]
                    entry = bytes(room[place + _DIRENT.size : place + length])
                    names.append(os.fsdecode(entry.partition(b"\0")[0]))
                    place += length
        finally:
            self._files.syscall("close", fd)
        return sorted(name for name in names if name not in (".", ".."))

    def mkdir(self, path: str | os.PathLike[str], mode: int = 0o777) -> None:
        """Make a folder."""
        self._path_call("mkdirat", path, mode)

    def unlink(self, path: str | os.PathLike[str]) -> None:
        """Remove a file."""
        self._path_call("unlinkat", path, 0)

    def rmdir(self, path: str | os.PathLike[str]) -> None:
        """Remove an empty folder."""
        self._path_call("unlinkat", path, _AT_REMOVEDIR)
