# SPDX-License-Identifier: GPL-2.0-only
"""A child process that takes commands by lines and answers by lines of JSON."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any


class WorkerError(Exception):
    """A child ended, or did not answer."""


class Worker:
    """A child process; it is killed with its parent.

    Args:
        name: for messages.
        command: what to run; it prints a line when it is ready.
        fds: descriptors that it inherits.
        timeout_s: to become ready.
        folder: to run in.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        fds: tuple[int, ...] = (),
        timeout_s: float = 30,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self._rest = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            cwd=folder,
            start_new_session=True,
        )
        self.pid = self._process.pid
        try:
            self.read(timeout_s)
        except BaseException:
            self.close()
            raise

    def send(self, command: str) -> None:
        """Send a command without waiting for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def read(self, timeout_s: float = 30) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            WorkerError: none came in time, or it says that something failed.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        # Libraries may print something of their own.
        while not self._rest.startswith(b"{") or b"\n" not in self._rest:
            noise, newline, rest = self._rest.partition(b"\n")
            if newline and not noise.startswith(b"{"):
                self._rest = rest
                continue
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise WorkerError(f"{self.name} did not answer within {timeout_s:g} s.")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise self._ended()
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, command: str, timeout_s: float = 30) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.send(command)
        return self.read(timeout_s)

    def _ended(self) -> WorkerError:
        assert self._process.stderr is not None
        self._process.wait()
        words = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return WorkerError(
            f"{self.name} ended with status {self._process.returncode}: "
            + (words[-1] if words else "it said nothing")
        )

    def pause(self) -> None:
        """Stop it, so that it does not use its core while others are measured."""
        os.kill(self.pid, signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run for as long as this lasts."""
        os.kill(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.pause()

    def processor_s(self) -> float:
        """Processor time that its first thread has used, in s."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def prefer(self, nice: int) -> None:
        """Give it a priority, also against other sessions; needs root for less than 0."""
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self.pid, nice)
        # Where sessions share processors as groups, nice counts only inside of each.
        with suppress(OSError):
            Path(f"/proc/{self.pid}/autogroup").write_text(str(nice))

    def resident_bytes(self) -> int:
        """Memory of its own that it holds."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
