# SPDX-License-Identifier: GPL-2.0-only
"""Options that say what a new stack for programs is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pylibos._errors import PylibosError

if TYPE_CHECKING:
    from pylibos._stack_config import StackConfig


def add_stack_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config, --device, --address, --gateway, --nameserver and the kernel's options."""
    parser.add_argument("--config", metavar="FILE", help="a .toml file or a nuse.conf")
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="SPEC",
        help="a device, such as tap:tap0 or raw:eth1; may be repeated",
    )
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="ADDRESS/LENGTH",
        help="of the last --device, IPv4 or IPv6; may be repeated",
    )
    parser.add_argument(
        "--gateway", action="append", default=[], metavar="ADDRESS", help="of the default route"
    )
    parser.add_argument(
        "--nameserver", action="append", default=[], metavar="ADDRESS", help="that programs ask"
    )
    parser.add_argument(
        "--nat",
        action="store_true",
        help="reach what the host reaches, by passt; needs no root; 10.0.2.2 is its loopback",
    )
    parser.add_argument("--kernel", help="series, or path of a liblinux.so")
    parser.add_argument("--profile", help="defconfig, lean or debug")
    parser.add_argument("--memory-mib", type=int, help="memory of the kernel")


def is_plain(options: argparse.Namespace) -> bool:
    """Whether nothing was asked of a new stack."""
    given = ("config", "device", "address", "gateway", "nameserver", "nat", "kernel", "profile")
    return not any(getattr(options, name) for name in (*given, "memory_mib"))


def stack_config(options: argparse.Namespace) -> StackConfig:
    """Make the stack's configuration: the file's, with what the options add.

    Raises:
        PylibosError: the file or an option does not fit.
    """
    import dataclasses
    import ipaddress

    from pylibos._stack_config import (
        DeviceConfig,
        RouteConfig,
        StackConfig,
        load_config,
    )

    try:
        config = load_config(options.config) if options.config else StackConfig()
    except OSError as error:
        raise PylibosError(f"{options.config}: {error.strerror}") from None
    chosen = {
        name: getattr(options, name)
        for name in ("kernel", "profile", "memory_mib")
        if getattr(options, name) is not None
    }
    if options.address and not options.device:
        raise PylibosError("--address belongs to a --device; a --config has its own.")
    try:
        addresses = tuple(ipaddress.ip_interface(text) for text in options.address)
        gateways = tuple(ipaddress.ip_address(text) for text in options.gateway)
        servers = tuple(ipaddress.ip_address(text) for text in options.nameserver)
    except ValueError as error:
        raise PylibosError(f"{error}; expected an IPv4 or IPv6 address.") from None
    devices = [DeviceConfig(spec) for spec in options.device]
    if devices:
        devices[-1] = dataclasses.replace(devices[-1], addresses=addresses)
    routes = tuple(
        RouteConfig(ipaddress.ip_network("0.0.0.0/0" if item.version == 4 else "::/0"), (item,))
        for item in gateways
    )
    return dataclasses.replace(
        config,
        **chosen,
        devices=config.devices + tuple(devices),
        routes=config.routes + routes,
        names=dataclasses.replace(config.names, nameservers=config.names.nameservers + servers),
    )
