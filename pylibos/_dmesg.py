# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's log as records, by syslog(2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._process import Process

_READ_ALL, _SIZE_BUFFER = 3, 10
_LINE = re.compile(r"(?:<(\d+)>)?\[ *(\d+)\.(\d+)\](?:\[[^]]*\])? ?(.*)")


@dataclass(frozen=True)
class LogRecord:
    """One line of the kernel's log.

    Attributes:
        level: 0 (emergency) to 7 (debug), see syslog(2); -1 if it is not known.
        time_ns: the kernel's clock, to the microsecond.
        text: without level, time and newline.
    """

    level: int
    time_ns: int
    text: str

    def __str__(self) -> str:
        return f"[{self.time_ns / 1e9:12.6f}] {self.text}"


def parse(text: str) -> list[LogRecord]:
    """Split log text into records; a line without a time goes on with the one before."""
    records: list[LogRecord] = []
    for line in text.splitlines():
        if match := _LINE.match(line):
            level = int(match[1]) & 7 if match[1] else -1
            time_ns = int(match[2]) * 1_000_000_000 + int(match[3].ljust(9, "0")[:9])
            records.append(LogRecord(level, time_ns, match[4]))
        else:
            before = records[-1] if records else LogRecord(-1, 0, "")
            records.append(LogRecord(before.level, before.time_ns, line))
    return records


def read(process: Process) -> str:
    """Read the whole log buffer of a kernel."""
    size = process.syscall("syslog", _SIZE_BUFFER, None, 0)
    room = bytearray(size)
    used = process.syscall("syslog", _READ_ALL, room, size)
    return bytes(room[:used]).decode(errors="replace")
