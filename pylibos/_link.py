# SPDX-License-Identifier: GPL-2.0-only
"""Links: a cable between two kernels of one world."""

from __future__ import annotations

import ipaddress
import itertools
import os
from collections.abc import Iterable
from ctypes import byref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pylibos import _abi
from pylibos._device import Device, _require, netdev_config
from pylibos._errors import PylibosError
from pylibos._library import host, last_error
from pylibos._netlink import Interface, add_address

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

# Keyword of link_to() and Link.set(): member of struct plh_link_config and its factor.
_MEMBERS = {
    "delay_ms": ("delay_ns", 1e6),
    "jitter_ms": ("jitter_ns", 1e6),
    "rate_mbit": ("rate_bps", 1e6),
    "queue_packets": ("queue_packets", 1),
    "loss_pct": ("loss", 2**32 / 100),
    "duplicate_pct": ("duplicate", 2**32 / 100),
    "reorder_pct": ("reorder", 2**32 / 100),
    "corrupt_pct": ("corrupt", 2**32 / 100),
}


@dataclass(frozen=True)
class LinkStats:
    """Counters of one direction of a link.

    ``frames`` and ``bytes`` were delivered; ``lost`` by chance; ``queue_drops`` for want of
    room in front of the rate limit; ``rx_full`` for want of buffers at the receiver.
    """

    frames: int
    bytes: int
    lost: int
    queue_drops: int
    duplicated: int
    reordered: int
    corrupted: int
    rx_full: int
    in_flight: int


@dataclass(frozen=True)
class LinkEnd:
    """One end of a link.

    Attributes:
        kernel: whose device it is.
        device: the device.
        addresses: what link_to(subnet=...) gave it, "10.0.0.1" and the like.
    """

    kernel: Kernel
    device: Device
    addresses: tuple[str, ...]


def configure(config: Any, settings: dict[str, float]) -> None:
    """Write settings into a struct plh_link_config.

    Raises:
        TypeError: no such setting.
        ValueError: out of range.
    """
    for key, value in settings.items():
        if key not in _MEMBERS:
            raise TypeError(f"A link has no setting {key!r}; it has {', '.join(_MEMBERS)}.")
        member, factor = _MEMBERS[key]
        if value < 0 or (key.endswith("_pct") and value > 100):
            raise ValueError(f"{key} is {'0 to 100' if key.endswith('_pct') else '0 or more'}.")
        limit = 0xFFFFFFFF if key.endswith("_pct") else 2**63
        setattr(config, member, min(round(value * factor), limit))


def parse_subnets(subnet: str | Iterable[str] | None) -> list[tuple[Interface, Interface]]:
    """Turn subnets into the pairs of addresses of a link's ends, the first two hosts.

    Raises:
        ValueError: no subnet, or one without two addresses.
    """
    texts = [] if subnet is None else [subnet] if isinstance(subnet, str) else list(subnet)
    pairs = []
    for text in texts:
        network = ipaddress.ip_network(text)
        hosts = list(itertools.islice(network.hosts(), 2))
        if len(hosts) < 2:
            raise ValueError(f"The subnet {text} has no room for the two ends of a link.")
        first, second = (
            ipaddress.ip_interface(f"{address}/{network.prefixlen}") for address in hosts
        )
        pairs.append((first, second))
    return pairs


class Link:
    """A cable between two kernels; made by ``Kernel.link_to()``.

    Attributes:
        ends: the LinkEnd of the kernel that made it, and the other one.
    """

    def __init__(
        self,
        first: Kernel,
        second: Kernel,
        *,
        subnet: str | Iterable[str] | None,
        names: tuple[str, str],
        mtu: int,
        offload: bool,
        settings: dict[str, float],
        back: dict[str, float],
    ) -> None:
        if first.world is not second.world:
            raise ValueError(
                "Linked kernels share a world: pass boot(world=kernel.world) to the second one."
            )
        pairs = parse_subnets(subnet)
        self._library = host()
        parameters = _abi.plh_link_parameters(offload=int(offload))
        for end, (kernel, name) in enumerate(zip((first, second), names, strict=True)):
            parameters.kernel[end] = kernel._machine.open_handle
            parameters.netdev[end] = netdev_config(name, mtu, None)
        configure(parameters.config[0], settings)
        configure(parameters.config[1], settings | back)
        self._configs = parameters.config
        self._parameters = parameters
        with first._machine.lock, second._machine.lock:
            handle = self._library.plh_link_create(first.world.open_handle, byref(parameters))
        if not handle:
            raise PylibosError(last_error())
        self._handle: int | None = handle
        self._plugged = True
        ends = []
        for end, kernel in enumerate((first, second)):
            device = Device(kernel, self._library.plh_link_device(handle, end))
            kernel._machine.at_close.append(self._forget)
            device.up()
            for pair in pairs:
                add_address(kernel, device.index, pair[end])
            addresses = tuple(str(pair[end].ip) for pair in pairs)
            ends.append(LinkEnd(kernel, device, addresses))
        self.ends: tuple[LinkEnd, LinkEnd] = (ends[0], ends[1])

    def _forget(self) -> None:
        self._handle = None

    @property
    def handle(self) -> int:
        """The struct plh_link; an error once it is gone."""
        if self._handle is None:
            raise PylibosError("This link is gone, with one of its kernels or by close().")
        return self._handle

    @property
    def is_open(self) -> bool:
        """Whether it still is there: neither closed nor gone with a kernel."""
        return self._handle is not None

    @property
    def is_up(self) -> bool:
        """Whether the cable is plugged in."""
        return self._handle is not None and self._plugged

    def up(self) -> None:
        """Plug the cable in."""
        _require(self._library.plh_link_up(self.handle, 1))
        self._plugged = True

    def down(self) -> None:
        """Pull the cable out; what is on its way is lost."""
        _require(self._library.plh_link_up(self.handle, 0))
        self._plugged = False

    def set(self, *, direction: int | None = None, **settings: float) -> None:
        """Change settings while it runs; keywords as for Kernel.link_to().

        Args:
            direction: 0 from the first end to the second, 1 back, None both.
            settings: what to change; the others stay.
        """
        for way in (0, 1) if direction is None else (direction,):
            configure(self._configs[way], settings)
            _require(self._library.plh_link_configure(self.handle, way, byref(self._configs[way])))

    def stats(self, direction: int = 0) -> LinkStats:
        """Counters of one direction: 0 from the first end to the second, 1 back."""
        stats = _abi.plh_link_stats()
        _require(self._library.plh_link_stats(self.handle, direction, byref(stats)))
        return LinkStats(*(getattr(stats, name) for name in LinkStats.__dataclass_fields__))

    def capture(
        self, path: str | os.PathLike[str] | None, *, end: int = 0, snaplen: int = 0
    ) -> None:
        """Write what crosses one end to a pcapng file, see Device.capture(); None: stop."""
        self.ends[end].device.capture(path, snaplen)

    def close(self) -> None:
        """Remove the cable and both devices."""
        if self._handle is None:
            return
        handle = self.handle
        for end in self.ends:
            hooks = end.kernel._machine.at_close
            hooks.remove(self._forget)
            hooks.remove(end.device._forget)
            end.device._forget()
        self._forget()
        self._library.plh_link_destroy(handle)

    def __repr__(self) -> str:
        first, second = self.ends
        return (
            f"<pylibos.Link {first.kernel.name}.{first.device.name} - "
            f"{second.kernel.name}.{second.device.name}>"
        )
