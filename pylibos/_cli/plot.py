# SPDX-License-Identifier: GPL-2.0-only
"""Draw a capture: time sequence, throughput, round-trip times; or list its flows."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pylibos import plot
from pylibos._errors import PylibosError
from pylibos._plot_throughput import read_flows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the pictures with their options."""
    kinds = parser.add_subparsers(dest="picture", required=True, metavar="PICTURE")
    for name, summary in (
        ("time-sequence", "segments, losses and acknowledgements of a TCP connection"),
        ("throughput", "what each flow carried over time"),
        ("rtt", "distribution of a TCP connection's round-trip times"),
        ("flows", "a list of the flows instead of a picture"),
    ):
        kind = kinds.add_parser(name, help=summary, description=summary)
        kind.add_argument("capture", type=Path, metavar="FILE", help="pcapng or pcap")
        if name != "flows":
            kind.add_argument(
                "-o", "--output", type=Path, required=True, help="picture, .png or .svg"
            )
            kind.add_argument("--title", help="instead of the flow's ends")
        if name in ("time-sequence", "rtt"):
            kind.add_argument(
                "--flow",
                help='text in its ends, such as "10.0.0.1:80 ->"; else the largest',
            )
        if name == "time-sequence":
            kind.add_argument("--start", type=float, metavar="S", help="first second to show")
            kind.add_argument("--end", type=float, metavar="S", help="last second to show")
        if name == "throughput":
            kind.add_argument("--interval-ms", type=float, help="over which to sum up")
            kind.add_argument("--flows", type=int, default=6, help="how many, the largest ones")


def run(options: argparse.Namespace) -> int:
    """Draw or list; 0 if that worked."""
    try:
        _run(options)
    except (ValueError, OSError) as error:
        raise PylibosError(str(error)) from error
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.picture == "flows":
        _list(options.capture)
    elif options.picture == "time-sequence":
        plot.time_sequence(
            options.capture,
            options.output,
            flow=options.flow,
            start_s=options.start,
            end_s=options.end,
            title=options.title,
        )
    elif options.picture == "throughput":
        plot.throughput(
            options.capture,
            options.output,
            interval_ms=options.interval_ms,
            flows=options.flows,
            title=options.title,
        )
    else:
        plot.rtt_histogram(options.capture, options.output, flow=options.flow, title=options.title)


def _list(path: Path) -> None:
    table = Table("protocol", "from", "to")
    for name in ("packets", "bytes"):
        table.add_column(name, justify="right")
    for flow in read_flows(path):
        ends = (Text(str(end) if end.port else end.address) for end in (flow.source, flow.target))
        table.add_row(flow.protocol, *ends, f"{len(flow.packets):,}", f"{flow.total_bytes:,}")
    Console().print(table)
