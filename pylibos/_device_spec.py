# SPDX-License-Identifier: GPL-2.0-only
"""Device specs: ``kind:key=value,...`` names a device backend and its settings in one word.

The command line and configuration files use them, ``Kernel.open_device()`` opens what they name::

    tap:tap0                    the first bare word is the host's name or path
    tap:name=tap0,vnet_hdr=0    the same by its key, and another setting
    pcap:"/tmp/a,b=c.pcap"      quotes take a comma or an equals sign into a value

A backend joins by one line in KINDS.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pylibos import _device_wrap
from pylibos._abi import LL_MAX_QUEUES
from pylibos._device_raw import FANOUTS
from pylibos._device_xdp import COPIES, MAX_BUSY_POLL_US, MAX_RING_FRAMES, MODES
from pylibos._errors import DeviceSpecError
from pylibos._link_settings import SETTINGS

if TYPE_CHECKING:
    from pylibos._device import Device
    from pylibos._kernel import Kernel

Value = str | int | float | bool


@dataclass(frozen=True)
class Key:
    """One setting of a kind of device.

    Attributes:
        parameter: the argument of the kernel's method that it becomes.
        convert: turns its text into a value; a ValueError says that it does not fit.
        expected: what fits, for messages.
    """

    parameter: str
    convert: Callable[[str], Value]
    expected: str


@dataclass(frozen=True)
class Kind:
    """A kind of device.

    Attributes:
        method: of Kernel, which opens one.
        keys: by name; a first bare word is the value of the first key.
        required: keys that a spec must have.
        rest: key that other keys are appended to as they are, ",key=value"; "" refuses them.
    """

    method: str
    keys: Mapping[str, Key]
    required: tuple[str, ...] = ()
    rest: str = ""


@dataclass(frozen=True)
class DeviceSpec:
    """A spec that has been read and fits.

    Attributes:
        text: as it was given.
        kind: such as "tap".
        arguments: of the kernel's method that opens it.
        wrappers: chance, delay and rate round it, as of Kernel.link_to().
    """

    text: str
    kind: str
    arguments: dict[str, Value] = field(default_factory=dict)
    wrappers: dict[str, Value] = field(default_factory=dict)


# --- What a key can be ---


def text(parameter: str, expected: str = "some text") -> Key:
    """Make a key whose value is any text but an empty one."""

    def convert(value: str) -> str:
        if not value:
            raise ValueError
        return value

    return Key(parameter, convert, expected)


def flag(parameter: str) -> Key:
    """Make a key that is switched on or off."""
    words = {"1": True, "on": True, "yes": True, "true": True}
    words |= {"0": False, "off": False, "no": False, "false": False}

    def convert(value: str) -> bool:
        if value.lower() not in words:
            raise ValueError
        return words[value.lower()]

    return Key(parameter, convert, "1 or 0")


def number(parameter: str, lowest: int, highest: int) -> Key:
    """Make a key that is a whole number, decimal or 0x..., in a range."""

    def convert(value: str) -> int:
        result = int(value, 0)
        if not lowest <= result <= highest:
            raise ValueError
        return result

    return Key(parameter, convert, f"a whole number from {lowest} to {highest}")


def real(parameter: str, lowest: float, highest: float) -> Key:
    """Make a key that is a number in a range."""

    def convert(value: str) -> float:
        result = float(value)
        if not lowest <= result <= highest:
            raise ValueError
        return result

    return Key(parameter, convert, f"a number from {lowest:g} to {highest:g}")


def choice(parameter: str, *words: str) -> Key:
    """Make a key that is one of some words."""

    def convert(value: str) -> str:
        if value not in words:
            raise ValueError
        return value

    return Key(parameter, convert, " or ".join(words))


# --- The kinds ---

KINDS: dict[str, Kind] = {
    "tap": Kind(
        "add_tap",
        {
            "name": text("host_name", "the name of the host's tap"),
            "fd": number("fd", 0, 2**31 - 1),
            "vnet_hdr": flag("vnet_hdr"),
            "queues": number("queues", 1, LL_MAX_QUEUES),
            "up": flag("host_up"),
        },
    ),
    "raw": Kind(
        "add_raw",
        {
            "name": text("host_name", "the name of a host's interface"),
            "promiscuous": flag("promiscuous"),
            "offload": flag("offload"),
            "qdisc": flag("qdisc"),
            "queues": number("queues", 1, LL_MAX_QUEUES),
            "fanout": choice("fanout", *FANOUTS),
            "ring_frames": number("ring_frames", 1, 65536),
            "take_mac": flag("take_mac"),
        },
        required=("name",),
    ),
    "dpdk": Kind(
        "add_dpdk",
        {
            "devargs": text("devargs", "a port of DPDK, such as net_tap0"),
            "queues": number("queues", 1, 16),
            "descriptors": number("descriptors", 1, 32768),
            "mbufs": number("mbufs", 1, 2**24),
            "promiscuous": flag("promiscuous"),
            "poll_us": number("poll_us", 1, 10**6),
        },
        required=("devargs",),
        rest="devargs",
    ),
    "xdp": Kind(
        "add_xdp",
        {
            "name": text("host_name", "the name of a host's interface"),
            "mode": choice("mode", *MODES),
            "copy": choice("copy", *COPIES),
            "queues": number("queues", 1, LL_MAX_QUEUES),
            "first_queue": number("first_queue", 0, 0xFFFF),
            "finish_checksums": flag("finish_checksums"),
            "ring_frames": number("ring_frames", 1, MAX_RING_FRAMES),
            "busy_poll_us": number("busy_poll_us", 0, MAX_BUSY_POLL_US),
            "take_mac": flag("take_mac"),
        },
        required=("name",),
    ),
    "pcap": Kind(
        "add_pcap",
        {
            "path": text("path", "the path of a pcap or pcapng file to replay"),
            "record": text("record", "the path of a pcapng file to write"),
            "speed": real("speed", 0, 10**6),
            "loop": number("loop", 1, 2**32 - 1),
        },
    ),
    "pipe": Kind(
        "add_pipe",
        {
            "in": text("in_path", "the path of the FIFO to read"),
            "out": text("out_path", "the path of the FIFO to write"),
            "in_fd": number("in_fd", 0, 2**31 - 1),
            "out_fd": number("out_fd", 0, 2**31 - 1),
            "vnet_hdr": flag("vnet_hdr"),
        },
    ),
    "shm": Kind(
        "add_shm",
        {
            "path": text("path", "the path of the socket that finds the other end"),
            "listen": flag("listen"),
            "fd": number("fd", 0, 2**31 - 1),
            "offload": flag("offload"),
            "ring_kib": number("ring_kib", 128, 2**18),
        },
    ),
    "unix": Kind(
        "add_unix",
        {
            "path": text("path", "the path of the socket"),
            "type": choice("type", "seqpacket", "stream", "dgram"),
            "listen": flag("listen"),
            "peer": text("peer", "the path of the other end's datagram socket"),
            "fd": number("fd", 0, 2**31 - 1),
            "vnet_hdr": flag("vnet_hdr"),
        },
    ),
}


# What can lie round a device of any kind.
WRAPPERS: dict[str, Key] = {
    **{name: real(name, 0, 100) for name in SETTINGS if name.endswith("_pct")},
    **{name: real(name, 0, 10**9) for name in ("delay_ms", "jitter_ms", "rate_mbit")},
    **{name: number(name, 0, 2**32 - 1) for name in ("queue_packets", "queue_bytes")},
}


# --- Reading ---


def parse(spec: str) -> DeviceSpec:
    """Read a spec.

    Raises:
        DeviceSpecError: it is none, or a value does not fit.
    """
    kind_name, _, rest = spec.partition(":")
    kind = _kind(spec, kind_name.strip())
    given: dict[str, str] = {}
    for index, (key, value) in enumerate(_split(spec, rest)):
        if key is None:
            if index:
                raise _wrong(spec, f"{value!r} has no key", _keys_of(kind))
            key = next(iter(kind.keys))
        if key in given:
            raise _wrong(spec, f"{key!r} is given twice", "each key once")
        given[key] = value
    return _fit(spec, kind_name.strip(), kind, given)


def from_table(table: Mapping[str, Value]) -> DeviceSpec:
    """Read a table of a configuration file, such as ``{kind = "tap", name = "tap0"}``.

    Raises:
        DeviceSpecError: there is no such kind, or a value does not fit.
    """
    shown = ", ".join(f"{key} = {value!r}" for key, value in table.items())
    values = {
        key: str(int(value)) if isinstance(value, bool) else str(value)
        for key, value in table.items()
    }
    kind_name = values.pop("kind", "")
    return _fit(f"{{{shown}}}", kind_name, _kind(f"{{{shown}}}", kind_name), values)


def open_spec(
    kernel: Kernel,
    spec: str | DeviceSpec,
    wrappers: Mapping[str, Any] | None = None,
    arriving: Mapping[str, Any] | None = None,
    **interface: Any,
) -> Device:
    """Open what a spec names as a device of a kernel; see Kernel.open_device()."""
    read = parse(spec) if isinstance(spec, str) else spec
    settings = {key: value for key, value in interface.items() if value is not None}
    settings |= read.arguments
    around: Any = contextlib.nullcontext()
    if read.wrappers or wrappers or arriving:
        configs = _device_wrap.configs({**read.wrappers, **(wrappers or {})}, arriving or {})
        around = _device_wrap.wrapping(configs)
        if _device_wrap.needs_packets(configs):
            settings |= _without_segments(read)
    with around:
        device: Device = getattr(kernel, KINDS[read.kind].method)(**settings)
    return device


def _without_segments(read: DeviceSpec) -> dict[str, Value]:
    """The arguments that let packets come one by one, so that chance and rate act on each."""
    found: dict[str, Value] = {}
    for name in ("vnet_hdr", "offload"):
        if key := KINDS[read.kind].keys.get(name):
            if read.arguments.get(key.parameter):
                raise _wrong(
                    read.text,
                    f"{name} lets large segments cross, on which chance and rate cannot act",
                    f"{name}=0",
                )
            found[key.parameter] = False
    return found


def _kind(spec: str, name: str) -> Kind:
    if name not in KINDS:
        wrong = f"there is no kind of device {name!r}" if name else "it names no kind of device"
        raise _wrong(spec, wrong, f"kind:key=value,... with one of the kinds {', '.join(KINDS)}")
    return KINDS[name]


def _gather(kind: Kind, given: Mapping[str, str]) -> Mapping[str, str]:
    """Append the keys that are not the kind's own to the one that takes them."""
    if not kind.rest or kind.rest not in given:
        return given
    foreign = [f",{key}={value}" for key, value in given.items() if key not in kind.keys]
    own = {key: value for key, value in given.items() if key in kind.keys}
    return {**own, kind.rest: own[kind.rest] + "".join(foreign)}


