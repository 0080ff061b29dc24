# SPDX-License-Identifier: GPL-2.0-only
"""How the round-trip times of a TCP connection are distributed."""

from __future__ import annotations

import os
from statistics import quantiles

from pylibos._plot_style import BLUE, RED, Picture, duration
from pylibos._plot_time_sequence import choose
from pylibos._tcp_trace import Trace, read_traces

_BINS = 60


def round_trips_ns(trace: Trace) -> list[int]:
    """Times from each segment to the acknowledgement that first covers it.

    What was sent again does not count, since its acknowledgement may be of either copy (Karn);
    nor does what was acknowledged only after a gap before it was closed.
    """
    again = {point.start for point in trace.data if point.again}
    last_repair_ns = [point.time_ns for point in trace.data if point.again]
    found = []
    waiting = [point for point in trace.data if point.start not in again]
    repairs = iter(last_repair_ns)
    repair_ns = next(repairs, None)
    number = 0
    highest = 0
    held_ns = -1  # acknowledgements are held back by a gap until this time
    for ack in trace.acks:
        while repair_ns is not None and repair_ns <= ack.time_ns:
            held_ns = repair_ns
            repair_ns = next(repairs, None)
        if ack.lost or ack.ack <= highest:
            continue
        highest = ack.ack
        while number < len(waiting) and waiting[number].end <= ack.ack:
            point = waiting[number]
            number += 1
            if point.time_ns > held_ns and point.time_ns <= ack.time_ns:
                found.append(ack.time_ns - point.time_ns)
    return found


def rtt_histogram(
    capture_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    flow: str | None = None,
    bins: int = _BINS,
    title: str | None = None,
) -> None:
    """Draw how often which round-trip time was seen.

    Args:
        capture_path: pcapng or pcap of one interface of the sender, such as
            ``kernel.capture()`` writes.
        path: picture, .png or .svg.
        flow: as for time_sequence().
        bins: of the histogram.
        title: None: the connection's ends.

    Raises:
        ValueError: no such flow, no such format, or the capture is not of one place.
    """
    trace = choose(read_traces(capture_path), flow, capture_path)
    if not trace.at_sender:
        raise ValueError(
            f"{os.fspath(capture_path)} saw the two directions of {trace.name} at different "
            "places, so no round-trip time can be told; capture the sender's device instead."
        )
    trips = [time_ns / 1e6 for time_ns in round_trips_ns(trace)]
    if not trips:
        raise ValueError(f"{os.fspath(capture_path)} holds no acknowledgement of {trace.name}.")
    cuts = quantiles(trips, n=100) if len(trips) > 1 else trips * 99
    subtitle = (
        f"{len(trips):,} round trips: least {duration(min(trips) / 1e3)}, "
        f"median {duration(cuts[49] / 1e3)}, largest {duration(max(trips) / 1e3)}"
    )
    with Picture(path, title=title or trace.name, subtitle=subtitle, height_inches=5) as picture:
        (axis,) = picture.axes
        low, high = min(trips), max(trips)
        if low == high:
            low, high = low * 0.95, high * 1.05 or 1
        _, _, patches = axis.hist(trips, bins=bins, range=(low, high), color=BLUE, label="segments")
        handles = [patches[0]]
        for value, style, label in (
            (cuts[49], "-", f"median ({duration(cuts[49] / 1e3)})"),
            (cuts[94], "--", f"95th percentile ({duration(cuts[94] / 1e3)})"),
        ):
            handles.append(axis.axvline(value, color=RED, linestyle=style, label=label))
        axis.set_xlabel("from a segment to the acknowledgement that covers it, ms")
        axis.set_ylabel("segments")
        axis.margins(x=0.01)
        picture.legend(handles)
