# SPDX-License-Identifier: GPL-2.0-only
"""The C programs of these measurements: compiled when they are older than their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "benchmarks" / "c" / "paper"
OUT = ROOT / "build" / "benchmarks" / "paper"
_FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
_FLAGS += [f"-I{ROOT / 'abi'}", f"-I{ROOT / 'host'}"]


# Ports that need a library.
_OPTIONAL = {"libxdp": "port_xdp.c", "libdpdk": "port_dpdk.c"}


def _compile(
    result: Path, sources: list[Path], options: list[str], libraries: Sequence[str] = ()
) -> Path:
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if result.exists() and result.stat().st_mtime > newest:
        return result
    OUT.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    # Renamed when it is whole: another process may compile it, too.
    unfinished = result.with_suffix(f".{os.getpid()}")
    command = [compiler, *_FLAGS, *options, "-o", str(unfinished), *map(str, sources)]
    command += libraries
    subprocess.run(command, check=True)
    unfinished.replace(result)
    return result


def _library_flags(library: str) -> list[str] | None:
    """What pkg-config says of a library; None if it is not there."""
    try:
        command = ["pkg-config", "--cflags", "--libs", library]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.split() if done.returncode == 0 else None


def program(name: str, library: str = "") -> Path:
    """Compile "tester" or "relay" with all kinds of ports; return the program.

    Args:
        library: "libxdp" or "libdpdk", for the port that needs it.

    Raises:
        OSError: the library is not there.
    """
    ports = [
        path for path in sorted(SOURCES.glob("port*.c")) if path.name not in _OPTIONAL.values()
    ]
    sources = [SOURCES / f"{name}.c", SOURCES / "traffic.c", *ports]
    if not library:
        return _compile(OUT / name, sources, [])
    flags = _library_flags(library)
    if flags is None:
        raise OSError(f"a relay needs {library}; install the package {library}-dev")
    sources.append(SOURCES / _OPTIONAL[library])
    return _compile(OUT / f"{name}-{library}", sources, [f"-DHAVE_{library.upper()}"], flags)


def socket_loops() -> Path:
    """Compile the loops on a UDP socket; return the shared library."""
    sources = [SOURCES / "socket_loops.c", SOURCES / "traffic.c"]
    return _compile(OUT / "socket_loops.so", sources, ["-shared", "-fPIC"])
