# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.profile FIGURE WORD``: where the time of a figure goes, by perf(1).

FIGURE is a program of ``benchmarks/c``, WORD a part of the name of one of its figures, such as
``udp_three_kernels batch``. Kernels are told apart by where they are mapped, in the order of
their boot. Functions come with their share of the figure: for times in its own unit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.from_c import compile_program
from pylibos import _library

MAPPING = re.compile(r"PERF_RECORD_MMAP2 .*\[0x([0-9a-f]+)\(0x([0-9a-f]+)\).*: r-xp (\S+)")
SAMPLE = re.compile(r"^\s*([0-9a-f]+) (\S+) .*\((\S+)\)$")
SAMPLES_PER_S = 4000


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("figure")
    parser.add_argument("word")
    parser.add_argument("--kernel", default="6.12", help="series to measure")
    parser.add_argument("--profile", default="lean")
    parser.add_argument("--top", type=int, default=12, help="functions to show of each part")
    return parser.parse_args()


def unstripped(kernel: str, profile: str) -> Path:
    """The library with its symbols, which runs as well as the one without."""
    for image in _library.images():
        if (image.kernel, image.profile) == (kernel, profile):
            return image.path.with_suffix(".so.debug")
    raise SystemExit(f"Build it first: make KERNEL={kernel} PROFILE={profile} liblinux.so")


def record(program: Path, image: Path, word: str, data: Path) -> dict[str, str | float]:
    """Run the program under perf; the figure that it printed."""
    if shutil.which("perf") is None:
        raise SystemExit("There is no perf; install the package linux-perf and run this again.")
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S)]
    command += ["-o", str(data), "--", str(program), str(image), word]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = output.splitlines()
    if not lines:
        raise SystemExit(f"{program.name} has no figure whose name holds {word!r}.")
    figure: dict[str, str | float] = json.loads(lines[-1])
    return figure


def parts_of(data: Path, image: Path) -> dict[str, Counter[str]]:
    """Samples by part (a kernel, a library, the host's kernel) and function."""
    command = ["perf", "script", "--show-mmap-events", "-F", "comm,event,ip,sym,dso"]
    output = subprocess.run(
        [*command, "-i", str(data)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    mappings: list[range] = []
    kernels: dict[int, Counter[str]] = {}
    parts: dict[str, Counter[str]] = {}
    for line in output.splitlines():
        if (mapping := MAPPING.search(line)) is not None:
            if mapping[3] == str(image):
                start = int(mapping[1], 16)
                mappings.append(range(start, start + int(mapping[2], 16)))
        elif (sample := SAMPLE.match(line.rpartition("cpu-clock:")[2])) is not None:
            address, function = int(sample[1], 16), sample[2].partition("+")[0]
            kernel = next((m for m in reversed(mappings) if address in m), None)
            if kernel is not None:
                part = kernels.setdefault(mappings.index(kernel), Counter())
            else:
                part = parts.setdefault(Path(sample[3].strip("[]")).name, Counter())
            part[function] += 1
    # The image is mapped once more than kernels boot, to look at it.
    for number, key in enumerate(sorted(kernels), 1):
        parts[f"kernel {number}"] = kernels[key]
    return parts


def main() -> None:
    options = parse()
    console = Console()
    image = unstripped(options.kernel, options.profile)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        figure = record(compile_program(options.figure), image, options.word, data)
        parts = parts_of(data, image)
    total = sum(sum(part.values()) for part in parts.values())
    median, unit = float(figure["median"]), str(figure["unit"])
    scale = median if unit == "ns" else 100
    console.print(
        f"{figure['benchmark']}: {median:g} {unit}; below in {unit if scale == median else '%'}"
    )
    for name, part in sorted(parts.items(), key=lambda item: -sum(item[1].values())):
        share = sum(part.values()) / total
        if share < 0.01:
            continue
        table = Table(f"{name}: {share * scale:.1f}", "", box=None)
        for function, samples in part.most_common(options.top):
            table.add_row(f"  {function}", f"{samples / total * scale:.1f}")
        console.print(table)


if __name__ == "__main__":
    main()
