# SPDX-License-Identifier: GPL-2.0-only
"""The paper's four charts and the loss curves, from stored results."""

from __future__ import annotations

import statistics
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.paper import papers
from benchmarks.paper.summary import (
    TESTS,
    UNITS,
    Key,
    Value,
    bound_by,
    channels_of,
    lost_part,
    native,
    sizes_of,
    values,
)
from pylibos._plot_style import _RC, BLUE, CYCLE, DPI, GREY, ORANGE, SKY

NATIVE_COLOUR, RELAY_COLOUR, STACK_COLOUR = ORANGE, SKY, BLUE
LOSS_COLOURS = ("#555555", "#BBBBBB", *CYCLE)
WIDE = 8.0  # ratio of values from which on an axis is logarithmic
PAPER: dict[str, tuple[str, dict[str, float]]] = {
    "routing": ("Mbit/s", papers.ROUTING_MBIT),
    "sending": ("Mbit/s", papers.SENDING_MBIT),
    "sending_delay": ("µs", papers.SENDING_DELAY_US),
}
ABOUT = {
    "routing": "UDP through the box: the most that came through at any offered load.",
    "routing_delay": "One packet at a time through the box and back: median round trip.",
    "sending": "UDP from one socket of an application in the box, by sendmmsg() of 64.",
    "sending_delay": "A datagram from an application in the box to a neighbour and back: median.",
}


def draw(record: dict[str, Any], folder: Path) -> list[Path]:
    """Draw all charts as PNG files; return their paths."""
    found = values(record)
    paths = []
    with mpl.rc_context(_RC):
        for test in TESTS:
            paths.append(folder / f"{test}.png")
            _bars(record, found, test).savefig(paths[-1], dpi=DPI, metadata={"Software": None})
        paths.append(folder / "loss.png")
        _loss(record).savefig(paths[-1], dpi=DPI, metadata={"Software": None})
    return paths


def _figure(columns: int, height: float, title: str, below: str) -> tuple[Any, Any]:
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(4 * columns, height), layout=layout)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    wrapped = "\n".join(textwrap.fill(line, 56 * columns) for line in below.splitlines())
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=8.5, color="#555555")
    return figure, axes


def _footer(record: dict[str, Any], about: str) -> str:
    machine, plan = record["machine"], record["plan"]
    return (
        f"{about}\n{machine['cpu']}, Linux {machine['kernel']}; {record['cores']['note']}. "
        f"Medians of {plan['rounds']} interleaved rounds, whiskers from least to greatest. "
        "Sizes are those of the IPv4 packet.\n"
        "relay: a plain program in C moves the frames, which is what the channel allows. "
        "native: the host's kernel with veth pairs in the place of the channel; it has no process "
        "boundary to cross, and routes on the sender's core unless steered (RPS)."
    )


def _bars(record: dict[str, Any], found: dict[Key, Value], test: str) -> Any:
    """One panel for each size, and the paper's own figures beside them."""
    sizes, names = sizes_of(record), channels_of(record)
    papers_own = PAPER.get(test)
    columns = len(sizes) + (papers_own is not None)
    height = max(3.2 + 0.42 * len(names), 4.4)
    title = f"{TESTS[test][0].upper()}{TESTS[test][1:]}"
    figure, axes = _figure(columns, height, title, _footer(record, ABOUT[test]))
    for axis, size in zip(axes, sizes, strict=False):
        _panel(axis, found, test, size, names)
        axis.set_title(f"{size} bytes")
        scale = ", logarithmic" if axis.get_xscale() == "log" else ""
        axis.set_xlabel(f"{UNITS[test]}{scale}")
    if papers_own is not None:
        _paper_panel(axes[-1], *papers_own)
    handles = [
        Patch(color=STACK_COLOUR, label="our stack (pylibos)"),
        Patch(color=RELAY_COLOUR, label="relay: the channel without a stack"),
        Line2D([], [], color=NATIVE_COLOUR, linewidth=2, label="native: the host's kernel"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3)
    return figure


def _panel(axis: Any, found: dict[Key, Value], test: str, size: int, names: list[str]) -> None:
    host = native(found, test, size)
    marks = []
    for place, channel in enumerate(names):
        for who, offset, colour in (("relay", 0.2, RELAY_COLOUR), ("stack", -0.2, STACK_COLOUR)):
            value = found.get((test, channel, who, "epoll", size))
            if value is None:
                continue
            _bar(axis, place - offset, value, colour)
            marks.append((place - offset, value, who, channel))
    most = max([value.high for _, value, *_ in marks] + ([host.high] if host else []), default=1)
    if host is not None:
        axis.axvline(host.median, color=NATIVE_COLOUR, linewidth=2, zorder=3)
        axis.axvspan(host.low, host.high, color=NATIVE_COLOUR, alpha=0.15, zorder=0, linewidth=0)
        axis.text(
            host.median, -0.52, f" {host.median:.3g}", color="#A06A00", fontsize=7.5, va="center"
        )
    for y, value, who, channel in marks:
        text = f" {value.median:.3g}"
        if who == "stack":
            if host is not None:
                text += f" = {_times(value.median / host.median)} native"
            bound = bound_by(found, test, channel, size)
            text += f", bound by the {bound}" if bound else ""
        axis.text(value.high, y, text, va="center", fontsize=7.5, zorder=4)
    least = min(
        [value.median for _, value, *_ in marks] + ([host.median] if host else []), default=1
    )
    if least and most / least > WIDE:
        axis.set_xscale("log")
        axis.set_xlim(least / 3, most * (most / least) ** 1.1)
        axis.xaxis.set_major_formatter("{x:g}")
    else:
        axis.set_xlim(0, most * 1.75)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.7)
    axis.grid(visible=False, axis="y")


