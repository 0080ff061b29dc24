# SPDX-License-Identifier: GPL-2.0-only
"""Garbage and hostile programs: a stack goes on, others notice nothing, nothing leaks."""

from __future__ import annotations

import json
import socket
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_sources import PRELUDE as HEAD
from stack_programs import EMPTY, Stack

RANDOM_CALLS = (Path(__file__).parent / "data" / "random_calls.py.txt").read_text()


def still_serves(stack: Stack) -> None:
    lines = stack.python(
        HEAD + "client, server = connected()\nclient.send(b'ping')\nprint(server.recv(9).decode())"
    ).lines
    assert lines == ("ping",)


@pytest.mark.parametrize("seed", range(4))
def test_random_calls_hurt_nobody_else(stack: Stack, seed: int) -> None:
    source = RANDOM_CALLS.replace("SEED", str(seed)).replace("COUNT", "1500")
    assert stack.python(source).lines == ("done",)
    still_serves(stack)
    assert stack.await_empty() == EMPTY


def test_programs_killed_at_random_hurt_no_transfer(stack: Stack) -> None:
    """A transfer goes on while others are killed while they connect, receive, send and wait."""
    victim = textwrap.dedent(
        """
        import select, socket, sys, threading
        server = socket.create_server(("127.0.0.1", 0))
        def receive():
            while True: server.accept()[0].recv(100)
        threading.Thread(target=receive, daemon=True).start()
        epoll = select.epoll(); epoll.register(server, select.EPOLLIN | select.EPOLLET)
        threading.Thread(target=epoll.poll, daemon=True).start()
        while True:
            with socket.create_connection(server.getsockname()) as client:
                client.sendall(bytes(99999))
        """
    )
    source = HEAD + textwrap.dedent(
        f"""
        import hashlib, random, signal, subprocess, sys, threading, time
        rng = random.Random(5)
        data = random.Random(1).randbytes(1 << 20) * 8
        client, server = connected()
        def send():
            for _ in range(4): client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        threading.Thread(target=send).start()
        digest, total = hashlib.sha256(), 0
        def kill_some():
            for _ in range(30):
                words = [sys.executable, "-S", "-c", {victim!r}]
                victims = [subprocess.Popen(words) for _ in range(2)]
                time.sleep(rng.uniform(0.02, 0.15))  # killed at some moment: that is the test
                for one in victims: one.kill()
                for one in victims: one.wait()
        killer = threading.Thread(target=kill_some); killer.start()
        while part := server.recv(1 << 16):
            digest.update(part); total += len(part)
        expected = hashlib.sha256()
        for _ in range(4): expected.update(data)
        killer.join()
        print(digest.hexdigest() == expected.hexdigest(), total)
        """
    )
    assert stack.python(source).lines == (f"True {32 << 20}",)
    assert stack.await_empty() == EMPTY
    still_serves(stack)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The socket of a stack that was started by the command line."""
    import os
    import subprocess
    import sys

    from kernel_builds import main_builds

    options = main_builds()[0].options
    folder = tmp_path_factory.mktemp("door")
    folder.chmod(0o700)
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "PYLIBOS_RUN_DIR": str(folder), "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "pylibos", "stack"]
    kernel = ["--kernel", options["kernel"], "--profile", options["profile"]]
    subprocess.run([*command, "start", "door", *kernel], env=environment, check=True)
    yield str(folder / "door.sock")
    subprocess.run([*command, "stop", "door"], env=environment, check=True)


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_garbage_at_the_door_is_answered_or_dropped(door: str, data: bytes, passes: bool) -> None:
    with socket.socket(socket.AF_UNIX) as guest:
        guest.settimeout(10)
        guest.connect(door)
        try:
            if passes:  # something that is no listener, with the word for one, or without
                socket.send_fds(
                    guest, [b"L" if len(data) % 2 else data or b"x"], [0, 1][: 1 + len(data) % 2]
                )
            guest.sendall(data + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
    with socket.socket(socket.AF_UNIX) as friend:
        friend.settimeout(10)
        friend.connect(door)
        friend.sendall(b'{"do": "status"}\n')
        assert json.loads(friend.makefile().readline())["name"] == "door"
