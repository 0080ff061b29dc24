# SPDX-License-Identifier: GPL-2.0-only
"""A link on which nothing travels but what a test sends, and the random numbers it uses."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pylibos

SEED = 7
PORT = 9
# Receive buffers that a device begins with.
RING_BUFFERS = 64
# Ethernet, IPv4 and UDP.
HEADERS = 42
# Datagrams that fit a socket's receive buffer.
_BLOCK = 1000
_MASK = 2**64 - 1
_RANDOM_LINK = 2


def _rotate_left(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK


class Stream:
    """The random numbers of one direction of a world's links, as host/random.c documents them.

    Args:
        number: of the direction: 0 and 1 for the first link of the world.
    """

    def __init__(self, number: int, seed: int = SEED) -> None:
        self._mix_state = seed
        self._mix_state = self._mix() ^ _RANDOM_LINK << 56 ^ number
        self._state = [self._mix() for _ in range(4)]

    def _mix(self) -> int:
        """SplitMix64."""
        self._mix_state = z = (self._mix_state + 0x9E3779B97F4A7C15) & _MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        return z ^ z >> 31

    def next(self) -> int:
        """xoshiro256**."""
        s = self._state
        result = _rotate_left(s[1] * 5 & _MASK, 7) * 9 & _MASK
        shifted = s[1] << 17 & _MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = _rotate_left(s[3], 45)
        return result

    def chance(self, pct: float) -> bool:
        """Whether something happens that has this chance."""
        return bool(pct) and (self.next() >> 32 < round(pct * 2**32 / 100) or pct == 100)


@dataclass
class QuietPair:
    """Two kernels without IPv6, that know each other's hardware address already.

    Attributes:
        a, b: the kernels, 10.0.0.1 and 10.0.0.2.
        link: from a to b.
        sender, receiver: connected UDP sockets of a and b.
    """

    a: pylibos.Kernel
    b: pylibos.Kernel
    link: pylibos.Link
    sender: pylibos.Socket
    receiver: pylibos.Socket

    def send(self, count: int, size: int = 4, *, back: bool = False) -> None:
        """Send numbered datagrams at once, without waiting for them to arrive."""
        sock = self.receiver if back else self.sender
        for number in range(count):
            sock.send(struct.pack("!I", number).ljust(size, b"\0"))

    def received(self, *, back: bool = False) -> list[int]:
        """Let a second pass; the numbers that have arrived by then, in their order."""
        self.a.world.run_for(10**9)
        return self.waiting(back=back)

    def waiting(self, *, back: bool = False) -> list[int]:
        """The numbers that have arrived."""
        sock = self.sender if back else self.receiver
        numbers = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data = sock.recv(1 << 16, socket.MSG_DONTWAIT)
                numbers.append(struct.unpack("!I", data[:4])[0])
        return numbers

    def exchange(self, count: int, size: int = 4, *, back: bool = False) -> list[int]:
        """Send datagrams and return the numbers of those that arrive."""
        self.send(count, size, back=back)
        return self.received(back=back)

    def survivors(self, count: int, *, back: bool = False) -> list[bool]:
        """Send datagrams over a link without delay; for each whether it arrives."""
        arrived: list[bool] = []
        while len(arrived) < count:
            block = min(count - len(arrived), _BLOCK)
            self.send(block, back=back)
            self.a.world.run_for(0)
            numbers = set(self.waiting(back=back))
            arrived += [number in numbers for number in range(block)]
        return arrived


@contextlib.contextmanager
def quiet_pair(
    boot: Callable[..., pylibos.Kernel], *, seed: int = SEED, **options: Any
) -> Iterator[QuietPair]:
    """Two linked kernels; options are those of link_to() and hold from here on."""
    with pylibos.World(seed=seed) as world, contextlib.ExitStack() as stack:
        a, b = boot(world=world, name="a"), boot(world=world, name="b")
        for kernel in (a, b):
            kernel.sysctl["net.ipv6.conf.all.disable_ipv6"] = 1
            kernel.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
            kernel.sysctl["net.ipv4.neigh.default.base_reachable_time_ms"] = 10**9
            kernel.sysctl["net.core.rmem_max"] = 1 << 24
        link = a.link_to(b, subnet="10.0.0.0/24")
        sockets = []
        for kernel, ours, theirs in ((a, 1, 2), (b, 2, 1)):
            sock = stack.enter_context(kernel.socket(type=socket.SOCK_DGRAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            sock.bind((f"10.0.0.{ours}", PORT))
            sock.connect((f"10.0.0.{theirs}", PORT))
            sockets.append(sock)
        pair = QuietPair(a, b, link, *sockets)
        assert pair.exchange(1) == [0]
        assert pair.exchange(1, back=True) == [0]
        world.run_for(10**10)  # ARP confirms what it has learned, and trusts it from now on
        if options:
            back = options.pop("back", {})
            link.set(**options)
            if back:
                link.set(direction=1, **back)
        yield pair
