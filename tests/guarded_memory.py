# SPDX-License-Identifier: GPL-2.0-only
"""Memory with an unmapped page behind it: what runs over the end faults."""

from __future__ import annotations

import ctypes
import mmap

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
PAGE = 4096
PROT_NONE, PROT_READ, PROT_WRITE = 0, 1, 2


class GuardedMemory:
    """Writable memory between two pages that nobody may touch.

    Attributes:
        address: of the first byte.
        size: in bytes, a multiple of 4096.
    """

    def __init__(self, size: int) -> None:
        self.size = -(-size // PAGE) * PAGE
        self._map = mmap.mmap(-1, self.size + 2 * PAGE)
        self._first = ctypes.c_char.from_buffer(self._map)
        start = ctypes.addressof(self._first)
        self.address = start + PAGE
        self._protect(start, PROT_NONE)
        self._protect(self.address + self.size, PROT_NONE)

    def _protect(self, address: int, protection: int) -> None:
        if _libc.mprotect(address, PAGE, protection):
            raise OSError(ctypes.get_errno(), "mprotect")

    def before_the_end(self, size: int) -> int:
        """Address of the last so many bytes."""
        return self.address + self.size - size
