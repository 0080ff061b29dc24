# SPDX-License-Identifier: GPL-2.0-only
"""pyroute2's netlink classes, unmodified, on a library kernel.

Every class of pyroute2 that speaks netlink ends in ``AsyncCoreSocket``, which takes a socket and
an event loop of the caller's (``use_socket``, ``use_event_loop``).  Not all subclasses pass
these on, so they are handed over while the object is being made.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pylibos._asyncio import KernelEventLoop
from pylibos._errors import PylibosError

if TYPE_CHECKING:
    from pylibos._process import Process

T = TypeVar("T")
_lock = threading.Lock()


def _core() -> Any:
    try:
        from pyroute2.netlink import core
    except ImportError as error:
        raise PylibosError(
            "pyroute2 is not installed; install it by 'pip install \"pyroute2>=0.9\"'."
        ) from error
    if not hasattr(core, "AsyncCoreSocket"):
        raise PylibosError("This pyroute2 is too old; install 0.9 or newer.")
    return core


def make(process: Process, factory: Callable[..., T], args: Any, options: dict[str, Any]) -> T:
    """Make a pyroute2 object whose netlink socket is one of a library kernel.

    Args:
        process: the kernel or task.
        factory: a class of pyroute2, such as IPRoute or NFTables.
        args, options: its own arguments.

    Raises:
        PylibosError: pyroute2 is missing or too old.
    """
    core = _core().AsyncCoreSocket
    original = core.__init__
    loop = KernelEventLoop(process)
    made: list[Any] = []

    def init(self: Any, *inner: Any, **named: Any) -> None:
        named["use_event_loop"] = loop
        family = self.spec["family"] if self.spec is not None else 0
        channel = process.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, family)
        channel.setblocking(False)
        named["use_socket"] = channel
        original(self, *inner, **named)
        self.status["event_loop"] = "new"  # close() closes the loop, too
        self.local.keep_event_loop = True
        made.append((self, channel))

    with _lock:
        core.__init__ = init
        try:
            result = factory(*args, **options)
        except BaseException:
            for _, channel in made:
                channel.close()
            loop.close()
            raise
        finally:
            core.__init__ = original
    for inner_socket, _ in made:
        # It would make tun devices on the host.
        inner_socket.request_proxy = None
    return result
