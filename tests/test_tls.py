# SPDX-License-Identifier: GPL-2.0-only
"""TLS between kernels by Python's ssl module, in virtual time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct

import pytest
import trustme

import pylibos

MS = 10**6
PORT = 443


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("b", "10.0.0.2").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def connected(nodes):
    """A plain connection from a to b, and the peer's end."""
    a, b = nodes
    with b.create_server(("", PORT)) as server:
        client = a.create_connection(("b", PORT))
        peer, _ = server.accept()
    return client, peer


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


@pytest.fixture
def pair_of_tls(nodes, connected, client_context, server_context):
    client, peer = wrap_both(nodes, connected, client_context, server_context)
    with client, peer:
        yield client, peer


@pytest.mark.parametrize(
    ("version", "round_trips"),
    [(ssl.TLSVersion.TLSv1_2, 2), (ssl.TLSVersion.TLSv1_3, 1)],
)
def test_handshake_takes_the_round_trips_of_its_version(
    nodes, connected, client_context, server_context, version, round_trips
):
    a, _ = nodes
    client_context.maximum_version = version
    before = a.now_ns
    connected[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected[1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    clients_end = []
    program = a.spawn(
        lambda: (
            wrap(a, client_context, connected[0], server_hostname="b"),
            clients_end.append(a.now_ns),
        )
    )
    peer = wrap(nodes[1], server_context, connected[1], server_side=True)
    client = program.result()[0]
    assert (clients_end[0] - before) / MS == round_trips * 20
    assert client.version() == peer.version() == version.name.replace("_", ".")
    client.close()
    peer.close()


def test_both_ends_are_what_libraries_expect(pair_of_tls):
    client, peer = pair_of_tls
    assert isinstance(client, ssl.SSLSocket)
    assert isinstance(client, pylibos.TlsSocket)
    assert isinstance(client, pylibos.Socket)
    assert client.server_hostname == "b"
    assert not client.server_side
    assert peer.server_side
    assert ("DNS", "b") in client.getpeercert()["subjectAltName"]
    assert client.getpeercert(binary_form=True)[0] == 0x30
    assert peer.getpeercert() is None
    assert client.cipher() == peer.cipher()
    assert client.compression() is None
    assert client.cipher()[:2] in [cipher[:2] for cipher in peer.shared_ciphers()]
    assert client.get_channel_binding("tls-unique")
    assert client.process is not peer.process
    with pytest.raises(NotImplementedError, match="dup"):
        client.dup()
    with pytest.raises(ValueError, match="non-zero flags not allowed"):
        client.send(b"x", socket.MSG_OOB)


def test_data_crosses_encrypted(nodes, pair_of_tls):
    _, b = nodes
    client, peer = pair_of_tls
    with b.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
        client.sendall(b"attack at dawn")
        assert peer.recv(100) == b"attack at dawn"
        frame = tap.recv(2000)
    assert b"\x17\x03\x03" in frame  # application data, RFC 8446 section 5.1
    assert b"attack" not in frame
    peer.sendall(b"yes")
    buffer = bytearray(10)
    assert client.recv_into(buffer) == 3
    assert buffer[:3] == b"yes"


def test_pending_tells_of_what_select_does_not(nodes, pair_of_tls):
    _, b = nodes
    client, peer = pair_of_tls
    client.sendall(b"x" * 100)
    client.sendall(b"y" * 50)
    b.sleep(1)
    assert peer.pending() == 0
    assert peer.recv(30) == b"x" * 30
    assert peer.pending() == 70
    assert peer.recv(100) == b"x" * 70
    # The second record still waits in the kernel, where select() sees it.
    assert peer.pending() == 0
    assert b.select([peer], [], [], 0)[0] == [peer]
    assert peer.recv(100) == b"y" * 50
    assert b.select([peer], [], [], 0)[0] == []


def test_large_data_arrives_whole_both_ways(nodes, pair_of_tls):
    a, b = nodes
    data = bytes(range(256)) * 4000

    def receive(sock):
        got = bytearray()
        while len(got) < len(data):
            got += sock.recv(65536)
        return bytes(got)

    client, peer = pair_of_tls
    programs = [
        a.spawn(receive, client),
        b.spawn(receive, peer),
        b.spawn(peer.sendall, data),
        a.spawn(client.sendall, data),
    ]
    results = [program.result() for program in programs]
    assert results[:2] == [data, data]


def test_second_reader_is_refused(nodes, pair_of_tls):
    a, _ = nodes
    client, _ = pair_of_tls
    program = a.spawn(client.recv, 10)
    a.sleep(1)
    with pytest.raises(RuntimeError, match="Another program or thread reads from this TLS"):
        client.recv(10)
    program.kill()


def test_makefile_reads_lines(pair_of_tls):
    client, peer = pair_of_tls
    with client.makefile("rw", newline="\n") as text, peer.makefile("rwb") as raw:
        text.write("one\ntwo\n")
        text.flush()
        assert raw.readline() == b"one\n"
        assert raw.readline() == b"two\n"


def test_sendfile_encrypts(pair_of_tls, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"from a file")
    client, peer = pair_of_tls
    with path.open("rb") as file:
        assert client.sendfile(file) == 11
    assert peer.recv(100) == b"from a file"


def test_unwrap_says_goodbye_and_leaves_a_plain_connection(nodes, pair_of_tls):
    _, b = nodes
    client, peer = pair_of_tls
    program = b.spawn(peer.unwrap)
    assert client.unwrap() is client
    assert program.result() is peer
    assert client.version() is None
    client.sendall(b"plain")
    assert peer.recv(10) == b"plain"


def test_end_of_stream_reads_as_nothing(pair_of_tls):
    client, peer = pair_of_tls
    client.close()
    assert peer.recv(10) == b""


def test_end_without_goodbye_is_an_error_when_asked_for(
    nodes, connected, client_context, server_context
):
    client, peer = wrap_both(
        nodes, connected, client_context, server_context, suppress_ragged_eofs=False
    )
    with client:
        peer.close()
        with pytest.raises(ssl.SSLEOFError, match="EOF occurred in violation of protocol"):
            client.recv(10)


def test_reset_reaches_the_reader(pair_of_tls):
    client, peer = pair_of_tls
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(ConnectionResetError):
        client.recv(10)


def test_unknown_authority_is_refused_at_both_ends(nodes, connected, server_context):
    a, b = nodes
    client, peer = connected
    program = b.spawn(wrap, b, server_context, peer, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        wrap(a, ssl.create_default_context(), client, server_hostname="b")
    with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_UNKNOWN_CA|tlsv1 alert unknown ca"):
        program.result()


def test_wrong_host_name_is_refused(nodes, connected, client_context, server_context):
    a, b = nodes
    client, peer = connected
    program = b.spawn(wrap, b, server_context, peer, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        wrap(a, client_context, client, server_hostname="other")
    with pytest.raises(ssl.SSLError):
        program.result()


def test_plain_text_at_a_tls_port_is_refused(nodes, connected, server_context):
    _, b = nodes
    client, peer = connected
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    with client, pytest.raises(ssl.SSLError, match="HTTP_REQUEST"):
        wrap(b, server_context, peer, server_side=True)


def test_alpn_and_sni_choose(nodes, connected, client_context, server_context, authority):
    special = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("b").configure_cert(special)
    special.set_alpn_protocols(["h2"])
    wished = []

    def choose(sock, name, context):
        wished.append((type(sock), name))
        sock.context = special

    server_context.sni_callback = choose
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    client, peer = wrap_both(nodes, connected, client_context, server_context)
    with client, peer:
        assert wished == [(pylibos.TlsSocket, "b")]
        assert peer.context is special
        assert client.selected_alpn_protocol() == "h2"


def test_session_is_taken_up_again(nodes, client_context, server_context):
    a, b = nodes
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    reused = []
    for _ in range(2):
        with b.create_server(("", PORT)) as server:
            ends = a.create_connection(("b", PORT)), server.accept()[0]
        client, peer = wrap_both(nodes, ends, client_context, server_context, session=session)
        with client, peer:
            session = client.session
            reused.append(client.session_reused)
    assert reused == [False, True]


def test_client_certificate_is_asked_for(
    nodes, connected, client_context, server_context, authority
):
    server_context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server_context)
    authority.issue_cert("me@a").configure_cert(client_context)
    client, peer = wrap_both(nodes, connected, client_context, server_context)
    with client, peer:
        assert peer.getpeercert()["subjectAltName"] == (("email", "me@a"),)


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
    client, _ = pair_of_tls
    client.settimeout(2)
    before = a.now_ns
    with pytest.raises(TimeoutError, match="The write operation timed out"):
        client.sendall(bytes(50_000_000))
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
