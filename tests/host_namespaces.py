# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces of the host, held by processes that wait; for tests that need root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest

CLONE_NEWNET = 0x40000000
TOOLS = ("ip", "ping", "nsenter", "unshare")


def need_namespaces() -> None:
    """Skip where this user cannot make network namespaces, or their tools are not installed."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"The host has no {' or '.join(missing)}.")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("This user cannot make network namespaces.")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("There is no /dev/net/tun for this user.")


class HostNamespace:
    """A network namespace with loopback up; it goes with its last user.

    Attributes:
        pid: of the process that holds it.
    """

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"\n"
        self.pid = self._holder.pid

    def command(self, *words: str) -> list[str]:
        """A command line that runs inside."""
        return ["nsenter", "-t", str(self.pid), "-n", *words]

    def run(self, *words: str) -> str:
        """Run a command inside; return its output, or fail with it."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in the namespace while the block runs (setns(2))."""
        libc = ctypes.CDLL(None, use_errno=True)
        own_path, other_path = Path("/proc/thread-self/ns/net"), Path(f"/proc/{self.pid}/ns/net")
        with own_path.open() as own, other_path.open() as other:
            assert libc.setns(other.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert libc.setns(own.fileno(), CLONE_NEWNET) == 0

    def take(self, name: str, owner: HostNamespace, *addresses: str) -> None:
        """Move an interface here from another namespace, bring it up with addresses."""
        owner.run("ip", "link", "set", name, "netns", str(self.pid))
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", name, "nodad")
        self.run("ip", "link", "set", name, "up")

    def close(self) -> None:
        """End the process that holds it."""
        self._holder.communicate()

    def __enter__(self) -> HostNamespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
