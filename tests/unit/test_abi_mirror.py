# SPDX-License-Identifier: GPL-2.0-only
"""pylibos/_abi.py mirrors the headers: as text, and as the compiler lays them out."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import abi_mirror
import pytest

from pylibos import _abi

ROOT = Path(__file__).resolve().parents[2]


def test_mirror_is_up_to_date():
    text = abi_mirror.generate(abi_mirror.load())
    assert (ROOT / "pylibos" / "_abi.py").read_text() == text


def test_offsets_and_sizes_are_the_compilers(tmp_path):
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("There is no C compiler.")
    source, program = tmp_path / "probe.c", tmp_path / "probe"
    source.write_text(abi_mirror.probe(abi_mirror.load()))
    includes = [f"-I{(ROOT / header).parent}" for header in abi_mirror.HEADERS]
    subprocess.run([compiler, *includes, "-o", program, source], check=True)
    output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    checked = 0
    for line in output.splitlines():
        name, member, offset, *size = line.split()
        checked += 1
        if member == "=":
            assert getattr(_abi, name) == int(offset), line
            continue
        structure = _abi.STRUCTURES[name]
        if member == "-":
            assert ctypes.sizeof(structure) == int(size[0]), line
            continue
        field = getattr(structure, member)
        assert (field.offset, field.size) == (int(offset), int(size[0])), line
    assert checked > 150


def test_every_function_of_the_header_has_a_prototype():
    text = "".join((ROOT / header).read_text() for header in abi_mirror.HEADERS)
    for name in _abi.PROTOTYPES:
        assert f"{name}(" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#define X (1 + 2)\n", "is no plain number"),
        ("struct a { unsigned x : 3; };", "cannot mirror"),
        ("union u { int a; };", "cannot mirror the declaration"),
        ("struct a { float x; };", "unknown type 'float'"),
        ("int f(void)", "text without a semicolon"),
    ],
)
def test_what_cannot_be_mirrored_is_refused(text, message):
    with pytest.raises(abi_mirror.HeaderError, match=message):
        abi_mirror.Parser().parse(text)


def test_plain_c_is_understood():
    parser = abi_mirror.Parser()
    parser.parse(
        "#define N 0x10u /* a note */\n"
        "enum e { A, B = 5, C };\n"
        "struct inner { uint16_t x, y; };\n"
        "typedef struct inner in_t;\n"
        "struct outer { struct inner *p; struct inner i; char name[N];"
        " int (*f)(void *o, int n); };\n"
        "const char *text(const in_t *a, uint64_t b[2]);\n"
    )
    mirror = parser.mirror
    assert mirror.constants == [("N", "0x10")]
    assert mirror.enums["e"] == [("A", 0), ("B", 5), ("C", 6)]
    assert [field.ctype for field in mirror.structs["outer"]] == [
        "c_void_p",
        "inner",
        "c_char * N",
        "CFUNCTYPE(c_int, c_void_p, c_int)",
    ]
    assert mirror.functions["text"][0] == "c_char_p"
