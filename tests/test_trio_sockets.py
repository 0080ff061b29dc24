# SPDX-License-Identifier: GPL-2.0-only
"""trio's sockets, streams and listeners on kernels."""

from __future__ import annotations

import os
import socket
import ssl

import pytest
import trio
import trio.testing
import trustme
from trio.socket import SOCK_DGRAM

MS = 10**6


async def upper(stream):
    """A server's answer: what comes, in capitals."""
    async for data in stream:
        await stream.send_all(data.upper())


def udp(kernel):
    with kernel.as_trio():
        return trio.socket.socket(type=SOCK_DGRAM)


# --- Two kernels in one nursery ---


def test_round_trips_take_exactly_their_time(pair):
    a, b, _ = pair

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_tcp, upper, 7)
            with a.as_trio():
                before = a.now_ns
                stream = await trio.open_tcp_stream("10.0.0.2", 7)
                assert a.now_ns - before == 40 * MS  # ARP and the handshake
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"HELLO"
                assert a.now_ns - before == 60 * MS
                await stream.aclose()
            nursery.cancel_scope.cancel()

    a.world.trio_run(main)


def test_ipv6_is_the_same(pair):
    a, b, _ = pair
    a.world.hosts["b"] = ["fd00::2"]

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_tcp, upper, 7)
            with a.as_trio():
                async with await trio.open_tcp_stream("b", 7) as stream:
                    await stream.send_all(b"six")
                    assert stream.socket.getpeername()[0] == "fd00::2"
                    assert await stream.receive_some() == b"SIX"
            nursery.cancel_scope.cancel()

    a.world.trio_run(main)


def test_unanswered_address_costs_the_eyeballs_delay(pair):
    a, b, _ = pair
    a.world.hosts["dual"] = ["fd00::99", "10.0.0.2"]

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_tcp, upper, 7)
            with a.as_trio():
                before = a.now_ns
                async with await trio.open_tcp_stream("dual", 7) as stream:
                    assert stream.socket.getpeername() == ("10.0.0.2", 7)
                assert a.now_ns - before == 290 * MS  # the delay, ARP, the handshake
            nursery.cancel_scope.cancel()

    a.world.trio_run(main)


def test_tls_streams_talk(pair):
    a, b, _ = pair
    a.world.hosts["b.test"] = ["10.0.0.2"]
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("b.test").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_ssl_over_tcp, upper, 443, server_context)
            with a.as_trio():
                stream = await trio.open_ssl_over_tcp_stream(
                    "b.test", 443, ssl_context=client_context
                )
                await stream.send_all(b"secret")
                assert await stream.receive_some() == b"SECRET"
                await stream.aclose()
            nursery.cancel_scope.cancel()

    a.world.trio_run(main)


def test_tasks_keep_the_kernel_that_they_were_started_with(pair):
    a, b, _ = pair
    seen = []

    async def look(kernel):
        await trio.sleep(1)
        with trio.socket.socket() as sock:
            seen.append(sock.getsockname() == ("0.0.0.0", 0) and sock.family)
            assert repr(kernel) in repr(sock._sock.process)

    async def main():
        async with trio.open_nursery() as nursery:
            for kernel in (a, b, a):
                with kernel.as_trio():
                    nursery.start_soon(look, kernel)

    a.world.trio_run(main)
    assert seen == [socket.AF_INET] * 3


def test_hundred_tasks_talk_at_once(pair):
    a, b, _ = pair
    done = []

    async def client(number):
        async with await trio.open_tcp_stream("10.0.0.2", 7) as stream:
            await stream.send_all(b"line %d" % number)
            assert await stream.receive_some() == b"LINE %d" % number
            done.append(number)

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_tcp, upper, 7)
            with a.as_trio():
                await client(-1)
                before = a.now_ns
                async with trio.open_nursery() as clients:
                    for number in range(100):
                        clients.start_soon(client, number)
                assert a.now_ns - before == 40 * MS
            nursery.cancel_scope.cancel()

    a.world.trio_run(main)
    assert sorted(done) == list(range(-1, 100))


