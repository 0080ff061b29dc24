# SPDX-License-Identifier: GPL-2.0-only
"""as_host(): for whom the names of socket and select mean a kernel, and for how long."""

from __future__ import annotations

import _socket
import os
import select
import selectors
import socket
import threading

import pytest

import pylibos

SECOND = 10**9
# Everything that as_host() may replace.
OWNERS = (socket, socket.socket, _socket, select, selectors.SelectSelector, selectors.PollSelector)


def attributes():
    return [dict(vars(owner)) for owner in OWNERS]


@pytest.fixture(autouse=True)
def everything_is_put_back():
    before = attributes()
    yield
    assert attributes() == before


def test_sockets_are_the_kernels_inside_and_the_hosts_outside(kernel):
    with kernel.as_host():
        inside = socket.socket()
    outside = socket.socket()
    with inside, outside:
        assert inside.process is kernel
        assert isinstance(inside, pylibos.Socket)
        assert not isinstance(outside, pylibos.Socket)
        assert isinstance(inside, socket.socket)
        assert isinstance(outside, socket.socket)


def test_isinstance_holds_for_both_kinds_inside(kernel):
    outside = socket.socket()
    with outside, kernel.as_host(), socket.socket() as inside:
        assert isinstance(inside, socket.socket)
        assert isinstance(outside, socket.socket)
        assert issubclass(type(inside), socket.socket)
        assert not isinstance(outside, pylibos.Socket)


