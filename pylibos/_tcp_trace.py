# SPDX-License-Identifier: GPL-2.0-only
"""TCP connections out of captures: what was sent, sent again, lost, acknowledged, and when.

One frame can be in a capture several times, once for each interface that it passed.  A trace
follows one direction of a connection and looks at one place for the data and one for the
acknowledgements: the sender's own interface if the capture has it, else what is nearest to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pylibos._capture_file import read_frames
from pylibos._packet import ACK, FIN, RST, SYN, TCP, Segment, parse_packet, parse_segment
from pylibos._socket_record import Endpoint

_WRAP = 1 << 32
_MAX_WSCALE = 14


class DataPoint(NamedTuple):
    """A segment with data; sequence numbers count from the first byte of data.

    Attributes:
        time_ns: when it was seen.
        start, end: its bytes are [start, end).
        again: it holds bytes that had been sent before.
        lost: why it was dropped, or "sent again" if a later copy is all that tells; "" if not.
    """

    time_ns: int
    start: int
    end: int
    again: bool
    lost: str


class AckPoint(NamedTuple):
    """An acknowledgement.

    Attributes:
        time_ns: when it was seen.
        ack: all before it has arrived.
        limit: where the receiver's window ends; None: its scale is not in the capture.
        sack: blocks that have arrived beyond it.
        duplicate: a block that had arrived before (RFC 2883).
        lost: it was dropped.
    """

    time_ns: int
    ack: int
    limit: int | None
    sack: tuple[tuple[int, int], ...]
    duplicate: tuple[int, int] | None
    lost: bool


@dataclass
class Trace:
    """One direction of a connection.

    Attributes:
        source, target: its ends.
        start_ns: when the connection was first seen.
        at_sender: both directions were seen at one place, so times between them are the sender's.
        data, acks: in the order of time.
    """

    source: Endpoint
    target: Endpoint
    start_ns: int
    at_sender: bool
    data: list[DataPoint] = field(default_factory=list)
    acks: list[AckPoint] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its ends."""
        return f"{self.source} → {self.target}"

    @property
    def payload_bytes(self) -> int:
        """How far the data goes."""
        return max((point.end for point in self.data), default=0)


@dataclass
class _Connection:
    """Segments of both directions by the interface where they were seen."""

    ends: tuple[Endpoint, Endpoint]
    start_ns: int
    isn: dict[Endpoint, int] = field(default_factory=dict)
    closing: bool = False
    seen: dict[tuple[Endpoint, str], list[Segment]] = field(default_factory=dict)

    def interfaces(self, source: Endpoint) -> dict[str, list[Segment]]:
        return {name: items for (end, name), items in self.seen.items() if end == source}


def _collect(segments: Iterable[Segment]) -> list[_Connection]:
    found: list[_Connection] = []
    current: dict[frozenset[Endpoint], _Connection] = {}
    for segment in segments:
        packet = segment.packet
        key = frozenset((packet.source, packet.target))
        connection = current.get(key)
        first = segment.flags & SYN and not segment.flags & ACK
        # The same ports again: another connection, unless it is the same SYN seen elsewhere.
        if connection is None or (
            first and connection.isn.get(packet.source) != segment.seq and connection.closing
        ):
            ends = (packet.source, packet.target)
            connection = current[key] = _Connection(ends, packet.frame.time_ns)
            found.append(connection)
        if segment.flags & SYN:
            connection.isn[packet.source] = segment.seq
        connection.closing |= bool(segment.flags & (FIN | RST))
        place = (packet.source, packet.frame.interface.name)
        connection.seen.setdefault(place, []).append(segment)
    return found


def _place(connection: _Connection, source: Endpoint, target: Endpoint) -> tuple[str, str] | None:
    """Choose where to look at the data of source and at the acknowledgements of target."""
    data, acks = connection.interfaces(source), connection.interfaces(target)
    if not data or not acks:
        return None

    def first(items: list[Segment]) -> int:
        return items[0].packet.frame.time_ns

    nearest = min(data, key=lambda name: first(data[name]))
    if nearest in acks:
        return nearest, nearest
    both = [name for name in data if name in acks]
    if both:
        best = min(both, key=lambda name: first(data[name]))
        return best, best
    return nearest, max(acks, key=lambda name: first(acks[name]))


