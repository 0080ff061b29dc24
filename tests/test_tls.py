# SPDX-License-Identifier: GPL-2.0-only
"""TLS between kernels by Python's ssl module: handshakes, data, certificates, ends."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest
from tls_cases import TLS_PORT as PORT
from tls_cases import wrap, wrap_both

import pylibos

MS = 10**6


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
