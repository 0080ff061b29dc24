# SPDX-License-Identifier: GPL-2.0-only
"""When timers of the kernel go off: the arithmetic of its timer wheel."""

from __future__ import annotations

from topologies import MS

# include/linux/jiffies.h: INITIAL_JIFFIES is five minutes before zero, and HZ is 1000 here.
_INITIAL_JIFFIES = -300_000
# What a network's clock showed at jiffy zero: both start at one second (arch_lib/kernel/time.c).
_ZERO_NS = 0


def wheel_ns(start_ns: int, delay_ms: int) -> int:
    """When a timer of the kernel's wheel goes off that is armed at start_ns for delay_ms.

    kernel/time/timer.c: a timer that is 63 * 8**(n-1) jiffies or more away goes into level n,
    whose buckets are 8**n jiffies wide, and its time is rounded up to the next bucket
    (calc_index() adds one, so a time on the edge of a bucket is rounded up, too).
    """
    level = 0
    while delay_ms >= 63 << 3 * level:
        level += 1
    width = 8**level
    jiffies = _INITIAL_JIFFIES + (start_ns - _ZERO_NS) // MS + delay_ms
    return _ZERO_NS + ((jiffies // width + 1) * width - _INITIAL_JIFFIES) * MS
