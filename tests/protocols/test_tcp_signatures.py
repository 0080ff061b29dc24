# SPDX-License-Identifier: GPL-2.0-only
"""Signed TCP: MD5 (RFC 2385) and the authentication option (RFC 5925), right and wrong keys."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import struct

import dpkt
import pytest
from frames import segments
from topologies import FAMILY, SECOND, pattern
from wire import Chosen, keep, read_exactly, wire

TCP_MD5SIG, TCP_AO_ADD_KEY, TCP_AO_INFO = 14, 38, 40
MD5_OPTION, AO_OPTION = 19, 29
KEY = b"a secret between routers"
MAC_BYTES = 12  # RFC 5926: HMAC-SHA-1-96

both = pytest.mark.parametrize("version", [4, 6])


def sockaddr(address):
    """struct sockaddr_storage without a port."""
    packed = ipaddress.ip_address(address).packed
    if len(packed) == 16:
        return struct.pack("=HHI16s104x", socket.AF_INET6, 0, 0, packed)
    return struct.pack("=HH4s120x", socket.AF_INET, 0, packed)


def md5_key(peer, key=KEY):
    """struct tcp_md5sig of include/uapi/linux/tcp.h."""
    return struct.pack("=128sBBHi80s", sockaddr(peer), 0, 0, len(key), 0, key)


def ao_key(peer, key=KEY, sndid=100, rcvid=100, algorithm=b"hmac(sha1)"):
    """struct tcp_ao_add of include/uapi/linux/tcp.h."""
    prefix = 128 if ":" in peer else 32
    return struct.pack(
        "=128s64siIHBBBBBB80s",
        sockaddr(peer),
        algorithm,
        0,
        0,
        0,
        prefix,
        sndid,
        rcvid,
        0,
        0,
        len(key),
        key,
    )


class Signed:
    """A client and a listener, each with a key for the other."""

    def __init__(self, net, version, option, client_key, server_key):
        self.pair = pair = wire(net, Chosen())
        self.addresses = (
            pair.a.ip if version == 4 else pair.a.ip6,
            pair.address(version),
        )
        self.listener = keep(pair.b.create_server(("", 7), family=FAMILY[version]))
        self.client = keep(pair.a.socket(FAMILY[version]))
        self.client.settimeout(10)
        if client_key:
            self.client.setsockopt(socket.IPPROTO_TCP, option, client_key(self.addresses[1]))
        if server_key:
            self.listener.setsockopt(socket.IPPROTO_TCP, option, server_key(self.addresses[0]))

    def connect(self):
        self.client.connect((self.addresses[1], 7))
        return keep(self.listener.accept()[0])


def md5_of(segment, source, destination, key=KEY):
    """RFC 2385, 2.0: pseudo-header, header without options and checksum, data, key."""
    tcp = segment.tcp
    size = len(bytes(tcp))
    addresses = [ipaddress.ip_address(address).packed for address in (source, destination)]
    protocol = socket.IPPROTO_TCP
    layout = ">BBH" if len(addresses[0]) == 4 else ">I3xB"
    fields = (0, protocol, size) if len(addresses[0]) == 4 else (size, protocol)
    header = bytearray(bytes(tcp)[:20])
    header[16:18] = b"\0\0"
    pseudo = b"".join(addresses) + struct.pack(layout, *fields)
    return hashlib.md5(pseudo + header + tcp.data + key).digest()


@both
def test_md5_signs_every_segment(net, tmp_path, version):
    signed = Signed(net, version, TCP_MD5SIG, md5_key, md5_key)
    capture = signed.pair.capture(tmp_path)
    peer = signed.connect()
    data = pattern(5000)
    signed.client.send(data)
    assert read_exactly(peer, len(data)) == data
    here, there = signed.addresses
    for sent, ends in ((True, (here, there)), (False, (there, here))):
        for segment in segments(capture, sent=sent):
            assert segment.option(MD5_OPTION) == md5_of(segment, *ends)


@pytest.mark.parametrize(
    ("client", "server", "counter"),
    [
        (md5_key, lambda peer: md5_key(peer, b"another"), "TcpExtTCPMD5Failure"),
        (None, md5_key, "TcpExtTCPMD5NotFound"),
        (md5_key, None, "TcpExtTCPMD5Unexpected"),
    ],
    ids=["wrong", "missing", "unexpected"],
)
@both
def test_md5_that_does_not_fit_is_not_answered(net, version, client, server, counter):
    signed = Signed(net, version, TCP_MD5SIG, client, server)
    with pytest.raises(TimeoutError):
        signed.connect()
    counters = signed.pair.b.counters()
    assert counters[counter] == counters["TcpInSegs"] > 1
    assert counters["TcpOutSegs"] == 0


def traffic_key(first, second, ports, numbers):
    """RFC 5926, 3.1.1.1 and 3.2: KDF_HMAC_SHA1 over the addresses, ports and first numbers."""
    addresses = b"".join(ipaddress.ip_address(address).packed for address in (first, second))
    context = addresses + struct.pack(">HHII", *ports, *numbers)
    message = b"\x01TCP-AO" + context + struct.pack(">H", 160)
    return hmac.new(KEY, message, "sha1").digest()


def ao_mac(segment, key, first, second):
    """RFC 5925, 5.1: number extension, pseudo-header, header with options, data."""
    tcp = bytearray(bytes(segment.tcp))
    addresses = [ipaddress.ip_address(address).packed for address in (first, second)]
    if len(addresses[0]) == 4:
        pseudo = b"".join(addresses) + struct.pack(">BBH", 0, socket.IPPROTO_TCP, len(tcp))
    else:
        pseudo = b"".join(addresses) + struct.pack(">I3xB", len(tcp), socket.IPPROTO_TCP)
    tcp[16:18] = b"\0\0"
    mac = segment.option(AO_OPTION)[2:]
    at = bytes(tcp).index(mac)
    tcp[at : at + len(mac)] = bytes(len(mac))
    return hmac.new(key, bytes(4) + pseudo + tcp, "sha1").digest()[:MAC_BYTES]


@both
def test_ao_signs_every_segment(net, tmp_path, version):
    signed = Signed(net, version, TCP_AO_ADD_KEY, ao_key, ao_key)
    capture = signed.pair.capture(tmp_path)
    peer = signed.connect()
    data = pattern(5000)
    signed.client.send(data)
    assert read_exactly(peer, len(data)) == data
    net.run_for(SECOND)
    here, there = signed.addresses
    out, back = segments(capture), segments(capture, sent=False)
    numbers = (out[0].tcp.seq, back[0].tcp.seq)
    for found, ends, mine, its in (
        (out, (here, there), *numbers),
        (back, (there, here), *numbers[::-1]),
    ):
        for segment in found:
            ports = (segment.tcp.sport, segment.tcp.dport)
            known = 0 if segment.tcp.flags == dpkt.tcp.TH_SYN else its
            key = traffic_key(*ends, ports, (mine, known))
            option = segment.option(AO_OPTION)
            assert tuple(option[:2]) == (100, 100)
            assert option[2:] == ao_mac(segment, key, *ends)
    counters = signed.pair.b.counters()
    assert counters["TcpExtTCPAOGood"] == counters["TcpInSegs"] == len(out)


@pytest.mark.parametrize(
    ("client", "server", "counter"),
    [
        (ao_key, lambda peer: ao_key(peer, b"another"), "TcpExtTCPAOBad"),
        (ao_key, lambda peer: ao_key(peer, sndid=7, rcvid=7), "TcpExtTCPAOKeyNotFound"),
        (None, ao_key, "TcpExtTCPAORequired"),
    ],
    ids=["wrong key", "wrong id", "missing"],
)
@both
def test_ao_that_does_not_fit_is_not_answered(net, version, client, server, counter):
    signed = Signed(net, version, TCP_AO_ADD_KEY, client, server)
    with pytest.raises(TimeoutError):
        signed.connect()
    counters = signed.pair.b.counters()
    assert counters[counter] == counters["TcpInSegs"] > 1
    assert counters["TcpOutSegs"] == 0


def test_ao_and_md5_cannot_be_mixed(net):
    signed = Signed(net, 4, TCP_AO_ADD_KEY, ao_key, ao_key)
    with pytest.raises(OSError, match="Key was rejected") as refused:
        signed.client.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, md5_key(signed.addresses[1]))
    assert refused.value.errno == 129  # EKEYREJECTED
