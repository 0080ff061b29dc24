# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.paper [--quick] [--channels raw,tap] [--json FILE] [--out FOLDER]``.

Measures the figures of the NUSE paper's section 5 again, on this machine, and draws them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.figure import machine
from benchmarks.paper import charts, summary
from benchmarks.paper.runner import QUICK, Plan, Results, open_setups, run
from benchmarks.paper.setups import CHANNELS, choose_cores
from benchmarks.paper.topology import UnfitMachineError

VERSION = 1
OUT = Path("build/figures")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter trials")
    parser.add_argument(
        "--channels", default=",".join(CHANNELS), metavar="A,B", help="of %(default)s"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of 5, or 2 if quick")
    parser.add_argument("--kernel", default="6.12", help="series of the image of our stack")
    parser.add_argument("--profile", default="lean", help="of the image of our stack")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="results; default OUT/results.json"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help="for the charts")
    parser.add_argument(
        "--draw", type=Path, metavar="FILE", help="draw stored results, measure none"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    return parser.parse_args()


def make_plan(options: argparse.Namespace) -> Plan:
    """What to measure by the options.

    Raises:
        SystemExit: there is no such channel.
    """
    channels = tuple(name for name in options.channels.split(",") if name)
    for name in channels:
        if name not in CHANNELS:
            raise SystemExit(f"There is no channel {name!r}; there are {', '.join(CHANNELS)}.")
    plan = QUICK if options.quick else Plan()
    if options.rounds:
        plan = dataclasses.replace(plan, rounds=options.rounds)
    image = {"kernel": options.kernel, "profile": options.profile}
    return dataclasses.replace(plan, channels=channels, **image)


def measure(plan: Plan, console: Console) -> dict[str, object]:
    """Measure all, with a bar; the record for the JSON file."""
    cores, results = choose_cores(), Results()
    with ExitStack() as stack:
        with console.status("starting senders, boxes and receivers"):
            setups = open_setups(plan, cores, stack, results)
        for name, reason in results.skipped.items():
            console.print(f"[yellow]left out:[/] {name}: {reason}", highlight=False)
        if not setups:
            raise UnfitMachineError(next(iter(results.skipped.values()), "no channel is named"))
        minutes, seconds = divmod(round(plan.estimate_s(len(setups))), 60)
        console.print(f"{cores}; about {minutes} min {seconds} s", highlight=False)
        columns = (
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=plan.trials(len(setups)))

            def note(what: str) -> None:
                bar.update(task, advance=1, description=what)

            started = set(results.skipped)
            run(plan, setups, results, note)
        for name in results.skipped.keys() - started:
            console.print(f"[red]gave up:[/] {name}: {results.skipped[name]}", highlight=False)
    return {
        "version": VERSION,
        "time": int(time.time()),
        "machine": machine(),
        "cores": dataclasses.asdict(cores) | {"note": str(cores)},
        "plan": dataclasses.asdict(plan),
        "skipped": results.skipped,
        "trials": results.trials,
    }


def main() -> int:
    options = parse()
    console = Console()
    if options.draw is not None:
        record = json.loads(options.draw.read_text())
    else:
        start = time.monotonic()
        try:
            record = measure(make_plan(options), console)
        except UnfitMachineError as error:
            raise SystemExit(f"This machine can measure none of it: {error}.") from None
        console.print(f"measured in {time.monotonic() - start:.0f} s", highlight=False)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.draw is None:
        path = options.json or options.out / "results.json"
        path.write_text(json.dumps(record) + "\n")
        console.print(f"results: {path}", highlight=False)
    if options.markdown:
        print(summary.markdown(record))
    for table in () if options.markdown else summary.tables(record):
        console.print(table)
    for path in charts.draw(record, options.out):
        console.print(f"chart: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
