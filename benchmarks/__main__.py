# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks NAME... [--json FILE] [--record]``; NAME is "all" or from "list".

``python -m benchmarks soak --minutes 10`` measures nothing: it loads a router for a time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import soak
from benchmarks.figure import Figure, Measurement, Setting, machine
from benchmarks.figures import FIGURES
from pylibos import _library

MORE_IS_BETTER = ("Gbit/s", "Mbit/s", "Mpps", "of relay", "of native")
HISTORY = Path(__file__).resolve().parent / "history"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=["all"], metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--record", action="store_true", help="append them to benchmarks/history")
    parser.add_argument("--kernel", default="6.12", help="series to measure")
    parser.add_argument("--rounds", type=int, default=9, help="repetitions from Python")
    parser.add_argument("--minutes", type=float, default=10, help="of soak")
    return parser.parse_args()


def choose(names: list[str]) -> list[Figure]:
    """Turn names into figures."""
    if "all" in names:
        return [figure for figure in FIGURES.values() if not figure.by_name_only]
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise SystemExit(f"There is no figure {unknown[0]!r}; 'python -m benchmarks list' has all.")
    return [FIGURES[name] for name in names]


def find_images(kernel: str, rounds: int) -> Setting:
    """The lean and the default image of a series."""
    paths = {image.profile: image.path for image in _library.images() if image.kernel == kernel}
    return Setting(paths.get("lean"), paths.get("defconfig"), rounds, kernel)


def add_row(table: Table, figure: Figure, item: Measurement, all_items: list[Measurement]) -> None:
    """Write one row: the library's number, native's beside it, and the goal."""
    peers = {other.who: other for other in all_items if other.name == item.name}
    native, relay = peers.get("native"), peers.get("relay")
    goal = figure.goals.get(item.name)
    more = item.unit in MORE_IS_BETTER
    reached = ""
    if goal is not None:
        good = item.median >= goal if more else item.median <= goal
        reached = f"[green]{goal:g}[/]" if good else f"[red]{goal:g}[/]"
    table.add_row(
        item.name,
        f"{item.median:,.2f}",
        f"{item.best:,.2f}",
        item.unit,
        f"{native.median:,.2f}" if native else f"{relay.median:,.2f} relay" if relay else "",
        _ratio(item, native),
        reached,
    )


def _ratio(item: Measurement, native: Measurement | None) -> str:
    """How many times better than native it is."""
    if native is None or not item.median or not native.median:
        return ""
    ratio = item.median / native.median
    return f"{ratio if item.unit in MORE_IS_BETTER else 1 / ratio:.1f}"


def main() -> int:
    options = parse()
    console = Console()
    if options.names == ["list"]:
        for figure in FIGURES.values():
            console.print(f"{figure.name:26} {figure.about}", highlight=False)
        return 0
    if options.names == ["soak"]:
        return soak.run(options.minutes, options.kernel, "lean", console)
    # One core for all, so that library and native have the same.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    setting = find_images(options.kernel, options.rounds)
    table = Table("figure", "median", "best", "unit", "native", "times", "goal")
    found: list[Measurement] = []
    for figure in choose(options.names):
        with console.status(f"{figure.name}: {figure.about}"):
            items = figure.run(setting)
        for item in items:
            if item.who == "library":
                add_row(table, figure, item, items)
        found += items
    console.print(table)
    record = {
        "time": int(time.time()),
        "machine": machine(),
        "kernel": options.kernel,
        "figures": [asdict(item) for item in found],
    }
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if options.record:
        HISTORY.mkdir(exist_ok=True)
        with (HISTORY / "figures.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