def _fit(spec: str, name: str, kind: Kind, given: Mapping[str, str]) -> DeviceSpec:
    arguments: dict[str, Value] = {}
    given = _gather(kind, given)
    wrappers: dict[str, Value] = {}
    for key, value in given.items():
        meant = kind.keys.get(key) or WRAPPERS.get(key)
        if meant is None:
            raise _wrong(spec, f"a {name} device has no key {key!r}", _keys_of(kind))
        try:
            converted = meant.convert(value)
        except ValueError:
            wrong = f"{key} is {value!r}" if value else f"{key} has no value"
            raise _wrong(spec, wrong, meant.expected) from None
        (arguments if key in kind.keys else wrappers)[meant.parameter] = converted
    for key in kind.required:
        if key not in given:
            raise _wrong(spec, f"{key!r} is missing", kind.keys[key].expected)
    return DeviceSpec(spec, name, arguments, wrappers)


def _keys_of(kind: Kind) -> str:
    return f"keys out of {', '.join(kind.keys)}"


def _wrong(spec: str, what: str, expected: str) -> DeviceSpecError:
    return DeviceSpecError(f"Device spec {spec!r}: {what}; expected {expected}.")


def _split(spec: str, rest: str) -> list[tuple[str | None, str]]:
    """Split what stands behind the kind into keys and values, quotes taken away."""
    items: list[tuple[str | None, str]] = []
    key: str | None = None
    value, quoted, was_quoted = "", False, False
    for char in rest:
        if char == '"':
            quoted = not quoted
            was_quoted = True
        elif quoted:
            value += char
        elif char == ",":
            if key is None and not value and not was_quoted:
                raise _wrong(spec, "nothing stands before a comma", "key=value,key=value")
            items.append((key, value))
            key, value, was_quoted = None, "", False
        elif char == "=" and key is None and not was_quoted:
            key, value = value.strip(), ""
        else:
            value += char
    if quoted:
        raise _wrong(spec, "a quote is not closed", 'a second "')
    if key is not None or value or was_quoted:
        items.append((key, value))
    elif items:
        raise _wrong(spec, "nothing stands behind the last comma", "key=value,key=value")
    return items
