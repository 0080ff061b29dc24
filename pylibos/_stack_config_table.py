# SPDX-License-Identifier: GPL-2.0-only
"""Checked reading of configuration files: each error names file, line, what was found and expected.

``ConfigFile`` makes the errors, ``Table`` takes typed values out of a table and refuses the keys
that nobody took.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pylibos._errors import ConfigError

T = TypeVar("T")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Step = str | int
# More words than that are no help in a message.
_LISTED = 20
REQUIRED: Any = object()
"""Instead of a default: the key must be there."""


class Place:
    """Where something stands.

    Args:
        path: of the file.
        line: counted from 1, or a function that finds it, since most are never asked for; 0
            for the file as a whole, or nowhere.
    """

    def __init__(self, path: str = "", line: int | Callable[[], int] = 0) -> None:
        self.path = path
        self._line = line

    @property
    def line(self) -> int:
        """The line, found when it is first asked for."""
        if not isinstance(self._line, int):
            self._line = self._line()
        return self._line

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path or "configuration"

    def __reduce__(self) -> tuple[type[Place], tuple[str, int]]:
        return Place, (self.path, self.line)

    def error(self, problem: str) -> ConfigError:
        """Make the error that says what is wrong here, a whole sentence."""
        return ConfigError(f"{self}: {problem}", self.path, self.line)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which of the known words was meant, or list them."""
    words = list(known)
    close = difflib.get_close_matches(word, words, 1, 0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(words) > _LISTED:
        return f"none of the {len(words)} that are known is like it."
    return f"known are {', '.join(words)}." if words else "none is known."


class ConfigFile:
    """The text of a TOML file, and where its values stand."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")

    def place(self, steps: tuple[Step, ...]) -> Place:
        """The line where the value at a path of keys and numbers begins."""
        return Place(self.path, lambda: self._find(steps))

    def _find(self, steps: tuple[Step, ...]) -> int:
        """The line of the last of steps.

        tomllib tells no lines, so this asks it for the shortest beginning of the file that has
        such a value.
        """
        low, high = 0, len(self._lines)
        while low < high:
            middle = (low + high) // 2
            if self._has(middle, steps):
                high = middle
            else:
                low = middle + 1
        # A value of several lines is there when the last of them is.
        first = low
        while first > 1 and self._beginning(first - 1) is None:
            first -= 1
        return first

    def _beginning(self, count: int) -> dict[str, Any] | None:
        begun = "\n".join(self._lines[:count])
        for end in ("\n", "\n]"):  # inside of a list of several lines its items count already
            with contextlib.suppress(ValueError, RecursionError):
                return tomllib.loads(begun + end)
        return None

    def _has(self, count: int, steps: tuple[Step, ...]) -> bool:
        value: Any = None
        while count and (value := self._beginning(count)) is None:
            count -= 1
        for step in steps:
            if isinstance(step, int):
                if not isinstance(value, list) or step >= len(value):
                    return False
            elif not isinstance(value, dict) or step not in value:
                return False
            value = value[step]
        return True


class Table:
    """A table whose keys are taken one after the other.

    Args:
        file: where it stands.
        steps: the path of keys and numbers to it.
        values: what is in it.
        title: for messages, such as "[[device]] number 2".
    """

    def __init__(
        self, file: ConfigFile, steps: tuple[Step, ...], values: Mapping[str, Any], title: str
    ) -> None:
        self.file, self.steps, self.title = file, steps, title
        self._values = dict(values)
        self._known: list[str] = []

    @property
    def place(self) -> Place:
        """Where the table begins."""
        return self.file.place(self.steps)

    def place_of(self, key: str, *more: Step) -> Place:
        """Where the value of a key stands, or an item of it."""
        return self.file.place((*self.steps, key, *more))

    def wrong(self, key: str, expected: str, *more: Step) -> ConfigError:
        """Make the error for a value that does not fit."""
        value = self._values[key]
        for step in more:
            value = value[step]
        return self.place_of(key, *more).error(
            f"{self.title}: {key} is {_shown(value)}; expected {expected}."
        )

    def take(
        self, key: str, convert: Callable[[Any], T], expected: str, default: T | Any = None
    ) -> T | Any:
        """Take a value.

        Args:
            convert: returns what it stands for, or raises ValueError, TypeError.
            expected: what fits, for the message.
            default: if it is not there; REQUIRED: an error.
        """
        self._known.append(key)
        if key not in self._values:
            if default is REQUIRED:
                raise self.place.error(f"{self.title} has no {key}; expected {expected}.")
            return default
        try:
            return convert(self._values[key])
        except (ValueError, TypeError):
            raise self.wrong(key, expected) from None

    def take_each(self, key: str, convert: Callable[[Any], T], expected: str) -> tuple[T, ...]:
        """Take a list whose items are all of one kind; a single one needs no brackets."""
        values = self.take(key, lambda value: value, expected, [])
        if not isinstance(values, list):
            return (self.take(key, convert, expected),)
        items = []
        for number, value in enumerate(values):
            try:
                items.append(convert(value))
            except (ValueError, TypeError):
                raise self.wrong(key, expected, number) from None
        return tuple(items)

    def table(self, key: str) -> Table:
        """Take a table in it, empty if it is not there."""
        values = self.take(key, mapping, f"a table, [{key}]", {})
        return Table(self.file, (*self.steps, key), values, f"[{key}]")

    def tables(self, key: str) -> list[Table]:
        """Take an array of tables, written [[key]] once for each."""
        expected = f"[[{key}]] once for each"
        values = self.take(key, _list_of_mappings, expected, [])
        return [
            Table(self.file, (*self.steps, key, index), item, f"[[{key}]] number {index + 1}")
            for index, item in enumerate(values)
        ]

    def rest(self) -> dict[str, Any]:
        """Take all keys that are left, whatever they are."""
        left = {key: value for key, value in self._values.items() if key not in self._known}
        self._known += left
        return left

    def end(self) -> None:
        """Refuse the keys that nobody has taken."""
        for key in self._values:
            if key not in self._known:
                raise self.place_of(key).error(
                    f"{self.title} has no key {key!r}; {nearest(key, self._known)}"
                )


def _shown(value: Any) -> str:
    """A value as a file would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)


