# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces of the host, held by processes that wait; for tests that need root."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType

import pytest

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