def _unwrap(value: int, near: int) -> int:
    """The number that is equal modulo 2**32 and nearest to another one."""
    return near + (value - near + _WRAP // 2) % _WRAP - _WRAP // 2


def _data_points(segments: list[Segment], origin: int) -> list[DataPoint]:
    points: list[DataPoint] = []
    highest = 0
    for segment in segments:
        if segment.payload_bytes <= 0 or segment.flags & SYN:
            continue
        frame = segment.packet.frame
        start = _unwrap(segment.seq - origin, highest)
        end = start + segment.payload_bytes
        points.append(DataPoint(frame.time_ns, start, end, start < highest, frame.dropped))
        highest = max(highest, end)
    return points


def _ack_points(segments: list[Segment], origin: int, wscale: int | None) -> list[AckPoint]:
    points: list[AckPoint] = []
    highest = 0
    for segment in segments:
        if not segment.flags & ACK or segment.flags & RST:
            continue
        ack = _unwrap(segment.ack - origin, highest)
        highest = max(highest, ack)
        shift = 0 if segment.flags & SYN else wscale
        limit = None if shift is None else ack + (segment.window << shift)
        blocks = tuple(
            (_unwrap(left - origin, highest), _unwrap(right - origin, highest))
            for left, right in segment.sack
        )
        duplicate = None
        if blocks and (
            blocks[0][1] <= ack
            or (len(blocks) > 1 and blocks[1][0] <= blocks[0][0] and blocks[0][1] <= blocks[1][1])
        ):
            duplicate, blocks = blocks[0], blocks[1:]
        frame = segment.packet.frame
        points.append(AckPoint(frame.time_ns, ack, limit, blocks, duplicate, bool(frame.dropped)))
    return points


def _mark_lost(points: list[DataPoint]) -> list[DataPoint]:
    """Without notes of drops, take for lost what was sent again."""
    if any(point.lost for point in points):
        return points
    last: dict[int, int] = {}  # start of a segment: its latest copy
    lost = set()
    for number, point in enumerate(points):
        if point.again and point.start in last:
            lost.add(last[point.start])
        last[point.start] = number
    return [
        point._replace(lost="sent again") if number in lost else point
        for number, point in enumerate(points)
    ]


def _trace(connection: _Connection, source: Endpoint, target: Endpoint) -> Trace | None:
    places = _place(connection, source, target)
    if places is None:
        return None
    data = connection.seen[source, places[0]]
    acks = connection.seen[target, places[1]]
    with_data = [item for item in data if item.payload_bytes > 0]
    origin = connection.isn.get(source, with_data[0].seq - 1 if with_data else 0) + 1
    scales = [[item.wscale for item in side if item.flags & SYN] for side in (data, acks)]
    wscale = None
    if scales[0] and scales[1]:
        # Both must offer it (RFC 7323).
        offered = scales[0][0] is not None and scales[1][0] is not None
        wscale = min(scales[1][0] or 0, _MAX_WSCALE) if offered else 0
    trace = Trace(source, target, connection.start_ns, places[0] == places[1])
    trace.data = _mark_lost(_data_points(data, origin))
    trace.acks = _ack_points(acks, origin, wscale)
    return trace


def read_traces(path: str | os.PathLike[str]) -> list[Trace]:
    """Both directions of all TCP connections of a capture that carry data, the largest first."""
    packets = filter(None, map(parse_packet, read_frames(path)))
    segments = filter(None, (parse_segment(item) for item in packets if item.protocol == TCP))
    traces = []
    for connection in _collect(segments):
        first, second = connection.ends
        for ends in ((first, second), (second, first)):
            trace = _trace(connection, *ends)
            if trace is not None and trace.data:
                traces.append(trace)
    return sorted(traces, key=lambda trace: -trace.payload_bytes)