# --- What a value can be ---


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def any_text(value: Any) -> str:
    """A text, which may be empty."""
    if not isinstance(value, str):
        raise TypeError
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError
    return value


def whole(lowest: int, highest: int) -> Callable[[Any], int]:
    """A whole number in a range."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return convert


def choice(*words: str) -> Callable[[Any], str]:
    """One of some words."""

    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return convert


def mapping(value: Any) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise TypeError
    return value


def _list_of_mappings(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise TypeError
    return [mapping(item) for item in value]


def interface_name(value: Any) -> str:
    """A name that Linux takes for an interface (dev_valid_name() in net/core/dev.c)."""
    name = text(value)
    if len(name.encode()) > 15 or name in (".", ".."):
        raise ValueError
    if any(char in "/:" or char.isspace() or not char.isprintable() for char in name):
        raise ValueError
    return name


def mac(value: Any) -> str:
    """A unicast Ethernet address, in small letters."""
    parts = text(value).split(":")
    data = b"".join(bytes.fromhex(part) for part in parts)
    if not all(len(part) == 2 for part in parts) or len(data) != 6:
        raise ValueError
    if data[0] & 1 or not any(data):
        raise ValueError
    return data.hex(":")


def address(value: Any) -> Address:
    """An IPv4 or IPv6 address."""
    return ipaddress.ip_address(text(value))


def interface(value: Any) -> Interface:
    """An address with the length of its prefix."""
    if "/" not in text(value):
        raise ValueError
    return ipaddress.ip_interface(value)


def network(value: Any) -> Network:
    """A network, whose address has no bits behind the prefix."""
    if "/" not in text(value):
        raise ValueError
    return ipaddress.ip_network(value)
