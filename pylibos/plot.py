# SPDX-License-Identifier: GPL-2.0-only
"""Pictures of captures and probes, PNG or SVG by the file's suffix.

The same input gives the same bytes, with the same version of matplotlib.
"""

from __future__ import annotations

from pylibos._plot_congestion import congestion
from pylibos._plot_rtt import rtt_histogram
from pylibos._plot_throughput import throughput
from pylibos._plot_time_sequence import time_sequence

__all__ = ["congestion", "rtt_histogram", "throughput", "time_sequence"]
