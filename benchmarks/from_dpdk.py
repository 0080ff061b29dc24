# SPDX-License-Identifier: GPL-2.0-only
"""A router between ports of DPDK, against a relay without a stack on the same ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pylibos
from benchmarks.figure import Measurement, Setting
from benchmarks.from_c import run_program
from benchmarks.from_devices import all_cores
from pylibos import _device_dpdk


def dpdk_router(setting: Setting) -> list[Measurement]:
    """Route over rings in memory and over memif, with the far ends on this core and another.

    Without DPDK it says so and measures nothing.
    """
    try:
        folder = _device_dpdk.library_path().resolve().parent
    except pylibos.LibraryNotFound as error:
        print(f"dpdk_router is left out: {error}", file=sys.stderr)
        return []
    if shutil.which("pkg-config") is None or (os.cpu_count() or 1) < 2:
        print("dpdk_router is left out: it needs pkg-config and two cores.", file=sys.stderr)
        return []
    asked = ["pkg-config", "--cflags", "--libs", "libdpdk"]
    found = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    flags = [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lpylibos_dpdk", *found]
    with all_cores():
        return run_program("dpdk_router", setting.image(), flags=flags)
