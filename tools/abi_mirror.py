# SPDX-License-Identifier: GPL-2.0-only
"""Generate pylibos/_abi.py, the ctypes mirror of the boundary's headers.

The parser understands the plain subset of C in which these headers
are written: number macros, enums, structures without bit-fields,
typedefs of structures, function prototypes and function pointers.  Anything else is refused
with the line at fault, never skipped.

    python tools/abi_mirror.py            write pylibos/_abi.py
    python tools/abi_mirror.py --check    fail if pylibos/_abi.py is out of date
    python tools/abi_mirror.py --probe    print a C program that prints each offset and size
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = ("abi/liblinux.h", "host/pylibos_host.h", "host/nuse/pylibos_nuse.h")
TARGET = ROOT / "pylibos" / "_abi.py"

SCALARS = {
    "char": "c_char",
    "short": "c_short",
    "int": "c_int",
    "int32_t": "c_int32",
    "int64_t": "c_int64",
    "size_t": "c_size_t",
    "uint8_t": "c_uint8",
    "uint16_t": "c_uint16",
    "uint32_t": "c_uint32",
    "uint64_t": "c_uint64",
}


class HeaderError(Exception):
    """A header holds something that the mirror cannot express."""


@dataclass
class Field:
    """A member or parameter: its name and its ctypes expression."""

    name: str
    ctype: str


@dataclass
class Mirror:
    """Everything that was found in the headers, in their order."""

    constants: list[tuple[str, str]] = field(default_factory=list)
    enums: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    structs: dict[str, list[Field]] = field(default_factory=dict)
    functions: dict[str, tuple[str, list[Field]]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    typedefs: dict[str, str] = field(default_factory=dict)


def strip(text: str) -> str:
    """Remove comments, conditionals and includes; keep ``#define`` lines."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
    text = re.sub(r'extern "C" \{', "", text)
    # The closing brace of extern "C" stands alone between #ifdef __cplusplus and #endif.
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.S)
    return "\n".join(line for line in text.splitlines() if not re.match(r"\s*#\s*(?!define)", line))


def number(text: str) -> str:
    """Turn a C number into a Python literal."""
    text = text.strip()
    if text in ("UINT64_MAX", "(~(uint64_t)0)"):
        return "0xFFFFFFFFFFFFFFFF"
    if text == "INT64_MIN":
        return "-0x8000000000000000"
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)[uUlL]*", text)
    if not match:
        raise HeaderError(f"{text!r} is no plain number")
    return match[1] if match[1].isdecimal() else "0x" + match[1][2:].upper()


def take_constants(text: str, mirror: Mirror) -> str:
    """Collect number macros; return the text without any macro."""
    rest = []
    for line in text.splitlines():
        match = re.match(r"\s*#define\s+(\w+)\s*(.*)", line)
        if not match:
            rest.append(line)
        elif match[2].strip():
            mirror.constants.append((match[1], number(match[2])))
    return "\n".join(rest)


def split_declarations(text: str) -> list[str]:
    """Split C text at the semicolons outside of braces."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == ";" and depth == 0:
            parts.append(" ".join(text[start:index].split()))
            start = index + 1
    tail = text[start:].strip()
    if tail:
        raise HeaderError(f"text without a semicolon at the end: {tail[:60]!r}")
    return parts


def split_list(text: str) -> list[str]:
    """Split a parameter list at the commas outside of parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]


