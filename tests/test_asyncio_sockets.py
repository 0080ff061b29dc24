# SPDX-License-Identifier: GPL-2.0-only
"""asyncio's sockets, names and files inside kernels, and what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
from asyncio_cases import ask, serve_upper, upper

MS = 10**6


# --- Sockets ---


def test_datagrams_travel(pair):
    a, b, _ = pair

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, source):
            self.transport.sendto(data, source)

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.answer = asyncio.get_running_loop().create_future()

        def datagram_received(self, data, source):
            self.answer.set_result((data, source))

    async def serve():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("10.0.0.2", 7))
        await asyncio.sleep(1)
        transport.close()

    async def ask():
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=("10.0.0.2", 7))
        transport.sendto(b"ping")
        answer = await client.answer
        transport.close()
        return answer

    server = b.spawn(serve)
    assert a.run(ask()) == (b"ping", ("10.0.0.2", 7))
    server.join()


def test_sock_methods_wait_for_sockets_of_the_kernel(kernel):
    async def main():
        loop = asyncio.get_running_loop()
        with kernel.create_server(("127.0.0.1", 7)) as server, kernel.socket() as client:
            server.setblocking(False)
            client.setblocking(False)
            _, (peer, address) = await asyncio.gather(
                loop.sock_connect(client, ("127.0.0.1", 7)), loop.sock_accept(server)
            )
            assert address == client.getsockname()
            with peer:
                big = bytes(1_000_000)
                room = bytearray(len(big))

                async def take():
                    done = 0
                    while done < len(big):
                        done += await loop.sock_recv_into(client, memoryview(room)[done:])

                await asyncio.gather(loop.sock_sendall(peer, big), take())
                return bytes(room) == big

    assert kernel.run(main())


def test_unanswered_address_costs_the_eyeballs_delay(pair):
    a, b, _ = pair
    a.world.hosts["dual"] = ["fd00::99", "10.0.0.2"]

    async def connect():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            asyncio.Protocol, "dual", 7, happy_eyeballs_delay=0.25
        )
        peer = transport.get_extra_info("peername")
        transport.close()
        return peer

    server = b.spawn(serve_upper, 7, 1)
    before = a.now_ns
    assert a.run(connect()) == ("10.0.0.2", 7)
    assert a.now_ns - before == 290 * MS  # the delay, ARP, the handshake
    server.join()


def test_datagrams_of_sock_methods(pair):
    a, b, _ = pair

    async def echo():
        loop = asyncio.get_running_loop()
        with b.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("10.0.0.2", 7))
            sock.setblocking(False)
            data, source = await loop.sock_recvfrom(sock, 10)
            await loop.sock_sendto(sock, data.upper(), source)

    async def ask():
        loop = asyncio.get_running_loop()
        with a.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_sendto(sock, b"ping", ("10.0.0.2", 7))
            room = bytearray(10)
            size, source = await loop.sock_recvfrom_into(sock, room)
            return bytes(room[:size]), source

    server = b.spawn(echo)
    a.world.run_for(1)
    assert a.run(ask()) == (b"PING", ("10.0.0.2", 7))
    server.join()


def test_names_of_the_world_are_resolved(pair):
    a, b, _ = pair
    a.world.hosts["server"] = ["10.0.0.2"]
    server = b.spawn(serve_upper, 7, 1)
    assert a.run(ask("server", 7, b"hello\n")) == b"HELLO\n"
    server.join()

    async def names():
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("server", 80, type=socket.SOCK_STREAM)
        return found[0][4], await loop.getnameinfo(("10.0.0.2", 80), socket.NI_NUMERICSERV)

    assert a.run(names()) == (("10.0.0.2", 80), ("server", "80"))
    with pytest.raises(socket.gaierror, match="'nobody' is not known here"):
        a.run(ask("nobody", 7, b""))


def test_nameinfo_is_numeric_without_a_name(kernel):
    assert kernel.getnameinfo(("192.0.2.1", 9999)) == ("192.0.2.1", "9999")
    assert kernel.getnameinfo(("::1", 9999, 0, 0)) == ("localhost", "9999")
    with pytest.raises(socket.gaierror, match="not known"):
        kernel.getnameinfo(("192.0.2.1", 80), socket.NI_NAMEREQD)


def test_unix_streams_live_in_the_kernels_file_system(kernel):
    async def main():
        async with await asyncio.start_unix_server(upper, "/run.sock"):
            assert kernel.exists("/run.sock")
            assert not os.path.exists("/run.sock")  # noqa: PTH110 - the host has none
            reader, writer = await asyncio.open_unix_connection("/run.sock")
            writer.write(b"unix\n")
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
        # A second server takes the path over, as on the host.
        async with await asyncio.start_unix_server(upper, "/run.sock"):
            return answer

    assert kernel.run(main()) == b"UNIX\n"


def test_refused_connection_names_the_errno(kernel):
    with pytest.raises(ConnectionRefusedError):
        kernel.run(ask("127.0.0.1", 9, b""))


def test_files_of_kernel_and_host_are_sent(kernel, tmp_path):
    data = os.urandom(400_000)
    kernel.write_bytes("/file", data)
    (tmp_path / "file").write_bytes(data)

    async def fetch(file):
        loop = asyncio.get_running_loop()
        got = bytearray()
        first, second = kernel.socketpair()
        for sock in (first, second):
            sock.setblocking(False)

        async def take():
            while block := await loop.sock_recv(second, 1 << 16):
                got.extend(block)

        with first, second:
            taking = asyncio.create_task(take())
            sent = await loop.sock_sendfile(first, file, 10, 300_000)
            first.shutdown(socket.SHUT_WR)
            await taking
        return sent, bytes(got)

    for file in (kernel.open("/file", "rb"), (tmp_path / "file").open("rb")):
        with file:
            assert kernel.run(fetch(file)) == (300_000, data[10:300_010])
            assert file.tell() == 300_010


def test_transport_sends_a_file(pair):
    a, b, _ = pair
    data = os.urandom(700_000)
    b.write_bytes("/file", data)

    async def serve():
        done = asyncio.Event()

        async def send(_reader, writer):
            with b.open("/file", "rb") as file:
                await asyncio.get_running_loop().sendfile(writer.transport, file)
            writer.close()
            done.set()

        async with await asyncio.start_server(send, "10.0.0.2", 7):
            await done.wait()

    async def fetch():
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        got = await reader.read()
        writer.close()
        return got

    server = b.spawn(serve)
    assert a.run(fetch()) == data
    server.result()


def test_readers_and_writers_are_called(kernel):
    async def main():
        loop = asyncio.get_running_loop()
        first, second = kernel.socketpair()
        with first, second:
            ready = loop.create_future()
            loop.add_reader(first, ready.set_result, "read")
            second.send(b"x")
            assert await ready == "read"
            assert loop.remove_reader(first)
            ready = loop.create_future()
            loop.add_writer(first.fileno(), ready.set_result, "written")
            assert await ready == "written"
            assert loop.remove_writer(first.fileno())

    kernel.run(main())


def test_sockets_of_others_are_refused(pair):
    a, b, _ = pair

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as host, b.socket() as other:
            for sock in (host, other):
                sock.setblocking(False)
                with pytest.raises(ValueError, match="this event loop waits for descriptors of"):
                    await loop.sock_recv(sock, 1)
                with pytest.raises(ValueError, match="make the socket there"):
                    loop.add_reader(sock, print)
            with pytest.raises(ValueError, match="belongs to the host"):
                await asyncio.start_server(upper, sock=host)

    a.run(main())


def test_subprocesses_pipes_and_signal_handlers_are_refused(kernel):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(NotImplementedError, match="starts no processes of the host"):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(NotImplementedError, match="reads and writes pipes by calls of the ho"):
            await loop.connect_read_pipe(asyncio.Protocol, None)
        with pytest.raises(NotImplementedError, match="reads and writes pipes by calls of the ho"):
            await loop.connect_write_pipe(asyncio.Protocol, None)
        with pytest.raises(NotImplementedError, match="use signal.signal"):
            loop.add_signal_handler(signal.SIGTERM, print)

    kernel.run(main())
