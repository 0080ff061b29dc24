# SPDX-License-Identifier: GPL-2.0-only
"""Three kernels, a lossy link, a 100 MB file; then a tap with the host's ping and curl."""

from __future__ import annotations

import argparse
from pathlib import Path

from pylibos._demo import run_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options."""
    parser.add_argument("--kernel", default="6.12", help="series, or path of a liblinux.so")
    parser.add_argument("--profile", default="defconfig", help="defconfig, lean or debug")
    parser.add_argument("--mb", type=int, default=100, help="size of the file in 10^6 bytes")
    parser.add_argument("--loss-pct", type=float, default=1.0, help="loss of the slow link")
    parser.add_argument("--seed", type=int, default=1, help="of all chance")
    parser.add_argument("--no-tap", action="store_true", help="leave out the part with the host")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-output"), help="folder for capture and picture"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; 0 if every check held."""
    held = run_demo(
        kernel=options.kernel,
        profile=options.profile,
        size=options.mb * 1_000_000,
        loss_pct=options.loss_pct,
        seed=options.seed,
        with_tap=not options.no_tap,
        out=options.out,
    )
    return 0 if held else 1
