# SPDX-License-Identifier: GPL-2.0-only
"""Finds and loads libpylibos_host.so and the kernel images.

Search order, the first that has the file wins: the folder in ``PYLIBOS_LIB_DIR``, the
package's own ``_lib``, the checkout's ``build``.
"""

from __future__ import annotations

import ctypes
import os
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pylibos import _abi
from pylibos._errors import AbiMismatch, LibraryNotFound

HOST_LIBRARY = "libpylibos_host.so"
IMAGE = "liblinux.so"
# Where the library lies in a folder: installed, or as meson leaves it below build/host.
_HOST_FOLDERS = ("", "host", "host/host")
_PACKAGE = Path(__file__).resolve().parent


def _folders() -> list[Path]:
    """Folders that may hold libraries, best first."""
    folders = [_PACKAGE / "_lib", _PACKAGE.parent / "build"]
    if chosen := os.environ.get("PYLIBOS_LIB_DIR"):
        folders.insert(0, Path(chosen))
    return folders


@cache
def host() -> Any:
    """Load libpylibos_host.so once and give its functions their prototypes.

    Raises:
        LibraryNotFound: it is in none of the folders.
        AbiMismatch: it lacks a function of host/pylibos_host.h.
    """
    tried = [path / below / HOST_LIBRARY for path in _folders() for below in _HOST_FOLDERS]
    path = next((path for path in tried if path.exists()), None)
    if path is None:
        raise LibraryNotFound(
            f"{HOST_LIBRARY} is not built; run 'make liblinux.so'. "
            f"Looked in: {', '.join(str(item.parent) for item in tried)}."
        )
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise LibraryNotFound(
            f"{path} cannot be loaded ({error}); build it for this machine by 'make liblinux.so'."
        ) from error
    for name, (result, parameters) in _abi.PROTOTYPES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise AbiMismatch(
                f"{path} has no function {name}; it is of another version than this package: "
                "run 'make liblinux.so'."
            ) from None
        function.restype = result
        function.argtypes = parameters
    return library


def backend(name: str) -> int:
    """Address of a device backend that the library exports, such as ``plh_tap``."""
    return ctypes.addressof(_abi.VARIABLES[name].in_dll(host(), name))


def last_error() -> str:
    """The sentence that the last failed function of this thread left."""
    text: bytes = host().plh_error()
    return text.decode(errors="replace")


class ImageFile(NamedTuple):
    """A liblinux.so on disk.

    Attributes:
        path: the file.
        kernel: series, such as "6.12"; "" if the folder's name does not tell.
        profile: configuration profile, such as "defconfig"; "" likewise.
    """

    path: Path
    kernel: str
    profile: str


# e_machine of an ELF file (elf.h) by the machine's name.
_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}


def _is_foreign(path: Path) -> bool:
    """Whether a file is an image that was cross-built for another processor."""
    with path.open("rb") as file:
        header = file.read(20)
    expected = _ELF_MACHINES.get(os.uname().machine)
    return header[:4] == b"\x7fELF" and int.from_bytes(header[18:20], "little") != expected


def images() -> list[ImageFile]:
    """List every kernel image for this processor that is installed or built, best folder first."""
    found: dict[tuple[str, str], ImageFile] = {}
    for folder in _folders():
        for path in sorted(folder.glob(f"*/{IMAGE}")):
            kernel, _, profile = path.parent.name.rpartition("-")
            if kernel and not _is_foreign(path):
                found.setdefault((kernel, profile), ImageFile(path, kernel, profile))
    return list(found.values())


def find_image(kernel: str | os.PathLike[str], profile: str) -> Path:
    """Find the image of a kernel series and profile, or of a path.

    Args:
        kernel: a series such as "6.12", a liblinux.so, or a folder that holds one.
        profile: "defconfig", "lean" or "debug"; not used with a path.

    Raises:
        LibraryNotFound: there is no such image.
    """
    text = os.fspath(kernel)
    if "/" in text or text.endswith(".so"):
        path = Path(text)
        path = path / IMAGE if path.is_dir() else path
        if not path.exists():
            raise LibraryNotFound(f"There is no kernel image at {path}.")
        return path
    for image in images():
        if (image.kernel, image.profile) == (text, profile):
            return image.path
    present = ", ".join(f"{image.kernel}-{image.profile}" for image in images()) or "none"
    wanted = re.sub(r"[^\w.+-]", "", text)
    raise LibraryNotFound(
        f"There is no liblinux.so of kernel {text!r} with profile {profile!r}; build it by "
        f"'make KERNEL={wanted} PROFILE={profile} liblinux.so'. Present: {present}."
    )


class Image(NamedTuple):
    """An opened image; it stays open until the process ends.

    Attributes:
        handle: its struct plh_image.
        path: its file.
        release: "6.12.117".
        profile: "defconfig".
        banner: the kernel's own line about version, compiler and builder.
    """

    handle: int
    path: Path
    release: str
    profile: str
    banner: str


@cache
def _open_image(path: Path, _stamp: tuple[int, int]) -> Image:
    library = host()
    handle = library.plh_image_open(os.fsencode(path))
    if not handle:
        message = last_error()
        kind = AbiMismatch if "abi" in message.lower() else LibraryNotFound
        raise kind(message)
    texts = [
        function(handle).decode()
        for function in (
            library.plh_image_release,
            library.plh_image_profile,
            library.plh_image_banner,
        )
    ]
    return Image(handle, path, texts[0], texts[1], texts[2].strip())


def open_image(kernel: str | os.PathLike[str], profile: str) -> Image:
    """Open the image of a series and profile or of a path; see find_image().

    Raises:
        LibraryNotFound: there is none, or the file is no kernel image for this processor.
        AbiMismatch: it speaks another version of the boundary.
    """
    path = find_image(kernel, profile).resolve()
    status = path.stat()
    return _open_image(path, (status.st_ino, status.st_mtime_ns))
