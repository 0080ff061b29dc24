# SPDX-License-Identifier: GPL-2.0-only
"""AF_UNIX: streams, datagrams, sequenced packets, passed descriptors and credentials."""

from __future__ import annotations

import array
import errno
import socket
import struct

import pytest
from topologies import keep, receive_all

SO_PASSCRED, SCM_CREDENTIALS = 16, 2
KINDS = {
    "stream": socket.SOCK_STREAM,
    "dgram": socket.SOCK_DGRAM,
    "seqpacket": socket.SOCK_SEQPACKET,
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
connected = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])


@pytest.fixture
def node(net):
    return net.node("a")


def pair(node, kind):
    first, second = node.socketpair(socket.AF_UNIX, kind)
    return keep(first), keep(second)


@kinds
def test_only_a_stream_joins_messages(node, kind):
    first, second = pair(node, kind)
    first.send(b"one")
    first.send(b"two")
    assert second.recv(100) == (b"onetwo" if kind == socket.SOCK_STREAM else b"one")


@kinds
def test_short_read_loses_the_rest_of_a_message_but_not_of_a_stream(node, kind):
    first, second = pair(node, kind)
    first.send(b"abcdef")
    first.send(b"next")
    data, _, flags, _ = second.recvmsg(3)
    assert data == b"abc"
    assert bool(flags & socket.MSG_TRUNC) == (kind != socket.SOCK_STREAM)
    assert second.recv(3) == (b"def" if kind == socket.SOCK_STREAM else b"nex")


@connected
@pytest.mark.parametrize("name", ["/tmp/s", b"\0abstract"])
def test_server_is_found_by_its_name(node, kind, name):
    with node.socket(socket.AF_UNIX, kind) as server:
        server.bind(name)
        server.listen()
        with node.socket(socket.AF_UNIX, kind) as client:
            client.connect(name)
            peer, _ = server.accept()
            with peer:
                client.send(b"hello")
                assert peer.recv(10) == b"hello"
                assert client.getpeername() == name
                peer.send(b"back")
                assert client.recv(10) == b"back"


def test_unknown_name_is_refused(node):
    for name, number in (("/nowhere", errno.ENOENT), (b"\0nobody", errno.ECONNREFUSED)):
        with node.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            with pytest.raises(OSError) as caught:  # noqa: PT011
                client.connect(name)
            assert caught.value.errno == number


def test_taken_name_is_refused(node):
    first, second = (keep(node.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(2))
    first.bind(b"\0name")
    with pytest.raises(OSError, match="Address already in use"):
        second.bind(b"\0name")


def test_datagram_tells_its_sender(node):
    server, client = (keep(node.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(2))
    server.bind(b"\0server")
    client.bind(b"\0client")
    client.sendto(b"hello", b"\0server")
    assert server.recvfrom(10) == (b"hello", b"\0client")


def test_full_queue_of_datagrams_blocks_at_its_limit(node):
    node.sysctl["net.unix.max_dgram_qlen"] = 5
    server, client = (keep(node.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(2))
    server.bind(b"\0server")
    client.setblocking(False)
    client.connect(b"\0server")
    for _ in range(6):  # net/unix/af_unix.c: full when there are more than the limit
        client.send(b"x")
    with pytest.raises(BlockingIOError):
        client.send(b"x")
    server.recv(1)
    client.send(b"x")


@kinds
def test_descriptors_are_passed(node, kind):
    first, second = pair(node, kind)
    left, right = pair(node, socket.SOCK_STREAM)
    rights = array.array("i", [left.fileno(), right.fileno()])
    first.sendmsg([b"two"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    data, control, flags, _ = second.recvmsg(10, 64)
    assert data == b"two"
    assert not flags & socket.MSG_CTRUNC
    ((level, type_, body),) = control
    assert (level, type_) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
    copies = [keep(node.socket(fileno=fd)) for fd in struct.unpack("=2i", body)]
    assert {copy.fileno() for copy in copies}.isdisjoint({left.fileno(), right.fileno()})
    copies[0].send(b"through the copy")
    assert right.recv(100) == b"through the copy"


def test_passed_descriptor_outlives_its_sender(node):
    with node.task(share_files=False) as task:
        left, right = task.socketpair()
        right.send(b"legacy")
        with task.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            receiver = keep(node.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            receiver.bind(b"\0heir")
            rights = struct.pack("=i", left.fileno())
            message = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            sender.sendmsg([b"x"], message, 0, b"\0heir")
        left.close()
        right.close()
    (fd,) = struct.unpack("=i", receiver.recvmsg(10, 64)[1][0][2])
    with node.socket(fileno=fd) as heir:
        assert receive_all(heir) == b"legacy"


@kinds
def test_credentials_are_those_of_the_sender(node, kind):
    first, second = pair(node, kind)
    second.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
    first.send(b"who")
    data, control, _, _ = second.recvmsg(10, 64)
    ((level, type_, body),) = control
    assert (level, type_) == (socket.SOL_SOCKET, SCM_CREDENTIALS)
    assert data == b"who"
    pid, uid, gid = struct.unpack("=iII", body)
    assert (uid, gid) == (0, 0)
    assert pid > 0


def test_credentials_of_a_user_cannot_be_forged(node):
    first, second = pair(node, socket.SOCK_DGRAM)
    second.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
    forged = struct.pack("=iII", 1, 1000, 1000)  # root may say so
    first.sendmsg([b"x"], [(socket.SOL_SOCKET, SCM_CREDENTIALS, forged)])
    assert struct.unpack("=iII", second.recvmsg(10, 64)[1][0][2])[1:] == (1000, 1000)
    with node.task(share_files=False) as task:
        ours, theirs = task.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        task.syscall("setresuid", 1000, 1000, 1000)
        root = struct.pack("=iII", 1, 0, 0)
        with pytest.raises(PermissionError):
            ours.sendmsg([b"x"], [(socket.SOL_SOCKET, SCM_CREDENTIALS, root)])
        ours.close()
        theirs.close()


@connected
def test_closed_peer_ends_the_stream_and_breaks_the_pipe(node, kind):
    first, second = pair(node, kind)
    first.send(b"last")
    first.close()
    assert second.recv(10) == b"last"
    assert second.recv(10) == b""
    with pytest.raises(BrokenPipeError):
        second.send(b"x")


@kinds
def test_peeking_leaves_the_data(node, kind):
    first, second = pair(node, kind)
    first.send(b"data")
    assert second.recv(10, socket.MSG_PEEK) == second.recv(10) == b"data"


def test_large_transfer_arrives_in_order(node):
    first, second = pair(node, socket.SOCK_STREAM)
    data = bytes(range(256)) * 8192

    def send():
        first.sendall(data)
        first.close()

    node.spawn(send)
    assert receive_all(second) == data