def test_name_that_was_taken_before_follows(kernel):
    taken = socket.socket
    with kernel.as_host(), taken(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert sock.process is kernel
        assert sock.type == socket.SOCK_DGRAM


def test_functions_that_were_taken_before_follow(kernel):
    connect, serve, pair = socket.create_connection, socket.create_server, socket.socketpair
    resolve = socket.getaddrinfo
    kernel.world.hosts["node"] = ["10.1.2.3"]
    with kernel.as_host():
        with serve(("127.0.0.1", 7)) as server, connect(("localhost", 7)) as client:
            peer, address = server.accept()
            assert {item.process for item in (server, client, peer)} == {kernel}
            assert address == client.getsockname()
            peer.close()
        for sock in pair():
            assert sock.process is kernel
            sock.close()
        assert resolve("node", 80, type=socket.SOCK_STREAM)[0][4] == ("10.1.2.3", 80)


class Counting(socket.socket):
    """A subclass that somebody defined before."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.sent = 0

    def send(self, data, *flags):
        self.sent += len(data)
        return super().send(data, *flags)


class OldStyle(socket.socket):
    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):  # noqa: A002
        socket.socket.__init__(self, family, type, proto, fileno)


@pytest.mark.parametrize("kind", [Counting, OldStyle])
def test_subclass_from_before_makes_sockets_of_the_kernel(kernel, kind):
    with kernel.as_host(), socket.create_server(("127.0.0.1", 7)) as server, kind() as client:
        assert isinstance(client, kind)
        assert client.process is kernel
        assert client.connect(("127.0.0.1", 7)) is None
        peer, _ = server.accept()
        client.send(b"abc")
        assert peer.recv(10) == b"abc"
        peer.close()
        assert getattr(client, "sent", 3) == 3
    with kind() as outside:
        assert type(outside) is kind
        assert not isinstance(outside, pylibos.Socket)


def test_subclass_defined_inside_works_in_both_places(kernel):
    with kernel.as_host():

        class Mine(socket.socket):
            def hello(self):
                return type(self).__name__, isinstance(self, pylibos.Socket)

        with Mine(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            assert sock.hello() == ("Mine", True)
    with Mine() as sock:
        assert sock.hello() == ("Mine", False)


def test_blocks_nest_and_the_inner_one_counts(pair):
    a, b, _ = pair
    seen = []
    with a.as_host():
        with b.as_host():
            seen.append(socket.socket())
        seen.append(socket.socket())
    for sock in seen:
        sock.close()
    assert [sock.process for sock in seen] == [b, a]


def test_an_exception_ends_the_block(kernel):
    with pytest.raises(LookupError), kernel.as_host():
        raise LookupError
    with socket.socket() as sock:
        assert not isinstance(sock, pylibos.Socket)


def test_other_threads_keep_the_host(kernel):
    made = []
    go, done = threading.Event(), threading.Event()

    def work():
        go.wait(10)
        made.append(socket.socket())
        made.append(select.poll())
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    with kernel.as_host():
        go.set()
        done.wait(10)
    thread.join()
    made[0].close()
    assert not isinstance(made[0], pylibos.Socket)
    assert not isinstance(made[1], pylibos.Poll)


def test_other_programs_keep_the_host(kernel):
    kinds = {}

    def inside():
        with kernel.as_host(), socket.socket() as sock:
            kernel.sleep(2)
            kinds["inside"] = type(sock), type(select.poll())

    def outside():
        kernel.sleep(1)
        with socket.socket() as sock:
            kinds["outside"] = type(sock), type(select.poll())

    programs = [kernel.spawn(inside), kernel.spawn(outside)]
    for program in programs:
        program.join()
    assert issubclass(kinds["inside"][0], pylibos.Socket)
    assert kinds["inside"][1] is pylibos.Poll
    assert kinds["outside"] == (socket.socket, type(select.poll()))


def test_program_spawned_inside_is_inside_for_as_long_as_it_runs(pair):
    a, b, _ = pair

    def work():
        b.sleep(5)
        with socket.socket() as sock:
            return sock.process

    with a.as_host():
        program = b.spawn(work)
        other = a.world.spawn(work)
    assert "__new__" in vars(socket.socket)
    assert program.result() is b
    assert other.result() is a
    assert "__new__" not in vars(socket.socket)


def test_users_may_leave_in_any_order(kernel):
    first, second = kernel.as_host(), kernel.as_host()
    first.__enter__()
    second.__enter__()
    second.__exit__(None, None, None)
    with socket.socket() as sock:
        assert sock.process is kernel
    first.__exit__(None, None, None)


def test_killed_program_leaves(kernel):
    def work():
        with kernel.as_host():
            kernel.sleep(100)

    program = kernel.spawn(work)
    kernel.sleep(1)
    program.kill()
    assert "__new__" not in vars(socket.socket)


def test_kept_functions_mean_the_host_afterwards_and_a_kernel_later(kernel):
    with kernel.as_host():
        from select import epoll, poll
        from socket import gethostname, if_nameindex

        assert gethostname() == kernel.gethostname()
    assert gethostname() == os.uname().nodename
    assert (1, "lo") in if_nameindex()
    assert not isinstance(poll(), pylibos.Poll)
    with epoll() as made:
        assert isinstance(made, epoll)
        assert type(made) is select.epoll
    with kernel.as_host():
        assert isinstance(poll(), pylibos.Poll)


def test_what_others_replaced_meanwhile_stays_theirs(kernel, monkeypatch):
    real = socket.gethostname
    with kernel.as_host():
        monkeypatch.setattr(socket, "gethostname", lambda: "mine")
    assert socket.gethostname() == "mine"
    monkeypatch.undo()  # puts back what as_host() had placed there
    assert socket.gethostname is not real
    assert socket.gethostname() == real()
    with kernel.as_host():
        assert socket.gethostname() == kernel.gethostname()
    assert socket.gethostname is real


def test_what_others_replaced_before_is_what_the_host_gets(kernel, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "mine")
    names = []

    def outside():
        kernel.sleep(1)
        names.append(socket.gethostname())

    program = kernel.spawn(outside)
    with kernel.as_host():
        program.join()
        names.append(socket.gethostname())
    assert [*names, socket.gethostname()] == ["mine", kernel.gethostname(), "mine"]
