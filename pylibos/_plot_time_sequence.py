# SPDX-License-Identifier: GPL-2.0-only
"""The time-sequence diagram of a TCP connection, as tcptrace and Wireshark draw it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from pylibos._plot_style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MANY_MARKS,
    ORANGE,
    PURPLE,
    RED,
    Picture,
    amount,
    duration,
    scaled,
)
from pylibos._tcp_trace import DataPoint, Trace, read_traces

# Up to so many segments in view, both ends of each are marked.
_FEW = 400
# More marks of one kind than this are drawn small.
_SPARSE = 60


def choose(traces: list[Trace], flow: str | None, path: str | os.PathLike[str]) -> Trace:
    """The trace whose ends hold a text, the largest one without it.

    Raises:
        ValueError: there is none.
    """
    if not traces:
        raise ValueError(f"{os.fspath(path)} holds no TCP connection that carries data.")
    if flow is None:
        return traces[0]
    wanted = flow.replace("->", "→").replace(" ", "")
    for trace in traces:
        if wanted in trace.name.replace(" ", ""):
            return trace
    names = "; ".join(trace.name for trace in traces[:10])
    raise ValueError(f"{os.fspath(path)} holds no flow {flow!r}; it holds {names}.")


class _Drawing:
    """Draws one trace into one panel."""

    def __init__(self, axis: Any, trace: Trace, window: tuple[float, float], raster: bool) -> None:
        self.axis = axis
        self.trace = trace
        self.first, self.last = window
        self.raster = raster
        self.handles: list[Any] = []
        self.data = [point for point in trace.data if self.visible(point.time_ns)]
        top = max((point.end for point in self.data), default=1)
        self.divisor, self.unit = scaled(top)

    def seconds(self, time_ns: int) -> float:
        return (time_ns - self.trace.start_ns) / 1e9

    def visible(self, time_ns: int) -> bool:
        return self.first <= self.seconds(time_ns) <= self.last

    def lines(self, spans: list[tuple[int, int, int]], color: str, width: float, z: int) -> None:
        """Vertical lines: time, from, to."""
        from matplotlib.collections import LineCollection

        if not spans:
            return
        lines = [
            [(self.seconds(when), low / self.divisor), (self.seconds(when), high / self.divisor)]
            for when, low, high in spans
        ]
        collection = LineCollection(lines, colors=color, linewidths=width, zorder=z)
        collection.set_rasterized(self.raster and len(lines) > MANY_MARKS)
        self.axis.add_collection(collection)
        if len(spans) <= _FEW and width >= 1:
            for side in (1, 2):
                xs = [self.seconds(span[0]) for span in spans]
                ys = [span[side] / self.divisor for span in spans]
                self.axis.plot(
                    xs, ys, linestyle="", marker="_", markersize=4, color=color, zorder=z
                )

    def key(self, label: str, color: str, **style: Any) -> None:
        from matplotlib.lines import Line2D

        options: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 9}
        options |= {"markeredgewidth": 1.8} | style
        self.handles.append(Line2D([], [], color=color, label=label, **options))

    def segments(self) -> None:
        def spans(points: Iterable[DataPoint]) -> list[tuple[int, int, int]]:
            return [(point.time_ns, point.start, point.end) for point in points]

        fresh = [point for point in self.data if not point.again]
        again = [point for point in self.data if point.again]
        lost = [point for point in self.data if point.lost]
        self.lines(spans(fresh), BLUE, 1.4, 4)
        self.key(f"segments ({len(fresh):,})", BLUE)
        if again:
            self.lines(spans(again), RED, 1.8, 6)
            self._marks(again, "^", RED, 5, 6)
            self.key(f"sent again ({len(again):,})", RED, marker="^", markersize=6)
        if lost:
            self._marks(lost, "x", BLACK, 6, 7)
            told = any(point.lost != "sent again" for point in lost)
            name = "lost" if told else "taken for lost"
            self.key(f"{name} ({len(lost):,})", BLACK, marker="x", markersize=6)

    def _marks(self, points: list[DataPoint], marker: str, color: str, size: float, z: int) -> None:
        xs = [self.seconds(point.time_ns) for point in points]
        ys = [(point.start + point.end) / 2 / self.divisor for point in points]
        self.axis.plot(
            xs,
            ys,
            linestyle="",
            marker=marker,
            markersize=size if len(points) <= _SPARSE else size / 2,
            markeredgewidth=1.4 if len(points) <= _SPARSE else 0.9,
            color=color,
            zorder=z,
        )

    def acknowledgements(self) -> None:
        acks = [point for point in self.trace.acks if not point.lost]
        xs = [self.seconds(point.time_ns) for point in acks]
        steps = {"where": "post", "linewidth": 1.2}
        (line,) = self.axis.step(
            xs,
            [point.ack / self.divisor for point in acks],
            color=GREY,
            zorder=3,
            label="acknowledged",
            **steps,
        )
        line.set_rasterized(self.raster and len(acks) > MANY_MARKS)
        self.handles.append(line)
        limits = [(x, p.limit) for x, p in zip(xs, acks, strict=True) if p.limit is not None]
        if limits:
            (line,) = self.axis.step(
                [x for x, _ in limits],
                [limit / self.divisor for _, limit in limits],
                color=GREEN,
                zorder=2,
                label="receiver's window",
                **steps,
            )
            line.set_rasterized(self.raster and len(acks) > MANY_MARKS)
            self.handles.append(line)
        visible = [point for point in acks if self.visible(point.time_ns)]
        blocks = [(point.time_ns, *block) for point in visible for block in point.sack]
        if blocks:
            self.lines(blocks, ORANGE, 0.8, 3)
            self.key("SACK blocks", ORANGE, markeredgewidth=1.2)
        again = [(p.time_ns, *p.duplicate) for p in visible if p.duplicate is not None]
        if again:
            self.lines(again, PURPLE, 1.6, 6)
            self.key(f"duplicates reported ({len(again):,})", PURPLE)
        lost = [p for p in self.trace.acks if p.lost and self.visible(p.time_ns)]
        if lost:
            self.axis.plot(
                [self.seconds(point.time_ns) for point in lost],
                [point.ack / self.divisor for point in lost],
                linestyle="",
                marker="x",
                markersize=4,
                color=GREY,
                zorder=5,
            )
            self.key(f"lost acknowledgements ({len(lost):,})", GREY, marker="x", markersize=5)

    def limits(self) -> None:
        """Fit what is in view; a window far above the data must not squeeze it."""
        low = min((point.start for point in self.data), default=0)
        high = max((point.end for point in self.data), default=1)
        if self.first <= 0:
            low = min(low, 0)
        margin = (high - low) * 0.04 or 1
        windows = [
            point.limit
            for point in self.trace.acks
            if point.limit is not None and self.visible(point.time_ns)
        ]
        top = high + margin
        if windows:
            top = max(top, min(max(windows) + margin, high + (high - low) * 0.15))
        self.axis.set_ylim((low - margin) / self.divisor, top / self.divisor)


def time_sequence(
    capture_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    flow: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    title: str | None = None,
) -> None:
    """Draw what a TCP connection sent, lost, sent again and had acknowledged over time.

    Args:
        capture_path: pcapng or pcap; best of the sender's interface, or of its link.
        path: picture, .png or .svg.
        flow: text that the ends of the wanted direction hold, such as "10.0.0.1:80 ->";
            None: the direction that carries most.
        start_s, end_s: part to show, in s since the connection's first packet.
        title: None: the connection's ends.

    Raises:
        ValueError: no such flow, or no such format.
    """
    trace = choose(read_traces(capture_path), flow, capture_path)
    last_ns = max(trace.data[-1].time_ns, trace.acks[-1].time_ns if trace.acks else 0)
    end = (last_ns - trace.start_ns) / 1e9
    window = (start_s or 0.0, end if end_s is None else end_s)
    again = sum(point.again for point in trace.data)
    seconds = max((trace.data[-1].time_ns - trace.data[0].time_ns) / 1e9, 1e-9)
    subtitle = (
        f"{amount(trace.payload_bytes)} in {duration(seconds)}, "
        f"{trace.payload_bytes * 8 / seconds / 1e6:.3g} Mbit/s; "
        f"{again:,} of {len(trace.data):,} segments sent again"
    )
    with Picture(path, title=title or trace.name, subtitle=subtitle) as picture:
        (axis,) = picture.axes
        drawing = _Drawing(axis, trace, window, os.fspath(path).lower().endswith(".svg"))
        drawing.segments()
        drawing.acknowledgements()
        drawing.limits()
        margin = (window[1] - window[0]) * 0.01 or 0.001
        axis.set_xlim(window[0] - margin, window[1] + margin)
        axis.set_xlabel("time since the connection's first packet, s")
        axis.set_ylabel(f"sequence number, {drawing.unit}")
        picture.legend(drawing.handles)