class Parser:
    """Fills a Mirror from header text."""

    def __init__(self) -> None:
        self.mirror = Mirror()

    def parse(self, text: str) -> None:
        """Read one header."""
        for declaration in split_declarations(take_constants(strip(text), self.mirror)):
            self.declaration(declaration)

    def declaration(self, text: str) -> None:
        """Read one declaration at file level."""
        if match := re.fullmatch(r"enum (\w+) \{(.*)\}", text):
            self.enum(match[1], match[2])
        elif match := re.fullmatch(r"struct (\w+) \{(.*)\}", text):
            members = [self.member(part) for part in split_declarations(match[2])]
            self.mirror.structs[match[1]] = [item for group in members for item in group]
        elif re.fullmatch(r"struct \w+", text):
            return
        elif match := re.fullmatch(r"typedef struct (\w+) (\w+)", text):
            self.mirror.typedefs[match[2]] = match[1]
        elif match := re.fullmatch(r"extern const struct (\w+) (\w+)", text):
            self.mirror.variables[match[2]] = match[1]
        elif match := re.fullmatch(r"([\w ]+?[ *]+)(\w+)\((.*)\)", text):
            self.mirror.functions[match[2]] = (
                self.result(match[1]),
                self.parameters(match[3]),
            )
        else:
            raise HeaderError(f"cannot mirror the declaration {text!r}")

    def enum(self, name: str, body: str) -> None:
        """Read an enum; values without a number count on."""
        members, value = [], -1
        for part in filter(None, (item.strip() for item in body.split(","))):
            key, _, text = part.partition("=")
            value = int(number(text), 0) if text else value + 1
            members.append((key.strip(), value))
        self.mirror.enums[name] = members

    def member(self, text: str) -> list[Field]:
        """Read one member declaration, which may name several members."""
        if match := re.fullmatch(r"(.+?)\(\*(\w+)\)\((.*)\)", text):
            return [Field(match[2], self.callback(match[1], match[3]))]
        first, *others = split_list(text)
        match = re.fullmatch(r"((?:const )?(?:struct )?\w+)\s+(.*)", first)
        if not match:
            raise HeaderError(f"cannot mirror the member {text!r}")
        return [self.declarator(match[1], item) for item in (match[2], *others)]

    def declarator(self, base: str, text: str) -> Field:
        """Read ``*name``, ``name[N]`` or ``name`` of a base type."""
        match = re.fullmatch(r"(\**)\s*(\w+)(?:\[(\w+)\])?", text.strip())
        if not match:
            raise HeaderError(f"cannot mirror the declarator {text!r}")
        ctype = self.type(base + " " + match[1], embedded=True)
        return Field(match[2], f"{ctype} * {match[3]}" if match[3] else ctype)

    def parameters(self, text: str) -> list[Field]:
        """Read a parameter list."""
        if text.strip() == "void":
            return []
        fields = []
        for part in split_list(text):
            if match := re.fullmatch(r"(.+?)\(\*(\w+)\)\((.*)\)", part):
                fields.append(Field(match[2], self.callback(match[1], match[3])))
                continue
            match = re.fullmatch(r"(.*?[ *])(\w+)(\[\w*\])?", part)
            if not match:
                raise HeaderError(f"cannot mirror the parameter {part!r}")
            pointer = " *" if match[3] else ""
            fields.append(Field(match[2], self.type(match[1] + pointer)))
        return fields

    def result(self, text: str) -> str:
        """Map the type of a function's result."""
        text = text.strip()
        if text == "void":
            return "None"
        return self.type(text)

    def callback(self, result: str, parameters: str) -> str:
        """Map a function pointer; its pointers are plain addresses."""
        kinds = [self.result(result)] + [
            "c_void_p" if item.ctype == "c_char_p" else item.ctype
            for item in self.parameters(parameters)
        ]
        return f"CFUNCTYPE({', '.join(kinds)})"

    def type(self, text: str, *, embedded: bool = False) -> str:
        """Map a C type; pointers other than to text are plain addresses."""
        text = " ".join(text.replace("*", " * ").split())
        if text == "const char *":
            return "c_char_p"
        if text.endswith("*"):
            return "c_void_p"
        text = text.removeprefix("const ")
        if text in SCALARS:
            return SCALARS[text]
        name = self.mirror.typedefs.get(text, text.removeprefix("struct "))
        if embedded and name in self.mirror.structs:
            return name
        raise HeaderError(f"unknown type {text!r}")


def load() -> Mirror:
    """Parse both headers of the checkout."""
    parser = Parser()
    for header in HEADERS:
        try:
            parser.parse((ROOT / header).read_text())
        except HeaderError as error:
            raise HeaderError(f"{header}: {error}") from None
    return parser.mirror


def emit_call(name: str, result: str, parameters: list[Field]) -> list[str]:
    """Write one entry of the prototype table, broken into lines of at most 100."""
    arguments = ", ".join(item.ctype for item in parameters)
    arguments += "," if len(parameters) == 1 else ""
    line = f'    "{name}": ({result}, ({arguments})),'
    if len(line) <= 100:
        return [line]
    return [
        f'    "{name}": (',
        f"        {result},",
        "        (",
        *(f"            {item.ctype},  # {item.name}" for item in parameters),
        "        ),",
        "    ),",
    ]


