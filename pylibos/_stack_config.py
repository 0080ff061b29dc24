# SPDX-License-Identifier: GPL-2.0-only
"""What a stack is configured to be: one tree, whatever file it was read from.

``load_config()`` reads a TOML file (_stack_config_toml.py) or the nuse.conf of the NUSE paper
(_stack_config_nuse.py); ``boot_configured()`` boots what it says.  docs/configuration.md has the
files' side of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pylibos._kernel import Kernel, boot
from pylibos._stack_config_table import Address, Interface, Network, Place

if TYPE_CHECKING:
    from pylibos._world import World

NOWHERE = Place()


@dataclass(frozen=True)
class DeviceConfig:
    """A network device with a backend outside of the kernel.

    Attributes:
        backend: a device spec such as "tap:tap0" (Kernel.open_device()), or its table, such as
            {"kind": "tap", "name": "tap0"}.
        name: of the interface; may hold a %d.
        addresses: with the lengths of their prefixes.
        mac: None for a random one.
        mtu: in bytes, None for the backend's own.
        up: whether it is brought up.
        features: to switch on or off, by the names of ethtool -k.
        place: where it was read.
    """

    backend: str | Mapping[str, Any]
    name: str = "eth%d"
    addresses: tuple[Interface, ...] = ()
    mac: str | None = None
    mtu: int | None = None
    up: bool = True
    features: Mapping[str, bool] = field(default_factory=dict)
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class InterfaceConfig:
    """An interface that the kernel makes itself, or has.

    Attributes:
        name: of the interface.
        kind: of ip-link(8), such as "bridge", "vlan", "vxlan", "dummy"; None: it is there already
            ("lo").
        link: name of the interface below it.
        options: of its kind, by pyroute2's names: {"vlan_id": 100}.
        ports: interfaces that get this one as their master.
        addresses, mac, mtu, up, features, place: see DeviceConfig.
    """

    name: str
    kind: str | None = None
    link: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    addresses: tuple[Interface, ...] = ()
    mac: str | None = None
    mtu: int | None = None
    up: bool = True
    features: Mapping[str, bool] = field(default_factory=dict)
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class RouteConfig:
    """A route.

    Attributes:
        to: where it leads.
        via: its gateways; several share the traffic.
        device: name of the interface, None: the one that reaches the gateway.
        source: address that packets without one get.
        metric: the lower of two wins; None: the kernel's default.
        table: number of the routing table.
        kind: "unicast", or "blackhole", "unreachable", "prohibit", "throw".
        place: where it was read.
    """

    to: Network
    via: tuple[Address, ...] = ()
    device: str | None = None
    source: Address | None = None
    metric: int | None = None
    table: int = 254
    kind: str = "unicast"
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class NeighbourConfig:
    """A neighbour that is never asked for its Ethernet address.

    Attributes:
        address: its IPv4 or IPv6 address.
        mac: its Ethernet address.
        device: name of the interface.
        place: where it was read.
    """

    address: Address
    mac: str
    device: str
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class NamesConfig:
    """How programs on the stack find names.

    Attributes:
        nameservers: addresses of name servers.
        search: domains that are tried for short names.
        hosts: addresses of names.
    """

    nameservers: tuple[Address, ...] = ()
    search: tuple[str, ...] = ()
    hosts: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)

    def resolv_conf(self) -> str:
        """The text of an /etc/resolv.conf (resolv.conf(5)) that says so."""
        lines = [f"nameserver {address}" for address in self.nameservers]
        if self.search:
            lines.append(f"search {' '.join(self.search)}")
        return "".join(f"{line}\n" for line in lines)

    def hosts_file(self) -> str:
        """The text of an /etc/hosts (hosts(5)) that says so, localhost included."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        for name, addresses in self.hosts.items():
            lines += [f"{address} {name}" for address in addresses]
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class SysctlConfig:
    """A kernel parameter.

    Attributes:
        name: "net.ipv4.ip_forward"; see Kernel.sysctl.
        value: its text.
        place: where it was read.
    """

    name: str
    value: str
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class StackConfig:
    """A stack: its kernel, its world, and all of its network.

    Attributes:
        kernel, profile, cmdline: see boot().
        name: for reports; None: the kernel's number.
        memory_mib: size of its arena in MiB.
        wait, spin_us, cpu: how its world waits, see World.
        sysctls, devices, interfaces, routes, neighbours: in the order of the file.
        names: how programs on it find names.
        place: the file.
    """

    kernel: str = "6.12"
    profile: str = "defconfig"
    name: str | None = None
    memory_mib: int = 64
    cmdline: str = ""
    wait: str = "epoll"
    spin_us: int = 50
    cpu: int | None = None
    sysctls: tuple[SysctlConfig, ...] = ()
    devices: tuple[DeviceConfig, ...] = ()
    interfaces: tuple[InterfaceConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    neighbours: tuple[NeighbourConfig, ...] = ()
    names: NamesConfig = NamesConfig()
    place: Place = field(default=NOWHERE, compare=False, repr=False)

    def apply(self, kernel: Kernel) -> None:
        """Bring all of it up in a kernel that has been booted: everything but [stack].

        Args:
            kernel: its world must be a real-time one if a device needs that.

        Raises:
            ConfigError: a device cannot be opened or the kernel refuses something; the message
                names file, line and reason.  What came before it stays.
        """
        parts = (self.sysctls, self.devices, self.interfaces, self.routes, self.neighbours)
        if not any(parts) and self.names == NamesConfig():
            return  # pyroute2 takes longer to load than a kernel to boot
        from pylibos._stack_config_apply import apply

        apply(self, kernel)

    def to_toml(self) -> str:
        """Write it as the text of a TOML file that load_config() reads as an equal tree."""
        from pylibos._stack_config_toml import dump

        return dump(self)


def load_config(path: str | os.PathLike[str]) -> StackConfig:
    """Read a configuration file.

    Args:
        path: TOML if it ends in .toml, else a nuse.conf; see docs/configuration.md.

    Raises:
        ConfigError: something in it is unknown or does not fit; the message names file, line,
            what was found and what was expected.
        OSError: it cannot be read.
    """
    from pylibos import _stack_config_nuse, _stack_config_toml

    file = Path(path)
    data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Place(str(file), line).error(
            f"byte {data[error.start]:#x} is no UTF-8; expected a text file."
        ) from None
    if file.suffix == ".toml":
        return _stack_config_toml.read(str(file), text)
    return _stack_config_nuse.read(str(file), text)


def boot_configured(config: StackConfig, *, world: World | None = None, **options: Any) -> Kernel:
    """Boot a kernel and bring up all that its configuration says.

    Args:
        config: what load_config() read.
        world: to boot into; its way to wait is its own then.  None: a real-time world of its own.
        options: of boot(), instead of what the configuration says.

    Raises:
        ConfigError: see StackConfig.apply(); the kernel is halted.
        LibraryNotFound, BootError, ValueError, TypeError: see boot().
    """
    chosen: dict[str, Any] = {
        "kernel": config.kernel,
        "profile": config.profile,
        "memory": config.memory_mib << 20,
        "cmdline": config.cmdline,
        "name": config.name,
    }
    if world is None:
        chosen |= {"clock": "real", "cpu": config.cpu}
        if options.get("clock", "real") == "real":
            chosen |= {"wait": config.wait, "spin_us": config.spin_us}
    kernel = boot(**{**chosen, **options}, world=world)
    try:
        config.apply(kernel)
    except BaseException:
        kernel.halt()
        raise
    return kernel
