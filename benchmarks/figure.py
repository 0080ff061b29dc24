# SPDX-License-Identifier: GPL-2.0-only
"""What a figure is, and what a measurement of it gives."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Attributes:
        name: of the figure, such as "null_call_virtual".
        who: "library", "native", or "relay": the channel without a stack.
        unit: such as "ns".
        median, best: over the rounds.
    """

    name: str
    who: str
    unit: str
    median: float
    best: float


@dataclass(frozen=True)
class Setting:
    """What to measure with.

    Attributes:
        lean, default: images; None if not built.
        rounds: how often to repeat what is measured from Python.
        kernel: series of the images.
    """

    lean: Path | None
    default: Path | None
    rounds: int
    kernel: str = "6.12"

    def image(self) -> Path:
        """The image for figures that do not name a profile: the lean one."""
        image = self.lean or self.default
        if image is None:
            raise SystemExit("No kernel is built; run 'make liblinux.so PROFILE=lean'.")
        return image


@dataclass(frozen=True)
class Figure:
    """A benchmark by name.

    Attributes:
        name: for the command line.
        about: one line.
        run: measures; may give several numbers.
        goals: name of a number: what it should reach at least (a maximum for times).
        by_name_only: not part of "all".
    """

    name: str
    about: str
    run: Callable[[Setting], list[Measurement]]
    goals: dict[str, float]
    by_name_only: bool = False


def median_of(name: str, who: str, unit: str, values: list[float]) -> Measurement:
    """Make a measurement of some rounds; for times, where less is better."""
    ordered = sorted(values)
    return Measurement(name, who, unit, ordered[len(ordered) // 2], ordered[0])


def machine() -> dict[str, str | int]:
    """What a number depends on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"cpu": model, "kernel": platform.release(), "python": platform.python_version()}