def generate(mirror: Mirror) -> str:
    """Return the text of pylibos/_abi.py."""
    names = sorted(
        {"CFUNCTYPE", "Structure"}
        | {word for group in mirror.structs.values() for f in group for word in words(f.ctype)}
        | {w for result, group in mirror.functions.values() for f in group for w in words(f.ctype)}
        | {w for result, _ in mirror.functions.values() for w in words(result)},
        key=lambda name: [int(part) if part.isdecimal() else part for part in split_digits(name)],
    )
    lines = [
        "# SPDX-License-Identifier: GPL-2.0-only",
        '"""The boundary as ctypes; made by tools/abi_mirror.py from the headers, do not edit."""',
        "",
        "# Sources: " + ", ".join(HEADERS),
        "# ruff: noqa: N801",
        "",
        "from ctypes import (",
        *(f"    {name}," for name in names),
        ")",
        "from typing import Any, Final",
        "",
        *(f"{name}: Final = {value}" for name, value in mirror.constants),
    ]
    for name, members in mirror.enums.items():
        lines += ["", f"# enum {name}"]
        lines += [f"{key}: Final = {value}" for key, value in members]
    for name, fields in mirror.structs.items():
        lines += ["", "", f"class {name}(Structure):", f'    """struct {name}."""', ""]
        lines += ["    _fields_ = ("]
        for item in fields:
            line = f'        ("{item.name}", {item.ctype}),'
            if len(line) <= 100:
                lines.append(line)
                continue
            inner = item.ctype.removeprefix("CFUNCTYPE(").removesuffix(")").split(", ")
            lines += ["        (", f'            "{item.name}",', "            CFUNCTYPE("]
            lines += [f"                {part}," for part in inner]
            lines += ["            ),", "        ),"]
        lines.append("    )")
    lines += ["", "", "# Function: (type of the result, types of the parameters)"]
    lines += ["PROTOTYPES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {"]
    for name, (result, parameters) in mirror.functions.items():
        lines += emit_call(name, result, parameters)
    lines += ["}", "", "# Constant objects that the library exports"]
    lines += ["VARIABLES: Final[dict[str, Any]] = {"]
    lines += [f'    "{name}": {struct},' for name, struct in mirror.variables.items()]
    lines += ["}", "", "STRUCTURES: Final[dict[str, Any]] = {"]
    lines += [f'    "{name}": {name},' for name in mirror.structs]
    return "\n".join([*lines, "}", ""])


def split_digits(name: str) -> list[str]:
    """Split a name into text and digits, for the order that ruff wants."""
    return re.split(r"(\d+)", name)


def words(ctype: str) -> list[str]:
    """Names of ctypes in an expression."""
    return re.findall(r"\bc_\w+", ctype)


def probe(mirror: Mirror) -> str:
    """Return a C program that prints ``struct member offset size`` lines."""
    lines = ["#include <stdio.h>", "#include <stddef.h>"]
    lines += [f'#include "{Path(header).name}"' for header in HEADERS] + [""]
    lines += ["int main(void)", "{"]
    for name, fields in mirror.structs.items():
        lines.append(f'\tprintf("{name} - 0 %zu\\n", sizeof(struct {name}));')
        for item in fields:
            lines.append(
                f'\tprintf("{name} {item.name} %zu %zu\\n", offsetof(struct {name}, {item.name}),'
                f" sizeof(((struct {name} *)0)->{item.name}));"
            )
    for members in mirror.enums.values():
        for key, _ in members:
            lines.append(f'\tprintf("{key} = %lld\\n", (long long){key});')
    return "\n".join([*lines, "\treturn 0;", "}", ""])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--probe", action="store_true", help="print the C program for offsets")
    options = parser.parse_args()
    try:
        mirror = load()
    except HeaderError as error:
        print(f"abi_mirror: {error}", file=sys.stderr)
        return 2
    if options.probe:
        print(probe(mirror))
        return 0
    text = generate(mirror)
    if options.check:
        if TARGET.exists() and TARGET.read_text() == text:
            return 0
        print("pylibos/_abi.py is out of date: run python tools/abi_mirror.py", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
