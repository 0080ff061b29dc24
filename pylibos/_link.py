# SPDX-License-Identifier: GPL-2.0-only
"""Links: a cable between two kernels of one world."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from ctypes import byref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pylibos import _abi, _capture
from pylibos._capture import Capture
from pylibos._device import DEFAULT_RING_ENTRIES, Device, _require, netdev_config
from pylibos._errors import PylibosError
from pylibos._library import host, last_error
from pylibos._link_settings import configure, describe, has_chance
from pylibos._netlink import add_address
from pylibos._subnets import interface_pairs, parse_subnets

if TYPE_CHECKING:
    from pylibos._kernel import Kernel


@dataclass(frozen=True)
class LinkStats:
    """Counters of one direction of a link.

    ``frames`` and ``bytes`` were delivered; ``lost`` by chance; ``down_drops`` because the
    link was, or went, down, or the other kernel was halted; ``queue_drops`` for want of room
    in front of the rate limit; ``rx_full`` for want of buffers at the receiver.
    """

    frames: int
    bytes: int
    lost: int
    down_drops: int
    queue_drops: int
    duplicated: int
    reordered: int
    corrupted: int
    truncated: int
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


# A slow link brings its frames one by one, and each entry of a ring is a page that a frame
# makes the host allocate: a short ring is enough.
_SLOW_BPS, _SLOW_ENTRIES = 100_000_000, 32

_OFFLOADS = {
    False: _abi.PLH_OFFLOAD_OFF,
    True: _abi.PLH_OFFLOAD_ON,
    None: _abi.PLH_OFFLOAD_AUTO,
}


class Link:
    """A cable between two kernels; made by ``Kernel.link_to()``.

    It exists until close(), or until both kernels are halted; what is sent to a halted kernel
    counts as ``down_drops``.

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
        offload: bool | None,
        settings: Mapping[str, Any],
        back: Mapping[str, Any],
    ) -> None:
        if first.world is not second.world:
            raise ValueError(
                "Linked kernels share a world: pass boot(world=kernel.world) to the second one."
            )
        addresses = interface_pairs(parse_subnets(subnet))
        self._library = host()
        self._offload = offload
        parameters = _abi.plh_link_parameters(offload=_OFFLOADS[offload])
        for config in parameters.config:
            configure(config, settings)
        configure(parameters.config[1], back)
        slow = all(0 < config.rate_bps <= _SLOW_BPS for config in parameters.config)
        for end, (kernel, name) in enumerate(zip((first, second), names, strict=True)):
            parameters.kernel[end] = kernel._machine.open_handle
            parameters.netdev[end] = netdev_config(
                name, mtu, None, ring_entries=_SLOW_ENTRIES if slow else DEFAULT_RING_ENTRIES
            )
        self._check(parameters.config)
        self._configs = type(parameters.config).from_buffer_copy(parameters.config)
        with first._machine.lock, second._machine.lock:
            handle = self._library.plh_link_create(first.world.open_handle, byref(parameters))
        if not handle:
            raise PylibosError(last_error())
        self._handle: int | None = handle
        self._plugged = True
        self._kernels = 2
        ends = []
        for end, kernel in enumerate((first, second)):
            device = Device(kernel, self._library.plh_link_device(handle, end))
            device._end_of_link = True
            kernel._machine.at_close.append(self._kernel_halted)
            device.up()
            for interface in addresses[end]:
                add_address(kernel, device.index, interface)
            texts = tuple(str(interface.ip) for interface in addresses[end])
            ends.append(LinkEnd(kernel, device, texts))
        self.ends: tuple[LinkEnd, LinkEnd] = (ends[0], ends[1])

    def _check(self, configs: Any) -> None:
        if self._offload and any(has_chance(config) for config in configs):
            raise ValueError(
                "A link with offload=True carries segments whole, so it cannot lose, duplicate, "
                "reorder or corrupt single packets: leave offload at None, or make it False."
            )

    def _kernel_halted(self) -> None:
        self._kernels -= 1
        if not self._kernels:
            self._handle = None

    @property
    def handle(self) -> int:
        """The struct plh_link; an error once it is gone."""
        if self._handle is None:
            raise PylibosError("This link is gone, with its kernels or by close().")
        return self._handle

    @property
    def is_open(self) -> bool:
        """Whether it still joins two kernels: neither closed, nor one of them halted."""
        return self._handle is not None and self._kernels == 2

    @property
    def is_up(self) -> bool:
        """Whether the cable is plugged in."""
        return self.is_open and self._plugged

    def up(self) -> None:
        """Plug the cable in."""
        _require(self._library.plh_link_up(self.handle, 1))
        self._plugged = True

    def down(self) -> None:
        """Pull the cable out; what is on its way is lost."""
        _require(self._library.plh_link_up(self.handle, 0))
        self._plugged = False

    def set(self, *, direction: int | None = None, **settings: Any) -> None:
        """Change settings while it runs; keywords as for Kernel.link_to().

        Frames that are on their way already arrive as they would have.

        Args:
            direction: 0 from the first end to the second, 1 back, None both.
            settings: what to change; the others stay.  Of loss_pct and loss_model the one
                that was set last counts.

        Raises:
            ValueError, TypeError: a value is out of range, or there is no such setting;
                nothing has changed then.
        """
        if direction not in (None, 0, 1):
            raise ValueError(
                f"A link has the directions 0 (from its first kernel) and 1, not {direction}."
            )
        configs = type(self._configs).from_buffer_copy(self._configs)
        for way in (0, 1) if direction is None else (direction,):
            configure(configs[way], settings)
        self._check(configs)
        _require(self._library.plh_link_configure(self.handle, byref(configs)))
        self._configs = configs

    def describe(self) -> str:
        """Say in few words what it does: one line, or one for each direction if they differ."""
        there, back = (describe(config) for config in self._configs)
        if there == back:
            return there
        first, second = (end.kernel.name for end in self.ends)
        return (
            f"{first} → {second}: {there or 'no delay'}\n{second} → {first}: {back or 'no delay'}"
        )

    def stats(self, direction: int = 0) -> LinkStats:
        """Counters of one direction: 0 from the first end to the second, 1 back."""
        stats = _abi.plh_link_stats()
        _require(self._library.plh_link_stats(self.handle, direction, byref(stats)))
        return LinkStats(*(getattr(stats, name) for name in LinkStats.__dataclass_fields__))

    def capture(self, path: str | os.PathLike[str], snaplen: int = 0) -> Capture:
        """Write what crosses the link to a pcapng file, until the capture is closed.

        Each frame is written once, when it is sent, on the interface of the end that sends it.
        Comments tell of what befalls it: "corrupted", "duplicate", "dropped: loss",
        "dropped: queue full", "dropped: no receive buffer", "dropped: link down".  A frame
        that is lost later, on its way or at its end, is written once more then, on the
        interface of the end that it was for.

        Args:
            path: file of the host; replaced.
            snaplen: bytes of each frame to keep, 0 for all.

        Raises:
            PylibosError: the file cannot be written.
        """
        return _capture.start(self.ends[0].kernel.world, path, snaplen, self)

    def close(self) -> None:
        """Remove the cable and both devices; what is on its way is lost."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        for end in self.ends:
            hooks = end.kernel._machine.at_close
            hooks.remove(self._kernel_halted)
            if end.device._handle is not None:
                hooks.remove(end.device._forget)
                end.device._forget()
        self._library.plh_link_destroy(handle)

    def __repr__(self) -> str:
        first, second = self.ends
        return (
            f"<pylibos.Link {first.kernel.name}.{first.device.name} - "
            f"{second.kernel.name}.{second.device.name}>"
        )
