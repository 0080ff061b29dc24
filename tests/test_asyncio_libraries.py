# SPDX-License-Identifier: GPL-2.0-only
"""TLS and libraries for asyncio, unmodified, between kernels; the same bytes each time."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import textwrap

import aiohttp
import httpx
import pytest
import trustme
import websockets
from aiohttp import web
from asyncio_cases import upper

SECOND = 10**9
MS = 10**6


@pytest.fixture
def contexts(pair):
    """TLS contexts of a server named b.test, and of a client that trusts it."""
    pair[0].world.hosts["b.test"] = ["10.0.0.2"]
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("b.test").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_tls_streams_talk(pair, contexts):
    a, b, _ = pair

    async def serve():
        async with await asyncio.start_server(upper, "10.0.0.2", 443, ssl=contexts[0]):
            await asyncio.sleep(2)

    async def ask():
        reader, writer = await asyncio.open_connection("b.test", 443, ssl=contexts[1])
        writer.write(b"secret\n")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer, writer.get_extra_info("ssl_object").version()

    server = b.spawn(serve)
    assert a.run(ask()) == (b"SECRET\n", "TLSv1.3")
    server.join()


def test_start_tls_upgrades_a_stream(pair, contexts):
    a, b, _ = pair

    async def upgrade(reader, writer):
        await reader.readline()
        writer.write(b"GO\n")
        await writer.start_tls(contexts[0])
        await upper(reader, writer)

    async def serve():
        async with await asyncio.start_server(upgrade, "10.0.0.2", 25):
            await asyncio.sleep(2)

    async def ask():
        reader, writer = await asyncio.open_connection("b.test", 25)
        writer.write(b"STARTTLS\n")
        await reader.readline()
        await writer.start_tls(contexts[1], server_hostname="b.test")
        writer.write(b"secret\n")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    server = b.spawn(serve)
    assert a.run(ask()) == b"SECRET\n"
    server.join()


def test_wrong_name_in_a_certificate_is_refused(pair, contexts):
    a, b, _ = pair
    a.world.hosts["other.test"] = ["10.0.0.2"]

    async def serve():
        async with await asyncio.start_server(upper, "10.0.0.2", 443, ssl=contexts[0]):
            await asyncio.sleep(2)

    server = b.spawn(serve)
    with pytest.raises(ssl.SSLCertVerificationError, match="other.test"):
        a.run(asyncio.open_connection("other.test", 443, ssl=contexts[1]))
    server.join()


def test_aiohttp_server_and_client_talk(pair):
    a, b, _ = pair
    a.world.hosts["b.test"] = ["10.0.0.2"]

    async def hello(request):
        await asyncio.sleep(5)
        return web.json_response({"path": request.path, "peer": request.remote})

    async def serve():
        application = web.Application()
        application.router.add_get("/hello", hello)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "10.0.0.2", 80).start()
        await asyncio.sleep(20)
        await runner.cleanup()

    async def ask():
        connector = aiohttp.TCPConnector(
            # aiohttp makes its client sockets by itself unless it is told how.
            socket_factory=lambda info: a.socket(*info[:3])
        )
        async with aiohttp.ClientSession(connector=connector) as session:
            before = a.now_ns
            async with session.get("http://b.test/hello") as answer:
                found = await answer.json()
            waited_ns = a.now_ns - before
            with pytest.raises(asyncio.TimeoutError):
                await session.get("http://b.test/hello", timeout=aiohttp.ClientTimeout(total=1))
            assert a.now_ns - before - waited_ns == SECOND
            return found, waited_ns

    server = b.spawn(serve)
    found, waited_ns = a.run(ask())
    assert found == {"path": "/hello", "peer": "10.0.0.1"}
    # ARP, the handshake, request and answer, and the server's five seconds.
    assert waited_ns == 60 * MS + 5 * SECOND
    server.result()


def test_aiohttp_client_makes_its_sockets_inside_as_host(pair):
    a, b, _ = pair

    async def serve():
        server = web.Server(lambda request: asyncio.sleep(0, web.Response(text=request.path)))
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "10.0.0.2", 80).start()
        await asyncio.sleep(5)
        await runner.cleanup()

    async def ask():
        async with aiohttp.ClientSession() as session:
            async with session.get("http://10.0.0.2/path") as answer:
                return await answer.text()

    server = b.spawn(serve)
    with a.as_host():
        assert a.run(ask()) == "/path"
    server.result()


def test_websockets_server_and_client_talk(pair):
    a, b, _ = pair

    async def echo(connection):
        async for message in connection:
            await connection.send(message[::-1])

    async def serve():
        async with websockets.serve(echo, "10.0.0.2", 80):
            await asyncio.sleep(30)

    async def ask():
        async with websockets.connect("ws://10.0.0.2:80", ping_interval=None) as connection:
            await connection.send("hello")
            return await connection.recv()

    server = b.spawn(serve)
    assert a.run(ask()) == "olleh"
    server.join()


def test_httpx_runs_on_asyncio_on_trio_and_blocking(pair):
    a, b, _ = pair
    a.world.hosts["b.test"] = ["10.0.0.2"]

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async def serve():
        async with await asyncio.start_server(answer, "10.0.0.2", 80):
            await asyncio.sleep(2)

    async def get():
        async with httpx.AsyncClient() as client:
            return (await client.get("http://b.test/")).text

    server = b.spawn(serve)
    assert a.run(get()) == "hello"
    assert a.trio_run(get) == "hello"
    with a.as_host():
        assert httpx.get("http://b.test/").text == "hello"
    server.result()


def test_asyncio_run_inside_as_host_is_on_the_kernel(pair):
    a, b, _ = pair

    def serve():
        async def main():
            async with await asyncio.start_server(upper, "10.0.0.2", 7):
                await asyncio.sleep(1)

        with b.as_host():
            asyncio.run(main())

    async def ask():
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        writer.write(b"hosted\n")
        answer = await reader.readline()
        writer.close()
        return answer

    server = b.spawn(serve)
    with a.as_host():
        assert asyncio.run(ask()) == b"HOSTED\n"
    server.result()


ORDER = """
    import asyncio, pylibos
    order = []
    async def serve():
        async def answer(reader, writer):
            order.append(await reader.readline())
            writer.close()
        async with await asyncio.start_server(answer, "10.0.0.2", 7):
            await asyncio.sleep(2)
    async def client(number):
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        writer.write(b"%d\\n" % number)
        order.append(await reader.read())
        writer.close()
        await asyncio.to_thread(a.sleep, 0.1)
        if number == 5:
            await asyncio.sleep(0.5)
            raise LookupError
        try:
            await asyncio.sleep(1)
        finally:
            order.append(number)  # cancelled, in the order of a set of tasks
    async def main():
        await asyncio.sleep(0.1)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(client(number))
        except ExceptionGroup as error:
            order.append(len(error.exceptions))
    with pylibos.World(seed={seed}) as world:
        a, b = (pylibos.boot(world=world, name=name, **{options}) for name in "ab")
        link = a.link_to(b, subnet="10.0.0.0/24", delay_ms=1, jitter_ms=0.5)
        a.capture({path!r})
        b.spawn(serve)
        a.run(main())
        world.run_for(10**9)
        print(order, world.now_ns)
"""


def test_same_seed_gives_the_same_order_and_capture(one_build, tmp_path):
    def once(seed, name):
        path = str(tmp_path / name)
        code = textwrap.dedent(ORDER).format(seed=seed, options=one_build.options, path=path)
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        return done.stdout, (tmp_path / name).read_bytes()

    first = once(1, "1.pcapng")
    assert once(1, "2.pcapng") == first
    assert once(2, "3.pcapng") != first