def _times(ratio: float) -> str:
    return f"{ratio:.0%} of" if ratio < 2 else f"{ratio:.1f} times"


def _bar(axis: Any, y: float, value: Value, colour: str) -> None:
    axis.barh(y, value.median, height=0.36, color=colour, zorder=2)
    error = [[value.median - value.low], [value.high - value.median]]
    axis.errorbar(value.median, y, xerr=error, color="#333333", linewidth=0.9, capsize=2, zorder=3)


def _paper_panel(axis: Any, unit: str, figures: dict[str, float]) -> None:
    names = [name for name in figures if name != "native"]
    host = figures["native"]
    for place, name in enumerate(names):
        axis.barh(place, figures[name], height=0.5, color=GREY, zorder=2)
        ratio = figures[name] / host
        axis.text(
            figures[name],
            place,
            f" {figures[name]:g} = {_times(ratio)} native",
            va="center",
            fontsize=7.5,
        )
    axis.axvline(host, color=NATIVE_COLOUR, linewidth=2)
    axis.set_xlim(0, max(figures.values()) * 1.35)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.7)
    axis.set_title(f"The paper, 2014: {papers.SIZE} bytes")
    axis.set_xlabel(f"{unit}, over 10 Gbit/s Ethernet")
    axis.grid(visible=False, axis="y")


def _loss(record: dict[str, Any]) -> Any:
    """What was lost at each offered load, one panel for each size."""
    sizes = sizes_of(record)
    figure, axes = _figure(
        len(sizes),
        5.2,
        "Loss by offered load",
        _footer(record, "UDP through the box; a frame counts as lost wherever that happened."),
    )
    curves = _curves(record)
    names = list(dict.fromkeys(channel for channel, _, _ in curves))
    for axis, size in zip(axes, sizes, strict=True):
        for (channel, who, of), points in curves.items():
            if of != size:
                continue
            axis.plot(
                *zip(*points, strict=True),
                color=LOSS_COLOURS[names.index(channel) % len(LOSS_COLOURS)],
                linestyle="--" if who == "relay" else "-",
                marker=".",
                markersize=4,
                linewidth=1.2,
            )
        axis.set_title(f"{size} bytes")
        axis.set_xlabel("offered, Mpps")
        axis.set_ylabel("lost, %")
        axis.set_ylim(bottom=-1)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    handles = [
        Line2D(
            [],
            [],
            color=LOSS_COLOURS[names.index(name) % len(LOSS_COLOURS)],
            label="native, RPS" if name == "native-steered" else name,
        )
        for name in names
    ]
    handles.append(Line2D([], [], color="#333333", linestyle="--", label="relay without a stack"))
    figure.legend(handles=handles, loc="outside upper right", ncols=(len(handles) + 1) // 2)
    return figure


def _curves(record: dict[str, Any]) -> dict[tuple[str, str, int], list[tuple[float, float]]]:
    """Offered load in Mpps and lost frames in percent: medians over rounds, load by load."""
    found: dict[tuple[str, str, int], dict[int, list[dict[str, Any]]]] = {}
    for trial in record["trials"]:
        # Without a rate it offers again and again to a channel that is full.
        if trial["test"] == "routing" and trial["wait"] == "epoll" and trial["asked_pps"]:
            key = (trial["channel"], trial["who"], trial["size"])
            found.setdefault(key, {}).setdefault(trial["round"], []).append(trial)
    return {
        key: sorted(
            (
                statistics.median(trial["offered_pps"] / 1e6 for trial in loads),
                statistics.median(100 * lost_part(trial) for trial in loads),
            )
            for loads in zip(*rounds.values(), strict=False)
        )
        for key, rounds in found.items()
    }
