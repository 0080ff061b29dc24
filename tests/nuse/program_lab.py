# SPDX-License-Identifier: GPL-2.0-only
"""A stack that programs join, with a tap into a network namespace where their peers are."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_namespaces import HostNamespace

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 60.0
STACK, PEER = "10.9.0.2", "10.9.0.1"
STACK6, PEER6 = "fd00:9::2", "fd00:9::1"
PORT_S = 20.0


class Lab:
    """A stack, its peer's namespace, and a folder for both.

    Attributes:
        folder: for files of programs.
        peer: the namespace at the other end of the stack's tap.
    """

    def __init__(self, folder: Path, kernel: str, profile: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYLIBOS_RUN_DIR": str(folder / "run"),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        (folder / "run").mkdir(mode=0o700)
        self.tap = f"plt{os.getpid()}"[:15]
        self.peer = HostNamespace()
        self._host = HostNamespace()  # where the tap is made: not where tests run
        self._started: list[subprocess.Popen[str]] = []
        # With names: servers ask for their own, and no name server is to be waited for.
        config = folder / "lab.toml"
        config.write_text(
            f'[stack]\nkernel = "{kernel}"\nprofile = "{profile}"\n'
            f'[[device]]\nbackend = "tap:{self.tap}"\naddresses = ["{STACK}/24", "{STACK6}/64"]\n'
            f'[[route]]\nto = "0.0.0.0/0"\nvia = "{PEER}"\n'
            f'[names]\nhosts = {{ stack = ["{STACK}", "{STACK6}"], peer = "{PEER}" }}\n'
        )
        start = ("stack", "start", "lab", "--config", str(config))
        self.pylibos(*start, via=self._host.command())
        self.peer.take(self.tap, self._host, f"{PEER}/24", f"{PEER6}/64")

    def pylibos(self, *words: str, via: list[str] | None = None) -> str:
        """Run a command of the command line; its output."""
        done = subprocess.run(
            [*(via or []), sys.executable, "-m", "pylibos", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def command(self, *words: str) -> list[str]:
        """The command line of a program on the stack."""
        return [sys.executable, "-m", "pylibos", "run", "--stack", "lab", "--", *words]

    def run(self, *words: str, status: int = 0, text: str | None = None) -> str:
        """Run a program on the stack; its output and errors."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            cwd=self.folder,
            input=text,
            stdin=None if text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.returncode}: {done.stdout}"
        return done.stdout

    def start(self, *words: str, peer: bool = False) -> subprocess.Popen[str]:
        """Start a program on the stack, or in the peer's namespace; it is ended with the lab."""
        log = (self.folder / f"{Path(words[0]).name}.log").open("a")
        program = subprocess.Popen(
            self.peer.command(*words) if peer else self.command(*words),
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )
        log.close()
        self._started.append(program)
        return program

    @contextlib.contextmanager
    def server(
        self, *words: str, port: int, peer: bool = False, udp: bool = False
    ) -> Iterator[None]:
        """A server that runs during the block, once its port is open."""
        program = self.start(*words, peer=peer)
        try:
            self._await_port(program, port, peer, udp)
            yield
        finally:
            program.terminate()
            try:
                program.wait(PORT_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def _await_port(self, program: subprocess.Popen[str], port: int, peer: bool, udp: bool) -> None:
        words = ("ss", "-Hln" + ("u" if udp else "t"), f"sport = :{port}")
        end_s = time.monotonic() + PORT_S
        while not (self.peer.run(*words) if peer else self.run(*words)):
            assert program.poll() is None, f"{program.args} ended: {self._words_of(program)}"
            assert time.monotonic() < end_s, f"{program.args} does not listen"

    def _words_of(self, program: subprocess.Popen[str]) -> str:
        return "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))

    def status(self) -> dict[str, int]:
        """What the stack holds: programs and sockets."""
        import json

        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "run" / "lab.sock"))
            connection.sendall(b'{"do": "status"}\n')
            answer = json.loads(connection.makefile().readline())
        return {"programs": len(answer["programs"]), "sockets": answer["stats"]["sockets"]}

    def close(self) -> None:
        """End everything; nothing may be left on the stack."""
        try:
            for program in self._started:
                program.kill()
                program.wait()
            end_s = time.monotonic() + PORT_S
            while self.status() != {"programs": 0, "sockets": 0} and time.monotonic() < end_s:
                time.sleep(0.01)  # another process, which tells nobody: it is asked again
            left = self.status()
            self.pylibos("stack", "stop", "lab")
            assert left == {"programs": 0, "sockets": 0}
        finally:
            self.peer.close()
            self._host.close()


def need(*programs: str) -> None:
    """Skip if a program is not installed; the packages are in tools/apt-packages.txt."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"The host has no {' or '.join(missing)}.")
