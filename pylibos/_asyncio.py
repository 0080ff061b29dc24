# SPDX-License-Identifier: GPL-2.0-only
"""An asyncio event loop that lives inside a library kernel.

Its selector is the kernel's epoll and its clock the kernel's clock, so in virtual time an hour
of ``asyncio.sleep`` takes no time.  Descriptors in it are the library's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pylibos._process import Process


class KernelEventLoop(asyncio.SelectorEventLoop):
    """An event loop for sockets of a kernel or task.

    Args:
        process: the kernel or task whose descriptors it waits for.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        super().__init__(process.selector())

    def time(self) -> float:
        """The kernel's clock, in seconds."""
        return self._process.now_ns / 1e9

    def _make_self_pipe(self) -> None:
        # As BaseSelectorEventLoop does, with a pair of the kernel's sockets.
        loop: Any = self
        loop._ssock, loop._csock = self._process.socketpair()
        loop._ssock.setblocking(False)
        loop._csock.setblocking(False)
        loop._internal_fds += 1
        loop._add_reader(loop._ssock.fileno(), loop._read_from_self)

    async def getaddrinfo(self, host: Any, port: Any, **options: int) -> Any:
        """Resolve a name of the world."""
        return self._process.getaddrinfo(host, port, **options)
