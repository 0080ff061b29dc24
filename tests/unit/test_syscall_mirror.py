# SPDX-License-Identifier: GPL-2.0-only
"""The generated table of system calls."""

from __future__ import annotations

import platform

import pytest
import syscall_mirror

from pylibos import _syscalls


def test_well_known_numbers():
    assert _syscalls.X86_64["read"] == 0
    assert _syscalls.X86_64["accept4"] == 288
    assert _syscalls.AARCH64["read"] == 63
    assert "open" not in _syscalls.AARCH64


def test_table_is_that_of_this_processor():
    expected = _syscalls.AARCH64 if platform.machine() == "aarch64" else _syscalls.X86_64
    assert expected is _syscalls.NUMBERS


def make_tree(folder, x86, common):
    for path, text in (
        ("arch/x86/entry/syscalls/syscall_64.tbl", x86),
        ("scripts/syscall.tbl", common),
    ):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)
    return folder


def test_tables_of_trees_are_merged(tmp_path):
    one = make_tree(tmp_path / "one", "0\tcommon\tread\tsys_read\n5 x32 odd sys_odd\n", "")
    two = make_tree(tmp_path / "two", "# note\n0 common read\n9 64 new sys_new\n", "7 32 old\n")
    assert syscall_mirror.merge([one, two], "x86_64") == {"read": 0, "new": 9}
    assert syscall_mirror.merge([two], "aarch64") == {}


def test_number_with_two_meanings_is_refused(tmp_path):
    one = make_tree(tmp_path / "one", "0 common read\n", "")
    two = make_tree(tmp_path / "two", "1 common read\n", "")
    with pytest.raises(SystemExit, match="read is 0 and 1"):
        syscall_mirror.merge([one, two], "x86_64")
