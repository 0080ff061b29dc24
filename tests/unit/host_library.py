# SPDX-License-Identifier: GPL-2.0-only
"""The host side in C, compiled for unit tests, and images without a kernel for it."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from pylibos import _abi

TOP = Path(__file__).resolve().parents[2]
INCLUDES = [f"-I{TOP / 'abi'}", f"-I{TOP / 'host'}"]
FOLDER_VARIABLE = "PYLIBOS_UNIT_FOLDER"
FAKE_SOURCE = TOP / "tests/fake_image/fake_image.c"

# enum fake_call in tests/fake_image/fake_image.c
ADD_ONE, SLEEP, LOG, RANDOM, CRASH, PANIC, BLOCK, SPIN, REBOOT, CLOCK, CRASH_TWICE, TICK = range(12)

OK, PENDING, TIMEOUT, DEADLOCK, SIGNAL, DEAD, BUSY, FORKED, ERROR = range(9)


@cache
def folder() -> Path:
    """A folder that is removed when the tests have run; their subprocesses use it, too."""
    if shared := os.environ.get(FOLDER_VARIABLE):
        return Path(shared)
    path = Path(tempfile.mkdtemp(prefix="pylibos-unit-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def compile_shared(name: str, sources: list[Path], *flags: str) -> Path:
    """Compile C files to a shared object in folder()."""
    target = folder() / name
    if not target.exists():
        command = ["cc", "-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE", "-fPIC", "-shared", *INCLUDES]
        subprocess.run([*command, *map(str, sources), "-o", str(target), *flags], check=True)
    return target


def host_sources() -> list[Path]:
    """What the host library is made of without the headers of other libraries."""
    found = [*(TOP / "host").glob("*.c"), *(TOP / "host/nuse").glob("*.c")]
    return sorted(
        path for path in found if not path.name.startswith("xdp") or path.name == "xdp_absent.c"
    )


@cache
def host() -> Any:
    """libpylibos_host.so with the prototypes of its header."""
    library = ctypes.CDLL(str(compile_shared("libhost.so", host_sources(), "-lpthread")))
    for name, (result, parameters) in _abi.PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = parameters
    return library


def fake_image(name: str = "fake", *flags: str) -> Path:
    """An image that speaks the boundary but has no kernel in it."""
    return compile_shared(
        f"{name}.so",
        [FAKE_SOURCE],
        "-nostdlib",
        "-fvisibility=hidden",
        "-fno-stack-protector",
        *flags,
    )


def error() -> str:
    """What the last call of this thread that failed says."""
    text: bytes = host().plh_error()
    return text.decode()


class Fake:
    """A world with one fake kernel, and calls on its first task."""

    def __init__(self, kind: int = _abi.PLH_CLOCK_VIRTUAL, **config: Any) -> None:
        self.host = host()
        self.image = self.host.plh_image_open(str(fake_image()).encode())
        assert self.image, error()
        settings = _abi.plh_world_config(clock_kind=kind, **config)
        self.world = self.host.plh_world_create(ctypes.byref(settings))
        assert self.world, error()
        self.log: list[tuple[int, bytes]] = []
        self.kernel = self.boot()
        self.task = self.host.plh_kernel_init_task(self.kernel)

    def boot(self) -> Any:
        """One more kernel, with its log in self.log."""
        prototype = prototype_of(_abi.plh_kernel_config, "log")

        def note(_opaque: object, level: int, text: Any, count: int) -> None:
            self.log.append((level, ctypes.string_at(text, count)))

        self._note = prototype(note)
        config = _abi.plh_kernel_config(boot_log=1, log=self._note)
        kernel = self.host.plh_kernel_boot(self.world, self.image, ctypes.byref(config))
        assert kernel, error()
        return kernel

    def call(self, number: int, *args: int, deadline: int = _abi.LL_NEVER, task: Any = None) -> Any:
        """plh_call(): the status and the result."""
        result = ctypes.c_int64()
        status = self.host.plh_call(
            self.kernel, task or self.task, number, six(*args), deadline, ctypes.byref(result)
        )
        return status, result.value

    def submit(self, task: Any, number: int, *args: int) -> Any:
        """plh_submit(): the status and the result."""
        result = ctypes.c_int64()
        status = self.host.plh_submit(self.kernel, task, number, six(*args), ctypes.byref(result))
        return status, result.value

    def finish(self, function: str, task: Any, *more: int) -> Any:
        """plh_wait(), plh_poll() or plh_interrupt(): the status and the result."""
        result = ctypes.c_int64()
        call = getattr(self.host, f"plh_{function}")
        status = call(self.kernel, task, *more, ctypes.byref(result))
        return status, result.value

    def new_task(self) -> Any:
        """One more task."""
        failed = ctypes.c_int64()
        task = self.host.plh_task_create(self.kernel, self.task, 0, ctypes.byref(failed))
        assert task, error()
        return task

    @property
    def now(self) -> int:
        """The world's clock in ns."""
        now: int = self.host.plh_world_now_ns(self.world)
        return now

    def close(self) -> None:
        """Destroy the world."""
        self.host.plh_world_destroy(self.world)
        self.host.plh_image_close(self.image)


def prototype_of(structure: type[ctypes.Structure], field: str) -> Any:
    """The function type of a structure's member."""
    fields: Any = structure._fields_
    return dict(fields)[field]


def six(*args: int) -> Any:
    """Arguments of a system call."""
    return (ctypes.c_uint64 * 6)(*args)
