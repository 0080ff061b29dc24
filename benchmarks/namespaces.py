# SPDX-License-Identifier: GPL-2.0-only
"""The peers of networks of kernels: network namespaces of the host joined by veth pairs.

They are configured by the very requests that pylibos sends to its nodes, so what differs is
the kernel that serves them.  They have no names and live as long as a descriptor does, so
nothing is left behind.  Delays, rates and losses are left out: they would take their time, and
the host's kernel needs a module (sch_netem) for them.
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.figure import Measurement, median_of
from pylibos import _netlink

CLONE_NEWNET = 0x40000000
VETH_INFO_PEER, IFLA_NET_NS_FD = 1, 28  # linux/veth.h, linux/if_link.h
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        raise PermissionError(ctypes.get_errno(), "A network namespace cannot be entered")


class Namespace:
    """A network namespace with its loopback interface; needs root.

    Raises:
        PermissionError: this user may not make one.
    """

    def __init__(self) -> None:
        self._own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.fd = -1
        self._interfaces = 1
        if _libc.unshare(CLONE_NEWNET):
            os.close(self._own)
            raise PermissionError(ctypes.get_errno(), "A network namespace cannot be made")
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _enter(self._own)

    def inside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in it."""
        _enter(self.fd)
        try:
            return function(*args)
        finally:
            _enter(self._own)

    def socket(self, family: int, kind: int, proto: int = 0) -> socket.socket:
        """A socket in it; as a node's method, which the requests of pylibos use."""
        made: socket.socket = self.inside(socket.socket, family, kind, proto)
        return made

    def forward(self) -> None:
        """Make it a router."""

        def write() -> None:
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            ipv6 = Path("/proc/sys/net/ipv6/conf/all/forwarding")
            if ipv6.exists():
                ipv6.write_text("1")

        self.inside(write)

    def join(self, other: Namespace, *subnets: str) -> None:
        """Make a veth pair to another one: up, with the first addresses of subnets."""
        first, second = self._next(), other._next()
        peer = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, second, 0, 0)
        peer += _netlink.attribute(IFLA_NET_NS_FD, struct.pack("=i", other.fd))
        peer += _netlink.attribute(_netlink.IFLA_IFNAME, f"eth{second}\0".encode())
        data = _netlink.attribute(VETH_INFO_PEER, peer)
        info = _netlink.attribute(_netlink.IFLA_INFO_KIND, b"veth\0")
        info += _netlink.attribute(_netlink.IFLA_INFO_DATA, data)
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, first, 0, 0)
        body += _netlink.attribute(_netlink.IFLA_IFNAME, f"eth{first}\0".encode())
        body += _netlink.attribute(_netlink.IFLA_LINKINFO, info)
        flags = _netlink.NLM_F_CREATE | _netlink.NLM_F_EXCL
        _netlink.request(self, _netlink.RTM_NEWLINK, flags, body)  # type: ignore[arg-type]
        for end, (namespace, index) in enumerate(((self, first), (other, second))):
            _netlink.set_link(namespace, index, up=True)  # type: ignore[arg-type]
            for subnet in map(ipaddress.ip_network, subnets):
                interface = ipaddress.ip_interface(f"{subnet[1 + end]}/{subnet.prefixlen}")
                _netlink.add_address(namespace, index, interface)  # type: ignore[arg-type]

    def _next(self) -> int:
        self._interfaces += 1
        return self._interfaces

    def route(self, destination: str, gateway: str) -> None:
        """Add a route."""
        _netlink.add_route(
            self,  # type: ignore[arg-type]
            ipaddress.ip_network(destination),
            gateway=ipaddress.ip_address(gateway),
        )

    def close(self) -> None:
        """Forget it; the host's kernel takes it apart later, in a thread of its own."""
        if self.fd >= 0:
            os.close(self.fd)
            os.close(self._own)
            self.fd = -1

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def native(names: list[str], unit: str, measure: Callable[[], list[float]]) -> list[Measurement]:
    """What the host's kernel does, under the names of several figures; nothing without root."""
    try:
        values = measure()
    except PermissionError as error:
        print(f"No native column for {names[0]}: {error}; run this as root.", file=sys.stderr)
        return []
    return [median_of(name, "native", unit, values) for name in names]


def three_nodes() -> None:
    """Three namespaces in a row, linked and routed, made and forgotten."""
    with Namespace() as a, Namespace() as b, Namespace() as c:
        a.join(b, "10.0.1.0/24", "fd00:0:0:1::/64")
        b.join(c, "10.0.2.0/24", "fd00:0:0:2::/64")
        b.forward()
        for node, end, number in ((a, 2, 1), (c, 1, 2)):
            node.route("0.0.0.0/0", f"10.0.{number}.{end}")
            node.route("::/0", f"fd00:0:0:{number}::{end}")


def round_trips(rounds: int, count: int) -> list[float]:
    """Blocking send() and recv() between two processes in two namespaces, us there and back."""
    found = []
    with Namespace() as a, Namespace() as b:
        a.join(b, "10.0.1.0/24")
        with b.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.bind(("10.0.1.2", 7))
            server.listen()
            child = os.fork()
            if not child:
                _answer(server)
            with a.socket(socket.AF_INET, socket.SOCK_STREAM) as conn:
                conn.connect(("10.0.1.2", 7))
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                data = bytes(64)
                for _ in range(rounds):
                    start = time.perf_counter_ns()
                    for _ in range(count):
                        conn.send(data)
                        conn.recv(100)
                    found.append((time.perf_counter_ns() - start) / count / 1e3)
            os.waitpid(child, 0)
    return found


def _answer(server: socket.socket) -> None:
    """The child: it must not run anything of its parent's."""
    try:
        peer, _ = server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := peer.recv(100):
            peer.send(data)
    finally:
        os._exit(0)


def create(count: int) -> list[float]:
    """Namespaces at once, s for all."""
    with ExitStack() as stack:
        start = time.perf_counter()
        for _ in range(count):
            stack.enter_context(Namespace())
        return [time.perf_counter() - start]


def chain(stack: ExitStack, count: int) -> list[Namespace]:
    """Routers in a row; each sends on to the right what is not for itself."""
    nodes = [stack.enter_context(Namespace()) for _ in range(count)]
    for number, (left, right) in enumerate(itertools.pairwise(nodes)):
        subnet = f"10.{1 + number // 250}.{number % 250}"
        left.join(right, f"{subnet}.0/24")
        left.route("0.0.0.0/0", f"{subnet}.2")
        left.forward()
    return nodes


def flow(nodes: list[Namespace], start: int, span: int) -> tuple[socket.socket, socket.socket]:
    """Sockets for datagrams that cross a part of a chain."""
    number = start + span - 2
    receiver = nodes[start + span - 1].socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    receiver.bind(("", 9))
    receiver.settimeout(5)
    sender = nodes[start].socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    sender.connect((f"10.{1 + number // 250}.{number % 250}.2", 9))
    return sender, receiver
