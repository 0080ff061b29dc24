# SPDX-License-Identifier: GPL-2.0-only
"""A running kernel as users see it, and boot()."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from ctypes import byref
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from pylibos import _abi, _capture, _dmesg
from pylibos._boot_config import Allocator, LogSink, fill_config
from pylibos._callbacks import Callbacks
from pylibos._caller import CLONE_FILES, CLONE_FS, CLONE_VM, create_task, prepare
from pylibos._capture import Capture
from pylibos._drops import Drops
from pylibos._errors import PylibosError
from pylibos._kernel_devices import KernelDevices
from pylibos._library import Image, open_image
from pylibos._link import Link
from pylibos._link_settings import GilbertElliott
from pylibos._machine import Machine
from pylibos._netlink import set_link
from pylibos._process import Process
from pylibos._sysctl import Sysctl
from pylibos._world import Clock, World

K = TypeVar("K", bound="Kernel")
_numbers = itertools.count(1)
LOOPBACK_INDEX = 1
_PROCESS_FLAGS = CLONE_VM | CLONE_FILES | CLONE_FS


@dataclass(frozen=True)
class KernelStats:
    """Figures of a kernel.

    Attributes:
        boot_wall_ns: wall time of loading and booting.
        entries: how often it was entered.
        calls: system calls made through the library.
        arena_bytes, arena_resident_bytes: its memory, and how much of it is in use.
        image_private_bytes: the writable part of the image, per kernel.
        stacks_used: kernel stacks ever used at once.
        deadline_ns: when it next wants to run by itself; 2**64 - 1 for never.
        load_bias: where the image lies.
    """

    boot_wall_ns: int
    entries: int
    calls: int
    arena_bytes: int
    arena_resident_bytes: int
    image_private_bytes: int
    stacks_used: int
    deadline_ns: int
    load_bias: int


class Kernel(KernelDevices, Process):
    """A Linux kernel that runs in this process; made by ``pylibos.boot()``.

    Attributes:
        name: for reports and captures.
        sysctl: its parameters as a mapping, see Sysctl.
    """

    def __init__(self, machine: Machine, *, owns_world: bool) -> None:
        self._owns_world = owns_world
        self.name = machine.name
        prepare(machine)
        super().__init__(machine, create_task(machine, machine.spawner, _PROCESS_FLAGS))
        self.sysctl = Sysctl(self)

    def _leader_ended(self) -> None:
        # The next process begins without descriptors, as after any kill.
        self._machine.library.plh_task_exit(self._machine.open_handle, self._leader, 0)
        self._leader = create_task(self._machine, self._machine.spawner, _PROCESS_FLAGS)

    # --- What it is ---

    @property
    def release(self) -> str:
        """Version, such as "6.12.117"."""
        return self.image.release

    @property
    def image(self) -> Image:
        """The liblinux.so that it runs."""
        return self._machine.image

    def stats(self) -> KernelStats:
        """Figures of the kernel."""
        stats = _abi.plh_kernel_stats()
        machine = self._machine
        status = machine.library.plh_kernel_stats(machine.open_handle, byref(stats))
        if status:
            machine.fail(status)
        return KernelStats(*(getattr(stats, name) for name in KernelStats.__dataclass_fields__))

    def dmesg(self) -> list[_dmesg.LogRecord]:
        """The kernel's log, oldest first; of a dead kernel what reached the host."""
        if self.alive():
            return _dmesg.parse(_dmesg.read(self))
        return _dmesg.parse(self._machine.log())

    @property
    def log(self) -> str:
        """What reached the host of the kernel's log, the newest 256 KiB; also once dead."""
        return self._machine.log()

    # --- Links and captures; devices: KernelDevices ---

    def link_to(
        self,
        other: Kernel,
        *,
        subnet: str | Iterable[str] | None = None,
        names: tuple[str, str] = ("eth%d", "eth%d"),
        delay_ms: float = 0,
        jitter_ms: float = 0,
        rate_mbit: float = 0,
        queue_packets: int = 0,
        queue_bytes: int = 0,
        loss_pct: float = 0,
        loss_model: GilbertElliott | None = None,
        duplicate_pct: float = 0,
        reorder_pct: float = 0,
        corrupt_pct: float = 0,
        truncate_pct: float = 0,
        mtu: int = 1500,
        offload: bool | None = None,
        back: Mapping[str, Any] | None = None,
    ) -> Link:
        """Join this kernel to another one of the same world by a cable.

        Args:
            other: the other kernel.
            subnet: "10.0.0.0/24" and the like, or several of these: this end gets the first
                address, the other end the second.
            names: of the interfaces; may hold a %d.
            delay_ms, jitter_ms: of each frame, jitter evenly to both sides.
            rate_mbit: 10**6 bits a second; 0 for no limit.
            queue_packets: frames that may wait for the rate; 0 for 1000.
            queue_bytes: bytes that may wait for the rate; 0 for any.
            loss_pct, duplicate_pct, reorder_pct, corrupt_pct, truncate_pct: chances of each
                packet.
            loss_model: losses in bursts, a GilbertElliott; instead of loss_pct.
            mtu: in bytes.
            offload: whether large TCP and UDP segments cross whole, as they cross veth; a
                capture shows them so.  None: while that makes no difference, so not while
                either direction has loss, duplicates, reordering, corruption, a rate or
                jitter.  False: also checksums are left to the sender.
            back: settings that differ in the direction from other to this kernel.

        Raises:
            ValueError: another world, no such subnet, a value out of range, or offload=True
                with loss, duplicates, reordering or corruption.
        """
        settings = {
            "delay_ms": delay_ms,
            "jitter_ms": jitter_ms,
            "rate_mbit": rate_mbit,
            "queue_packets": queue_packets,
            "queue_bytes": queue_bytes,
            "loss_model": loss_model,
            "loss_pct": loss_pct,
            "duplicate_pct": duplicate_pct,
            "reorder_pct": reorder_pct,
            "corrupt_pct": corrupt_pct,
            "truncate_pct": truncate_pct,
        }
        return Link(
            self,
            other,
            subnet=subnet,
            names=names,
            mtu=mtu,
            offload=offload,
            settings=settings,
            back=back or {},
        )

    def capture(self, path: str | os.PathLike[str], snaplen: int = 0) -> Capture:
        """Write the frames of all devices, also of later ones, to one pcapng file.

        Args:
            path: file of the host; replaced.
            snaplen: bytes of each frame to keep, 0 for all.

        Returns:
            The capture; close() it, or the end of the world does.

        Raises:
            PylibosError: the file cannot be written.
        """
        return _capture.start(self.world, path, snaplen, self)

    def drops(self, payload_bytes: int = 0) -> Drops:
        """Watch which packets the kernel drops, and why.

            with kernel.drops() as drops:
                ...
                for drop in drops:
                    print(drop.time_ns, drop.reason, drop.symbol)

        Args:
            payload_bytes: how much to keep of each packet, 0 for all of it.

        Raises:
            PylibosError: on entering the block: the kernel has no drop monitor.
            OSError: on entering the block: it is in use already (EBUSY).
        """
        return Drops(self, payload_bytes)

    # --- The end ---

    def halt(self) -> None:
        """Stop the kernel and free all it holds.  Halting twice is fine."""
        self._machine.close()
        if self._owns_world:
            self.world.close()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.halt()
        if error is None and self._owns_world:
            self.world.hub.raise_failures()

    def __repr__(self) -> str:
        state = "" if self._machine.handle is not None else " halted"
        return f"<pylibos.Kernel {self.name} {self.release}{state}>"


