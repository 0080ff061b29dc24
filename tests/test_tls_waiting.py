# SPDX-License-Identifier: GPL-2.0-only
"""TLS on kernels: time limits, non-blocking sockets, listeners, and whose socket it is."""

from __future__ import annotations

import contextlib
import socket
import ssl

import pytest
from tls_cases import TLS_PORT as PORT
from tls_cases import wrap, wrap_both

import pylibos

MS = 10**6


def test_timeouts_name_the_operation_and_count_in_virtual_time(nodes, connected, client_context):
    a, _ = nodes
    client, peer = connected
    client.settimeout(3)
    before = a.now_ns
    with peer, pytest.raises(TimeoutError, match="The handshake operation timed out"):
        wrap(a, client_context, client, server_hostname="b")
    assert a.now_ns - before == 3000 * MS


def test_read_times_out(nodes, pair_of_tls):
    a, _ = nodes
    client, _ = pair_of_tls
    client.settimeout(2)
    before = a.now_ns
    with pytest.raises(TimeoutError, match="The read operation timed out"):
        client.recv(10)
    assert a.now_ns - before == 2000 * MS


def test_write_times_out_when_the_peer_does_not_read(nodes, pair_of_tls):
    a, _ = nodes
    client, peer = pair_of_tls
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    client.settimeout(2)
    before = a.now_ns
    with pytest.raises(TimeoutError, match="The write operation timed out"):
        client.sendall(bytes(5_000_000))
    assert a.now_ns - before >= 2000 * MS


def test_nonblocking_operations_ask_for_patience(nodes, connected, client_context, server_context):
    a, b = nodes
    plain, peer = connected
    program = b.spawn(wrap, b, server_context, peer, server_side=True)
    plain.setblocking(False)
    client = wrap(a, client_context, plain, server_hostname="b", do_handshake_on_connect=False)
    wishes = []
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            wishes.append("read")
            a.select([client], [], [])
        else:
            break
    assert set(wishes) == {"read"}
    peer = program.result()
    with client, peer:
        peer.sendall(b"x")
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(10)
        while not a.select([client], [], [], 0)[0]:
            a.sleep(1)
        # In TLS 1.3 the server's session tickets come before its data.
        data = b""
        while not data:
            with contextlib.suppress(ssl.SSLWantReadError):
                data = client.recv(10)
        assert data == b"x"


def test_nonblocking_write_that_was_taken_is_not_sent_twice(
    nodes, connected, client_context, server_context
):
    a, b = nodes
    server_context.num_tickets = 0  # unread ones would make close() a reset
    client, peer = wrap_both(nodes, connected, client_context, server_context)
    client.setblocking(False)
    blocks = [bytes([number % 251]) * 10000 for number in range(400)]
    got = bytearray()

    def read():
        while data := peer.recv(65536):
            got.extend(data)

    waits = 0
    for block in blocks:
        rest = memoryview(block)
        while rest:
            try:
                rest = rest[client.send(rest) :]
            except ssl.SSLWantWriteError:
                if not waits:
                    reader = b.spawn(read)
                waits += 1
                a.select([], [client], [])
    client.close()
    reader.result()
    assert waits > 0
    peer.close()
    assert bytes(got) == b"".join(blocks)


def test_handshake_on_connect_of_a_nonblocking_socket_is_refused(nodes, connected, client_context):
    client, peer = connected
    client.setblocking(False)
    with peer, pytest.raises(ValueError, match="should not be specified for non-blocking"):
        wrap(nodes[0], client_context, client, server_hostname="b")


def test_wrapped_listener_accepts_and_wrapped_socket_connects(
    nodes, client_context, server_context
):
    a, b = nodes

    def serve(listener):
        with b.as_host():
            peer, address = listener.accept()
            with peer:
                peer.sendall(peer.recv(100).upper())
                return address[0]

    with b.as_host():
        listener = server_context.wrap_socket(socket.create_server(("", PORT)), server_side=True)
    program = b.spawn(serve, listener)
    with a.as_host(), client_context.wrap_socket(socket.socket(), server_hostname="b") as client:
        client.connect(("b", PORT))
        client.sendall(b"hello")
        assert client.recv(100) == b"HELLO"
        with pytest.raises(ValueError, match="already-connected"):
            client.connect(("b", PORT))
    assert program.result() == "10.0.0.1"
    listener.close()


def test_connect_to_a_closed_port_is_refused(nodes, client_context):
    with (
        nodes[0].as_host(),
        client_context.wrap_socket(socket.socket(), server_hostname="b") as client,
    ):
        with pytest.raises(ConnectionRefusedError):
            client.connect(("b", PORT))
        assert client.connect_ex(("b", PORT)) == 111


def test_context_may_name_the_class_without_as_host(
    nodes, connected, client_context, server_context
):
    _, b = nodes
    client_context.sslsocket_class = server_context.sslsocket_class = pylibos.TlsSocket
    plain, peer = connected
    program = b.spawn(server_context.wrap_socket, peer, server_side=True)
    with client_context.wrap_socket(plain, server_hostname="b") as client, program.result() as peer:
        client.sendall(b"x")
        assert peer.recv(1) == b"x"


def test_hosts_sockets_are_refused_by_the_kernels_class(client_context):
    client_context.sslsocket_class = pylibos.TlsSocket
    first, second = socket.socketpair()
    with first, second, pytest.raises(TypeError, match="TlsSocket is for sockets of a library"):
        client_context.wrap_socket(first, server_hostname="b")


def test_hosts_sockets_stay_the_hosts_inside_as_host(kernel, client_context, server_context):
    first, second = socket.socketpair()
    with kernel.as_host():
        client = client_context.wrap_socket(
            first, server_hostname="b", do_handshake_on_connect=False
        )
        server = server_context.wrap_socket(second, server_side=True, do_handshake_on_connect=False)
        ends = {client, server}
        assert {type(end) for end in ends} == {ssl.SSLSocket}
        for end in ends:
            end.setblocking(False)
        while ends:
            for end in list(ends):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
                    ends.remove(end)
    with client, server:
        assert client.version() == server.version()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"server_side": True, "server_hostname": "b"}, ValueError, "only be specified in client"),
        ({"server_hostname": None}, ValueError, "check_hostname requires server_hostname"),
    ],
)
def test_senseless_options_are_refused(kernel, client_context, options, error, message):
    with kernel.as_host(), socket.socket() as sock, pytest.raises(error, match=message):
        client_context.wrap_socket(sock, **options)


def test_datagram_sockets_are_refused(kernel, client_context):
    with kernel.as_host(), socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(NotImplementedError, match="only stream sockets"):
            client_context.wrap_socket(sock, server_hostname="b")
