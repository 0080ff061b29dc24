# SPDX-License-Identifier: GPL-2.0-only
"""How a socket sends a file: one of the library by sendfile(2), one of the host in blocks."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
from collections.abc import Callable
from ctypes import addressof
from typing import Any

from pylibos._file import RawFile, library_file
from pylibos._socket_transfer import Transfer
from pylibos._syscalls import NUMBERS

_SENDFILE = NUMBERS["sendfile"]
_FILE_BLOCK = 1 << 18


class Files(Transfer):
    """Mixin of Socket."""

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a regular file of the library by sendfile(2), one of the host block by block."""
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        raw = library_file(file)
        if raw is not None and raw.process is self._process:
            step = self._library_step(raw)
        else:
            step = self._host_step(file)
        if self._timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        total = 0
        try:
            while count is None or total < count:
                left = _FILE_BLOCK if count is None else min(count - total, _FILE_BLOCK)
                sent = step(offset + total, left)
                if sent == 0:
                    break
                total += sent
        finally:
            if total:
                file.seek(offset + total)
        return total

    def _library_step(self, raw: RawFile) -> Callable[[int, int], int]:
        def step(offset: int, size: int) -> int:
            position = ctypes.c_int64(offset)
            at, call, fd = addressof(position), self._process.call, raw.fileno()
            return self._attempt(self.WRITE, lambda: call(_SENDFILE, self._fd, fd, at, size))

        return step

    def _host_step(self, file: Any) -> Callable[[int, int], int]:
        try:
            fd = file.fileno()
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
        except (AttributeError, OSError, OverflowError) as error:
            raise socket._GiveupOnSendfile(error) from None  # type: ignore[attr-defined]
        if not regular:
            raise socket._GiveupOnSendfile("not a regular file")  # type: ignore[attr-defined]

        def step(offset: int, size: int) -> int:
            data = os.pread(fd, size, offset)
            return self.send(data) if data else 0

        return step
