# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces with veth pairs and taps between them.

Namespaces have no names: they live as long as this process has a descriptor of them, so
nothing is left behind however it ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
SO_SNDBUFFORCE, SOCKET_BYTES = 32, 1 << 20
PIPE_BYTES = 1 << 20
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO = 0x17, 0x1F, 0x24
_libc = ctypes.CDLL(None, use_errno=True)


class UnfitMachineError(Exception):
    """This user may not make network namespaces, or a device in them; or there is one core."""


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise UnfitMachineError(f"{what}: {os.strerror(number)}; run this as root")


class Namespace:
    """A network namespace.

    Attributes:
        fd: of it.
        path: for ip(8).
    """

    def __init__(self) -> None:
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _check(_libc.unshare(CLONE_NEWNET), "a network namespace cannot be made")
        except BaseException:
            os.close(own)
            raise
        try:
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            os.set_inheritable(self.fd, True)
            self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
            # Nothing but our own frames.
            for conf in ("all", "default"):
                with suppress(FileNotFoundError):
                    Path(f"/proc/sys/net/ipv6/conf/{conf}/disable_ipv6").write_text("1")
            self._ip("link set lo up")
        finally:
            _check(_libc.setns(own, CLONE_NEWNET), "the namespace cannot be left")
            os.close(own)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it: sockets, taps and children made meanwhile belong to it."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _check(_libc.setns(self.fd, CLONE_NEWNET), "the namespace cannot be entered")
            yield
        finally:
            _check(_libc.setns(own, CLONE_NEWNET), "the namespace cannot be left")
            os.close(own)

    def ip(self, *commands: str) -> None:
        """Run ip(8) inside; one command, without the word ip, each.

        Raises:
            UnfitMachineError: it failed.
        """
        with self.entered():
            for command in commands:
                self._ip(command)

    @staticmethod
    def _ip(command: str) -> None:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnfitMachineError(f"'ip {command}' failed: {done.stderr.strip()}")

    def tap(self, name: str, *, vnet_hdr: bool = False) -> int:
        """Make a tap inside, up; return its descriptor, which keeps it."""
        with self.entered():
            try:
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if vnet_hdr else 0)
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            except OSError as error:
                raise UnfitMachineError(f"a tap cannot be made: {error}") from error
        os.set_inheritable(fd, True)
        self.ip(f"link set {name} address 02:00:00:00:00:ff txqueuelen 1000 up")
        return fd

    def veth(self, name: str, peer: Namespace, peer_name: str) -> None:
        """Join this namespace to another by a veth pair, both ends up.

        Their addresses are none that frames go to, so the host's own stack, which sees every
        frame, too, drops it at once.
        """
        self.ip(
            f"link add {name} address 02:00:00:00:00:ff txqueuelen 1000 type veth peer name "
            f"{peer_name} address 02:00:00:00:00:fe netns {peer.path}",
            f"link set {name} up",
        )
        peer.ip(f"link set {peer_name} up")

    def steer(self, name: str, core: int) -> None:
        """Let a core of our choice take in what an interface receives (RPS)."""
        mask = f"{1 << core:x}"
        queue = f"/sys/class/net/{name}/queues/rx-0"
        script = f"mount -t sysfs sysfs /sys && echo {mask} >{queue}/rps_cpus"
        with self.entered():
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", script],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise UnfitMachineError(f"{name} cannot be steered to a core: {done.stderr.strip()}")

    def segment_in_software(self, name: str) -> None:
        """Take segmentation and checksums away from an interface: packets cross as on a wire."""
        with self.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for command in (ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM):
                value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
                pointer = ctypes.addressof(value)
                fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sQ16x", name.encode(), pointer))

    def counters(self, name: str) -> dict[str, int]:
        """Frames that crossed an interface and that it dropped."""
        with self.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        for line in lines:
            interface, _, numbers = line.partition(":")
            if interface.strip() == name:
                words = [int(word) for word in numbers.split()]
                return {
                    "rx_frames": words[1],
                    "rx_dropped": words[3],
                    "tx_frames": words[9],
                    "tx_dropped": words[11],
                }
        raise UnfitMachineError(f"There is no interface {name}.")

    def close(self) -> None:
        """Forget it; it goes when nobody is in it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Topology:
    """The paper's: a sender, a router in the middle, a receiver.

    Attributes:
        sender, router, receiver: namespaces.
        fds: descriptors of taps and the like, closed with it.
    """

    def __init__(self) -> None:
        self.fds: list[int] = []
        self._namespaces: list[Namespace] = []
        try:
            for _ in range(3):
                self._namespaces.append(Namespace())
        except BaseException:
            self.close()
            raise
        self.sender, self.router, self.receiver = self._namespaces

    def taps(self, *, vnet_hdr: bool = False) -> tuple[int, int]:
        """A tap for the sender and one for the receiver, t0 and t1; their descriptors."""
        for namespace, name in ((self.sender, "t0"), (self.receiver, "t1")):
            self.fds.append(namespace.tap(name, vnet_hdr=vnet_hdr))
        return self.fds[-2], self.fds[-1]

    def socketpair(self) -> tuple[int, int]:
        """A pair of UNIX sockets that keep packets apart; their descriptors."""
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in ends:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES)
            self.fds.append(end.detach())
            os.set_inheritable(self.fds[-1], True)
        return self.fds[-2], self.fds[-1]

    def pipe(self) -> tuple[int, int]:
        """A pipe; the descriptors to read and to write."""
        self.fds += os.pipe()
        for fd in self.fds[-2:]:
            os.set_inheritable(fd, True)
            os.set_blocking(fd, False)
        fcntl.fcntl(self.fds[-1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return self.fds[-2], self.fds[-1]

    def cables(self) -> None:
        """Veth pairs s0 - r0 and d0 - r1."""
        self.sender.veth("s0", self.router, "r0")
        self.receiver.veth("d0", self.router, "r1")

    def route(self, core: int | None = None) -> None:
        """Let the host's kernel route between the cables, on a core of its own if one is given.

        Left alone, Linux routes what comes from a veth on the core that sent it.
        """
        for name, mac, address, neighbour, lladdr in (
            ("r0", "a2", "10.0.1.2/24", "10.0.1.1", "a1"),
            ("r1", "b1", "10.0.2.1/24", "10.0.2.2", "b2"),
        ):
            self.router.ip(
                f"link set {name} address 02:00:00:00:00:{mac}",
                f"address add {address} dev {name}",
                f"neighbour add {neighbour} lladdr 02:00:00:00:00:{lladdr} dev {name}",
            )
            if core is not None:
                self.router.steer(name, core)
        with self.router.entered():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def close(self) -> None:
        """Remove all of it."""
        while self.fds:
            os.close(self.fds.pop())
        while self._namespaces:
            self._namespaces.pop().close()

    def __enter__(self) -> Topology:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
