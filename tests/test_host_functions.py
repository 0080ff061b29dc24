# SPDX-License-Identifier: GPL-2.0-only
"""What the functions of socket, select, selectors and asyncio do inside as_host()."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import subprocess
import sys

import pytest

import pylibos

SECOND = 10**9


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
