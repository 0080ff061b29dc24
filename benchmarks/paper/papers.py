# SPDX-License-Identifier: GPL-2.0-only
"""What the NUSE paper measured in 2014: packets of 1024 bytes over 10 Gbit/s Ethernet.

Tazaki, Nakamura, Sekiya: "Library Operating System with Mainline Linux Network Stack",
netdev 0.1, 2015, section 5. Its netmap channel is not among ours.
"""

from __future__ import annotations

SIZE = 1024

# Mbit/s
ROUTING_MBIT: dict[str, float] = {
    "native": 4250,
    "raw": 680,
    "tap": 417,
    "netmap": 306,
    "dpdk": 198,
}
SENDING_MBIT: dict[str, float] = {
    "native": 5270,
    "raw": 486,
    "tap": 420,
    "dpdk": 256,
    "netmap": 242,
}
# Round trip of a ping to a neighbour, in µs.
SENDING_DELAY_US: dict[str, float] = {
    "native": 190,
    "raw": 298,
    "netmap": 300,
    "tap": 392,
    "dpdk": 3650,
}

BLAME = "one packet per call, a wake-up and a copy per packet, and no batching"
