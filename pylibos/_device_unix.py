# SPDX-License-Identifier: GPL-2.0-only
"""Devices joined to another process by a UNIX socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pylibos import _abi, _device
from pylibos._device import Device

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

TYPES = {
    "dgram": _abi.PLH_UNIX_DGRAM,
    "seqpacket": _abi.PLH_UNIX_SEQPACKET,
    "stream": _abi.PLH_UNIX_STREAM,
}


def encode(path: str) -> bytes:
    """Turn the path of a socket into what struct sockaddr_un takes.

    Raises:
        ValueError: it does not fit.
    """
    data = os.fsencode(path)
    if len(data) > 107:
        raise ValueError(
            f"The path of a UNIX socket has at most 107 bytes, not {len(data)}: {path!r}."
        )
    return data


def add(
    kernel: Kernel,
    path: str,
    kind: str,
    listen: bool,
    peer: str,
    fd: int | None,
    vnet_hdr: bool,
    config: Any,
) -> Device:
    """Add a device joined to a UNIX socket; see Kernel.add_unix()."""
    if kernel.world.virtual:
        raise ValueError(
            "A UNIX socket needs the real clock, since the other process does not wait: boot "
            "with clock='real'."
        )
    if kind not in TYPES:
        raise ValueError(f"A UNIX socket is of type {', '.join(TYPES)}, not {kind!r}.")
    _check(path, kind, listen, peer, fd)
    parameters = _abi.plh_unix_parameters(
        path=encode(path),
        peer=encode(peer),
        fd=-1 if fd is None else fd,
        type=TYPES[kind],
        listen=int(listen),
        vnet_hdr=int(vnet_hdr),
    )
    return Device(kernel, _device.add(kernel, "plh_unix", parameters, config))


def _check(path: str, kind: str, listen: bool, peer: str, fd: int | None) -> None:
    if fd is not None:
        if path or peer or listen:
            raise ValueError("A descriptor is connected already: it goes with no path or listen.")
    elif not path:
        raise ValueError("A UNIX socket needs a path, or a descriptor.")
    elif kind == "dgram" and (listen or not peer):
        raise ValueError(
            "Datagram sockets do not listen: each end names its own path and its peer's."
        )
    elif kind != "dgram" and peer:
        raise ValueError(f"Only datagram sockets have a peer's path: a {kind} socket has one path.")
