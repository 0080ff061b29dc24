# SPDX-License-Identifier: GPL-2.0-only
"""Time series of TCP connections: what ``ss -ti`` in a loop shows, exactly in virtual time."""

from __future__ import annotations

import csv
import dataclasses
import enum
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pylibos._errors import PylibosError
from pylibos._probe_row import ProbeRow, Sample, row_of
from pylibos._probe_source import FilterSource, SocketSource, Source
from pylibos._socket import Socket
from pylibos._socket_record import Endpoint, SocketRecord

if TYPE_CHECKING:
    from pylibos._process import Process
    from pylibos._world import World

# Of TCP sockets: made without a protocol, TCP, MPTCP.
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_PROTOCOLS = (0, socket.IPPROTO_TCP, 262)
COLUMNS = tuple(field.name for field in dataclasses.fields(ProbeRow))


class Probe:
    """Looks at TCP connections every so often, made by ``kernel.probe()``.

    The rows come while the world runs: each has the state after all that happened up to its
    time, that time's own events included.  Kernels, packets and timing are the same as without
    it.  A context manager that closes it.

    Attributes:
        interval_ns: between two rows of a connection.
        start_ns: time of the first row.
        closed: whether it looks no more.
    """

    def __init__(self, world: World, source: Source, interval_ns: int) -> None:
        self._world = world
        self._source = source
        self.interval_ns = interval_ns
        self.start_ns = world.now_ns
        self.closed = False
        self._next = 0  # number of the next time to look at
        self._held: list[Sample] | None = None
        self._quiet_ns = 0
        # Times in a row with the same samples: the first's number, how many, the samples.
        self._runs: list[tuple[int, int, list[Sample]]] = []
        world.hub.tickers.add(self)

    # --- As a ticker of the world ---

    def before(self, now_ns: int, quiet_ns: int) -> int:
        """See Ticker."""
        self._held = None
        self._quiet_ns = quiet_ns
        # A time that was missed can be made up for until the next one comes.
        self._next = max(self._next, (now_ns - self.start_ns) // self.interval_ns)
        due_ns = self.start_ns + self._next * self.interval_ns
        if not self.closed and quiet_ns <= due_ns:
            return due_ns
        self._held = self._samples()
        steps = -(-(quiet_ns - self.start_ns) // self.interval_ns)
        return self.start_ns + steps * self.interval_ns

    def passed(self, now_ns: int) -> None:
        """See Ticker."""
        held, self._held = self._held, None
        if held is not None:
            last = (min(now_ns, self._quiet_ns - 1) - self.start_ns) // self.interval_ns
            count = last - self._next + 1
            self._note(min(count, 1) if self._source.ending else count, held)

    def look(self, now_ns: int) -> bool:
        """See Ticker."""
        number = (now_ns - self.start_ns) // self.interval_ns
        if number < self._next and not self.closed:
            return False
        self._next = number
        self._note(1, self._samples())
        return True

    def _samples(self) -> list[Sample]:
        samples: list[Sample] | None = None
        try:
            if not self.closed:
                samples = self._source.look()
        finally:
            # Also when a caller's function has raised: it would only do so again.
            if samples is None:
                self.closed = True
                self._source.close()
                self._world.hub.tickers.remove(self)
        return samples or []

    def _note(self, count: int, samples: list[Sample]) -> None:
        if count <= 0 or self.closed:
            return
        if self._runs:
            first, length, before = self._runs[-1]
            if first + length == self._next and before == samples:
                self._runs[-1] = (first, length + count, before)
                self._next += count
                return
        self._runs.append((self._next, count, samples))
        self._next += count

    def close(self) -> None:
        """Stop looking; the rows stay.  Closing twice is fine."""
        self.closed = True

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- What it saw ---

    def __iter__(self) -> Iterator[ProbeRow]:
        for first, count, samples in self._runs:
            for number in range(first, first + count):
                time_ns = self.start_ns + number * self.interval_ns
                for sample in samples:
                    yield row_of(time_ns, sample)

    def __len__(self) -> int:
        return sum(count * len(samples) for _, count, samples in self._runs)

    @property
    def rows(self) -> list[ProbeRow]:
        """All rows, the oldest first."""
        return list(self)

    def flows(self) -> dict[tuple[Endpoint, Endpoint], list[ProbeRow]]:
        """The rows of each connection, by its local and remote end; unconnected ones left out."""
        found: dict[tuple[Endpoint, Endpoint], list[ProbeRow]] = {}
        for row in self:
            if row.remote.port:
                found.setdefault((row.local, row.remote), []).append(row)
        return found

    def _plain(self) -> Iterator[tuple[Any, ...]]:
        """Rows of numbers and texts."""
        for row in self:
            yield tuple(
                value.name
                if isinstance(value, enum.Enum)
                else str(value)
                if isinstance(value, Endpoint)
                else value
                for value in (getattr(row, name) for name in COLUMNS)
            )

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a file: a line of names, then values; None is empty."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self._plain())

    def to_pandas(self) -> Any:
        """Return the rows as a pandas.DataFrame with a column for each attribute.

        Raises:
            PylibosError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise PylibosError(
                "pandas is not installed; install it by 'pip install pandas', or use to_csv()."
            ) from error
        return pd.DataFrame(list(self._plain()), columns=list(COLUMNS))

    def plot(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Draw it; see ``pylibos.plot.congestion()``."""
        from pylibos import plot

        plot.congestion(self, path, **options)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"every {self.interval_ns / 1e6:g} ms"
        return f"<pylibos.Probe {state}: {len(self)} rows>"


def make_probe(
    process: Process, what: Socket | Callable[[SocketRecord], object], every_ms: float
) -> Probe:
    """Start a probe; see Process.probe()."""
    interval_ns = round(every_ms * 1e6)
    if interval_ns < 1:
        raise ValueError("every_ms is more than 0, at least a nanosecond.")
    source: Source
    if isinstance(what, Socket):
        if what.process._machine is not process._machine:
            raise ValueError(f"{what!r} is a socket of {what.process!r}: call its probe().")
        # No call may ask the kernel: it would count as one of the program's.
        if what.fileno() < 0:
            raise ValueError("A probe needs an open socket; this one is closed.")
        if (
            what.type != socket.SOCK_STREAM
            or what.proto not in _PROTOCOLS
            or what.family not in _FAMILIES
        ):
            raise ValueError(f"A probe follows TCP connections, and {what!r} is none.")
        source = SocketSource(what)
    elif callable(what):
        source = FilterSource(process, what)
    else:
        raise TypeError(
            "A probe takes a Socket, or a function that says of a SocketRecord whether to look "
            f"at it; {type(what).__name__} is neither."
        )
    return Probe(process.world, source, interval_ns)
