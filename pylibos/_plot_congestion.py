# SPDX-License-Identifier: GPL-2.0-only
"""What a probe saw of congestion control: windows, round-trip times, rates, retransmissions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from pylibos._plot_style import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Picture,
    amount,
    duration,
)
from pylibos._tcp_info import CongestionState

if TYPE_CHECKING:
    from pylibos._probe import Probe
    from pylibos._probe_row import ProbeRow

# More rows than a picture has columns are thinned; every change stays within a column.
_COLUMNS = 4000
_RATE_STEPS = 80
_MBIT = 8 / 1e6
# So many recoveries can be told apart as background; so many points need thin lines.
_MANY_SPANS, _MANY_POINTS = 100, 1500
_SHADES = {CongestionState.RECOVERY: ORANGE, CongestionState.LOSS: RED}


def _thin(rows: list[ProbeRow]) -> list[ProbeRow]:
    """Leave out rows in which nothing drawn changed, and then all but so many."""
    kept = [
        row
        for before, row, after in zip(rows, rows[1:], rows[2:], strict=False)
        if not (_drawn(before) == _drawn(row) == _drawn(after))
    ]
    kept = [rows[0], *kept, rows[-1]] if len(rows) > 1 else rows
    step = -(-len(kept) // _COLUMNS)
    return [*kept[::step], kept[-1]] if step > 1 else kept


def _drawn(row: ProbeRow) -> tuple[Any, ...]:
    return (
        row.cwnd,
        row.ssthresh,
        row.in_flight,
        row.srtt_us,
        row.rttvar_us,
        row.min_rtt_us,
        row.pacing_rate_bytes_s,
        row.ca_state,
        row.retransmits,
    )


def _maybe(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


class _Panels:
    """Draws into the three panels of a picture."""

    def __init__(self, picture: Picture, start_ns: int) -> None:
        self.window, self.rtt, self.rate = picture.axes
        self.start_ns = start_ns
        self.handles: list[Any] = []

    def seconds(self, row: ProbeRow) -> float:
        return (row.time_ns - self.start_ns) / 1e9

    def line(self, axis: Any, xs: list[float], ys: list[float], label: str, **style: Any) -> None:
        width = 1.4 if len(xs) <= _MANY_POINTS else 0.8
        options = {"where": "post", "linewidth": width} | style
        (line,) = axis.step(xs, ys, label=label, **options)
        self.handles.append(line)

    def acked_rate(self, rows: list[ProbeRow]) -> tuple[list[float], list[float]]:
        """Mbit/s of acknowledged bytes over steps of equal length."""
        step = max(len(rows) // _RATE_STEPS, 1)
        picked = rows[::step]
        xs, ys = [], []
        for before, row in pairwise(picked):
            span_ns = row.time_ns - before.time_ns
            xs.append(self.seconds(before))
            ys.append((row.acked_bytes - before.acked_bytes) * _MBIT * 1e9 / span_ns)
        return ([*xs, self.seconds(picked[-1])], [*ys, ys[-1]]) if xs else ([], [])

    def single(self, rows: list[ProbeRow]) -> None:
        """One connection, with all there is to see."""
        thin = _thin(rows)
        xs = [self.seconds(row) for row in thin]
        self.shade(rows)
        self.line(self.window, xs, [row.cwnd for row in thin], "congestion window", color=BLUE)
        limits = _maybe([row.ssthresh for row in thin])
        self.line(
            self.window, xs, limits, "slow start threshold", color=GREEN, linestyle="--", zorder=1.5
        )
        flights = self.window.fill_between(
            xs,
            [row.in_flight for row in thin],
            step="post",
            color=SKY,
            alpha=0.35,
            linewidth=0,
            label="in flight",
        )
        self.handles.append(flights)
        measured = [row for row in thin if row.srtt_us]
        xs = [self.seconds(row) for row in measured]
        middle = [row.srtt_us / 1e3 for row in measured]
        self.line(self.rtt, xs, middle, "smoothed RTT", color=PURPLE)
        band = self.rtt.fill_between(
            xs,
            [max(row.srtt_us - row.rttvar_us, 0) / 1e3 for row in measured],
            [(row.srtt_us + row.rttvar_us) / 1e3 for row in measured],
            step="post",
            color=PURPLE,
            alpha=0.2,
            linewidth=0,
            label="± RTT variation",
        )
        self.handles.append(band)
        least = _maybe([row.min_rtt_us and row.min_rtt_us / 1e3 for row in measured])
        self.line(self.rtt, xs, least, "least RTT", color=BLACK, linestyle=":", linewidth=1.2)
        self.rates(rows, measured)

    def rates(self, rows: list[ProbeRow], measured: list[ProbeRow]) -> None:
        xs, ys = self.acked_rate(rows)
        self.line(self.rate, xs, ys, "acknowledged", color=BLUE, linewidth=1.4, zorder=3)
        top = max(ys, default=0)
        pacing = [row.pacing_rate_bytes_s and row.pacing_rate_bytes_s * _MBIT for row in measured]
        xs = [self.seconds(row) for row in measured]
        self.line(self.rate, xs, _maybe(pacing), "pacing rate", color=GREY, linewidth=0.7)
        # Before the first round trip is known pacing is far above all else.
        usual = sorted(value for value in pacing if value)
        if usual:
            top = max(top, min(usual[-1], usual[len(usual) // 2] * 3))
        self.rate.set_ylim(0, top * 1.08 or 1)

    def shade(self, rows: list[ProbeRow]) -> None:
        """Recoveries as background; where there are many, as ticks at the top."""
        from matplotlib.patches import Patch

        step_s = (rows[1].time_ns - rows[0].time_ns) / 1e9 if len(rows) > 1 else 0
        spans: dict[CongestionState, list[tuple[float, float]]] = {}
        for state, group in groupby(rows, key=lambda row: row.ca_state):
            if state in _SHADES:
                items = list(group)
                span = (self.seconds(items[0]), self.seconds(items[-1]) + step_s)
                spans.setdefault(state, []).append(span)
        many = sum(map(len, spans.values())) > _MANY_SPANS
        for state, found in spans.items():
            style: Any = {"color": _SHADES[state], "linewidth": 0}
            if many:
                self._ticks([start for start, _ in found], _SHADES[state])
            else:
                style["alpha"] = 0.25
                for start, end in found:
                    for axis in (self.window, self.rtt, self.rate):
                        axis.axvspan(start, end, zorder=0.5, **style)
            name = "fast recovery" if state is CongestionState.RECOVERY else "timeout recovery"
            times = "once" if len(found) == 1 else f"{len(found):,} times"
            self.handles.append(Patch(label=f"{name} ({times})", **style))

    def _ticks(self, xs: list[float], color: str) -> None:
        """Ticks along the top of the first panel."""
        self.window.plot(
            xs,
            [0.985] * len(xs),
            transform=self.window.get_xaxis_transform(),
            linestyle="",
            marker="|",
            markersize=7,
            markeredgewidth=0.8,
            color=color,
            zorder=5,
        )

    def several(self, flows: list[list[ProbeRow]], names: list[str]) -> None:
        """Several connections, a colour for each."""
        for number, (rows, name) in enumerate(zip(flows, names, strict=True)):
            color = CYCLE[number % len(CYCLE)]
            thin = _thin(rows)
            xs = [self.seconds(row) for row in thin]
            self.line(self.window, xs, [row.cwnd for row in thin], name, color=color)
            rtts = _maybe([row.srtt_us / 1e3 if row.srtt_us else None for row in thin])
            self.rtt.step(xs, rtts, where="post", color=color, linewidth=1.2)
            self.rate.step(*self.acked_rate(rows), where="post", color=color, linewidth=1.2)
        self.rate.set_ylim(bottom=0)


def congestion(
    probe: Probe,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    flows: int = 6,
) -> None:
    """Draw congestion window, round-trip time and rate of what a probe followed.

    One connection is shown with its slow start threshold, data in flight, recoveries and
    pacing; several with a colour each.

    Args:
        probe: made by ``kernel.probe()``.
        path: picture, .png or .svg.
        title: None: the connection's ends.
        flows: how many connections to draw, those that sent most.

    Raises:
        ValueError: the probe has seen no connection, or there is no such format.
    """
    found = sorted(probe.flows().items(), key=lambda item: -item[1][-1].sent_bytes)
    if not found:
        raise ValueError("The probe has seen no connection; run the world while it is open.")
    shown = found[: max(flows, 1)]
    names = [f"{local} → {remote}" for (local, remote), _ in shown]
    series = [rows for _, rows in shown]
    with Picture(
        path,
        title=title or (names[0] if len(shown) == 1 else "Congestion control"),
        subtitle=_subtitle(series, len(found), probe.interval_ns),
        heights=(3, 2, 2),
        height_inches=7.6,
    ) as picture:
        panels = _Panels(picture, probe.start_ns)
        if len(shown) == 1:
            panels.single(series[0])
        else:
            panels.several(series, names)
        for axis, label in zip(
            picture.axes, ("window,\nsegments", "round-trip\ntime, ms", "rate, Mbit/s"), strict=True
        ):
            axis.set_ylabel(label)
            axis.margins(x=0.01)
        panels.window.set_ylim(bottom=0, top=panels.window.get_ylim()[1] * 1.04)
        low, high = panels.rtt.get_ylim()
        if low < high / 2:  # else the variation is what matters
            panels.rtt.set_ylim(bottom=0)
        picture.figure.align_ylabels(picture.axes)
        picture.axes[-1].set_xlabel("time since the probe began, s")
        picture.legend(panels.handles, columns=4 if len(shown) == 1 else 2)


def _subtitle(series: list[list[ProbeRow]], found: int, interval_ns: int) -> str:
    acked = sum(rows[-1].acked_bytes for rows in series)
    again = sum(rows[-1].retransmits for rows in series)
    seconds = max((max(rows[-1].time_ns for rows in series) - series[0][0].time_ns) / 1e9, 1e-9)
    shown = f"{found}" if found == len(series) else f"{len(series)} of {found}"
    what = "" if found == 1 else f"{shown} connections; "
    return (
        f"{what}{amount(acked)} acknowledged in {duration(seconds)}; {again:,} segments sent "
        f"again; a sample every {duration(interval_ns / 1e9)}"
    )
