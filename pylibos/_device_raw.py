# SPDX-License-Identifier: GPL-2.0-only
"""Devices that share an Ethernet interface of the host through packet sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pylibos import _abi
from pylibos._device import Device, add

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

Fanout = Literal["hash", "lb", "cpu", "rollover", "rnd", "qm"]
# In the order of PACKET_FANOUT_* of linux/if_packet.h.
FANOUTS: tuple[Fanout, ...] = get_args(Fanout)


class RawDevice(Device):
    """A device that shares an interface of the host.

    Attributes:
        host_name: of the interface, as it was called when the device was opened.
    """

    host_name: str = ""


def host_interface_name(name: str) -> bytes:
    """Encode the name of a host's interface.

    Raises:
        ValueError: no interface can have it.
    """
    data = name.encode()
    if not 0 < len(data) < 16 or b"/" in data:
        raise ValueError(
            f"The name of a host's interface has 1 to 15 bytes and no slash, unlike {name!r}."
        )
    return data


def parameters(host_name: str, *, fanout: Fanout, ring_frames: int, **switches: bool) -> Any:
    """Fill a struct plh_raw_parameters; see Kernel.add_raw()."""
    if fanout not in FANOUTS:
        raise ValueError(f"fanout is one of {', '.join(FANOUTS)}, not {fanout!r}.")
    if not 1 <= ring_frames <= 65536:
        raise ValueError(f"ring_frames is 1 to 65536, not {ring_frames}.")
    return _abi.plh_raw_parameters(
        name=host_interface_name(host_name),
        fanout=FANOUTS.index(fanout),
        ring_frames=ring_frames,
        **{name: int(value) for name, value in switches.items()},
    )


def add_raw(kernel: Kernel, filled: Any, config: Any) -> RawDevice:
    """Add a device with packet sockets; see Kernel.add_raw()."""
    if kernel.world.virtual:
        raise ValueError(
            "A raw device needs the real clock, since the host does not wait: "
            "boot with clock='real'."
        )
    device = RawDevice(kernel, add(kernel, "plh_raw", filled, config))
    device.host_name = filled.name.decode()
    return device
