# SPDX-License-Identifier: GPL-2.0-only
"""The documentation's table of programs, as the tests found them."""

from __future__ import annotations

import subprocess
from pathlib import Path

HEAD = """# Programs on a stack

Each line is a test of tests/nuse/test_unmodified_programs.py, with what the program says of its
version. The tests write this file: `PYLIBOS_PROGRAM_TABLE=docs/nuse-programs.md pytest tests/nuse`.

| program | version | on a stack |
|---|---|---|
"""


def version_of(command: list[str]) -> str:
    """The first words of a program's first line about itself, or "?"."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return "?"
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    words = next((line for line in lines if any(sign.isdigit() for sign in line)), "?")
    return words.strip()[:60].replace("|", "/")


class ProgramTable:
    """Collects a line for each program."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, str]] = {}

    def works(self, program: str, version: list[str], what: str = "") -> None:
        """The program works; the test that says so fails if it does not."""
        self._rows[program] = (version_of(version), f"works: {what}" if what else "works")

    def fails(self, program: str, version: list[str], why: str) -> None:
        """The program does not work, for this reason."""
        self._rows[program] = (version_of(version), f"does not: {why}")

    def write(self, path: Path) -> None:
        """Write the table."""
        rows = [
            f"| {name} | {version} | {what} |\n" for name, (version, what) in self._rows.items()
        ]
        path.write_text(HEAD + "".join(rows))
