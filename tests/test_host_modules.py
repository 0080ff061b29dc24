# SPDX-License-Identifier: GPL-2.0-only
"""as_host(): what the names in socket, select and selectors mean, for whom, and for how long."""

from __future__ import annotations

import _socket
import asyncio
import os
import select
import selectors
import socket
import subprocess
import sys
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


def test_names_of_hosts_are_the_worlds(kernel):
    kernel.world.hosts["node.example"] = ["10.1.2.3", "fd00::3"]
    with kernel.as_host():
        assert socket.gethostbyname("node.example") == "10.1.2.3"
        assert socket.gethostbyname_ex("localhost") == ("localhost", [], ["127.0.0.1"])
        assert socket.gethostbyaddr("fd00::3") == ("node.example", [], ["fd00::3"])
        assert socket.getnameinfo(("10.1.2.3", 80), 0) == ("node.example", "http")
        assert socket.getnameinfo(("fd00::9", 80, 0, 0), socket.NI_NUMERICSERV) == ("fd00::9", "80")
        assert socket.getfqdn("10.1.2.3") == "node.example"
        assert socket.getfqdn() == "liblinux"
        with pytest.raises(socket.herror, match="Unknown host"):
            socket.gethostbyaddr("10.9.9.9")
        with pytest.raises(socket.gaierror, match="'elsewhere' is not known here"):
            socket.gethostbyname("elsewhere")
        with pytest.raises(socket.gaierror):
            socket.getnameinfo(("10.9.9.9", 80), socket.NI_NAMEREQD)
        socket.sethostname("renamed")
        assert socket.gethostname() == "renamed"
    assert kernel.gethostname() == "renamed"


def test_interfaces_are_the_kernels(pair):
    a, _, _ = pair
    with a.as_host():
        assert {"lo", "eth0"} <= {name for _, name in socket.if_nameindex()}
        index = socket.if_nametoindex("eth0")
        assert socket.if_indextoname(index) == "eth0"


def test_descriptors_are_duplicated_and_closed_in_the_kernel(kernel):
    with kernel.as_host(), socket.socket() as sock:
        with socket.fromfd(sock.fileno(), sock.family, sock.type) as copy:
            assert copy.process is kernel
            assert copy.fileno() != sock.fileno()
        number = socket.dup(sock.fileno())
        socket.close(number)
        with pytest.raises(OSError, match="Bad file descriptor"):
            socket.close(number)
        with socket.socket(fileno=socket.dup(sock.fileno())) as third, third.dup() as fourth:
            assert third.process is fourth.process is kernel


def test_dual_stack_server_takes_both_families(kernel):
    with kernel.as_host():
        assert socket.has_dualstack_ipv6()
        with socket.create_server(("", 7), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            for host in ("127.0.0.1", "::1"):
                with socket.create_connection((host, 7)):
                    server.accept()[0].close()


def test_sockets_of_the_host_work_inside(kernel):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.socket() as client, kernel.as_host():
            client.connect(address)
            peer, _ = server.accept()
            with peer, client.dup() as copy:
                assert type(peer) is type(copy) is socket.socket
                copy.sendall(b"x")
                assert peer.recv(1) == b"x"


@pytest.mark.parametrize(
    "kind",
    [
        selectors.DefaultSelector,
        selectors.EpollSelector,
        selectors.PollSelector,
        selectors.SelectSelector,
    ],
)
def test_selectors_wait_for_sockets_of_the_kernel(kernel, kind):
    with kernel.as_host():
        first, second = socket.socketpair()
        with first, second, kind() as selector:
            assert isinstance(selector, kind)
            key = selector.register(second, selectors.EVENT_READ, "mine")
            before = kernel.now_ns
            assert selector.select(10) == []
            assert kernel.now_ns - before == 10 * SECOND
            first.send(b"x")
            assert selector.select(10) == [(key, selectors.EVENT_READ)]
            selector.unregister(second)


def test_select_poll_and_epoll_wait_in_virtual_time(kernel):
    with kernel.as_host():
        first, second = socket.socketpair()
        with first, second, select.epoll() as epoll:
            poll = select.poll()
            poll.register(second, select.POLLIN)
            epoll.register(second, select.EPOLLIN)
            before = kernel.now_ns
            assert select.select([second], [], [], 1) == ([], [], [])
            assert poll.poll(1000) == []
            assert epoll.poll(1) == []
            assert kernel.now_ns - before == 3 * SECOND
            first.send(b"x")
            assert select.select([second], [], []) == ([second], [], [])
            assert poll.poll() == [(second.fileno(), select.POLLIN)]
            assert epoll.poll() == [(second.fileno(), select.EPOLLIN)]


def test_what_surely_is_the_hosts_is_refused_by_the_kernels_select(kernel, tmp_path):
    path = tmp_path / "file"
    with socket.socket() as sock, path.open("w+") as text, path.open("rb") as binary:
        with kernel.as_host():
            for item in (sock, text, binary):
                with pytest.raises(ValueError, match="belongs to the host; wait for it outside"):
                    select.select([item], [], [])
    with kernel.open("/f", "w") as file, kernel.socket() as sock, sock.makefile("rb") as lines:
        assert kernel.select([], [file], [], 0)[1] == [file]
        assert kernel.select([], [lines], [], 0)[1] == [lines]


def test_host_processes_keep_their_pipes_inside(kernel):
    with kernel.as_host():
        result = subprocess.run(
            [sys.executable, "-c", "import sys; print(sys.stdin.read().upper()); 1/0"],
            input="hello",
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.stdout == "HELLO\n"
    assert "ZeroDivisionError" in result.stderr


def test_task_is_a_host_with_a_network_of_its_own(kernel):
    with kernel.task(share_files=False, namespaces=["net", "uts"]) as task, task.as_host():
        socket.sethostname("inner")
        assert [name for _, name in socket.if_nameindex() if name.startswith("eth")] == []
        with socket.socket() as sock:
            assert sock.process is task
    assert kernel.gethostname() == "liblinux"


def test_halted_kernel_says_so_inside(boot):
    kernel = boot()
    with kernel.as_host():
        kernel.halt()
        with pytest.raises(pylibos.KernelHalted, match="was halted"):
            socket.socket()


def test_asyncio_run_uses_the_kernels_loop(nodes):
    a, b = nodes

    async def echo(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    async def serve():
        server = await asyncio.start_server(echo, "", 7)
        async with server:
            await asyncio.sleep(60)

    async def ask():
        reader, writer = await asyncio.open_connection("b", 7)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer, type(asyncio.get_running_loop())

    with b.as_host():
        program = b.spawn(asyncio.run, serve())
    b.world.run_for(1)
    before = a.now_ns
    with a.as_host():
        assert asyncio.run(ask()) == (b"HELLO\n", pylibos.KernelEventLoop)
    assert a.now_ns - before == 40 * 10**6
    program.join()


def test_pyroute2_works_inside(kernel):
    with kernel.as_host(), kernel.iproute() as route:
        assert "lo" in [link.get("ifname") for link in route.get_links()]
