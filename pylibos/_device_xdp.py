# SPDX-License-Identifier: GPL-2.0-only
"""Devices with AF_XDP sockets on an Ethernet interface of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pylibos import _abi
from pylibos._device import Device, add
from pylibos._device_raw import host_interface_name

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

# In the order of enum plh_xdp_mode and plh_xdp_copy.
Mode = Literal["any", "native", "generic"]
Copy = Literal["any", "copy", "zero"]
MODES: tuple[Mode, ...] = get_args(Mode)
COPIES: tuple[Copy, ...] = get_args(Copy)
MAX_RING_FRAMES = 32768
MAX_BUSY_POLL_US = 1_000_000
_FINISH = {
    None: _abi.PLH_XDP_FINISH_AUTO,
    True: _abi.PLH_XDP_FINISH,
    False: _abi.PLH_XDP_FINISH_NOT,
}


class XdpDevice(Device):
    """A device with AF_XDP sockets on an interface of the host.

    Attributes:
        host_name: of the interface, as it was called when the device was opened.
    """

    host_name: str = ""


def parameters(
    host_name: str,
    *,
    first_queue: int,
    mode: Mode,
    copy: Copy,
    finish_checksums: bool | None,
    ring_frames: int,
    busy_poll_us: int,
    take_mtu: bool,
    take_mac: bool,
) -> Any:
    """Fill a struct plh_xdp_parameters; see Kernel.add_xdp()."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}.")
    if copy not in COPIES:
        raise ValueError(f"copy is one of {', '.join(COPIES)}, not {copy!r}.")
    if not 1 <= ring_frames <= MAX_RING_FRAMES:
        raise ValueError(f"ring_frames is 1 to {MAX_RING_FRAMES}, not {ring_frames}.")
    if not 0 <= busy_poll_us <= MAX_BUSY_POLL_US:
        raise ValueError(f"busy_poll_us is 0 to {MAX_BUSY_POLL_US}, not {busy_poll_us}.")
    if not 0 <= first_queue <= 0xFFFF:
        raise ValueError(f"first_queue is 0 to 65535, not {first_queue}.")
    return _abi.plh_xdp_parameters(
        name=host_interface_name(host_name),
        first_queue=first_queue,
        mode=MODES.index(mode),
        copy=COPIES.index(copy),
        finish_checksums=_FINISH[finish_checksums],
        ring_frames=ring_frames,
        busy_poll_us=busy_poll_us,
        take_mtu=int(take_mtu),
        take_mac=int(take_mac),
    )


def add_xdp(kernel: Kernel, filled: Any, config: Any) -> XdpDevice:
    """Add a device with AF_XDP sockets; see Kernel.add_xdp()."""
    if kernel.world.virtual:
        raise ValueError(
            "An xdp device needs the real clock, since the host does not wait: "
            "boot with clock='real'."
        )
    device = XdpDevice(kernel, add(kernel, "plh_xdp", filled, config))
    device.host_name = filled.name.decode()
    return device
