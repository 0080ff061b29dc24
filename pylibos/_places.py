# SPDX-License-Identifier: GPL-2.0-only
"""Fixed addresses for kernels whose runs must repeat exactly.

Address-ordered containers and hashed pointers let the place of a kernel leak into its
behaviour.  So the first repeatable kernel of a process always lies at the first place, and so
on; a place that was given back is taken again, the lowest first.
"""

from __future__ import annotations

import heapq
import threading


class Places:
    """Hands out equally spaced addresses.

    Args:
        base: the first address.
        stride: distance of two.
    """

    def __init__(self, base: int, stride: int) -> None:
        self._next = base
        self._stride = stride
        self._free: list[int] = []
        self._lock = threading.Lock()

    def take(self) -> int:
        """Return the lowest free address."""
        with self._lock:
            if self._free:
                return heapq.heappop(self._free)
            place, self._next = self._next, self._next + self._stride
            return place

    def give_back(self, place: int) -> None:
        """Make an address free again."""
        with self._lock:
            heapq.heappush(self._free, place)
