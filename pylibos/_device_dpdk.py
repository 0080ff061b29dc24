# SPDX-License-Identifier: GPL-2.0-only
"""Network devices that are ports of DPDK, served by libpylibos_dpdk.so where that is built."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pylibos import _abi
from pylibos._device import Device, add
from pylibos._errors import AbiMismatch, LibraryNotFound, PylibosError
from pylibos._library import host, last_error

if TYPE_CHECKING:
    from pylibos._kernel import Kernel

LIBRARY = "libpylibos_dpdk.so"
PACKAGES = "on Debian 12 'apt-get install libdpdk-dev pkg-config'"


@dataclass(frozen=True)
class DpdkStats:
    """What ``Device.stats()`` does not say of a DPDK device; drops are counted in both.

    Attributes:
        polls: looks at the port.
        rx_too_long, rx_too_short: frames dropped.
        rx_missed: frames that the port itself lost: no descriptor, no mbuf, an error.
        tx_too_long: frames dropped.
        tx_full: times that the port began to refuse frames.
        tx_no_mbuf: times that the pool became empty.
        tx_gave_up: frames dropped, since the port took none for 0.1 s or is down.
        removed: the port has vanished.
    """

    polls: int
    rx_too_long: int
    rx_too_short: int
    rx_missed: int
    tx_too_long: int
    tx_full: int
    tx_no_mbuf: int
    tx_gave_up: int
    removed: bool


class DpdkDevice(Device):
    """A device that is a port of DPDK.

    Attributes:
        port_name: of the port, such as "net_memif0".
        driver: of the port, such as "net_memif".
    """

    port_name: str = ""
    driver: str = ""

    def dpdk_stats(self) -> DpdkStats:
        """Counters of DPDK's side."""
        stats = _abi.plh_dpdk_stats()
        if dpdk().stats(self.handle, ctypes.addressof(stats)):
            raise PylibosError(last_error())
        values = {name: getattr(stats, name) for name in DpdkStats.__dataclass_fields__}
        return DpdkStats(**{**values, "removed": bool(values["removed"])})


def library_path() -> Path:
    """Find libpylibos_dpdk.so, beside the host library.

    Raises:
        LibraryNotFound: it is not built.
    """
    beside = Path(host()._name)
    folders = [folder / below for folder in _parents(beside) for below in ("", "dpdk")]
    path = next((folder / LIBRARY for folder in folders if (folder / LIBRARY).exists()), None)
    if path is None:
        raise LibraryNotFound(
            f"{LIBRARY} is not built, since it needs DPDK: install its packages ({PACKAGES}) and "
            f"run 'make dpdk'. Looked in: {', '.join(map(str, folders))}."
        )
    return path


@cache
def dpdk() -> Any:
    """Load libpylibos_dpdk.so once; return its struct plh_dpdk_library.

    Raises:
        LibraryNotFound: it is not built, or the libraries of DPDK are not there.
        AbiMismatch: it is of another version.
    """
    path = library_path()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise LibraryNotFound(
            f"{path} cannot be loaded ({error}): install the libraries of DPDK ({PACKAGES})."
        ) from error
    table = _abi.plh_dpdk_library.in_dll(library, "plh_dpdk")
    if table.bytes != ctypes.sizeof(table):
        raise AbiMismatch(f"{path} is of another version than this package: run 'make dpdk'.")
    return table


def _parents(library: Path) -> list[Path]:
    """The folder of a library, also of the one that a link leads to."""
    return list(dict.fromkeys((library.parent, library.resolve().parent)))


def dpdk_init(*arguments: str) -> None:
    """Initialise DPDK's EAL in this process with arguments of your own.

    Without it the first DPDK device does that: in memory, without huge pages where none are
    free, on one processor, with no card but the one that is asked for.

    Args:
        arguments: of the EAL, such as "--no-huge", "-m", "512", "--vdev=net_null0".

    Raises:
        LibraryNotFound: DPDK is not there.
        PylibosError: the EAL refuses them, or has been initialised already.
    """
    for argument in arguments:
        if "\0" in argument:
            raise ValueError(f"An argument of the EAL holds no NUL, unlike {argument!r}.")
    joined = b"".join(argument.encode() + b"\0" for argument in arguments)
    text = ctypes.create_string_buffer(joined)
    if dpdk().init(ctypes.addressof(text), len(arguments)):
        raise PylibosError(last_error())


def dpdk_join(name: str, entries: int = 1024) -> tuple[str, str]:
    """Make two ports that are joined back to back by rings in memory (net_ring).

    Args:
        name: of the pair; at most 20 bytes, new in this process.
        entries: size of each ring, a power of two; one less frames fit.

    Returns:
        The ports' names, for ``Kernel.add_dpdk()``. They stay until ``dpdk_part()``.

    Raises:
        LibraryNotFound: DPDK is not there.
        PylibosError: the name is taken or too long, or the size is no power of two.
    """
    text = ctypes.create_string_buffer(name.encode())
    if not 0 < len(name.encode()) <= 20:
        raise ValueError(f"The name of a pair of ports has 1 to 20 bytes, unlike {name!r}.")
    if dpdk().join(ctypes.addressof(text), entries):
        raise PylibosError(last_error())
    return f"net_ring_{name}a", f"net_ring_{name}b"


def dpdk_part(name: str) -> None:
    """Take a pair of ports away again; frames that lie in them are lost.

    Args:
        name: as given to ``dpdk_join()``.

    Raises:
        PylibosError: there is no such pair, or a device uses one of them.
    """
    text = ctypes.create_string_buffer(name.encode())
    if dpdk().part(ctypes.addressof(text)):
        raise PylibosError(last_error())


def add_dpdk(
    kernel: Kernel,
    devargs: str,
    config: Any,
    *,
    descriptors: int,
    mbufs: int,
    promiscuous: bool,
    poll_us: int,
) -> DpdkDevice:
    """Add a device that is a port of DPDK; see Kernel.add_dpdk()."""
    if kernel.world.virtual:
        raise ValueError(
            "A DPDK device needs the real clock, since its frames do not wait: boot with "
            "clock='real'."
        )
    parameters = _abi.plh_dpdk_parameters(
        devargs=devargs.encode(),
        descriptors=descriptors,
        mbufs=mbufs,
        promiscuous=int(promiscuous),
        poll_us=poll_us,
    )
    device = DpdkDevice(kernel, add(kernel, dpdk().backend, parameters, config))
    device.port_name = parameters.port_name.decode()
    device.driver = parameters.driver.decode()
    return device
