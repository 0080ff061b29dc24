# SPDX-License-Identifier: GPL-2.0-only
"""Any configuration can be written and read again; garbage gives the clear error and no other."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylibos import (
    ConfigError,
    DeviceConfig,
    InterfaceConfig,
    NamesConfig,
    NeighbourConfig,
    RouteConfig,
    StackConfig,
    SysctlConfig,
    _stack_config_nuse,
    _stack_config_toml,
)

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TOML = (EXAMPLES / "everything.toml").read_text() + (EXAMPLES / "router.toml").read_text().replace(
    "[stack]", "#"
).replace('name = "router"\nwait', "#").replace("[sysctl]\n", "#").replace("net.", "#")
NUSE = (EXAMPLES / "nuse.conf").read_text()
READERS = {"a.toml": _stack_config_toml.read, "nuse.conf": _stack_config_nuse.read}

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,14}", fullmatch=True)
macs = st.binary(min_size=6, max_size=6).map(lambda data: bytes([data[0] & 0xFE | 2, *data[1:]]))
macs_as_text = macs.map(lambda data: data.hex(":"))
addresses = st.ip_addresses()
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=1, max_size=20)


@st.composite
def interfaces(draw):
    address = draw(addresses)
    return ipaddress.ip_interface((address, draw(st.integers(0, address.max_prefixlen))))


@st.composite
def routes(draw):
    to = draw(interfaces()).network
    gateways = st.ip_addresses(v=to.version)
    kind = draw(st.sampled_from(["unicast", "blackhole", "unreachable", "prohibit", "throw"]))
    via = draw(st.lists(gateways, min_size=1, max_size=3)) if kind == "unicast" else []
    return RouteConfig(
        to,
        tuple(via),
        device="lo" if via and draw(st.booleans()) else None,
        source=draw(st.none() | gateways),
        metric=draw(st.none() | st.integers(0, 2**32 - 1)),
        table=draw(st.integers(1, 2**32 - 1)),
        kind=kind,
    )


@st.composite
def configs(draw):
    chosen = draw(st.lists(names, max_size=4, unique=True).filter(lambda all_: "lo" not in all_))
    common = {
        "addresses": st.lists(interfaces(), max_size=2).map(tuple),
        "mac": st.none() | macs_as_text,
        "mtu": st.none() | st.integers(68, 65535),
        "up": st.booleans(),
        "features": st.dictionaries(texts, st.booleans(), max_size=2),
    }
    backend = st.just({"kind": "tap", "name": "t", "vnet_hdr": False}) | st.just('tap:"a,b"')
    return StackConfig(
        kernel=draw(texts),
        profile=draw(texts),
        name=draw(st.none() | texts),
        memory_mib=draw(st.integers(1, 4096)),
        cmdline=draw(texts | st.just("")),
        wait=draw(st.sampled_from(["epoll", "busy", "adaptive"])),
        spin_us=draw(st.integers(1, 10**6)),
        cpu=draw(st.none() | st.integers(0, 1023)),
        sysctls=tuple(
            SysctlConfig(name, value)
            for name, value in draw(st.dictionaries(texts, texts, max_size=3)).items()
        ),
        devices=tuple(
            draw(st.builds(DeviceConfig, backend=backend, name=st.just(name), **common))
            for name in chosen[:2]
        ),
        interfaces=tuple(
            draw(
                st.builds(
                    InterfaceConfig,
                    name=st.just(name),
                    kind=texts,
                    link=st.none() | st.sampled_from(chosen),
                    options=st.dictionaries(names, st.integers(0, 9) | texts, max_size=2),
                    ports=st.lists(st.sampled_from(chosen), max_size=2).map(tuple),
                    **common,
                )
            )
            for name in chosen[2:]
        ),
        routes=tuple(draw(st.lists(routes(), max_size=3))),
        neighbours=tuple(
            draw(
                st.lists(
                    st.builds(
                        NeighbourConfig, addresses, macs_as_text, st.sampled_from(["lo", *chosen])
                    ),
                    max_size=2,
                )
            )
        ),
        names=NamesConfig(
            tuple(draw(st.lists(addresses, max_size=2))),
            tuple(draw(st.lists(st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True), max_size=2))),
            draw(
                st.dictionaries(
                    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,9}[a-z0-9])?", fullmatch=True),
                    st.lists(addresses, min_size=1, max_size=2).map(tuple),
                    max_size=2,
                )
            ),
        ),
    )


@given(configs())
@settings(max_examples=40, deadline=None)
def test_any_configuration_can_be_written_and_read_again(config):
    assert _stack_config_toml.read("a.toml", config.to_toml()) == config


def read_or_refuse(name, text):
    try:
        assert isinstance(READERS[name](name, text), StackConfig)
    except ConfigError as raised:
        error = raised
    else:
        return
    assert error.path == name
    assert 0 <= error.line <= text.count("\n") + 1
    place = f"{name}:{error.line}: " if error.line else f"{name}: "
    assert str(error).startswith(place)


@given(st.sampled_from(sorted(READERS)), st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_garbage_gives_the_clear_error(name, text):
    read_or_refuse(name, text)


WORDS = [
    *"\n \t#=[]{}\"',.:/%0",
    *("[[", "]]", "=", "true", "1e9", "-1", "interface ", "route", "'''", "1979-05-27", "é\u2028"),
    *("10.0.0.0", "::", "tap:", "[[device]]\n", "[names]\n", "[sysctl]\n", "nan", "10.0.0.1/33"),
]


@st.composite
def damaged(draw, text):
    """A good file, of which something was cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        middle = draw(st.sampled_from(WORDS) | st.just(text[start:end] * 2) | st.text(max_size=4))
        text = text[:start] + middle + text[end:]
    return text


@given(damaged(TOML))
@settings(max_examples=100, deadline=None)
def test_damaged_toml_gives_the_clear_error(text):
    read_or_refuse("a.toml", text)


@given(damaged(NUSE))
@settings(max_examples=300, deadline=None)
def test_damaged_nuse_conf_gives_the_clear_error(text):
    read_or_refuse("nuse.conf", text)


def test_the_file_that_is_damaged_is_a_good_one():
    config = _stack_config_toml.read("a.toml", TOML)
    assert (len(config.devices), len(config.interfaces), len(config.routes)) == (2, 5, 5)


HEADERS = [number for number, line in enumerate(TOML.split("\n")) if line.startswith("[")]


@pytest.mark.parametrize("line", HEADERS)
def test_line_of_an_unknown_table_is_found_wherever_it_stands(line):
    lines = TOML.split("\n")
    text = "\n".join([*lines[:line], "[[oops]]", "a = 1", *lines[line:]])
    with pytest.raises(ConfigError, match="has no key 'oops'") as caught:
        _stack_config_toml.read("a.toml", text)
    assert caught.value.line == line + 1


@pytest.mark.parametrize("text", ["a = " + "[" * 9999, "\n\na = " + "9" * 9999])
def test_toml_without_measure_gives_the_clear_error(text):
    with pytest.raises(ConfigError, match="this is no TOML"):
        _stack_config_toml.read("a.toml", text)