def boot(
    *,
    kernel: str | os.PathLike[str] = "6.12",
    profile: str = "defconfig",
    clock: str | Clock | Callable[[], int] | None = None,
    memory: int | Allocator | Callable[[int], Any] | Any = 64 << 20,
    cmdline: str = "",
    log: LogSink = None,
    random: Callable[[int], bytes] | None = None,
    seed: int | None = None,
    world: World | None = None,
    name: str | None = None,
    wait: str | None = None,
    spin_us: float | None = None,
    cpu: int | None = None,
) -> Kernel:
    """Boot a kernel in this process.

    The loopback interface is up, /proc and /sys are mounted.

    Args:
        kernel: a series such as "6.12" that is built or installed, or the path of a
            liblinux.so or of its folder.
        profile: its configuration: "defconfig", "lean" or "debug".
        clock: see World; "virtual" if neither it nor a world is given.
        memory: size of its arena in bytes; or a writable page-aligned buffer such as an
            mmap; or an Allocator, or a callable that takes a size and returns an address or a
            buffer (for 64 MiB).
        cmdline: kernel parameters to append to the defaults.
        log: takes the whole log, from boot on: a callable of level and text, or a text file.
            None: only what dmesg() keeps.
        random: a callable that returns so many random bytes; None: by the world's seed.
        seed: see World.
        world: a world to boot into, instead of one of its own.
        name: for reports; "kernel1" and so on by default.
        wait, spin_us, cpu: see World.

    Returns:
        The kernel, also a context manager that halts it.

    Raises:
        LibraryNotFound: there is no such image, or the host library is missing.
        AbiMismatch: the image speaks another version of the boundary.
        BootError: it could not start, for instance in too little memory.
        ValueError, TypeError: an argument does not fit.
    """
    given = {"wait": wait, "spin_us": spin_us, "cpu": cpu}
    waiting: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if world is not None and (clock is not None or seed is not None or waiting):
        raise ValueError(
            "Clock, seed and the way to wait belong to the world; give them to World(...) instead."
        )
    image = open_image(kernel, profile)
    owns_world = world is None
    if world is None:
        world = World("virtual" if clock is None else clock, seed=seed, **waiting)
    try:
        return start(
            Kernel,
            world,
            image,
            name or f"kernel{next(_numbers)}",
            lambda config, callbacks: fill_config(config, callbacks, memory, cmdline, log, random),
            owns_world=owns_world,
        )
    except BaseException:
        if owns_world:
            world.close()
        raise


def start(
    kind: type[K],
    world: World,
    image: Image,
    name: str,
    fill: Callable[[Any, Callbacks], None],
    *,
    owns_world: bool = False,
) -> K:
    """Boot an image in a world as a kernel of some class.

    Args:
        kind: Kernel or a subclass.
        fill: writes the struct plh_kernel_config.
        owns_world: whether its end is the world's, too.
    """
    machine = Machine(world, image, name, fill, fixed=world.virtual)
    try:
        booted = kind(machine, owns_world=owns_world)
        set_link(booted, LOOPBACK_INDEX, up=True)
    except BaseException:
        machine.close()
        raise
    return booted


__all__ = ["Kernel", "KernelStats", "PylibosError", "boot"]
