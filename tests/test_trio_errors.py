# SPDX-License-Identifier: GPL-2.0-only
"""What trio's sockets on kernels refuse, and what cancellation leaves behind."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.socket import SOCK_DGRAM

import pylibos
from pylibos import _trio_waits

SECOND = 10**9


def udp(kernel):
    with kernel.as_trio():
        return trio.socket.socket(type=SOCK_DGRAM)


# --- Refusals and errors ---


def test_refused_connection_is_an_error(kernel):
    async def main():
        with pytest.raises(OSError, match="all attempts to connect to 127.0.0.1:9 failed"):
            await trio.open_tcp_stream("127.0.0.1", 9)
        with trio.socket.socket() as sock, pytest.raises(ConnectionRefusedError):
            await sock.connect(("127.0.0.1", 9))

    kernel.trio_run(main)


def test_socket_without_a_kernel_is_refused(kernel):
    async def main():
        with pytest.raises(pylibos.PylibosError, match="No kernel is current in this trio task"):
            trio.socket.socket()

    kernel.world.trio_run(main)


def test_socket_in_a_run_of_another_clock_is_refused(kernel):
    async def main():
        first, second = kernel.socketpair()
        with kernel.trio_socket(first) as sock, second:
            with pytest.raises(pylibos.PylibosError, match="start trio by trio_run"):
                await sock.recv(1)

    trio.run(main)


def test_socket_of_another_world_is_refused(boot):
    kernel, other = boot(), boot()

    async def main():
        with udp(other) as sock:
            await sock.bind(("127.0.0.1", 7))
            with pytest.raises(pylibos.PylibosError, match="belongs to another world"):
                await sock.recv(1)

    kernel.trio_run(main)


def test_second_reader_is_refused(kernel):
    async def read(sock):
        await sock.recv(1)

    async def main():
        with udp(kernel) as sock:
            await sock.bind(("127.0.0.1", 7))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, sock)
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError, match="already reading from"):
                    await sock.recv(1)
                nursery.cancel_scope.cancel()

    kernel.trio_run(main)


def test_closing_wakes_the_reader(kernel):
    async def read(sock):
        with pytest.raises(trio.ClosedResourceError, match="another task closed this socket"):
            await sock.recv(1)

    async def main():
        sock = udp(kernel)
        await sock.bind(("127.0.0.1", 7))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, sock)
            await trio.testing.wait_all_tasks_blocked()
            sock.close()

    kernel.trio_run(main)


def test_reader_and_writer_wait_for_one_socket(kernel):
    async def main():
        first, second = (kernel.trio_socket(sock) for sock in kernel.socketpair())
        big = bytes(2_000_000)
        with first, second:
            one, two = trio.SocketStream(first), trio.SocketStream(second)

            async def swap(stream):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, big)
                    done = 0
                    while done < len(big):
                        done += len(await stream.receive_some())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(swap, one)
                nursery.start_soon(swap, two)

    kernel.trio_run(main)


def test_each_event_is_heard_once(pair):
    a, b, _ = pair

    async def main():
        with udp(a) as here, udp(b) as there:
            await there.bind(("10.0.0.2", 7))
            await here.connect(("10.0.0.2", 7))
            for _ in range(10):
                await here.send(b"x")
                _, source = await there.recvfrom(10)
                await there.sendto(b"y", source)
                await here.recv(10)
            pollers = _trio_waits.current_waits()._pollers.values()
            assert [poller._heard for poller in pollers] == [[], []]

    a.world.trio_run(main)


# --- Cancellation ---


async def _wait(kind, kernel):
    """Wait for ever, in one of all ways."""
    if kind in ("recv", "recvfrom", "recvmsg", "readable"):
        with udp(kernel) as sock:
            await sock.bind(("127.0.0.1", 0))
            await getattr(sock, "recv" if kind == "readable" else kind)(10)
    elif kind in ("accept", "serve"):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            await listener.accept()
    elif kind in ("send", "writable"):
        first, second = (kernel.trio_socket(sock) for sock in kernel.socketpair())
        with first, second:
            if kind == "send":
                await trio.SocketStream(first).send_all(bytes(10_000_000))
            while True:
                await first.send(bytes(100_000))
                await first.wait_writable()
    elif kind == "connect":
        with trio.socket.socket() as sock:
            await sock.connect(("10.0.0.99", 7))
    elif kind == "program":
        program = kernel.spawn(kernel.sleep, 50)
        try:
            await program
        finally:
            program.kill()
    else:
        await trio.sleep_forever()


KINDS = [
    "recv",
    "recvfrom",
    "recvmsg",
    "readable",
    "accept",
    "serve",
    "send",
    "writable",
    "connect",
    "program",
    "sleep",
]


def test_cancelled_waits_leave_nothing_behind(pair):
    a, _, _ = pair

    def state():
        tasks = sum(name.isdecimal() for name in a.listdir("/proc"))
        return tasks, a.listdir("/proc/self/fd")

    async def once():
        before = a.now_ns
        async with trio.open_nursery() as nursery:
            for kind in KINDS:
                nursery.start_soon(_wait, kind, a)
            await trio.sleep(0.5)
            assert len(nursery.child_tasks) == len(KINDS)
            nursery.cancel_scope.cancel()
        assert a.now_ns - before == SECOND // 2

    a.trio_run(once)  # the kernel makes some of its own on first use
    before = state()
    for _ in range(3):
        a.trio_run(once)
    assert state() == before


def test_cancelled_connect_closes_its_socket(pair):
    a, _, _ = pair

    async def main():
        with trio.socket.socket() as sock:
            with trio.move_on_after(0.25):
                await sock.connect(("10.0.0.99", 7))
            assert sock.fileno() == -1

    before = a.now_ns
    a.trio_run(main)
    assert a.now_ns - before == SECOND // 4


def test_cancelled_receive_loses_no_data(kernel):
    async def main():
        with udp(kernel) as sock, udp(kernel) as sender:
            await sock.bind(("127.0.0.1", 7))
            for number in range(3):
                with trio.move_on_after(1):
                    await sock.recv(10)
                await sender.sendto(b"%d" % number, ("127.0.0.1", 7))
                assert await sock.recv(10) == b"%d" % number

    kernel.trio_run(main)
