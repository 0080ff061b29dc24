# SPDX-License-Identifier: GPL-2.0-only
"""What there is to see in a kernel: counters, socket tables, probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from pylibos._counters import Counters, read_counters
from pylibos._socket_table import SocketTable, read_sockets

if TYPE_CHECKING:
    from pylibos._probe import Probe
    from pylibos._process import Process
    from pylibos._socket import Socket
    from pylibos._socket_record import SocketRecord


class Seeing:
    """Mixin of Process: all of it shows the process's network namespace."""

    @property
    def _seen(self) -> Process:
        return cast("Process", self)

    def counters(self) -> Counters:
        """Read all counters, by nstat(8)'s names, and the interfaces' as "eth0.rx_packets".

        ``after - before`` is what changed between two snapshots.
        """
        return read_counters(self._seen, self._seen._machine.name)

    def sockets(self, *protocols: str, processes: bool = False) -> SocketTable:
        """List the sockets, as ss(8) does, through sock_diag(7).

        Args:
            protocols: which of "tcp", "udp", "udplite", "sctp", "dccp", "mptcp", "raw", "unix",
                "netlink", "packet"; none: all that the kernel has.
            processes: look up who has each socket open; takes a look at every descriptor.

        Raises:
            ValueError: no such protocol.
        """
        return read_sockets(self._seen, protocols, processes=processes)

    def probe(self, what: Socket | Callable[[SocketRecord], object], every_ms: float = 10) -> Probe:
        """Note congestion window, round-trip time and the like of TCP connections over time.

        Args:
            what: a socket; the probe ends with it.  Or a function that is given each TCP
                connection at each time and says whether to note it; such a probe ends by
                ``close()`` or with the kernel.
            every_ms: interval in ms of the world's clock.

        Returns:
            The probe, whose ``rows`` grow while the world runs.

        Raises:
            ValueError, TypeError: it is no open TCP socket of this kernel.
        """
        from pylibos._probe import make_probe

        return make_probe(self._seen, what, every_ms)
