# SPDX-License-Identifier: GPL-2.0-only
"""The Linux kernel, minus hardware, in a Python process.

    import pylibos
    with pylibos.boot() as kernel:
        with kernel.create_server(("127.0.0.1", 7)) as server:
            ...

Source of all behaviour: the kernel of the image that is booted.
"""

from __future__ import annotations

from pylibos import plot
from pylibos._asyncio import KernelEventLoop
from pylibos._boot_config import Allocator
from pylibos._capture import Capture
from pylibos._counters import Counters
from pylibos._device import CallbackDevice, Device, DeviceBackend, DeviceStats, TapDevice
from pylibos._device_dpdk import DpdkDevice, DpdkStats, dpdk_init, dpdk_join
from pylibos._device_raw import RawDevice
from pylibos._device_spec import DeviceSpec
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
    "images",
    "load_config",
    "plot",
]

for _name in __all__:
    _item = globals()[_name]
    if isinstance(_item, type):
        _item.__module__ = __name__
del _name, _item
