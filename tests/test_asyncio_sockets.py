# SPDX-License-Identifier: GPL-2.0-only
"""asyncio's sockets, names, files, executors and cancellation inside kernels."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading

import pytest
from asyncio_cases import ask, serve_upper, upper

import pylibos
from pylibos import KernelEventLoop

SECOND = 10**9
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


# --- Threads ---


def test_function_in_the_executor_is_a_program(kernel):
    def work(number):
        kernel.sleep(number)
        return number, threading.get_ident()

    async def main():
        return await asyncio.gather(*(asyncio.to_thread(work, number) for number in (3, 1, 2)))

    before = kernel.now_ns
    assert kernel.run(main()) == [(number, threading.get_ident()) for number in (3, 1, 2)]
    assert kernel.now_ns - before == 3 * SECOND


def test_exception_in_the_executor_reaches_the_caller(kernel):
    def fail():
        raise LookupError("lost")

    async def main():
        await asyncio.to_thread(fail)

    with pytest.raises(LookupError, match="lost"):
        kernel.run(main())


def test_run_waits_for_the_executor(kernel):
    async def main():
        asyncio.get_running_loop().run_in_executor(None, kernel.sleep, 7)
        await asyncio.sleep(1)

    before = kernel.now_ns
    kernel.run(main())
    assert kernel.now_ns - before == 7 * SECOND


def test_threads_of_the_host_are_refused_in_virtual_time(kernel):
    loop = KernelEventLoop(kernel)
    errors = []

    def other():
        try:
            loop.call_soon_threadsafe(print)
        except pylibos.ThreadError as error:
            errors.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "has no place in virtual time" in errors[0]
    with pytest.raises(pylibos.ThreadError, match="give None as executor"):
        loop.run_in_executor(object(), print)
    loop.close()


def test_thread_wakes_a_loop_in_real_time(boot_one):
    kernel = boot_one(clock="real")

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 7))
        thread.start()
        try:
            return await future
        finally:
            thread.join()

    assert kernel.run(main()) == 7


def test_loop_runs_in_a_thread_in_real_time(boot_one):
    kernel = boot_one(clock="real")
    values = []

    async def main():
        async with await asyncio.start_server(upper, "127.0.0.1", 7):
            values.append(await ask("127.0.0.1", 7, b"thread\n"))

    thread = threading.Thread(target=lambda: kernel.run(main()))
    thread.start()
    thread.join()
    assert values == [b"THREAD\n"]


# --- Cancellation ---


def _waits(kernel):
    """Every kind of wait: a name, and a coroutine function that waits for ever."""
    pair = kernel.socketpair()
    pair[0].setblocking(False)
    server = kernel.create_server(("127.0.0.1", 69))
    listening = kernel.create_server(("127.0.0.1", 70))
    server.setblocking(False)
    loop = asyncio.get_running_loop

    async def send():
        await loop().sock_sendall(pair[0], bytes(10_000_000))

    async def stream():
        reader, writer = await asyncio.open_connection("127.0.0.1", 70)
        try:
            await reader.read()
        finally:
            writer.close()

    async def serving():
        listener = await asyncio.start_server(upper, "127.0.0.1", 72)
        async with listener:
            await listener.serve_forever()

    async def executor():
        await asyncio.to_thread(kernel.sleep, 30)

    async def datagram():
        transport, _ = await loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 73)
        )
        try:
            await loop().create_future()
        finally:
            transport.close()

    waits = {
        "sleep": lambda: asyncio.sleep(100),
        "recv": lambda: loop().sock_recv(pair[0], 1),
        "accept": lambda: loop().sock_accept(server),
        "send": send,
        "stream": stream,
        "serving": serving,
        "executor": executor,
        "datagram": datagram,
    }
    return waits, [*pair, server, listening]


def test_cancelled_waits_leave_nothing_behind(kernel):
    def tasks():
        return sum(name.isdecimal() for name in kernel.listdir("/proc"))

    def once():
        waits, sockets = _waits(kernel)

        async def main():
            running = [asyncio.create_task(wait(), name=name) for name, wait in waits.items()]
            await asyncio.sleep(1)
            assert [task.get_name() for task in running if task.done()] == []
            for task in running:
                task.cancel()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)

        kernel.run(main())
        for sock in sockets:
            sock.close()

    once()  # the kernel makes some of its own on first use
    before = tasks(), kernel.listdir("/proc/self/fd")
    for _ in range(3):
        once()
    assert (tasks(), kernel.listdir("/proc/self/fd")) == before


# --- Many, and the same each time ---


def test_hundred_tasks_talk_at_once(pair):
    a, b, _ = pair
    server = b.spawn(serve_upper, 7, 1)

    async def main():
        await ask("10.0.0.2", 7, b"arp\n")
        before = a.now_ns
        lines = [b"line %d\n" % number for number in range(100)]
        answers = await asyncio.gather(*(ask("10.0.0.2", 7, line) for line in lines))
        assert answers == [line.upper() for line in lines]
        return a.now_ns - before

    assert a.run(main()) == 40 * MS
    server.join()


def test_sets_of_tasks_have_the_same_order_each_time(kernel):
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(1), name=str(n)) for n in range(50)]
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done]

    # Hashes are numbers from 2 on, main() being the first: the order is that of small integers.
    assert kernel.run(main()) == [str(number) for number in range(50)]
