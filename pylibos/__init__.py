# SPDX-License-Identifier: GPL-2.0-only
"""The Linux kernel, minus hardware, in a Python process.

    import pylibos
    with pylibos.boot() as kernel:
        with kernel.create_server(("127.0.0.1", 7)) as server:
            ...

Source of all behaviour: the kernel of the image that is booted.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pylibos import plot
    from pylibos._asyncio import KernelEventLoop
    from pylibos._boot_config import Allocator
    from pylibos._capture import Capture
    from pylibos._counters import Counters
    from pylibos._device import CallbackDevice, Device, DeviceBackend, DeviceStats
    from pylibos._device_dpdk import DpdkDevice, DpdkStats, dpdk_init, dpdk_join, dpdk_part
    from pylibos._device_raw import RawDevice
    from pylibos._device_spec import DeviceSpec
    from pylibos._device_tap import TapDevice
    from pylibos._device_xdp import XdpDevice
    from pylibos._dmesg import LogRecord
    from pylibos._drops import Drop, Drops
    from pylibos._errors import (
        AbiMismatch,
        BootError,
        ConfigError,
        DeadlockError,
        DeviceSpecError,
        ForkedProcess,
        KernelDead,
        KernelHalted,
        KernelPanic,
        LibraryNotFound,
        ProgramFailed,
        PylibosError,
        StackError,
        ThreadError,
        TopologyError,
        WaitingTask,
    )
    from pylibos._file import RawFile
    from pylibos._kernel import Kernel, KernelStats, boot
    from pylibos._library import Image, ImageFile, images
    from pylibos._link import Link, LinkEnd, LinkStats
    from pylibos._link_settings import GilbertElliott
    from pylibos._network import Network
    from pylibos._node import Node, Switch
    from pylibos._probe import Probe
    from pylibos._probe_row import ProbeRow
    from pylibos._process import Process, Task
    from pylibos._program import Program
    from pylibos._protocol_info import BbrInfo, DctcpInfo, MptcpInfo, SctpInfo, VegasInfo
    from pylibos._select import Epoll, KernelSelector, Poll
    from pylibos._socket import Socket
    from pylibos._socket_record import Endpoint, SocketMemory, SocketRecord, SocketTimer
    from pylibos._socket_table import SocketTable
    from pylibos._stack_config import (
        DeviceConfig,
        InterfaceConfig,
        NamesConfig,
        NeighbourConfig,
        RouteConfig,
        StackConfig,
        SysctlConfig,
        boot_configured,
        load_config,
    )
    from pylibos._sysctl import Sysctl
    from pylibos._tcp_info import CongestionState, TcpInfo, TcpOptions, TcpState
    from pylibos._tls import TlsSocket
    from pylibos._world import Clock, World
    from pylibos._world_wait import WorldThread

__all__ = [
    "AbiMismatch",
    "Allocator",
    "BbrInfo",
    "BootError",
    "CallbackDevice",
    "Capture",
    "Clock",
    "ConfigError",
    "CongestionState",
    "Counters",
    "DctcpInfo",
    "DeadlockError",
    "Device",
    "DeviceConfig",
    "DeviceBackend",
    "DeviceSpec",
    "DeviceSpecError",
    "DeviceStats",
    "DpdkDevice",
    "DpdkStats",
    "Drop",
    "Drops",
    "Endpoint",
    "Epoll",
    "ForkedProcess",
    "GilbertElliott",
    "Image",
    "ImageFile",
    "InterfaceConfig",
    "Kernel",
    "KernelDead",
    "KernelEventLoop",
    "KernelHalted",
    "KernelPanic",
    "KernelSelector",
    "KernelStats",
    "LibraryNotFound",
    "Link",
    "LinkEnd",
    "LinkStats",
    "LogRecord",
    "MptcpInfo",
    "NamesConfig",
    "NeighbourConfig",
    "Network",
    "Node",
    "Poll",
    "Probe",
    "ProbeRow",
    "Process",
    "Program",
    "ProgramFailed",
    "PylibosError",
    "RawDevice",
    "RawFile",
    "RouteConfig",
    "SctpInfo",
    "Socket",
    "SocketMemory",
    "SocketRecord",
    "SocketTable",
    "SocketTimer",
    "StackConfig",
    "StackError",
    "Switch",
    "Sysctl",
    "SysctlConfig",
    "TapDevice",
    "Task",
    "TcpInfo",
    "TcpOptions",
    "TcpState",
    "ThreadError",
    "TlsSocket",
    "TopologyError",
    "VegasInfo",
    "WaitingTask",
    "World",
    "WorldThread",
    "XdpDevice",
    "boot",
    "boot_configured",
    "dpdk_init",
    "dpdk_join",
    "dpdk_part",
    "images",
    "load_config",
    "plot",
]

# Loaded when first asked for: a command or a test needs few of them, and all take a while.
_PLACES = {
    "_asyncio": ("KernelEventLoop",),
    "_boot_config": ("Allocator",),
    "_capture": ("Capture",),
    "_counters": ("Counters",),
    "_device": (
        "CallbackDevice",
        "Device",
        "DeviceBackend",
        "DeviceStats",
    ),
    "_device_dpdk": (
        "DpdkDevice",
        "DpdkStats",
        "dpdk_init",
        "dpdk_join",
        "dpdk_part",
    ),
    "_device_raw": ("RawDevice",),
    "_device_spec": ("DeviceSpec",),
    "_device_tap": ("TapDevice",),
    "_device_xdp": ("XdpDevice",),
    "_dmesg": ("LogRecord",),
    "_drops": (
        "Drop",
        "Drops",
    ),
    "_errors": (
        "AbiMismatch",
        "BootError",
        "ConfigError",
        "DeadlockError",
        "DeviceSpecError",
        "ForkedProcess",
        "KernelDead",
        "KernelHalted",
        "KernelPanic",
        "LibraryNotFound",
        "ProgramFailed",
        "PylibosError",
        "StackError",
        "ThreadError",
        "TopologyError",
        "WaitingTask",
    ),
    "_file": ("RawFile",),
    "_kernel": (
        "Kernel",
        "KernelStats",
        "boot",
    ),
    "_library": (
        "Image",
        "ImageFile",
        "images",
    ),
    "_link": (
        "Link",
        "LinkEnd",
        "LinkStats",
    ),
    "_link_settings": ("GilbertElliott",),
    "_network": ("Network",),
    "_node": (
        "Node",
        "Switch",
    ),
    "_probe": ("Probe",),
    "_probe_row": ("ProbeRow",),
    "_process": (
        "Process",
        "Task",
    ),
    "_program": ("Program",),
    "_protocol_info": (
        "BbrInfo",
        "DctcpInfo",
        "MptcpInfo",
        "SctpInfo",
        "VegasInfo",
    ),
    "_select": (
        "Epoll",
        "KernelSelector",
        "Poll",
    ),
    "_socket": ("Socket",),
    "_socket_record": (
        "Endpoint",
        "SocketMemory",
        "SocketRecord",
        "SocketTimer",
    ),
    "_socket_table": ("SocketTable",),
    "_stack_config": (
        "DeviceConfig",
        "InterfaceConfig",
        "NamesConfig",
        "NeighbourConfig",
        "RouteConfig",
        "StackConfig",
        "SysctlConfig",
        "boot_configured",
        "load_config",
    ),
    "_sysctl": ("Sysctl",),
    "_tcp_info": (
        "CongestionState",
        "TcpInfo",
        "TcpOptions",
        "TcpState",
    ),
    "_tls": ("TlsSocket",),
    "_world": (
        "Clock",
        "World",
    ),
    "_world_wait": ("WorldThread",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("pylibos.plot")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'pylibos' has no attribute {name!r}")
    item = getattr(import_module(f"pylibos.{module}"), name)
    if isinstance(item, type):
        item.__module__ = __name__
    globals()[name] = item
    return item


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
