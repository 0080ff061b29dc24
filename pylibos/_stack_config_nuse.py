# SPDX-License-Identifier: GPL-2.0-only
"""The nuse.conf of the NUSE paper (libos-nuse, arch/lib/nuse-config.c and README.md).

Stanzas begin with ``interface NAME`` or ``route`` and end with a blank line; a line in them is a
key and a value.  NUSE passed over what it did not know; here that is an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from pylibos._stack_config import DeviceConfig, RouteConfig, StackConfig
from pylibos._stack_config_table import Place, interface_name, mac, nearest
from pylibos._stack_config_toml import check_backend

_KEYS = {
    "interface": ("address", "netmask", "macaddr", "viftype"),
    "route": ("network", "netmask", "gateway"),
}
# Kinds of device that join an interface of the host by its name alone.
_TYPES = ("RAW", "TAP", "DPDK", "XDP")
_REFUSED = {
    "NETMAP": "which needs a host kernel with netmap and is not offered; expected RAW, or XDP "
    "where speed counts",
    "PIPE": "of which one FIFO would carry both directions; expected a TOML file with "
    'backend = "pipe:in=...,out=..."',
}
_RANDOM_MAC = "00:00:00:00:00:00"
# What NUSE named its tap on the host.
_TAP_PREFIX = "nuse-"


@dataclass
class _Stanza:
    """An ``interface NAME`` or a ``route``, with the words and places of its lines."""

    kind: str
    name: str
    place: Place
    lines: dict[str, tuple[str, Place]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}".rstrip()

    def required(self, key: str, expected: str) -> tuple[str, Place]:
        if key not in self.lines:
            raise self.place.error(f"{self.title} has no {key}; expected {expected}.")
        return self.lines[key]


def read(path: str, text: str) -> StackConfig:
    """Read the text of a file.

    Raises:
        ConfigError: it does not say what it should.
    """
    devices: list[DeviceConfig] = []
    routes: list[RouteConfig] = []
    for stanza in _stanzas(path, text):
        if stanza.kind == "route":
            routes.append(_route(stanza))
            continue
        device = _device(stanza)
        for other in devices:
            if other.name == device.name:
                raise stanza.place.error(
                    f"there is an interface {device.name} already (line {other.place.line}); "
                    "expected another name."
                )
        devices.append(device)
    return StackConfig(devices=tuple(devices), routes=tuple(routes), place=Place(path))


def _stanzas(path: str, text: str) -> Iterator[_Stanza]:
    open_stanza: _Stanza | None = None
    last: _Stanza | None = None
    for number, line in enumerate(text.split("\n"), 1):
        place = Place(path, number)
        content = line.partition("#")[0].split()
        if not line.strip():
            if open_stanza:
                yield open_stanza
            open_stanza = None
        elif content and content[0] in _KEYS:
            if open_stanza:
                yield open_stanza
            open_stanza = last = _begin(place, content)
        elif content:
            _add(place, content, open_stanza, last)
    if open_stanza:
        yield open_stanza


def _begin(place: Place, words: list[str]) -> _Stanza:
    kind = words[0]
    if len(words) != (2 if kind == "interface" else 1):
        expected = "interface NAME" if kind == "interface" else "route alone in its line"
        raise place.error(f"found {' '.join(words)!r}; expected {expected}.")
    name = words[1] if kind == "interface" else ""
    if kind == "interface":
        try:
            interface_name(name)
        except ValueError:
            raise place.error(
                f"an interface's name is {name!r}; expected 1 to 15 bytes, no slash or colon."
            ) from None
    return _Stanza(kind, name, place)


def _add(place: Place, words: list[str], stanza: _Stanza | None, last: _Stanza | None) -> None:
    key = words[0]
    if stanza is None:
        if last and key in _KEYS[last.kind]:
            raise place.error(
                f"{key} stands outside of a stanza, since a blank line ended {last.title!r} of "
                f"line {last.place.line}; expected 'interface NAME' or 'route'."
            )
        raise place.error(
            f"found {key!r}; expected 'interface NAME' or 'route': {nearest(key, _KEYS)}"
        )
    known = _KEYS[stanza.kind]
    if key not in known:
        raise place.error(f"{stanza.title} has no key {key!r}; {nearest(key, known)}")
    if len(words) != 2:
        raise place.error(f"found {' '.join(words)!r}; expected {key} and one value.")
    if key in stanza.lines:
        line = stanza.lines[key][1].line
        raise place.error(f"{key} stands in line {line} already; expected it once.")
    stanza.lines[key] = words[1], place


# --- What stanzas mean ---


def _address(key: str, word: str, place: Place) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(word)
    except ValueError:
        raise place.error(
            f"{key} is {word!r}; expected an IPv4 address such as 192.168.0.10."
        ) from None


def _prefix(word: str, place: Place) -> int:
    mask = int(_address("netmask", word, place))
    length = mask.bit_count()
    if mask != (2**32 - 1) ^ (2 ** (32 - length) - 1):
        raise place.error(f"netmask is {word!r}; expected a mask such as 255.255.255.0.")
    return length


def _device(stanza: _Stanza) -> DeviceConfig:
    word, place = stanza.lines.get("viftype", ("RAW", stanza.place))
    addresses: tuple[ipaddress.IPv4Interface, ...] = ()
    if {"address", "netmask"} & stanza.lines.keys():
        given, where = stanza.required("address", "an IPv4 address, since it has a netmask")
        mask = stanza.required("netmask", "a mask such as 255.255.255.0, since it has an address")
        own = _address("address", given, where)
        addresses = (ipaddress.IPv4Interface((own, _prefix(*mask))),)
    return DeviceConfig(
        backend=_backend(stanza, word, place),
        name=stanza.name,
        addresses=addresses,
        mac=_mac(stanza),
        place=place,
    )


def _mac(stanza: _Stanza) -> str | None:
    word, place = stanza.lines.get("macaddr", (_RANDOM_MAC, stanza.place))
    if word == _RANDOM_MAC:
        return None
    try:
        return mac(word)
    except ValueError:
        raise place.error(
            f"macaddr is {word!r}; expected a unicast address such as 00:01:01:01:01:01, or "
            f"{_RANDOM_MAC} for a random one."
        ) from None


def _backend(stanza: _Stanza, word: str, place: Place) -> str:
    if word in _REFUSED:
        raise place.error(f"viftype is {word!r}, {_REFUSED[word]}.")
    if word not in _TYPES:
        raise place.error(
            f"viftype is {word!r}; expected one of {', '.join(_TYPES)}: {nearest(word, _TYPES)}"
        )
    name = f"{_TAP_PREFIX}{stanza.name}"[:15] if word == "TAP" else stanza.name
    backend = f'{word.lower()}:"{name}"' if set(name) & set(',="') else f"{word.lower()}:{name}"
    if word == "TAP":
        backend += ",up=1"  # NUSE brought the host's end up
    check_backend(place, stanza.title, backend)
    return backend


def _route(stanza: _Stanza) -> RouteConfig:
    network, at = stanza.required("network", "network, netmask and gateway")
    length = _prefix(*stanza.required("netmask", "network, netmask and gateway"))
    gateway = stanza.required("gateway", "network, netmask and gateway")
    start = _address("network", network, at)
    try:
        to = ipaddress.IPv4Network((start, length))
    except ValueError:
        wide = ipaddress.IPv4Network((start, length), strict=False)
        raise at.error(
            f"network is {network!r}, which has bits outside of its netmask; expected "
            f"{wide.network_address}."
        ) from None
    return RouteConfig(to, (_address("gateway", *gateway),), place=stanza.place)
