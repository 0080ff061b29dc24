# SPDX-License-Identifier: GPL-2.0-only
"""The picture of a TCP connection over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """TCP_INFO of a sender at one time.

    Attributes:
        seconds: since the start, virtual.
        acked: bytes acknowledged.
        cwnd: congestion window, in segments.
        retransmitted: segments sent again so far.
        rtt_us: smoothed round-trip time.
    """

    seconds: float
    acked: int
    cwnd: int
    retransmitted: int
    rtt_us: int


def draw(samples: list[Sample], path: Path, title: str) -> None:
    """Draw bytes acknowledged, congestion window and retransmissions into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    seconds = [sample.seconds for sample in samples]
    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(9, 7.5), layout="constrained")
    figure.suptitle(title)
    axes[0].plot(seconds, [sample.acked / 1e6 for sample in samples], color="tab:blue")
    axes[0].set_ylabel("acknowledged, MB")
    axes[1].plot(seconds, [sample.cwnd for sample in samples], color="tab:green", linewidth=0.8)
    axes[1].set_ylabel("congestion window,\nsegments")
    axes[2].plot(seconds, [sample.retransmitted for sample in samples], color="tab:red")
    axes[2].set_ylabel("retransmitted,\nsegments")
    axes[2].set_xlabel("virtual time, s")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_ylim(bottom=0)
        axis.margins(x=0.01)
    figure.savefig(path, dpi=120)
    plt.close(figure)
