# SPDX-License-Identifier: GPL-2.0-only
"""Boot a configured stack in real time and keep it up until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pylibos._device import Device, DeviceStats
from pylibos._errors import PylibosError
from pylibos._kernel import Kernel
from pylibos._stack_config import boot_configured, load_config

_SECOND_NS = 1_000_000_000


class _Stop(Exception):  # noqa: N818 - a wish, not a mishap
    """Somebody wants it to end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config, --kernel, --profile and --status."""
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="a .toml file or a nuse.conf"
    )
    parser.add_argument("--kernel", help="series or path, instead of what the file says")
    parser.add_argument("--profile", help="instead of what the file says")
    parser.add_argument(
        "--status", action="store_true", help="print the counters of the devices each second"
    )


def run(options: argparse.Namespace) -> int:
    """Keep it up; 0 once it was told to end."""
    try:
        config = load_config(options.config)
    except OSError as error:
        raise PylibosError(f"{options.config}: {error.strerror}") from None
    given = {"kernel": options.kernel, "profile": options.profile}
    chosen = {key: value for key, value in given.items() if value is not None}
    try:
        with _signals(), boot_configured(config, **chosen) as kernel:
            _say(_greeting(kernel))
            _keep_up(kernel, options.status)
    except (KeyboardInterrupt, _Stop):
        _say("down")
    return 0


def _say(line: str) -> None:
    """At once, also into a pipe."""
    print(line, flush=True)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends what is in the block."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stop

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _greeting(kernel: Kernel) -> str:
    devices = kernel._machine.devices
    names = ", ".join(_title(device) for device in devices) or "no device"
    return f"{kernel.name} is up: Linux {kernel.release} with {names}; Ctrl-C ends it"


def _title(device: Device) -> str:
    host_name = getattr(device, "host_name", "")
    return f"{device.name} ({host_name})" if host_name else device.name


def _keep_up(kernel: Kernel, status: bool) -> None:
    devices = kernel._machine.devices
    before = [device.stats() for device in devices]
    start_ns = until_ns = kernel.now_ns
    while True:
        until_ns += _SECOND_NS
        kernel.world.run_until(until_ns)
        if not kernel.alive():
            raise kernel._machine.dead()
        if status:
            now = [device.stats() for device in devices]
            seconds = round((until_ns - start_ns) / _SECOND_NS)
            lines = map(_counters, devices, before, now)
            _say(f"{seconds} s: {'; '.join(lines) or 'no device'}")
            before = now


def _counters(device: Device, before: DeviceStats, now: DeviceStats) -> str:
    """What crossed a device, and how much of it in the last second."""
    parts = []
    for way, bits in (
        ("rx", now.rx_bytes - before.rx_bytes),
        ("tx", now.tx_bytes - before.tx_bytes),
    ):
        frames = getattr(now, f"{way}_frames")
        new = frames - getattr(before, f"{way}_frames")
        parts.append(f"{way} {frames} (+{new}, {bits * 8 / 1e6:.1f} Mbit/s)")
    dropped = now.rx_dropped + now.tx_dropped
    return f"{device.name} {' '.join(parts)} dropped {dropped}"
