# SPDX-License-Identifier: GPL-2.0-only
"""as_host() for ever: no descriptor of the host, no object and no memory is left behind."""

from __future__ import annotations

import gc
import http.server
import os
import socket
import ssl
import threading
import urllib.request
import weakref
from pathlib import Path

import pytest
import trustme
from host_servers import Handler, serving

import pylibos


def descriptors():
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:  # the folder's own
            continue
    return sorted(found)


def resident_kib():
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.fixture(scope="module")
def contexts():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_no_descriptor_of_the_host_is_open_in_the_middle_of_a_request(kernel):
    seen = []

    class Looking(Handler):
        def do_GET(self):  # noqa: N802
            seen.append(descriptors())
            super().do_GET()

    before = descriptors()
    with serving(kernel, http.server.ThreadingHTTPServer, ("127.0.0.1", 80), Looking):
        with kernel.as_host(), urllib.request.urlopen("http://localhost/") as answer:
            seen.append(descriptors())
            answer.read()
    assert seen == [before, before]


def exchange(kernel, contexts):
    """A request by HTTP and one by TLS, each by a thread."""
    server, client = contexts

    def serve(listener):
        peer, _ = listener.accept()
        with server.wrap_socket(peer, server_side=True) as tls:
            tls.sendall(tls.recv(100).upper())

    with serving(kernel, http.server.ThreadingHTTPServer, ("127.0.0.1", 80), Handler):
        with kernel.as_host(), urllib.request.urlopen("http://localhost/") as answer:
            answer.read()
    with kernel.as_host(), socket.create_server(("127.0.0.1", 443)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        with socket.create_connection(("localhost", 443)) as plain:
            with client.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(b"x")
                assert tls.recv(10) == b"X"
        thread.join()


def test_kernels_that_were_hosts_leak_nothing(one_build, contexts):
    def cycle(count):
        for _ in range(count):
            with pylibos.boot(**one_build.options, memory=24 << 20) as kernel:
                exchange(kernel, contexts)

    cycle(10)
    before = resident_kib(), len(descriptors())
    cycle(30)
    after = resident_kib(), len(descriptors())
    assert after[1] == before[1]
    assert after[0] - before[0] < 2048


def test_halted_kernel_and_its_objects_are_collected(one_build, contexts):
    kernel = pylibos.boot(**one_build.options)
    exchange(kernel, contexts)
    with kernel.as_host():
        sock, lock = socket.socket(), threading.Lock()

        class Mine(socket.socket):
            pass

        with Mine() as mine:
            assert mine.process is kernel
    sock.close()
    kernel.halt()
    references = [weakref.ref(item) for item in (kernel, kernel.world, sock, lock, mine, Mine)]
    del kernel, sock, lock, mine, Mine
    for _ in range(2):  # what the frames of greenlets refer to is found once these are gone
        gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


def test_tls_socket_is_freed_with_its_last_reference(kernel, contexts):
    first, second = kernel.socketpair()
    contexts[1].check_hostname = False
    with second, kernel.as_host():
        tls = contexts[1].wrap_socket(
            first, server_hostname="localhost", do_handshake_on_connect=False
        )
        number = tls.fileno()
        reference = weakref.ref(tls)
        gc.disable()
        try:
            with pytest.warns(ResourceWarning, match="unclosed"):
                del tls
        finally:
            gc.enable()
        assert reference() is None
        with pytest.raises(OSError, match=os.strerror(9)):
            socket.close(number)
    contexts[1].check_hostname = True
