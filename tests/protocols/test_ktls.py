# SPDX-License-Identifier: GPL-2.0-only
"""TLS in the kernel: records as RFC 5246 and RFC 8446 say, and a peer that decrypts them."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from topologies import FAMILY, MS, chain, ip_of, keep, pattern, repeats

TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
SET_RECORD_TYPE, GET_RECORD_TYPE = 1, 2
TLS12, TLS13 = 0x0303, 0x0304
AES_GCM_128, AES_GCM_256 = 51, 52
ALERT, DATA = 21, 23
# Less than a record: of TLS 1.2 whole records are decrypted into pages of the caller.
ROOM = 1000
IV, SALT, SEQUENCE = bytes(range(8)), b"salt", bytes(8)
versions = pytest.mark.parametrize("version", [4, 6])
protocols = pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["1.2", "1.3"])


def key(bits):
    return bytes(range(bits // 8))


def crypto_info(tls, bits):
    """struct tls12_crypto_info_aes_gcm_128 or _256."""
    cipher = AES_GCM_128 if bits == 128 else AES_GCM_256
    return struct.pack("=HH", tls, cipher) + IV + key(bits) + SALT + SEQUENCE


def connection(net, version, delay_ms=5):
    a, b = chain(net, "ab", delay_ms=delay_ms)
    with b.create_server((ip_of(b, version), 443), family=FAMILY[version]) as server:
        here = keep(a.create_connection((ip_of(b, version), 443)))
        return here, keep(server.accept()[0])


def secure(sock, tls, bits=128, *, ways=(TLS_TX, TLS_RX), info=None):
    sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    for way in ways:
        sock.setsockopt(SOL_TLS, way, info or crypto_info(tls, bits))


@versions
@protocols
@pytest.mark.parametrize("bits", [128, 256])
def test_peer_decrypts_what_was_sent(net, version, tls, bits):
    here, there = connection(net, version)
    for sock in (here, there):
        secure(sock, tls, bits)
    data = pattern(100_000)

    def send():
        here.sendall(data)
        here.shutdown(socket.SHUT_WR)

    here.process.spawn(send)
    assert b"".join(iter(lambda: there.recv(ROOM), b"")) == data
    there.sendall(b"and back")
    assert here.recv(4) + here.recv(4) == b"and back"
    assert there.process.counters()["TlsRxSw"] == 1
    assert here.process.counters()["TlsTxSw"] == 1


@versions
@protocols
def test_records_on_the_wire_are_those_of_the_rfc(net, version, tls):
    here, there = connection(net, version)
    secure(here, tls, ways=(TLS_TX,))
    here.sendall(b"hello")
    here.sendall(b"world")
    net.run_for(100 * MS)
    wire = there.recv(1000)
    for number, expected in enumerate((b"hello", b"world")):
        kind, legacy, size = struct.unpack_from("!BHH", wire)
        body, wire = wire[5 : 5 + size], wire[5 + size :]
        assert (kind, legacy) == (DATA, 0x0303)
        if tls == TLS12:  # an explicit nonce; sequence number, type, version and length are signed
            assert body[:8] == IV if number == 0 else body[:8] != IV
            signed = struct.pack("!QBHH", number, DATA, TLS12, len(expected))
            plain = AESGCM(key(128)).decrypt(SALT + body[:8], body[8:], signed)
        else:  # the nonce is the sequence number upon the IV; the type is the last byte
            nonce = bytearray(SALT + IV)
            nonce[-1] ^= number
            plain = AESGCM(key(128)).decrypt(
                bytes(nonce), body, struct.pack("!BHH", DATA, 0x0303, size)
            )
            assert plain[-1] == DATA
            plain = plain[:-1]
        assert plain == expected
    assert wire == b""


@protocols
def test_record_has_header_nonce_and_tag(net, tls):
    here, there = connection(net, 4)
    secure(here, tls, ways=(TLS_TX,))
    here.sendall(b"x" * 1000)
    net.run_for(100 * MS)
    assert len(there.recv(2000)) == 5 + 1000 + 16 + (8 if tls == TLS12 else 1)


@protocols
def test_record_type_goes_as_a_control_message(net, tls):
    here, there = connection(net, 4)
    for sock in (here, there):
        secure(sock, tls)
    here.sendmsg([b"\1\0"], [(SOL_TLS, SET_RECORD_TYPE, bytes([ALERT]))])
    data, control, _, _ = there.recvmsg(100, 64)
    assert (data, control) == (b"\1\0", [(SOL_TLS, GET_RECORD_TYPE, bytes([ALERT]))])
    here.sendmsg([b"\1\0"], [(SOL_TLS, SET_RECORD_TYPE, bytes([ALERT]))])
    with pytest.raises(OSError) as caught:  # noqa: PT011
        there.recv(100)  # has no room for the type
    assert caught.value.errno == errno.EIO


@protocols
def test_wrong_key_is_a_bad_message(net, tls):
    here, there = connection(net, 4)
    secure(here, tls)
    other = struct.pack("=HH", tls, AES_GCM_128) + IV + bytes(16) + SALT + SEQUENCE
    secure(there, tls, info=other)
    here.sendall(b"secret")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        there.recv(4)
    assert caught.value.errno == errno.EBADMSG
    assert there.process.counters()["TlsDecryptError"] == 1


@versions
def test_whole_record_of_tls_1_2_at_once_is_refused(net, version):
    """The kernel would decrypt into pages of the caller: see docs/limitations.md."""
    here, there = connection(net, version)
    for sock in (here, there):
        secure(sock, TLS12)
    here.sendall(b"x" * 1000)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        there.recv(1000)
    assert caught.value.errno == errno.EFAULT


def test_data_from_before_the_key_is_not_lost(net):
    here, there = connection(net, 4)
    there.sendall(b"plain")
    net.run_for(100 * MS)
    assert here.recv(100) == b"plain"
    for sock in (here, there):
        secure(sock, TLS13)
    there.sendall(b"secret")
    assert here.recv(100) == b"secret"


def test_unconnected_socket_gets_no_tls(net):
    with net.node("a").socket() as sock:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    assert caught.value.errno == errno.ENOTCONN


def test_unknown_cipher_is_refused(net):
    here, _ = connection(net, 4)
    with pytest.raises(OSError, match="Invalid argument"):
        secure(here, TLS12, info=struct.pack("=HH", TLS12, 999) + bytes(36))


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        here, there = connection(net, 6)
        net.links[0].capture(path)
        for sock in (here, there):
            secure(sock, TLS13)
        here.sendall(pattern(20_000))
        there.recv(20_000)

    assert repeats(build, tmp_path, scenario)
