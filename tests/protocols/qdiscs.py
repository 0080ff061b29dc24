# SPDX-License-Identifier: GPL-2.0-only
"""Queueing disciplines that pyroute2 has no names for, by their kernel structures."""

from __future__ import annotations

import struct
from typing import Any

import pylibos
from pylibos._netlink import NLM_F_CREATE, NLM_F_EXCL, attribute, request

_RTM_NEWQDISC, _RTM_NEWTCLASS = 36, 40
ROOT = 0xFFFFFFFF


def add(
    node: pylibos.Node,
    kind: str,
    options: bytes = b"",
    *,
    device: str = "eth0",
    handle: int = 0x10000,
    parent: int = ROOT,
) -> None:
    """Add a discipline; options are the contents of TCA_OPTIONS."""
    index = node.if_nametoindex(device)
    body = struct.pack("=BxxxiIII", 0, index, handle, parent, 0)
    body += attribute(1, kind.encode() + b"\0")
    if options:
        body += attribute(2, options)
    request(node, _RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body)


def tbf(rate_mbit: float, burst_bytes: int, limit_bytes: int = 1 << 20) -> bytes:
    """Options of tbf: struct tc_tbf_qopt and the burst."""
    rate = struct.pack("=BBHhHI", 0, 1, 0, 0, 0, round(rate_mbit * 125_000))
    parameters = rate + bytes(12) + struct.pack("=III", limit_bytes, 0, 0)
    return attribute(1, parameters) + attribute(6, struct.pack("=I", burst_bytes))


def _add_class(node: pylibos.Node, kind: str, handle: int, options: bytes) -> None:
    body = struct.pack("=BxxxiIII", 0, node.if_nametoindex("eth0"), handle, handle & ~0xFFFF, 0)
    body += attribute(1, kind.encode() + b"\0") + attribute(2, options)
    request(node, _RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_EXCL, body)


def htb(node: pylibos.Node, shares_mbit: tuple[float, ...], burst_bytes: int) -> None:
    """Add htb with a class 1:1, 1:2, ... for each share, none of which may borrow."""
    add(node, "htb", attribute(2, struct.pack("=5I", 3, 10, 0, 0, 0)))
    for number, share_mbit in enumerate(shares_mbit, 1):
        rate = struct.pack("=BBHhHI", 0, 1, 0, 0, 0, round(share_mbit * 125_000))
        ticks = round(burst_bytes * 8000 / share_mbit) // 64  # psched ticks have 64 ns
        options = rate + rate + struct.pack("=5I", ticks, ticks, 0, 0, 0)
        _add_class(node, "htb", 0x10000 + number, attribute(1, options))


def fq(quantum_bytes: int) -> bytes:
    """Options of fq: what a flow may send in its turn, also in its first one; no timer slack."""
    quantum = struct.pack("=I", quantum_bytes)
    return attribute(3, quantum) + attribute(4, quantum) + attribute(13, bytes(4))


def netem(rate_mbit: float, limit_packets: int = 10_000) -> bytes:
    """Options of netem: struct tc_netem_qopt and struct tc_netem_rate."""
    rate = struct.pack("=IiIi", round(rate_mbit * 125_000), 0, 0, 0)
    return struct.pack("=6I", 0, limit_packets, 0, 0, 0, 0) + attribute(6, rate)


def prio(bands: int) -> bytes:
    """Options of prio: struct tc_prio_qopt; all goes to the last band unless it says so."""
    return struct.pack("=i16s", bands, bytes([bands - 1] * 16))


def red(minimum_bytes: int, maximum_bytes: int, limit_bytes: int, *, mark: bool) -> bytes:
    """Options of red: drops, or marks, half of what arrives at the maximum."""
    shape = struct.pack("=IIIBBBB", limit_bytes, minimum_bytes, maximum_bytes, 1, 8, 10, int(mark))
    half = struct.pack("=I", 1 << 31)
    return attribute(1, shape) + attribute(2, bytes(256)) + attribute(3, half)


def pfifo(limit_packets: int) -> bytes:
    """Options of pfifo: struct tc_fifo_qopt."""
    return struct.pack("=I", limit_packets)


def drops(node: pylibos.Node, kind: str, device: str = "eth0") -> int:
    """How many packets a discipline of a device has dropped."""
    return int(_queue(node, kind, device)["drops"])


def _queue(node: pylibos.Node, kind: str, device: str) -> Any:
    with node.iproute() as ip:
        for found in ip.get_qdiscs(index=node.if_nametoindex(device)):
            if found.get_attr("TCA_KIND") == kind:
                return found.get_nested("TCA_STATS2", "TCA_STATS_QUEUE")
    raise LookupError(f"{device} has no {kind}")
