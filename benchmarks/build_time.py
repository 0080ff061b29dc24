# SPDX-License-Identifier: GPL-2.0-only
"""How long a clean build of a kernel takes, without a compiler cache; minutes, so only by name."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Measurement, Setting

TOOL = Path(__file__).resolve().parent.parent / "tools/build_kernel.py"


def build(setting: Setting) -> list[Measurement]:
    """Build the default and the lean profile in a temporary folder, on all cores.

    Gives the wall time, which counts on a machine that does nothing else, and the processor time
    of all compilers together, which says as much on a busy one.
    """
    found = []
    own_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        for name, profile in (("default", "defconfig"), ("lean", "lean")):
            wall, processor = _clean_build(setting.kernel, profile)
            found.append(Measurement(f"build_{name}", "library", "s", wall, wall))
            figure = f"build_{name}_processor"
            found.append(Measurement(figure, "library", "s", processor, processor))
    finally:
        os.sched_setaffinity(0, own_cores)
    return found


def _clean_build(kernel: str, profile: str) -> tuple[float, float]:
    """Build once; wall time and processor time in s."""
    with tempfile.TemporaryDirectory(prefix="pylibos-build-") as folder:
        command = [sys.executable, str(TOOL), "--source", kernel, "--profile", profile]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        subprocess.run(
            [*command, "--out", folder],
            env={**os.environ, "CCACHE_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return wall, user + system
