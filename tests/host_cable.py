# SPDX-License-Identifier: GPL-2.0-only
"""A veth pair of the host between two network namespaces of its own, for devices to join."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pylibos

CLONE_NEWNET = 0x40000000
OWN_NETNS = "/proc/thread-self/ns/net"
ETH_P_TEST = 0x88B5  # for experiments (IEEE 802)


class NoCableError(Exception):
    """This machine does not let this user make network namespaces."""


def ip(*words: str, check: bool = True) -> str:
    """Run ip(8)."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def _back_again(libc: ctypes.CDLL) -> Iterator[None]:
    """Be in the same network namespace afterwards as before."""
    with Path(OWN_NETNS).open() as here:
        try:
            yield
        finally:
            if libc.setns(here.fileno(), CLONE_NEWNET):
                os.abort()  # no test may go on in a namespace that it does not know


class Side:
    """One network namespace with one end of the cable.

    It has no name: it lives as long as this process has a descriptor of it, so nothing is left
    behind however the process ends.

    Attributes:
        netns: its path, for ip(8).
        name: of the interface in it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        libc = ctypes.CDLL(None, use_errno=True)
        with _back_again(libc):
            if libc.unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            self._fd = os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)
            # No router solicitations and no multicast reports that tests would count.
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        self.netns = f"/proc/{os.getpid()}/fd/{self._fd}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread be in the namespace, so that its sockets are made there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with _back_again(libc):
            if libc.setns(self._fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield

    def ip(self, *words: str, check: bool = True) -> str:
        """Run ip(8) inside."""
        with self.entered():
            return ip(*words, check=check)

    def wait_for(self, words: str, seconds: float = 10) -> None:
        """Wait until ip(8) shows something of the interface; the host tells a little late."""
        end = time.monotonic() + seconds
        while words not in self.ip("link", "show", self.name):
            if time.monotonic() > end:
                raise OSError(f"{self.name} does not come to {words!r}")

    def socket(self, *arguments: int) -> socket.socket:
        """Make a socket of the host's that lives inside."""
        with self.entered():
            return socket.socket(*arguments)

    def packets(self) -> socket.socket:
        """Make a packet socket on the interface, for frames of ETH_P_TEST."""
        sock = self.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind((self.name, ETH_P_TEST))
        sock.settimeout(5)
        return sock

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command inside; its exit status and output."""
        with self.entered():
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        return done.returncode, done.stdout

    def remove(self) -> None:
        """Let go of the namespace."""
        os.close(self._fd)


class Cable:
    """Two sides, near for the device under test and far for its peer.

    Args:
        queues: of each end.

    Raises:
        NoCableError: no right to make it, or no ip(8).
    """

    def __init__(self, queues: int = 1) -> None:
        self._queues = queues
        self._sides: list[Side] = []
        if shutil.which("ip") is None:
            raise NoCableError("the host has no ip")
        try:
            for name in ("near0", "far0"):
                self._sides.append(Side(name))
            self.near, self.far = self._sides
            self.plug()
        except (OSError, PermissionError) as error:
            self.close()
            raise NoCableError(str(error)) from error

    def plug(self, wait: bool = True) -> None:
        """Make the cable, with both ends up; wait until the host shows them so."""
        count = str(self._queues)
        words = ["numtxqueues", count, "numrxqueues", count]
        self.near.ip(
            *("link", "add", self.near.name, *words, "type", "veth"),
            *("peer", "name", self.far.name, "netns", self.far.netns, *words),
        )
        for side in self._sides:
            side.ip("link", "set", side.name, "up")
        for side in self._sides if wait else ():
            side.wait_for("state UP")

    def close(self) -> None:
        """Remove all of it."""
        for side in self._sides:
            side.remove()

    def __enter__(self) -> Cable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wait_until(kernel: pylibos.Kernel, condition: Callable[[], bool], seconds: float = 10) -> None:
    """Let a world of real time run until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        kernel.world.run_for(1_000_000)


@contextlib.contextmanager
def in_background(function: Callable[..., Any], *arguments: Any) -> Iterator[list[Any]]:
    """Run a function of the host's in a thread; its result is in the list afterwards."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield results
    finally:
        thread.join(30)
    assert not thread.is_alive()
    if errors:
        raise errors[0]
