# SPDX-License-Identifier: GPL-2.0-only
"""Kernel parameters as a mapping: what sysctl(8) does, through /proc/sys."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos._process import Process

ROOT = "/proc/sys"


def path_of(name: str) -> str:
    """Path below /proc/sys of a parameter.

    As in sysctl(8), the first separator counts: "net.ipv4.conf.eth0/100.forwarding" and
    "net/ipv4/conf/eth0.100/forwarding" are the same.
    """
    if not name or name.startswith(("/", ".")) or ".." in name:
        raise KeyError(f"{name!r} is no name of a kernel parameter, such as 'net.ipv4.ip_forward'")
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        name = name.translate(str.maketrans("./", "/."))
    return name


class Sysctl(MutableMapping[str, str]):
    """The kernel parameters of a process's namespaces.

    ``kernel.sysctl["net.ipv4.ip_forward"] = 1`` sets; reading gives the text that /proc/sys
    has, without its newline and with single spaces between fields.

    Raises:
        KeyError: there is no such parameter.
        PermissionError: it can only be read, or only be written.
        OSError: EINVAL, the kernel refuses the value.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    def _path(self, name: str) -> str:
        path = f"{ROOT}/{path_of(name)}"
        if not self._process.exists(path):
            raise KeyError(f"The kernel has no parameter {name!r}")
        return path

    def __getitem__(self, name: str) -> str:
        try:
            return " ".join(self._process.read_text(self._path(name)).split())
        except IsADirectoryError:
            raise KeyError(f"{name!r} is a group of kernel parameters") from None

    def __setitem__(self, name: str, value: object) -> None:
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, tuple | list):
            value = " ".join(str(item) for item in value)
        with self._process.open(self._path(name), "wb", buffering=0) as file:
            file.write(f"{value}\n".encode())

    def __delitem__(self, name: str) -> None:
        raise TypeError("A kernel parameter cannot be deleted; set it to another value.")

    def __iter__(self) -> Iterator[str]:
        yield from self._walk("")

    def _walk(self, folder: str) -> Iterator[str]:
        for name in self._process.listdir(f"{ROOT}/{folder}"):
            path = f"{folder}{name}"
            try:
                self._process.listdir(f"{ROOT}/{path}")
            except NotADirectoryError:
                yield path.translate(str.maketrans("./", "/."))
            else:
                yield from self._walk(f"{path}/")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and bool(self._path(name))
        except KeyError:
            return False
