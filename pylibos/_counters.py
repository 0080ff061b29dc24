# SPDX-License-Identifier: GPL-2.0-only
"""Counters of a kernel by the names that nstat(8) shows, and of its interfaces."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pylibos._netlink_dump import DumpSocket, attributes

if TYPE_CHECKING:
    from rich.table import Table

    from pylibos._process import Process

# Pairs of lines: names, values.
_TABLES = ("/proc/net/snmp", "/proc/net/netstat")
# A name and a value in each line; a kernel has what it was built with.
_LISTS = (
    "/proc/net/snmp6",
    "/proc/net/sctp/snmp",
    "/proc/net/xfrm_stat",
    "/proc/net/tls_stat",
)
RTM_GETLINK = 18
_IFINFO_BYTES = 16  # struct ifinfomsg
IFLA_IFNAME, IFLA_STATS64 = 3, 23
# struct rtnl_link_stats64 of include/uapi/linux/if_link.h
_LINK_STATS = (
    "rx_packets tx_packets rx_bytes tx_bytes rx_errors tx_errors rx_dropped tx_dropped multicast "
    "collisions rx_length_errors rx_over_errors rx_crc_errors rx_frame_errors rx_fifo_errors "
    "rx_missed_errors tx_aborted_errors tx_carrier_errors tx_fifo_errors tx_heartbeat_errors "
    "tx_window_errors rx_compressed tx_compressed rx_nohandler rx_otherhost_dropped"
)


class Counters(Mapping[str, int]):
    """Counters by name at one time, or what they grew by between two times.

    ``after - before`` holds what changed; looking up a counter that did not change gives 0,
    while one that the kernel does not have is a KeyError.  A few names are levels rather than
    counters (``TcpCurrEstab``), so differences can be negative.

    Attributes:
        name: of the kernel, for the table.
        time_ns: when it was taken.
        duration_ns: between the two, 0 if it is no difference.
    """

    def __init__(
        self, values: dict[str, int], *, name: str, time_ns: int, duration_ns: int = 0
    ) -> None:
        self.name = name
        self.time_ns = time_ns
        self.duration_ns = duration_ns
        self._values = values
        self._unchanged: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> int:
        if name in self._unchanged:
            return 0
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(f"The kernel {self.name} has no counter {name!r}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __sub__(self, before: Counters) -> Counters:
        """What changed since an earlier snapshot."""
        if not isinstance(before, Counters):
            return NotImplemented
        grown = {name: value - before._values.get(name, 0) for name, value in self._values.items()}
        result = Counters(
            {name: value for name, value in grown.items() if value},
            name=self.name,
            time_ns=self.time_ns,
            duration_ns=self.time_ns - before.time_ns,
        )
        result._unchanged = frozenset(name for name, value in grown.items() if not value)
        return result

    def table(self) -> Table:
        """A rich table of what is not 0, with rates if it is a difference."""
        from rich.table import Table

        seconds = self.duration_ns / 1e9
        table = Table(title=self._title(), title_justify="left")
        table.add_column("counter")
        table.add_column("value", justify="right")
        if seconds:
            table.add_column("per s", justify="right")
        for name, value in self._values.items():
            if value:
                rate = (f"{value / seconds:,.1f}",) if seconds else ()
                table.add_row(name, f"{value:,}", *rate)
        return table

    def _title(self) -> str:
        if self.duration_ns:
            return f"{self.name}, during {self.duration_ns / 1e9:.6f} s"
        return f"{self.name}, at {self.time_ns / 1e9:.6f} s"

    def __rich__(self) -> Table:
        return self.table()

    def __str__(self) -> str:
        lines = (f"{name:<32} {value}" for name, value in self._values.items() if value)
        return "\n".join((f"#{self._title()}", *lines))

    def __repr__(self) -> str:
        return f"<pylibos.Counters of {self._title()}: {len(self)}>"


def _interfaces(process: Process) -> dict[str, int]:
    """Statistics of every interface, as "eth0.rx_packets"."""
    found: dict[str, int] = {}
    with DumpSocket(process.call, socket.NETLINK_ROUTE) as channel:
        messages = channel.dump(RTM_GETLINK, bytes(_IFINFO_BYTES))
    for message in messages:
        fields = attributes(message, _IFINFO_BYTES)
        name = fields[IFLA_IFNAME].rstrip(b"\0").decode()
        stats = fields.get(IFLA_STATS64, b"")
        values = struct.unpack_from(f"={len(stats) // 8}Q", stats)
        # A kernel may have more of them than are named here, or fewer.
        found.update((f"{name}.{key}", value) for key, value in zip(_LINK_STATS.split(), values))  # noqa: B905
    return found


def read_counters(process: Process, name: str) -> Counters:
    """Read all counters of a process's network namespace."""
    found: dict[str, int] = {}
    for path in _TABLES:
        lines = process.read_text(path).splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            prefix, _, rest = names.partition(":")
            fields = zip(rest.split(), values.partition(":")[2].split(), strict=True)
            found.update((prefix + key, int(value)) for key, value in fields)
    for path in _LISTS:
        if process.exists(path):
            for line in process.read_text(path).splitlines():
                key, value = line.split()
                found[key] = int(value, 0)
    found.update(_interfaces(process))
    return Counters(found, name=name, time_ns=process.now_ns)
