# SPDX-License-Identifier: GPL-2.0-only
"""How tests make a TLS connection between two kernels."""

from __future__ import annotations

import contextlib

TLS_PORT = 443


def wrap(kernel, context, sock, **options):
    with kernel.as_host():
        return context.wrap_socket(sock, **options)


def wrap_both(nodes, connected, client_context, server_context, **options):
    """Shake hands over a connection; return both TLS sockets."""
    a, b = nodes
    client, peer = connected
    program = b.spawn(wrap, b, server_context, peer, server_side=True)
    try:
        tls = wrap(a, client_context, client, server_hostname="b", **options)
    except BaseException:
        client.close()
        with contextlib.suppress(OSError):
            program.result().close()
        raise
    return tls, program.result()
