# SPDX-License-Identifier: GPL-2.0-only
"""Unmodified programs on a stack, against the same programs in a network namespace over veth."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Measurement, Setting, median_of
from benchmarks.from_c import compile_program

PYLIBOS = (sys.executable, "-m", "pylibos")
ROOT = Path(__file__).resolve().parent.parent
PEER, STACK, NATIVE_PEER, NATIVE = "10.9.0.1", "10.9.0.2", "10.8.0.1", "10.8.0.2"
LIMIT_S = 120


def _run(*words: str, **options: Any) -> str:
    given = {"check": True, "stdout": subprocess.PIPE, "text": True, "timeout": LIMIT_S}
    done = subprocess.run(words, **{**given, **options})
    output: str = done.stdout
    return output


class Bench:
    """A peer in a namespace: a stack at a tap of it, a native namespace at a veth pair."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        image = setting.default or setting.image()
        number = os.getpid()
        self.peer, self.native = f"plp{number}", f"pln{number}"
        self.environment = {
            **os.environ,
            "PYLIBOS_RUN_DIR": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        self.folder = folder
        tap, near, far = f"plt{number}", f"plv{number}", f"plw{number}"
        try:
            for name in (self.peer, self.native):
                _run("ip", "netns", "add", name)
                _run("ip", "-n", name, "link", "set", "lo", "up")
            _run(*PYLIBOS, "stack", "start", "bench", "--kernel", str(image), "--device",
                 f"tap:{tap}", "--address", f"{STACK}/24", env=self.environment)  # fmt: skip
            _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
            for interface, name, address in (
                (tap, self.peer, PEER),
                (near, self.peer, NATIVE_PEER),
                (far, self.native, NATIVE),
            ):
                _run("ip", "link", "set", interface, "netns", name)
                _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", interface)
                _run("ip", "-n", name, "link", "set", interface, "up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove all of it."""
        quiet: dict[str, Any] = {"check": False, "stderr": subprocess.DEVNULL}
        _run(*PYLIBOS, "stack", "stop", "bench", env=self.environment, **quiet)
        for name in (self.peer, self.native):
            _run("ip", "netns", "del", name, **quiet)

    def at_peer(self, *words: str) -> str:
        """Run a program in the peer's namespace; its output."""
        return _run("ip", "netns", "exec", self.peer, *words)

    @contextlib.contextmanager
    def server(self, who: str, *words: str) -> Iterator[None]:
        """A server on the stack, or natively, during the block."""
        run: tuple[str, ...] = ("ip", "netns", "exec", self.native)
        if who == "library":
            run = (*PYLIBOS, "run", "--stack", "bench", "--")
        null = subprocess.DEVNULL
        with subprocess.Popen(
            [*run, *words], env=self.environment, cwd=self.folder, stdin=null, stdout=null
        ) as program:
            try:
                time.sleep(1)  # until it listens
                yield
            finally:
                program.terminate()


@contextlib.contextmanager
def _bench(setting: Setting, *programs: str) -> Iterator[Bench | None]:
    missing = [name for name in ("ip", *programs) if shutil.which(name) is None]
    if missing or os.geteuid():
        print(f"left out: needs root and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pylibos-bench-") as folder:
        bench = Bench(setting, Path(folder))
        try:
            yield bench
        finally:
            bench.close()


def program_call(setting: Setting) -> list[Measurement]:
    """One network system call of an unmodified program, on a stack of its own and natively."""
    program = str(compile_program("network_calls"))
    image = str(setting.default or setting.image())
    run = (*PYLIBOS, "run", "--kernel", image, "--", program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ours, native = [], []
    for _ in range(setting.rounds):
        ours.append(float(_run(*run, env=environment)))
        native.append(float(_run(program)))
    return [
        median_of("program_call", "library", "ns", ours),
        median_of("program_call", "native", "ns", native),
    ]


def program_start(setting: Setting) -> list[Measurement]:
    """How much longer than ``true`` it takes with a stack of its own, as nobody configured it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def wall_ms(*words: str) -> float:
        start = time.perf_counter()
        _run(*words, env=environment)
        return (time.perf_counter() - start) * 1e3

    added = [
        wall_ms(*PYLIBOS, "run", "--", "true") - wall_ms("true") for _ in range(setting.rounds)
    ]
    return [median_of("program_start_added", "library", "ms", added)]


def program_redis(setting: Setting) -> list[Measurement]:
    """GETs a second of redis-benchmark with 50 connections, by a server on a stack."""
    found: dict[str, list[float]] = {"library": [], "native": []}
    with _bench(setting, "redis-server", "redis-benchmark") as bench:
        if bench is None:
            return []
        for _ in range(setting.rounds):
            for who, address in (("library", STACK), ("native", NATIVE)):
                words = ("redis-server", "--bind", address, "--save", "", "--protected-mode", "no")
                with bench.server(who, *words):
                    output = bench.at_peer(
                        *("redis-benchmark", "-h", address, "-t", "get", "-n", "20000"),
                        *("-c", "50", "--csv"),
                    )
                found[who].append(float(list(csv.reader(output.splitlines()))[-1][1]))
    return _rates("program_redis", "1/s", found)


def program_iperf3(setting: Setting) -> list[Measurement]:
    """Bulk TCP of iperf3 on a stack through a tap, sending."""
    found: dict[str, list[float]] = {"library": [], "native": []}
    with _bench(setting, "iperf3") as bench:
        if bench is None:
            return []
        for _ in range(setting.rounds):
            for who, address in (("library", STACK), ("native", NATIVE)):
                with bench.server(who, "iperf3", "-s", "-1"):
                    output = bench.at_peer("iperf3", "-c", address, "-t", "2", "-R", "-J")
                rate = json.loads(output)["end"]["sum_received"]["bits_per_second"]
                found[who].append(rate / 1e9)
    return _rates("program_iperf3_send", "Gbit/s", found)


def _rates(name: str, unit: str, found: dict[str, list[float]]) -> list[Measurement]:
    """Rates, where more is better, and the ratio of the medians."""
    measured = []
    for who, values in found.items():
        ordered = sorted(values, reverse=True)
        measured.append(Measurement(name, who, unit, ordered[len(ordered) // 2], ordered[0]))
    ratio = measured[0].median / measured[1].median
    measured.append(Measurement(f"{name}_ratio", "library", "native", ratio, ratio))
    return measured
