# SPDX-License-Identifier: GPL-2.0-only
"""Throughput of the flows of a capture over time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

from pylibos._capture_file import read_frames
from pylibos._packet import PROTOCOLS, parse_packet
from pylibos._plot_style import CYCLE, GREY, Picture, amount, duration
from pylibos._socket_record import Endpoint

_BINS = 150  # about so many in a picture that is asked for no interval
_STEPS = (1, 2, 5)
_TOO_SMALL = 0.005  # of all bytes: not worth a line of its own

Key = tuple[int, Endpoint, Endpoint]


@dataclass
class Flow:
    """One direction between two ends, seen at one place.

    Attributes:
        protocol, source, target: whose packets.
        packets: time in ns and bytes, with the IP header, of each.
    """

    protocol: str
    source: Endpoint
    target: Endpoint
    packets: list[tuple[int, int]] = field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        """Bytes of all packets, with their IP headers."""
        return sum(count for _, count in self.packets)

    @property
    def name(self) -> str:
        """Protocol and ends."""
        source, target = (
            str(end) if end.port else end.address for end in (self.source, self.target)
        )
        return f"{self.protocol} {source} → {target}"


def read_flows(path: str | os.PathLike[str]) -> list[Flow]:
    """All flows of a capture, the largest first.

    Packets that were dropped do not count.  Of several places that saw a flow the last one on
    its way counts.
    """
    seen: dict[Key, dict[str, list[tuple[int, int]]]] = {}
    for frame in read_frames(path):
        packet = None if frame.dropped else parse_packet(frame)
        if packet is not None:
            places = seen.setdefault((packet.protocol, packet.source, packet.target), {})
            packets = places.setdefault(frame.interface.name, [])
            packets.append((frame.time_ns, packet.ip_bytes))
    flows = []
    for (protocol, source, target), places in seen.items():
        last = max(places.values(), key=lambda packets: packets[0][0])
        name = PROTOCOLS.get(protocol, f"IP protocol {protocol}")
        flows.append(Flow(name, source, target, last))
    return sorted(flows, key=lambda flow: -flow.total_bytes)


def _interval_ms(span_ns: int) -> float:
    """A round interval that gives a picture enough steps, not too many."""
    wanted = max(span_ns / 1e6 / _BINS, 1e-6)
    power = 1e-6
    while True:
        for step in _STEPS:
            if step * power >= wanted:
                return step * power
        power *= 10


def rates(flow: Flow, start_ns: int, end_ns: int, interval_ns: int) -> list[float]:
    """Mbit/s of a flow in each interval from start to end."""
    sums = [0] * (-(-(end_ns - start_ns + 1) // interval_ns))
    for time_ns, count in flow.packets:
        number = (time_ns - start_ns) // interval_ns
        if 0 <= number < len(sums):
            sums[number] += count
    return [total * 8e3 / interval_ns for total in sums]


def throughput(
    capture_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    interval_ms: float | None = None,
    flows: int = 6,
    title: str | None = None,
) -> None:
    """Draw how much each flow of a capture carried over time, IP headers included.

    Args:
        capture_path: pcapng or pcap.
        path: picture, .png or .svg.
        interval_ms: over which it is summed up; None: by the length of the capture.
        flows: how many to draw at most, the largest ones; the rest becomes one.
        title: None: "Throughput".

    Raises:
        ValueError: there is no IP packet, a senseless argument, or no such format.
    """
    found = read_flows(capture_path)
    if not found:
        raise ValueError(f"{os.fspath(capture_path)} holds no IP packet that arrived.")
    if flows < 1 or (interval_ms is not None and interval_ms <= 0):
        raise ValueError("flows is 1 or more, and interval_ms more than 0.")
    start_ns = min(flow.packets[0][0] for flow in found)
    end_ns = max(flow.packets[-1][0] for flow in found)
    interval_ns = round((interval_ms or _interval_ms(end_ns - start_ns)) * 1e6) or 1
    total = sum(flow.total_bytes for flow in found)
    shown = [flow for flow in found[:flows] if flow.total_bytes >= total * _TOO_SMALL]
    rest = found[len(shown) :]
    subtitle = (
        f"{amount(total)} in "
        f"{duration(max((end_ns - start_ns) / 1e9, 1e-9))}, IP headers included; "
        f"average over {duration(interval_ns / 1e9)}"
    )
    with Picture(path, title=title or "Throughput", subtitle=subtitle) as picture:
        (axis,) = picture.axes
        handles: list[Any] = []
        lines = [(flow.name, CYCLE[number % len(CYCLE)], flow) for number, flow in enumerate(shown)]
        if rest:
            packets = sorted(packet for flow in rest for packet in flow.packets)
            name = f"{len(rest):,} more flow{'s' if len(rest) > 1 else ''}"
            lines.append((name, GREY, replace(rest[0], packets=packets)))
        for number, (name, color, flow) in enumerate(lines):
            values = rates(flow, start_ns, end_ns, interval_ns)
            # A step holds until the next one begins.
            (line,) = axis.step(
                [count * interval_ns / 1e9 for count in range(len(values) + 1)],
                [*values, values[-1]],
                where="post",
                color=color,
                linestyle="-" if number < len(CYCLE) else "--",
                linewidth=1.5,
                label=f"{name} ({amount(flow.total_bytes)})",
            )
            handles.append(line)
        axis.set_ylim(bottom=0)
        axis.margins(x=0.01)
        axis.set_xlabel("time since the first packet, s")
        axis.set_ylabel("throughput, Mbit/s")
        picture.legend(handles, columns=2)
