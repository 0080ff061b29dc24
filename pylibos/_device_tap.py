# SPDX-License-Identifier: GPL-2.0-only
"""Devices joined to a tap of the host (tun(4))."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import TYPE_CHECKING, Any

from pylibos import _abi
from pylibos._device import Device, add
from pylibos._errors import PylibosError

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_IFREQ = struct.Struct("=16sH22x")


class TapDevice(Device):
    """A device joined to a tap of the host.

    Attributes:
        host_name: name of the host's interface.
    """

    host_name: str = ""


def add_tap(
    kernel: Kernel, host_name: str, fd: int | None, vnet_hdr: bool, host_up: bool, config: Any
) -> TapDevice:
    """Add a device joined to a tap; see Kernel.add_tap()."""
    if kernel.world.virtual:
        raise ValueError(
            "A tap needs the real clock, since the host does not wait: boot with clock='real'."
        )
    if len(host_name.encode()) > 15 or "/" in host_name:
        raise ValueError(f"A tap's name has at most 15 bytes and no slash, unlike {host_name!r}.")
    parameters = _abi.plh_tap_parameters(
        name=host_name.encode(), fd=-1 if fd is None else fd, vnet_hdr=int(vnet_hdr)
    )
    device = TapDevice(kernel, add(kernel, "plh_tap", parameters, config))
    device.host_name = parameters.name.decode()
    if host_up:
        try:
            _bring_up(device.host_name)
        except OSError as error:
            device.close()
            raise PylibosError(
                f"The tap {device.host_name} cannot be brought up ({error.strerror}): it needs "
                "CAP_NET_ADMIN; leave out host_up and bring it up by 'ip link set'."
            ) from error
    return device


def _bring_up(host_name: str) -> None:
    """The host's end, in the network namespace of this thread."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(host_name.encode(), 0))
        name, flags = _IFREQ.unpack(request)
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(name, flags | _IFF_UP))
