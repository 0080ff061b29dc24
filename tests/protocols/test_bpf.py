# SPDX-License-Identifier: GPL-2.0-only
"""BPF: classic and extended socket filters, the verifier, maps."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

import bpf
import pytest
from topologies import FAMILY, chain, ip_of, keep, round_trip_ns

SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER, SO_ATTACH_BPF = 26, 27, 44, 50
versions = pytest.mark.parametrize("version", [4, 6])
# A filter of a UDP socket sees the datagram from its UDP header on.
FIRST_BYTE = 8


def attach_classic(sock, *instructions):
    """SO_ATTACH_FILTER with struct sock_fprog."""
    code = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    program = ctypes.create_string_buffer(code)
    fprog = struct.pack("=HxxxxxxQ", len(instructions), ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)


def only(letter, keep_bytes=0xFFFFFFFF):
    """A classic filter: datagrams that begin with a letter."""
    return (
        (0x30, 0, 0, FIRST_BYTE),  # ldb [8]
        (0x15, 0, 1, ord(letter)),  # jeq letter
        (0x06, 0, 0, keep_bytes),  # ret
        (0x06, 0, 0, 0),
    )


def listener(node, version, timeout=1):
    sock = keep(node.socket(FAMILY[version], socket.SOCK_DGRAM))
    sock.bind(("", 9))
    sock.settimeout(timeout)
    return sock


def send(a, address, *messages):
    with a.socket(FAMILY[6 if ":" in address else 4], socket.SOCK_DGRAM) as here:
        for message in messages:
            here.sendto(message, (address, 9))


def received(sock):
    found = []
    while True:
        try:
            found.append(sock.recv(2000))
        except TimeoutError:
            return found


@versions
def test_classic_filter_chooses_datagrams(net, version):
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, ip_of(b, version))
    sock = listener(b, version)
    attach_classic(sock, *only("y"))
    send(a, ip_of(b, version), b"yes", b"no", b"yellow")
    assert received(sock) == [b"yes", b"yellow"]
    sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    send(a, ip_of(b, version), b"no")
    assert received(sock) == [b"no"]


def test_filter_cuts_what_it_lets_through(net):
    a, b = chain(net, "ab")
    sock = listener(b, 4)
    attach_classic(sock, *only("y", FIRST_BYTE + 3))
    send(a, b.ip, b"yellow")
    assert received(sock) == [b"yel"]


def test_locked_filter_stays(net):
    sock = listener(net.node("a"), 4)
    attach_classic(sock, *only("y"))
    sock.setsockopt(socket.SOL_SOCKET, SO_LOCK_FILTER, 1)
    with pytest.raises(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def test_senseless_classic_filter_is_refused(net):
    sock = listener(net.node("a"), 4)
    with pytest.raises(OSError, match="Invalid argument"):
        attach_classic(sock, (0x05, 0, 0, 100))  # jumps out of itself


@versions
def test_extended_filter_chooses_datagrams(net, version):
    a, b = chain(net, "ab")
    round_trip_ns(net, a, b, ip_of(b, version))
    sock = listener(b, version)
    program = b"".join(
        (
            bpf.op(0xBF, 6, 1),  # r6 = r1: the context, where the next one wants it
            bpf.op(0x30, imm=FIRST_BYTE),  # r0 = byte at 8
            bpf.op(0x55, 0, off=2, imm=ord("y")),  # if r0 != "y" goto the end
            bpf.verdict(-1),
            bpf.verdict(0),
        )
    )
    fd = bpf.load(b, bpf.SOCKET_FILTER, program)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, fd)
    send(a, ip_of(b, version), b"yes", b"no", b"yellow")
    assert received(sock) == [b"yes", b"yellow"]
    b.syscall("close", fd)


def test_program_counts_in_a_map(net):
    a, b = chain(net, "ab")
    sock = listener(b, 4)
    array = bpf.make_array(b)
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_BPF, bpf.load(b, bpf.SOCKET_FILTER, bpf.counting(array, -1))
    )
    send(a, b.ip, *[b"x"] * 7)
    assert len(received(sock)) == 7
    assert bpf.read_array(b, array) == 7


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (bpf.EXIT, errno.EACCES),  # r0 is not set
        (bpf.move(0, 0), errno.EINVAL),  # runs off its end
        (bpf.op(0x61, 0, 1, 1000) + bpf.EXIT, errno.EACCES),  # beyond the context
        (bpf.op(0x05, off=-1) + bpf.EXIT, errno.EINVAL),  # an endless loop, and dead code
    ],
)
def test_verifier_refuses(net, code, number):
    node = net.node("a")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        bpf.load(node, bpf.SOCKET_FILTER, code)
    assert caught.value.errno == number