# --- Kinds of sockets, and their methods ---


def test_datagrams_travel(pair):
    a, b, _ = pair

    async def main():
        with udp(a) as here, udp(b) as there:
            await there.bind(("10.0.0.2", 7))
            await here.connect(("10.0.0.2", 7))
            assert here.getpeername() == ("10.0.0.2", 7)
            await here.send(b"one")
            data, source = await there.recvfrom(10)
            assert (data, source) == (b"one", ("10.0.0.1", here.getsockname()[1]))
            await there.sendto(b"two", source)
            room = bytearray(10)
            assert await here.recv_into(room) == 3
            await there.sendto(b"three", 0, source)
            assert await here.recvfrom_into(room) == (5, ("10.0.0.2", 7))
            await there.sendmsg([b"fo", b"ur"], [], 0, source)
            data, control, _, name = await here.recvmsg(10, 100)
            assert (data, control, name) == (b"four", [], ("10.0.0.2", 7))
            await there.sendto(b"five", source)
            assert (await here.recvmsg_into([room]))[0] == 4
            assert bytes(room[:4]) == b"five"

    a.world.trio_run(main)


def test_unix_streams_live_in_the_kernels_file_system(kernel):
    async def main():
        with trio.socket.socket(trio.socket.AF_UNIX) as listener:
            await listener.bind("/run.sock")
            listener.listen()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, upper, [trio.SocketListener(listener)])
                async with await trio.open_unix_socket("/run.sock") as stream:
                    await stream.send_all(b"unix")
                    assert await stream.receive_some() == b"UNIX"
                nursery.cancel_scope.cancel()

    kernel.trio_run(main)
    assert kernel.exists("/run.sock")


def test_large_data_waits_for_room(pair):
    a, b, _ = pair
    data = os.urandom(3_000_000)
    got = bytearray()

    async def take(stream):
        async for block in stream:
            got.extend(block)

    async def main():
        async with trio.open_nursery() as nursery:
            with b.as_trio():
                await nursery.start(trio.serve_tcp, take, 7)
            with a.as_trio():
                async with await trio.open_tcp_stream("10.0.0.2", 7) as stream:
                    await stream.send_all(data)
                    await stream.wait_send_all_might_not_block()
                    await stream.send_eof()
                    assert stream.socket.did_shutdown_SHUT_WR
                    assert await stream.receive_some() == b""
            nursery.cancel_scope.cancel()

    a.world.trio_run(main)
    assert got == data


def test_socket_tells_what_it_is(kernel):
    async def main():
        with trio.socket.socket(trio.socket.AF_INET6, SOCK_DGRAM, 17) as sock:
            assert (sock.family, sock.type, sock.proto) == (socket.AF_INET6, SOCK_DGRAM, 17)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
            assert len(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)) == 16
            sock.set_inheritable(True)
            assert sock.get_inheritable()
            with sock.dup() as copy:
                assert copy.fileno() != sock.fileno()
            assert not sock.is_readable()
            assert repr(sock).startswith("<pylibos.TrioSocket")
        assert sock.fileno() == -1

    kernel.trio_run(main)


def test_plain_socket_becomes_one_of_trio(pair):
    a, b, _ = pair

    async def main():
        first, second = (a.trio_socket(sock) for sock in a.socketpair())
        with first, second:
            stream = trio.SocketStream(first)
            await stream.send_all(b"x")
            assert await second.recv(1) == b"x"
        with b.socket() as other, pytest.raises(ValueError, match="does not belong to"):
            a.trio_socket(other)

    a.world.trio_run(main)


def test_names_of_the_world_are_resolved(kernel):
    kernel.world.hosts["server"] = ["127.0.0.1"]

    async def main():
        found = await trio.socket.getaddrinfo("server", 80, type=trio.socket.SOCK_STREAM)
        assert found[0][4] == ("127.0.0.1", 80)
        name = await trio.socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICSERV)
        assert name == ("server", "80")
        with pytest.raises(socket.gaierror, match="'nobody' is not known here"):
            await trio.open_tcp_stream("nobody", 7)

    kernel.trio_run(main)
