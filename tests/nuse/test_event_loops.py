# SPDX-License-Identifier: GPL-2.0-only
"""Programs with event loops of their own, unmodified, on one stack."""

from __future__ import annotations

import select
from pathlib import Path

import pytest
from program_sources import PRELUDE
from stack_programs import EMPTY, Stack, assert_same, lines_of

pytestmark = pytest.mark.kernel


ASYNCIO = """
import asyncio
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def fetch(port, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = bytes([number]) * 100_000
    writer.write(data)
    writer.write_eof()
    same = await reader.read() == data
    writer.close()
    await writer.wait_closed()
    return same
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = await asyncio.gather(*(fetch(port, number) for number in range(50)))
    print(answers.count(True))
    process = await asyncio.create_subprocess_exec("echo", "child", stdout=-1)
    print(await process.communicate(), await asyncio.to_thread(sum, [1, 2]))
    try:
        async with asyncio.timeout(0.05):
            await asyncio.get_running_loop().sock_recv(idle, 1)
    except TimeoutError:
        print("timeout")
    server.close()
idle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
idle.bind(("127.0.0.1", 0))
idle.setblocking(False)
asyncio.run(main())
"""


def test_an_asyncio_echo_server_serves_fifty_clients(stack: Stack) -> None:
    lines = assert_same(stack, PRELUDE + ASYNCIO)
    assert lines == ("50", "(b'child\\n', None) 3", "timeout")


@pytest.mark.parametrize("selector", ["Select", "Poll", "Epoll"])
def test_every_selector_serves(stack: Stack, selector: str) -> None:
    source = f"""
import selectors
selector = selectors.{selector}Selector()
listener = socket.create_server(("127.0.0.1", 0))
r, w = os.pipe()
selector.register(listener, IN, "listener")
selector.register(r, IN, "pipe")
def client():
    with socket.create_connection(listener.getsockname()) as s:
        s.sendall(b"x" * 100_000)
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536): pass
    os.write(w, b"x")
clients = [threading.Thread(target=client) for _ in range(5)]
for thread in clients: thread.start()
left, total = 5, 0
while left:
    for key, _ in selector.select(10):
        if key.data == "listener":
            selector.register(listener.accept()[0], IN, "connection")
        elif key.data == "pipe":
            left -= len(os.read(r, 1))
        elif data := key.fileobj.recv(65536):
            total += len(data)
        else:
            selector.unregister(key.fileobj)
            key.fileobj.close()
print(total)
for thread in clients: thread.join()
"""
    assert assert_same(stack, PRELUDE + source) == ("500000",)


def test_curl_fetches_from_the_http_server_of_python(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4000)
    server = stack.start(
        ["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "80"]
    )
    try:
        stack.await_listener(80)
        got = tmp_path / "got"
        curl = stack.start(["curl", "-sS", "-o", str(got), "http://127.0.0.1/file"])
        assert lines_of(curl) == []
        assert got.read_bytes() == (tmp_path / "file").read_bytes()
        words = [
            "curl",
            "-sS",
            "--parallel",
            "--parallel-immediate",
            "--no-progress-meter",
            "-w",
            "%{http_code}\\n",
        ]
        for _ in range(10):
            words += ["-o", "/dev/null", "http://127.0.0.1/file"]
        assert lines_of(stack.start(words)) == ["200"] * 10
        refused = stack.start(["curl", "-s", "http://127.0.0.1:81/"])
        refused.communicate(timeout=30)
        assert refused.returncode == 7
    finally:
        server.kill()
        server.communicate()
    assert stack.await_empty() == EMPTY


def test_a_pipeline_of_bash_joins_two_programs(stack: Stack) -> None:
    source = """
listener = socket.create_server(("127.0.0.1", 900))
print("listens", flush=True)
connection, _ = listener.accept()
with connection, connection.makefile("rb") as lines:
    print(*sorted(line.decode().strip() for line in lines))
"""
    server = stack.start(["python3", "-S", "-u", "-c", PRELUDE + source])
    assert server.stdout is not None
    select.select([server.stdout], [], [], 30)
    assert server.stdout.readline() == "listens\n"
    bash = "for i in 1 2 3; do (echo $i | cat) & done > /dev/tcp/127.0.0.1/900; wait"
    assert lines_of(stack.start(["bash", "-c", bash])) == []
    assert lines_of(server) == ["1 2 3"]
    assert stack.await_empty() == EMPTY
