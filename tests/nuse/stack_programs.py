# SPDX-License-Identifier: GPL-2.0-only
"""Programs on a stack of their own, and the same programs on the host, which is the oracle."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pylibos import _library

HERE = Path(__file__).parent
LIMIT_S = 30.0


@dataclass(frozen=True)
class Outcome:
    """What a program printed and how it ended."""

    lines: tuple[str, ...]
    errors: str
    code: int


def _python(source: str) -> list[str]:
    return [sys.executable, "-S", "-c", source]


def _outcome(program: subprocess.Popen[str]) -> Outcome:
    try:
        output, errors = program.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        program.kill()
        output, errors = program.communicate()
        errors += "\n(killed: it did not end)"
    return Outcome(tuple(output.splitlines()), errors, program.returncode)


def start(words: list[str], **options: Any) -> subprocess.Popen[str]:
    """A program of the host."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(words, text=True, **options)


class Stack:
    """A server of a kernel with loopback, in its own process."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.path = str(folder / "stack")
        self.log = folder / "log"
        # Its standard input says when to end.
        with self.log.open("w") as log:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    str(HERE / "stack_server.py"),
                    self.path,
                    json.dumps(options),
                    os.environ.get("STACK_TRACE", ""),
                ],
                stdin=subprocess.PIPE,
                stderr=log,
            )
        deadline = time.monotonic() + LIMIT_S
        while not Path(self.path).exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The stack did not start: {self.log.read_text()}")
            select.select([], [], [], 0.01)
        self._at_rest = self.descriptors_in_use()

    def descriptors_in_use(self) -> int:
        """How many the server has open on the host."""
        return len(list(Path(f"/proc/{self._server.pid}/fd").iterdir()))

    def start(self, words: list[str], **options: Any) -> subprocess.Popen[str]:
        """A program on this stack."""
        launcher = str(HERE / "stack_launcher.py")
        library = str(_library.host()._name)
        return start(
            [sys.executable, "-S", launcher, library, self.path, *words],
            **options,
        )

    def python(self, source: str) -> Outcome:
        """Run a Python source on this stack."""
        return _outcome(self.start(_python(source)))

    def await_listener(self, port: int) -> None:
        """Wait until a program listens there, on the loopback of this stack."""
        source = f"""
import select, socket
while True:
    with socket.socket() as s:
        if not s.connect_ex(("127.0.0.1", {port})): break
    select.select([], [], [], 0.01)
"""
        assert self.python(source).code == 0

    def stats(self) -> dict[str, int]:
        """The server's counters (struct plh_nuse_stats)."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            connection.send(b"S")
            answer: dict[str, int] = json.loads(connection.recv(4096))
            return answer

    def await_empty(self) -> dict[str, int]:
        """Wait until no program is left; the counters that may not leak."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            stats = self.stats()
            kept = {name: stats[name] for name in ("programs", "sockets", "blocked")}
            kept["descriptors"] = self.descriptors_in_use() - self._at_rest
            if not any(kept.values()) or time.monotonic() > deadline:
                return kept
            select.select([], [], [], 0.005)

    def close(self) -> int:
        """End the server: its exit code."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        return self._server.wait(LIMIT_S)


EMPTY = {"programs": 0, "sockets": 0, "blocked": 0, "descriptors": 0}


def lines_of(program: subprocess.Popen[str]) -> list[str]:
    """What a program that succeeds prints until its end."""
    output, errors = program.communicate(timeout=LIMIT_S)
    assert (program.returncode, errors) == (0, "")
    return output.splitlines()


def assert_same(stack: Stack, source: str) -> tuple[str, ...]:
    """The source prints on the stack what it prints on the host; these lines."""
    expected = _outcome(start(_python(source)))
    assert (expected.code, expected.errors) == (0, "")
    found = stack.python(source)
    assert (found.lines, found.code, found.errors) == (expected.lines, 0, "")
    assert stack.await_empty() == EMPTY
    return found.lines
