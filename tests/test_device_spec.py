# SPDX-License-Identifier: GPL-2.0-only
"""Device specs: what they say, and what is refused with which words."""

from __future__ import annotations

import inspect

import pytest

import pylibos
from pylibos import _device_spec
from pylibos._device_spec import from_table, parse


@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        ("tap", {}),
        ("tap:", {}),
        ("tap:tap0", {"host_name": "tap0"}),
        ("tap:name=tap0,vnet_hdr=0", {"host_name": "tap0", "vnet_hdr": False}),
        ("tap:tap0,vnet_hdr=on", {"host_name": "tap0", "vnet_hdr": True}),
        ("tap:fd=0x10", {"fd": 16}),
        ('tap:"a,b=c"', {"host_name": "a,b=c"}),
        ('tap:name="a,b=c",fd=3', {"host_name": "a,b=c", "fd": 3}),
        ("tap:name=a=b:c", {"host_name": "a=b:c"}),
    ],
)
def test_spec_says_the_arguments(spec, arguments):
    read = parse(spec)
    assert (read.kind, read.arguments, read.text) == ("tap", arguments, spec)


@pytest.mark.parametrize(
    ("spec", "wrong", "expected"),
    [
        ("", "it names no kind of device", "kinds tap"),
        ("tep:tap0", "there is no kind of device 'tep'", "kinds tap"),
        ("tap:colour=red", "has no key 'colour'", "keys out of name, fd, vnet_hdr"),
        ("tap:tap0,tap1", "'tap1' has no key", "keys out of name, fd, vnet_hdr"),
        ("tap:tap0,name=tap1", "'name' is given twice", "each key once"),
        ("tap:vnet_hdr=maybe", "vnet_hdr is 'maybe'", "1 or 0"),
        ("tap:fd=-1", "fd is '-1'", "a whole number from 0 to 2147483647"),
        ("tap:fd=x", "fd is 'x'", "a whole number from 0 to 2147483647"),
        ("tap:name=", "name has no value", "the name of the host's tap"),
        ("tap:,fd=1", "nothing stands before a comma", "key=value,key=value"),
        ("tap:fd=1,", "nothing stands behind the last comma", "key=value,key=value"),
        ('tap:"tap0', "a quote is not closed", 'a second "'),
    ],
)
def test_wrong_spec_is_named_with_what_was_expected(spec, wrong, expected):
    with pytest.raises(pylibos.DeviceSpecError) as caught:
        parse(spec)
    message = str(caught.value)
    assert message.startswith(f"Device spec {spec!r}: ")
    assert wrong in message.split("; expected ")[0]
    assert expected in message.split("; expected ")[1]


def test_table_says_the_same_as_a_spec():
    table = from_table({"kind": "tap", "name": "tap0", "fd": 3, "vnet_hdr": False})
    assert table.arguments == parse("tap:tap0,fd=3,vnet_hdr=0").arguments


def test_table_without_a_kind_is_refused():
    with pytest.raises(pylibos.DeviceSpecError, match="it names no kind of device"):
        from_table({"name": "tap0"})


def test_required_key_must_be_there(monkeypatch):
    key = _device_spec.text("path", "the path of a file")
    monkeypatch.setitem(
        _device_spec.KINDS, "file", _device_spec.Kind("add_file", {"path": key}, ("path",))
    )
    assert parse("file:/a").arguments == {"path": "/a"}
    with pytest.raises(pylibos.DeviceSpecError, match="'path' is missing; expected the path of"):
        parse("file")


@pytest.mark.parametrize("name", _device_spec.KINDS)
def test_each_key_is_an_argument_of_the_kernels_method(name):
    kind = _device_spec.KINDS[name]
    parameters = inspect.signature(getattr(pylibos.Kernel, kind.method)).parameters
    assert {key.parameter for key in kind.keys.values()} <= set(parameters)
    assert {"name", "mtu", "mac"} <= set(parameters)


def test_opened_device_is_what_the_spec_names(boot_one):
    kernel = boot_one()
    with pytest.raises(ValueError, match="A tap needs the real clock"):
        kernel.open_device("tap:tap0")


def test_interface_is_as_asked(boot_one, monkeypatch):
    calls = []
    monkeypatch.setattr(pylibos.Kernel, "add_tap", lambda self, **given: calls.append(given))
    boot_one().open_device("tap:tap0,vnet_hdr=0", name="wan", mtu=1400)
    assert calls == [{"host_name": "tap0", "vnet_hdr": False, "name": "wan", "mtu": 1400}]
