# SPDX-License-Identifier: GPL-2.0-only
"""A network namespace with a tap in it, held by a helper process.

Run as a program it is the helper: it makes the namespace and the tap, hands the tap's
descriptor over, and runs the commands that it is sent until its socket closes.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
TUNSETIFF, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP = 1
TAP = "pylibos0"
_REPLY_BYTES = 1 << 16


class NoTapError(Exception):
    """This machine does not let this user make a tap."""


class Namespace:
    """The parent's side.

    Args:
        address: of the host's end, with prefix length.

    Attributes:
        tap_fd: the open tap, with struct virtio_net_hdr before each frame.

    Raises:
        NoTapError: no right to make a namespace or a tap.
    """

    def __init__(self, address: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._helper = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), address],
                pass_fds=[theirs.fileno()],
            )
        data, fds, _, _ = socket.recv_fds(self._socket, _REPLY_BYTES, 1)
        if not fds:
            self.close()
            reason = json.loads(data)["error"] if data else "the helper process ended"
            raise NoTapError(f"this machine lets nobody like you make a tap ({reason}).")
        self.tap_fd = fds[0]

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a command inside; return its exit status and its output."""
        self._socket.send(json.dumps(command).encode())
        reply = json.loads(self._socket.recv(_REPLY_BYTES) or '{"status": -1, "output": ""}')
        return reply["status"], reply["output"]

    def close(self) -> None:
        """End the helper; the namespace and the tap go with it."""
        fd = getattr(self, "tap_fd", -1)
        if fd >= 0:
            os.close(fd)
            self.tap_fd = -1
        self._socket.close()
        try:
            self._helper.wait(10)
        except subprocess.TimeoutExpired:
            self._helper.kill()
            self._helper.wait()

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _enter_namespace() -> None:
    """Leave for a new network namespace, with a user namespace where that gives the right."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if uid == 0 and libc.unshare(CLONE_NEWNET) == 0:
        return
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _make_tap(address: str) -> int:
    """Make the tap, give it an address and bring it up; return its descriptor."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), flags))
    interface = ipaddress.IPv4Interface(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in (
            (SIOCSIFADDR, interface.ip.packed),
            (SIOCSIFNETMASK, interface.netmask.packed),
        ):
            name = struct.pack("=16sHH4s8x", TAP.encode(), socket.AF_INET, 0, value)
            fcntl.ioctl(control, request, name.ljust(40, b"\0"))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", TAP.encode(), IFF_UP))
    return tap


def _answer(command: Any) -> bytes:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return json.dumps({"status": done.returncode, "output": done.stdout[-8000:]}).encode()


def helper(fd: int, address: str) -> None:
    """The helper process."""
    with socket.socket(fileno=fd) as channel:
        try:
            _enter_namespace()
            tap = _make_tap(address)
        except OSError as error:
            channel.send(json.dumps({"error": str(error)}).encode())
            return
        rights = array.array("i", [tap])
        channel.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(tap)
        while command := channel.recv(_REPLY_BYTES):
            channel.send(_answer(json.loads(command)))


if __name__ == "__main__":
    helper(int(sys.argv[1]), sys.argv[2])
