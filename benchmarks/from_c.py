# SPDX-License-Identifier: GPL-2.0-only
"""Benchmarks written in C: compiled once, run on one core, read as JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figure import Measurement
from pylibos import _library

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "benchmarks"


def compile_program(name: str, flags: Sequence[str] = ()) -> Path:
    """Compile benchmarks/c/NAME.c unless its program is newer; return the program."""
    source = ROOT / "benchmarks" / "c" / f"{name}.c"
    library = Path(_library.host()._name).resolve()
    program = OUT / name
    inputs = [library, *source.parent.iterdir(), *ROOT.glob("host/*.h"), *ROOT.glob("abi/*.h")]
    newest = max(path.stat().st_mtime for path in inputs)
    if program.exists() and program.stat().st_mtime > newest:
        return program
    OUT.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    folder = library.parent
    command = [compiler, "-O2", "-std=gnu11", "-D_GNU_SOURCE", f"-I{ROOT / 'abi'}"]
    command += [f"-I{ROOT / 'host'}", "-o", str(program), str(source), f"-L{folder}"]
    command += ["-lpylibos_host", f"-Wl,-rpath,{folder}", "-lpthread", *flags]
    subprocess.run(command, check=True)
    return program


def run_program(
    name: str, image: Path, suffix: str = "", flags: Sequence[str] = ()
) -> list[Measurement]:
    """Run a C benchmark on an image.

    Args:
        name: of its source, without .c.
        image: which liblinux.so.
        suffix: goes behind the names of its numbers.
        flags: of the compiler, beside the usual ones.
    """
    program = compile_program(name, flags)
    output = subprocess.run(
        [program, image], check=True, stdout=subprocess.PIPE, text=True, timeout=600
    ).stdout
    found = []
    for line in output.splitlines():
        item = json.loads(line)
        found.append(
            Measurement(
                item["benchmark"] + suffix, item["who"], item["unit"], item["median"], item["best"]
            )
        )
    return found
