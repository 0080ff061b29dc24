# SPDX-License-Identifier: GPL-2.0-only
"""Topologies from files: TOML as docs/topology.md describes it, and GraphML."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pylibos._errors import TopologyError
from pylibos._link_settings import SETTINGS, GilbertElliott
from pylibos._network import Network
from pylibos._node import Node

_NETWORK_KEYS: dict[str, type] = {
    "seed": int,
    "real_time": bool,
    "kernel": str,
    "profile": str,
    "memory": int,
}
_NODE_KEYS: dict[str, type] = {
    "name": str,
    "kernel": str,
    "profile": str,
    "memory": int,
    "cmdline": str,
}
_SWITCH_KEYS: dict[str, type] = {"name": str, "kernel": str, "profile": str}
_LINK_KEYS: dict[str, type] = {"metric": int, "mtu": int, "offload": bool}
_TABLES = {"network", "node", "switch", "link"}


class _Place:
    """Where in a file something stands, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def error(self, problem: str) -> TopologyError:
        return TopologyError(f"{self._path}: {self._text}: {problem}")


def load(path: str | os.PathLike[str], **options: Any) -> Network:
    """Build the network that a file describes, and its routes.

    Args:
        path: a .toml or .graphml file; see docs/topology.md.
        options: of Network(), instead of what the file says.

    Raises:
        TopologyError: the file is none, or something in it is unknown or does not fit.
        OSError: it cannot be read.
    """
    file = Path(path)
    if file.suffix == ".toml":
        plan = _read_toml(file)
    elif file.suffix == ".graphml":
        plan = _read_graphml(file)
    else:
        raise TopologyError(f"{file}: a topology is a .toml or a .graphml file.")
    return _build(file, plan, options)


# --- Reading ---


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        plan = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TopologyError(f"{file}: this is no TOML: {error}.") from error
    for name in plan:
        if name not in _TABLES:
            raise TopologyError(
                f"{file}: there is no table {name!r}; known are [network], [[node]], [[switch]] "
                "and [[link]]."
            )
    for name in ("node", "switch", "link"):
        if not isinstance(plan.get(name, []), list):
            raise TopologyError(f"{file}: {name} is written [[{name}]], once for each.")
    return plan


def _read_graphml(file: Path) -> dict[str, Any]:
    import networkx

    try:
        graph = networkx.read_graphml(file)
    except (networkx.NetworkXError, SyntaxError) as error:
        raise TopologyError(f"{file}: this is no GraphML: {error}.") from error
    names: dict[Any, str] = {}
    plan: dict[str, Any] = {"node": [], "switch": [], "link": []}
    for number, attributes in graph.nodes(data=True):
        name = _host_name(str(attributes.get("label", number)))
        if not name or name in names.values():
            name = _host_name(f"{name}-{number}" if name else f"n{number}")
        names[number] = name
        kind = "switch" if attributes.get("kind") == "switch" else "node"
        known = _SWITCH_KEYS if kind == "switch" else _NODE_KEYS
        chosen = {key: value for key, value in attributes.items() if key in known}
        plan[kind].append(chosen | {"name": name})
    wanted = {"subnet", *SETTINGS, *_LINK_KEYS}
    for first, second, attributes in graph.edges(data=True):
        chosen = {key: value for key, value in attributes.items() if key in wanted}
        plan["link"].append(chosen | {"ends": [names[first], names[second]]})
    return plan


def _host_name(text: str) -> str:
    """The letters of a label that a host name may have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")


# --- Building ---


def _build(file: Path, plan: dict[str, Any], options: dict[str, Any]) -> Network:
    place = _Place(file, "[network]")
    settings = dict(plan.get("network", {}))
    route = settings.pop("route", True)
    multipath = settings.pop("multipath", False)
    _check(place, settings, _NETWORK_KEYS)
    net = Network(**(settings | options))
    try:
        for kind in ("node", "switch"):
            for number, item in enumerate(plan.get(kind, []), 1):
                _add_node(net, _Place(file, f"[[{kind}]] number {number}"), kind, dict(item))
        for number, item in enumerate(plan.get("link", []), 1):
            _add_link(net, _Place(file, f"[[link]] number {number}"), dict(item))
        if route:
            net.route_all(multipath=multipath)
    except BaseException:
        net.close()
        raise
    return net


def _check(place: _Place, item: dict[str, Any], known: dict[str, type]) -> None:
    for key, value in item.items():
        if key not in known:
            raise place.error(f"there is no key {key!r}; known are {', '.join(sorted(known))}.")
        if not isinstance(value, known[key]):
            raise place.error(f"{key} is {known[key].__name__}, not {value!r}.")


def _add_node(net: Network, place: _Place, kind: str, item: dict[str, Any]) -> None:
    sysctls = item.pop("sysctl", {})
    subnet = item.pop("subnet", None) if kind == "switch" else None
    _check(place, item, _SWITCH_KEYS if kind == "switch" else _NODE_KEYS)
    if "name" not in item:
        raise place.error("it has no name.")
    if not isinstance(sysctls, dict):
        raise place.error("sysctl is a table of kernel parameters.")
    try:
        if kind == "switch":
            net.switch(**item, subnet=subnet, **sysctls)
        else:
            net.node(**item, **sysctls)
    except (ValueError, TypeError, KeyError) as error:
        raise place.error(str(error.args[0])) from error


def _end(net: Network, place: _Place, name: object) -> Node:
    if not isinstance(name, str) or name not in net.nodes:
        raise place.error(f"there is no node or switch {name!r}.")
    return net.nodes[name]


def _add_link(net: Network, place: _Place, item: dict[str, Any]) -> None:
    ends = item.pop("ends", None)
    if not isinstance(ends, list) or len(ends) != 2:
        raise place.error('it has no ends = ["NODE", "NODE"].')
    first, second = (_end(net, place, name) for name in ends)
    try:
        for settings in (item, item.get("back", {})):
            if isinstance(settings.get("loss_model"), dict):
                settings["loss_model"] = GilbertElliott(**settings["loss_model"])
        net.link(first, second, **item)
    except (ValueError, TypeError, AttributeError) as error:
        raise place.error(str(error.args[0])) from error
