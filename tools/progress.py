# SPDX-License-Identifier: GPL-2.0-only
"""One progress line on standard error: redrawn on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

REDRAW_S = 0.1
PLAIN_LINE_S = 20.0
BAR_CELLS = 24


def say(text: str) -> None:
    """Prints one line for the reader, beside whatever the tool prints for programs."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """How far one step is; `total` may be an estimate, and 0 if nobody knows."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._tty = self._stream.isatty()
        self._started = time.monotonic()
        self._shown = self._started if not self._tty else 0.0

    def update(self, done: int, detail: str = "") -> None:
        """Moves the display to `done` of `total`; cheap enough to be called for every step."""
        self.done = done
        now = time.monotonic()
        if now - self._shown < (REDRAW_S if self._tty else PLAIN_LINE_S):
            return
        self._shown = now
        self._show(detail)

    def finish(self, text: str = "") -> None:
        """Replaces the display by its last line."""
        seconds = time.monotonic() - self._started
        line = f"{self.label}: {text or 'done'} ({seconds:.1f} s)"
        self._stream.write(f"\r\033[K{line}\n" if self._tty else f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Takes the display away before an error is shown."""
        if self._tty:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _fraction(self) -> float | None:
        if self.total <= 0:
            return None
        return min(self.done / self.total, 0.99)

    def _show(self, detail: str) -> None:
        fraction = self._fraction()
        share = "" if fraction is None else f" {fraction:4.0%}"
        if not self._tty:
            self._stream.write(f"{self.label}:{share} {detail}".rstrip() + "\n")
            self._stream.flush()
            return
        cells = 0 if fraction is None else round(fraction * BAR_CELLS)
        bar = "#" * cells + "." * (BAR_CELLS - cells)
        line = f"{self.label} [{bar}]{share} {detail}"
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\033[K{line[:width]}")
        self._stream.flush()
