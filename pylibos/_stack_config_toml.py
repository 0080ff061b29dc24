# SPDX-License-Identifier: GPL-2.0-only
"""Configurations of stacks as TOML files; docs/configuration.md lists the keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from pylibos import _device_spec
from pylibos._errors import DeviceSpecError
from pylibos._stack_config import (
    DeviceConfig,
    InterfaceConfig,
    NamesConfig,
    NeighbourConfig,
    RouteConfig,
    StackConfig,
    SysctlConfig,
)
from pylibos._stack_config_table import (
    REQUIRED,
    Address,
    ConfigFile,
    Network,
    Place,
    Table,
    address,
    any_text,
    choice,
    flag,
    interface,
    interface_name,
    mac,
    mapping,
    nearest,
    network,
    text,
    whole,
)

WAITS = ("epoll", "busy", "adaptive")
KINDS = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
_U32 = 2**32 - 1
_A_NAME = "a name of 1 to 15 bytes without a slash, colon or blank"
_A_MAC = 'a unicast address such as "02:00:00:00:00:01"'
_MANY_ADDRESSES = 'addresses with prefix lengths, such as "10.0.0.1/24" or "fd00::1/64"'
_AN_ADDRESS = "an IPv4 or IPv6 address"
_AN_MTU = "a whole number from 68 to 65535"
_A_BACKEND = 'a device spec such as "tap:tap0", or a table such as { kind = "tap", name = "tap0" }'
_SOME_SWITCHES = "names of ethtool -k that are true or false, such as { rx-gro = false }"
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")


def read(path: str, text_of_file: str) -> StackConfig:
    """Read the text of a file.

    Raises:
        ConfigError: it does not say what it should.
    """
    try:
        values = tomllib.loads(text_of_file)
    except ValueError as error:  # or what int() says of a number of too many digits
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(at[1]) if at else text_of_file.rstrip().count("\n") + 1
        problem = re.sub(r" \(at .*\)$", "", str(error))
        raise Place(path, line).error(f"this is no TOML: {problem}.") from None
    except RecursionError:
        raise Place(path).error("this is no TOML of use: its tables are too deep.") from None
    top = Table(ConfigFile(path, text_of_file), (), values, "a configuration")
    stack = top.table("stack")
    settings = _stack(stack)
    config = StackConfig(
        **settings,
        sysctls=tuple(_sysctls(top.table("sysctl"))),
        devices=tuple(_device(item) for item in top.tables("device")),
        interfaces=tuple(_interface(item) for item in top.tables("interface")),
        routes=tuple(_route(item) for item in top.tables("route")),
        neighbours=tuple(_neighbour(item) for item in top.tables("neighbour")),
        names=_names(top.table("names")),
        place=Place(path),
    )
    top.end()
    _check_names(config)
    return config


def _stack(table: Table) -> dict[str, Any]:
    given = {
        "kernel": table.take("kernel", text, 'a series such as "6.12", or a path'),
        "profile": table.take("profile", text, 'a profile such as "defconfig" or "lean"'),
        "name": table.take("name", text, "a name"),
        "memory_mib": table.take("memory_mib", whole(1, 2**24), "a whole number of MiB"),
        "cmdline": table.take("cmdline", _cmdline, "kernel parameters in one line"),
        "wait": table.take("wait", choice(*WAITS), '"epoll", "busy" or "adaptive"'),
        "spin_us": table.take("spin_us", whole(1, 10**6), "a whole number from 1 to 1000000"),
        "cpu": table.take("cpu", whole(0, 1023), "the number of a processor, from 0"),
    }
    table.end()
    return {key: value for key, value in given.items() if value is not None}


def _cmdline(value: Any) -> str:
    if "\0" in any_text(value) or "\n" in value:
        raise ValueError
    return str(value)


def _sysctls(table: Table) -> Iterator[SysctlConfig]:
    """Parameters by quoted names, or by dotted keys, which TOML takes for tables in tables."""
    yield from _parameters(table, (), table.rest())


def _parameters(
    table: Table, steps: tuple[str, ...], values: Mapping[str, Any]
) -> Iterator[SysctlConfig]:
    for key, value in values.items():
        path = (*steps, key)
        if isinstance(value, dict):
            yield from _parameters(table, path, value)
            continue
        place = table.place_of(path[0], *path[1:])
        if isinstance(value, list):
            value = " ".join(str(item) for item in value)
        if isinstance(value, bool):
            value = int(value)
        if not key or not isinstance(value, str | int) or "\0" in str(value):
            raise place.error(
                f"[sysctl]: {'.'.join(path)} is {value}; expected a text, a number, true or false."
            )
        yield SysctlConfig(".".join(path), str(value), place)


def _common(table: Table) -> dict[str, Any]:
    """What devices and interfaces have in common."""
    given = {
        "addresses": table.take_each("addresses", interface, _MANY_ADDRESSES),
        "mac": table.take("mac", mac, _A_MAC),
        "mtu": table.take("mtu", whole(68, 65535), _AN_MTU),
        "up": table.take("up", flag, "true or false"),
        "features": table.take("features", _switches, _SOME_SWITCHES),
    }
    return {key: value for key, value in given.items() if value is not None}


def _switches(value: Any) -> dict[str, bool]:
    return {text(name): flag(on) for name, on in mapping(value).items()}


def _device(table: Table) -> DeviceConfig:
    backend = table.take("backend", _text_or_table, _A_BACKEND, REQUIRED)
    place = table.place_of("backend")
    check_backend(place, table.title, backend)
    name = table.take("name", interface_name, _A_NAME, "eth%d")
    device = DeviceConfig(backend, name, **_common(table), place=place)
    table.end()
    return device


def _text_or_table(value: Any) -> str | dict[str, Any]:
    return mapping(value) if isinstance(value, dict) else text(value)


def check_backend(place: Place, title: str, backend: str | Mapping[str, Any]) -> None:
    """Refuse a device spec that no backend takes."""
    try:
        device_spec(backend)
    except DeviceSpecError as error:
        raise place.error(f"{title}: {error}") from None


def device_spec(backend: str | Mapping[str, Any]) -> _device_spec.DeviceSpec:
    """The device spec of a text or a table."""
    if isinstance(backend, str):
        return _device_spec.parse(backend)
    return _device_spec.from_table(backend)


def _interface(table: Table) -> InterfaceConfig:
    item = InterfaceConfig(
        name=table.take("name", interface_name, _A_NAME, REQUIRED),
        kind=table.take("kind", text, 'a kind of ip-link(8) such as "bridge" or "vlan"'),
        link=table.take("link", interface_name, _A_NAME),
        options=table.take("options", mapping, "a table such as { vlan_id = 100 }", {}),
        ports=table.take_each("ports", interface_name, "names of interfaces"),
        **_common(table),
        place=table.place,
    )
    if item.kind is None and (item.link or item.options or item.ports):
        raise item.place.error(
            f'{table.title} has link, options or ports, but no kind; expected kind = "bridge" '
            "and the like, or neither."
        )
    table.end()
    return item


def _route(table: Table) -> RouteConfig:
    a_network = 'a network such as "10.0.0.0/8" or "::/0"'
    to: Network = table.take("to", network, a_network, REQUIRED)
    family = f"an IPv{to.version} address, as {to} is"

    def of_family(value: Any) -> Address:
        if address(value).version != to.version:
            raise ValueError
        return address(value)

    route = RouteConfig(
        to=to,
        via=table.take_each("via", of_family, family),
        device=table.take("device", interface_name, _A_NAME),
        source=table.take("source", of_family, family),
        metric=table.take("metric", whole(0, _U32), "a whole number from 0 to 2**32 - 1"),
        table=table.take("table", whole(1, _U32), "a whole number from 1 to 2**32 - 1", 254),
        kind=table.take("kind", choice(*KINDS), " or ".join(KINDS), "unicast"),
        place=table.place,
    )
    leads = bool(route.via or route.device)
    if (route.kind == "unicast") != leads:
        raise route.place.error(
            f"{table.title} of kind {route.kind} has {'a' if leads else 'no'} gateway or device; "
            f"expected {'neither' if leads else 'via, device or both'}."
        )
    table.end()
    return route


def _neighbour(table: Table) -> NeighbourConfig:
    neighbour = NeighbourConfig(
        address=table.take("address", address, _AN_ADDRESS, REQUIRED),
        mac=table.take("mac", mac, _A_MAC, REQUIRED),
        device=table.take("device", interface_name, _A_NAME, REQUIRED),
        place=table.place,
    )
    table.end()
    return neighbour


def _host_name(value: Any) -> str:
    if len(text(value)) > 253 or not _HOST_NAME.match(value):
        raise ValueError
    return str(value)


def _names(table: Table) -> NamesConfig:
    hosts_table = table.table("hosts")
    hosts: dict[str, tuple[Address, ...]] = {}
    for name in hosts_table.rest():
        try:
            _host_name(name)
        except ValueError:
            raise hosts_table.place_of(name).error(
                f"[names]: {name!r} is no host name; expected letters, digits, hyphens and dots "
                "(in quotes, if there are dots)."
            ) from None
        hosts[name] = hosts_table.take_each(name, address, "addresses of the host")
    names = NamesConfig(
        nameservers=table.take_each("nameservers", address, "addresses of name servers"),
        search=table.take_each("search", _host_name, "domains"),
        hosts=hosts,
    )
    table.end()
    return names


# --- Whether it fits together ---


def _check_names(config: StackConfig) -> None:
    """Names of interfaces: each once, and those that others speak of are there."""
    known: dict[str, Place] = {"lo": config.place}
    items: list[DeviceConfig | InterfaceConfig] = [*config.devices, *config.interfaces]
    for item in items:
        if item.name in known and item.name != "lo" and "%" not in item.name:
            raise item.place.error(
                f"there is an interface {item.name} already (line {known[item.name].line}); "
                "expected another name."
            )
        known.setdefault(item.name, item.place)
    if any("%" in name for name in known):
        return  # the kernel chooses names
    for wanted, place in _mentioned(config):
        if wanted not in known:
            raise place.error(f"there is no interface {wanted!r}; {nearest(wanted, known)}")


def _mentioned(config: StackConfig) -> Iterator[tuple[str, Place]]:
    for route in config.routes:
        if route.device:
            yield route.device, route.place
    for neighbour in config.neighbours:
        yield neighbour.device, neighbour.place
    for item in config.interfaces:
        for name in (item.link, *item.ports):
            if name:
                yield name, item.place


# --- Writing ---


def dump(config: StackConfig) -> str:
    """Write a configuration as TOML; what has its default is left out."""
    plain = StackConfig()
    stack = {
        key: getattr(config, key)
        for key in ("kernel", "profile", "name", "memory_mib", "cmdline", "wait", "spin_us", "cpu")
        if getattr(config, key) != getattr(plain, key)
    }
    names = {
        "nameservers": _plain(config.names.nameservers),
        "search": list(config.names.search),
        "hosts": {name: _plain(where) for name, where in config.names.hosts.items()},
    }
    document = {
        "stack": stack,
        "sysctl": {item.name: item.value for item in config.sysctls},
        "names": {key: value for key, value in names.items() if value},
        "device": [_table(item) for item in config.devices],
        "interface": [_table(item) for item in config.interfaces],
        "neighbour": [_table(item) for item in config.neighbours],
        "route": [_table(item) for item in config.routes],
    }
    return tomli_w.dumps({key: value for key, value in document.items() if value})


def _table(item: Any) -> dict[str, Any]:
    table = {}
    for key, setting in type(item).__dataclass_fields__.items():
        value = getattr(item, key)
        if key == "place" or value is None or value in ((), {}):
            continue
        if value != setting.default:
            table[key] = _plain(value)
    return table


def _plain(value: Any) -> Any:
    """As TOML has it: addresses are texts."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | bool | int | float | dict) else str(value)
