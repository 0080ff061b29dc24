# SPDX-License-Identifier: GPL-2.0-only
"""How all pictures look, and how they are written: the same input gives the same bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Colours that people with any kind of colour vision can tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#8A8A8A"
CYCLE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#806000", BLACK)
WIDTH_INCHES, DPI = 10, 120
# In an SVG, more marks than this of one kind become an image.
MANY_MARKS = 5000
_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E2E2E2",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "pylibos",
    "svg.fonttype": "path",
    "path.simplify": True,
    "agg.path.chunksize": 20000,
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


def picture_format(path: str | os.PathLike[str]) -> str:
    """The format of a picture by its file's suffix.

    Raises:
        ValueError: it is neither .png nor .svg.
    """
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in _METADATA:
        raise ValueError(f"A picture's file ends in .png or .svg, unlike {os.fspath(path)!r}.")
    return suffix


class Picture:
    """A figure with the panels of one picture below each other.

    Args:
        path: file to write.
        heights: of the panels, relative to each other.
        height_inches: of all.
        title: of the picture; subtitle: figures below it, smaller.

    Attributes:
        axes: one for each panel; they share the x axis.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        title: str,
        subtitle: str = "",
        heights: tuple[float, ...] = (1,),
        height_inches: float = 6,
    ) -> None:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        self._path = path
        self._format = picture_format(path)
        self._context = mpl.rc_context(_RC)
        with mpl.rc_context(_RC):
            layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
            self.figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout=layout)
            grid = self.figure.subplots(
                len(heights),
                1,
                sharex=True,
                squeeze=False,
                gridspec_kw={"height_ratios": heights},
            )
            self.axes = [row[0] for row in grid]
            self.figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
            if subtitle:
                self.axes[0].set_title(subtitle, fontsize=10, color="#555555", pad=8)

    def __enter__(self) -> Picture:
        self._context.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if error is None:
                self.figure.savefig(
                    self._path, format=self._format, dpi=DPI, metadata=_METADATA[self._format]
                )
        finally:
            self._context.__exit__(kind, error, trace)

    def legend(self, handles: list[Any], *, columns: int = 4) -> None:
        """Put a legend below all panels, where it covers nothing."""
        self.figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=min(len(handles), columns),
            handlelength=1.6,
            columnspacing=2,
        )


def scaled(largest: float) -> tuple[float, str]:
    """A divisor and a unit in which byte counts up to the largest are easy to read."""
    for divisor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= 2 * divisor:
            return divisor, unit
    return 1, "bytes"


def amount(count: float) -> str:
    """A byte count as people write it: "2.50 MB"."""
    for divisor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= divisor:
            return f"{count / divisor:.3g} {unit}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """A duration as people write it: "12.3 ms"."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.4g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
