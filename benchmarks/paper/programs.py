# SPDX-License-Identifier: GPL-2.0-only
"""The C programs of these measurements: compiled when they are older than their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "benchmarks" / "c" / "paper"
OUT = ROOT / "build" / "benchmarks" / "paper"
_FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]


def _compile(result: Path, sources: list[Path], options: list[str]) -> Path:
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if result.exists() and result.stat().st_mtime > newest:
        return result
    OUT.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    # Renamed when it is whole: another process may compile it, too.
    unfinished = result.with_suffix(f".{os.getpid()}")
    command = [compiler, *_FLAGS, *options, "-o", str(unfinished), *map(str, sources)]
    subprocess.run(command, check=True)
    unfinished.replace(result)
    return result


def program(name: str) -> Path:
    """Compile "tester" or "relay" with all kinds of ports; return the program."""
    ports = sorted(SOURCES.glob("port*.c"))
    return _compile(OUT / name, [SOURCES / f"{name}.c", SOURCES / "traffic.c", *ports], [])


def socket_loops() -> Path:
    """Compile the loops on a UDP socket; return the shared library."""
    sources = [SOURCES / "socket_loops.c", SOURCES / "traffic.c"]
    return _compile(OUT / "socket_loops.so", sources, ["-shared", "-fPIC"])
