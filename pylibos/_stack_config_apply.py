# SPDX-License-Identifier: GPL-2.0-only
"""Bringing a configuration up in a kernel, by pyroute2 and sysctls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyroute2.netlink.exceptions import NetlinkError

from pylibos import _device_spec
from pylibos._errors import ConfigError, PylibosError
from pylibos._ethtool import features, set_features
from pylibos._netlink import IFA_F_NODAD
from pylibos._stack_config_table import Place, nearest
from pylibos._stack_config_toml import device_spec

if TYPE_CHECKING:
    from pylibos._kernel import Kernel
    from pylibos._stack_config import (
        DeviceConfig,
        InterfaceConfig,
        NamesConfig,
        NeighbourConfig,
        RouteConfig,
        StackConfig,
        SysctlConfig,
    )


def apply(config: StackConfig, kernel: Kernel) -> None:
    """See StackConfig.apply()."""
    # Parameters of interfaces wait until there are interfaces.
    early = [item for item in config.sysctls if item.name in kernel.sysctl]
    for item in early:
        _set_sysctl(kernel, item)
    with kernel.iproute() as ip:
        names = [_open_device(kernel, item) for item in config.devices]
        for interface in config.interfaces:
            with refusals(interface.place, f"interface {interface.name}"):
                _make_interface(ip, interface)
        for item in config.sysctls:
            if item not in early:
                _set_sysctl(kernel, item)
        for name, device in zip(names, config.devices, strict=True):
            _switch(kernel, name, device)
            _bring_up(ip, name, device)
        for interface in config.interfaces:
            _switch(kernel, interface.name, interface)
            _bring_up(ip, interface.name, interface)
        for neighbour in config.neighbours:
            with refusals(neighbour.place, f"neighbour {neighbour.address}"):
                _add_neighbour(ip, neighbour)
        for route in config.routes:
            with refusals(route.place, f"route to {route.to}"):
                _add_route(ip, route)
    _add_names(kernel, config.names)


@contextmanager
def refusals(place: Place, what: str) -> Iterator[None]:
    """Turn what a kernel or a host answers into an error that names the place."""
    try:
        yield
    except ConfigError:
        raise
    except NetlinkError as error:
        raise place.error(f"the kernel refuses the {what} ({error.args[1]}).") from error
    except OSError as error:
        raise place.error(f"the {what} cannot be had ({error.strerror or error}).") from error
    except (PylibosError, ValueError, TypeError) as error:
        raise place.error(f"the {what} cannot be had: {error}") from error


def _set_sysctl(kernel: Kernel, item: SysctlConfig) -> None:
    try:
        kernel.sysctl[item.name] = item.value
    except KeyError:
        group = item.name.rpartition(".")[0]
        known = [name for name in kernel.sysctl if name.startswith(f"{group}.")]
        raise item.place.error(
            f"the kernel has no parameter {item.name!r}; {nearest(item.name, known)}"
        ) from None
    except OSError as error:
        raise item.place.error(
            f"the kernel refuses {item.name} = {item.value!r} ({error.strerror})."
        ) from error


def _open_device(kernel: Kernel, item: DeviceConfig) -> str:
    with refusals(item.place, f"device {item.name}"):
        device = _device_spec.open_spec(
            kernel, device_spec(item.backend), name=item.name, mtu=item.mtu, mac=item.mac
        )
        return device.name


def _index(ip: Any, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        known = [link.get("ifname") for link in ip.get_links()]
        raise ValueError(f"there is no interface {name!r}; {nearest(name, known)}")
    return int(found[0])


def _make_interface(ip: Any, item: InterfaceConfig) -> None:
    if item.kind is not None:
        options = dict(item.options)
        if item.link:
            options["link"] = _index(ip, item.link)
        ip.link("add", ifname=item.name, kind=item.kind, **options)
    index = _index(ip, item.name)
    for port in item.ports:
        ip.link("set", index=_index(ip, port), master=index)
    if item.mac:
        ip.link("set", index=index, address=item.mac)
    if item.mtu:
        ip.link("set", index=index, mtu=item.mtu)


def _switch(kernel: Kernel, name: str, item: DeviceConfig | InterfaceConfig) -> None:
    """Features, before anything crosses."""
    if not item.features:
        return
    with refusals(item.place, f"features of {name}"):
        try:
            set_features(kernel, name, item.features)
        except KeyError as error:
            word = str(error.args[0])
            known = nearest(word, features(kernel, name))
            raise ValueError(f"the kernel knows no feature {word!r}; {known}") from None


def _bring_up(ip: Any, name: str, item: DeviceConfig | InterfaceConfig) -> None:
    with refusals(item.place, f"interface {name}"):
        index = _index(ip, name)
        if item.up:
            ip.link("set", index=index, state="up")
    for address in item.addresses:
        with refusals(item.place, f"address {address} of {name}"):
            options: dict[str, Any] = {}
            if address.version == 6:
                options["flags"] = IFA_F_NODAD  # usable at once
            elif address.network.prefixlen < 31:
                options["broadcast"] = str(address.network.broadcast_address)
            ip.addr(
                "replace",
                index=index,
                address=str(address.ip),
                prefixlen=address.network.prefixlen,
                **options,
            )


def _add_neighbour(ip: Any, item: NeighbourConfig) -> None:
    ip.neigh(
        "replace",
        ifindex=_index(ip, item.device),
        dst=str(item.address),
        lladdr=item.mac,
        state="permanent",
    )


def _add_route(ip: Any, item: RouteConfig) -> None:
    options: dict[str, Any] = {"dst": str(item.to), "table": item.table, "type": item.kind}
    hop = {"oif": _index(ip, item.device)} if item.device else {}
    if len(item.via) > 1:
        options["multipath"] = [{"gateway": str(via), **hop} for via in item.via]
    else:
        options |= hop
        if item.via:
            options["gateway"] = str(item.via[0])
    if item.source:
        options["prefsrc"] = str(item.source)
    if item.metric is not None:
        options["priority"] = item.metric
    ip.route("add", family=10 if item.to.version == 6 else 2, **options)


def _add_names(kernel: Kernel, names: NamesConfig) -> None:
    """For Python's sockets, and as files of the kernel for programs on it."""
    for name, addresses in names.hosts.items():
        kernel.world.hosts[name] = [str(address) for address in addresses]
    if names.hosts or names.nameservers or names.search:
        if not kernel.exists("/etc"):
            kernel.mkdir("/etc", 0o755)
        for path, text in (
            ("/etc/hosts", names.hosts_file()),
            ("/etc/resolv.conf", names.resolv_conf()),
        ):
            with kernel.open(path, "w") as file:
                file.write(text)
