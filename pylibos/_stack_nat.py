# SPDX-License-Identifier: GPL-2.0-only
"""The host's network for a stack without root and without a tap: passt at a UNIX socket."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from pylibos._errors import StackError

if TYPE_CHECKING:
    from pylibos._stack_config import StackConfig

ADDRESS = "10.0.2.15/24"
HOST = "10.0.2.2"  # the host's loopback, as programs on the stack see it
NAMESERVER = "10.0.2.3"  # the host's own, which passt asks
MTU = 65520


def with_nat(config: StackConfig) -> StackConfig:
    """Start passt (passt(1)) for the stack of this process; it ends with it.

    Args:
        config: of the stack, to which its device, address, default route and name server are added.

    Raises:
        StackError: there is no passt.
    """
    from pylibos._stack_config import DeviceConfig, RouteConfig

    program = shutil.which("passt")
    if program is None:
        raise StackError("There is no passt on this host, which --nat needs (package passt).")
    ours, theirs = socket.socketpair()
    interface = ipaddress.ip_interface(ADDRESS)
    command = [
        *(program, "--foreground", "--quiet", "--ipv4-only", "--fd", str(theirs.fileno())),
        *("--address", str(interface.ip), "--netmask", str(interface.network.prefixlen)),
        *("--gateway", HOST, "--dns-forward", NAMESERVER, "--tcp-ports", "none"),
        *("--udp-ports", "none", "--runas", f"{os.getuid()}:{os.getgid()}"),
    ]
    with theirs:
        subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    device = DeviceConfig(
        {"kind": "unix", "fd": ours.detach(), "type": "stream"},
        addresses=(interface,),
        mtu=MTU,
    )
    route = RouteConfig(ipaddress.ip_network("0.0.0.0/0"), (ipaddress.ip_address(HOST),))
    servers = config.names.nameservers or (ipaddress.ip_address(NAMESERVER),)
    return dataclasses.replace(
        config,
        devices=(*config.devices, device),
        routes=(*config.routes, route),
        names=dataclasses.replace(config.names, nameservers=servers),
    )
