# SPDX-License-Identifier: GPL-2.0-only
"""Scripts of socket calls that run on the host's Linux and on a library kernel alike.

Each takes ``net``, which has the functions of the socket module, and returns facts that must be
equal on both.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

CASES: list[Callable[[Any], Any]] = []


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES.append(function)
    return function


def outcome(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a call gives: its value, or the error's class and text."""
    try:
        return function(*args, **options)
    except Exception as error:
        return type(error).__name__, str(error)


@contextlib.contextmanager
def tcp_pair(net, family=socket.AF_INET):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with net.create_server((host, 0), family=family) as server:
        with net.create_connection(server.getsockname()[:2]) as client:
            peer, _ = server.accept()
            with peer:
                yield client, peer
