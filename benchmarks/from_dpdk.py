# SPDX-License-Identifier: GPL-2.0-only
"""A router between ports of DPDK, against a relay without a stack on the same ports."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pylibos
from benchmarks.figure import Measurement, Setting
from benchmarks.from_c import run_program
from benchmarks.from_devices import all_cores
from pylibos import _device_dpdk


def dpdk_router(setting: Setting) -> list[Measurement]:
    """Route over rings in memory and over memif, with the far ends on this core and another.

    Raises:
        SystemExit: DPDK is not there.
    """
    try:
        folder = Path(_device_dpdk.library_path()).resolve().parent
    except pylibos.LibraryNotFound as error:
        raise SystemExit(str(error)) from error
    if shutil.which("pkg-config") is None:
        raise SystemExit("Programs for DPDK are compiled by pkg-config's flags; install it.")
    asked = ["pkg-config", "--cflags", "--libs", "libdpdk"]
    found = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    flags = [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lpylibos_dpdk", *found]
    with all_cores():
        return run_program("dpdk_router", setting.image(), flags=flags)
