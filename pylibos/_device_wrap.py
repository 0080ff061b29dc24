# SPDX-License-Identifier: GPL-2.0-only
"""What can lie round a device of any kind: chance, delay and rate, as on a link."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pylibos import _abi
from pylibos._errors import PylibosError
from pylibos._library import backend, host, last_error
from pylibos._link_settings import configure, has_chance

if TYPE_CHECKING:
    from pylibos._device import Device
    from pylibos._link import LinkStats

# The struct plh_link_config of each direction, out of the kernel first.
_Configs = Any
_current: ContextVar[_Configs | None] = ContextVar("_current", default=None)


def configs(both: Mapping[str, Any], arriving: Mapping[str, Any]) -> _Configs:
    """Turn settings as of Kernel.link_to() into two struct plh_link_config.

    Args:
        both: of both directions.
        arriving: that differ for what arrives at the kernel.

    Raises:
        TypeError, ValueError: as from Kernel.link_to().
    """
    made = (_abi.plh_link_config * 2)()
    configure(made[0], both)
    configure(made[1], {**both, **arriving})
    return made


def needs_packets(made: _Configs) -> bool:
    """Whether large segments must be cut before the settings act on them."""
    return any(has_chance(config) or config.rate_bps or config.jitter_ns for config in made)


@contextlib.contextmanager
def wrapping(made: _Configs) -> Iterator[None]:
    """Put settings round each device that is added inside of the context."""
    token = _current.set(made)
    try:
        yield
    finally:
        _current.reset(token)


def wrapped(address: int, parameters: Any) -> tuple[int, Any]:
    """The backend and its parameters that are added instead of a backend at an address."""
    made = _current.get()
    if made is None:
        return address, parameters
    outer = _abi.plh_wrapped_parameters(
        backend=address, parameters=ctypes.addressof(parameters), config=made
    )
    return backend("plh_wrapped"), outer


def stats(device: Device) -> tuple[LinkStats, LinkStats]:
    """Counters of what lies round a device; see Device.wrapper_stats()."""
    from pylibos._link import LinkStats

    found = []
    for direction in range(2):
        counters = _abi.plh_link_stats()
        status = host().plh_wrapped_stats(device.handle, direction, ctypes.byref(counters))
        if status:
            raise PylibosError(last_error())
        found.append(LinkStats(*(getattr(counters, name) for name in LinkStats.__annotations__)))
    return found[0], found[1]
