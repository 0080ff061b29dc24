# SPDX-License-Identifier: GPL-2.0-only
"""Small parts of pylibos that need no kernel."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pylibos
from pylibos import _arguments, _dmesg, _report
from pylibos._ancillary import pack_control, unpack_control
from pylibos._callbacks import Callbacks
from pylibos._link_settings import configure
from pylibos._places import Places
from pylibos._subnets import interface_pairs, parse_subnets
from pylibos._sysctl import path_of


def test_arguments_keep_their_memory_alive():
    data, room = b"bytes", bytearray(4)
    found = _arguments.convert((1, -1, None, data, room, "text"))
    assert found.words[:3] == [1, -1, 0]
    assert ctypes.string_at(found.words[3], 5) == b"bytes"
    assert ctypes.string_at(found.words[5], 5) == b"text\0"
    with pytest.raises(BufferError):
        room.append(1)
    ctypes.memset(found.words[4], 7, 4)
    assert room == b"\7\7\7\7"


@given(st.integers(-(2**63), 2**64 - 1))
def test_integers_wrap_as_registers_do(value):
    assert _arguments.signed(value) % 2**64 == value % 2**64
    assert -(2**63) <= _arguments.signed(value) < 2**63


@given(st.binary(max_size=300))
def test_address_of_bytes_is_where_they_are(data):
    assert ctypes.string_at(_arguments.bytes_address(data), len(data)) == data


@pytest.mark.parametrize(
    ("seconds", "ns"), [(0, 0), (1e-12, 1), (0.001, 1_000_000), (12.345678912, 12345678912)]
)
def test_seconds_become_ns(seconds, ns):
    assert _arguments.nanoseconds(seconds) == ns


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_c_int_has_32_bits(value):
    with pytest.raises(OverflowError, match="signed integer is"):
        _arguments.c_int(value)


messages = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.binary(max_size=50)))


@given(messages)
def test_control_messages_round_trip(items):
    assert unpack_control(pack_control(items)) == items


@given(st.binary(max_size=200))
def test_any_control_data_is_readable(data):
    unpack_control(data)


def test_places_are_given_lowest_first():
    places = Places(100, 10)
    assert [places.take() for _ in range(3)] == [100, 110, 120]
    places.give_back(110)
    places.give_back(100)
    assert [places.take() for _ in range(3)] == [100, 110, 130]


def test_callback_errors_are_kept_and_raised_once():
    calls = []
    callbacks = Callbacks()
    callbacks.on_error = lambda: calls.append(1)

    def fail(value):
        raise LookupError(value)

    function = callbacks.make(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int), fail, lambda: -1)
    assert function(1) == -1
    assert function(2) == -1
    assert calls == [1, 1]
    with pytest.raises(LookupError, match="1"):
        callbacks.raise_error()
    callbacks.raise_error()


def test_log_lines_become_records():
    text = "<6>[    0.000001] one\n<3>[   12.345678] two\nand on\n[    1.000000][T1] three\n"
    records = _dmesg.parse(text)
    assert [(record.level, record.time_ns, record.text) for record in records] == [
        (6, 1000, "one"),
        (3, 12_345_678_000, "two"),
        (3, 12_345_678_000, "and on"),
        (-1, 1_000_000_000, "three"),
    ]
    assert str(records[0]) == "[    0.000001] one"


def test_report_of_tasks_becomes_waiting_tasks():
    text = (
        "1 init R call nr=65540\n"
        "2 kthreadd S kthread  < ll_switch < kthreadd\n"
        "20 init S call nr=288 < ll_switch < inet_csk_accept\n"
        "21 init S call nr=5000 < ll_switch\n"
    )
    first, second = _report.parse(text, "k")
    assert (first.pid, second.call) == (20, "system call 5000")
    assert first.where == ("ll_switch", "inet_csk_accept")
    assert str(second) == "k: task 21 in system call 5000(): ll_switch"


def test_long_deadlock_report_is_cut():
    tasks = tuple(pylibos.WaitingTask("k", number, "read", ()) for number in range(50))
    error = pylibos.DeadlockError("stuck", tasks)
    assert len(error.tasks) == 50
    assert str(error).endswith("and 30 more")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
    ],
)
def test_names_of_parameters_become_paths(name, path):
    assert path_of(name) == path


def test_link_settings_have_units():
    from pylibos import _abi

    config = _abi.plh_link_config()
    configure(config, {"delay_ms": 1.5, "rate_mbit": 10, "loss_pct": 50, "queue_packets": 7})
    assert (config.delay_ns, config.rate_bps) == (1_500_000, 10_000_000)
    assert (config.loss, config.queue_packets) == (2**31, 7)
    configure(config, {"loss_pct": 100})
    assert config.loss == 2**32 - 1


def test_subnets_give_two_addresses_each():
    ends = interface_pairs(parse_subnets(["10.0.0.0/30", "fd00::/64", "10.0.1.0/31"]))
    for number, interfaces in enumerate(ends):
        assert [str(item) for item in interfaces] == [
            f"10.0.0.{1 + number}/30",
            f"fd00::{1 + number}/64",
            f"10.0.1.{number}/31",
        ]
    assert parse_subnets(None) == []


def test_subnet_without_room_for_two_is_refused():
    with pytest.raises(ValueError, match="no room for the two ends"):
        interface_pairs(parse_subnets("10.0.0.1/32"))


def test_public_names_are_documented():
    for name in pylibos.__all__:
        item = getattr(pylibos, name)
        assert item.__doc__, name
        if not isinstance(item, type):
            continue
        for member, value in vars(item).items():
            if callable(value) and not member.startswith("_"):
                assert value.__doc__, f"{name}.{member}"


def test_socket_covers_all_of_socket_socket():
    import socket

    inherited = {"makefile", "sendfile", "close"}  # written in Python, on our methods
    for name in dir(socket.socket):
        if name.startswith("_") or name in inherited:
            continue
        owner = next(base for base in pylibos.Socket.__mro__ if name in vars(base))
        assert owner.__module__.startswith("pylibos"), name
