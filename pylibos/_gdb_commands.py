# SPDX-License-Identifier: GPL-2.0-only
"""gdb's commands for library kernels; runs inside gdb, see docs/debugging.md.

    gdb -x "$(python -m pylibos gdb-script)" --args python test.py
    (gdb) pylibos kernels
    (gdb) pylibos tasks 1
    (gdb) pylibos bt 1 17

The host library keeps a list of the images that are loaded (host/images.h).  A kernel's symbols
are loaded when a command first needs them.  Registers and memory are only read.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gdb
import gdb.unwinder

DEBUG_PREFIX = "/liblinux"
# What ll_switch_stacks() of arch_lib/kernel/isa_*.S leaves at thread.sp: offset of each register.
SAVED = {
    "i386:x86-64": {"r15": 0, "r14": 8, "r13": 16, "r12": 24, "rbx": 32, "rbp": 40, "rip": 48},
    "aarch64": {"x29": 0, "pc": 8, **{f"x{19 + n}": 16 + 8 * n for n in range(10)}},
}
FRAME_BYTES = {"i386:x86-64": 56, "aarch64": 160}
STACK_POINTER = {"i386:x86-64": "rsp", "aarch64": "sp"}
FRAME_POINTER = {"i386:x86-64": "rbp", "aarch64": "x29"}
PROGRAM_COUNTER = {"i386:x86-64": "rip", "aarch64": "pc"}


def read(address: int, size: int) -> bytes:
    """Memory of the process."""
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address: int) -> int:
    """A 64-bit word of the process."""
    return int(struct.unpack("<Q", read(address, 8))[0])


def unsigned(value: int) -> Any:
    """A register's value for gdb."""
    return gdb.Value(value).cast(gdb.lookup_type("unsigned long"))


def text(address: int) -> str:
    """A C string of the process."""
    return str(gdb.Value(address).cast(gdb.lookup_type("char").pointer()).string())


@dataclass
class Layout:
    """ll_layout of arch_lib/kernel/report.c: offsets in bytes."""

    tasks: int
    thread_node: int
    signal: int
    thread_head: int
    pid: int
    comm: int
    state: int
    sp: int
    host: int
    host_state: int


def symbol_values(file: Path, wanted: set[str]) -> dict[str, int]:
    """Values of symbols in an ELF file's .symtab, without gdb, which mixes up equal files."""
    data = file.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + n * size) for n in range(count)]
    found = {}
    for _, kind, _, _, offset, length, link, *_ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names_at, names_length = sections[link][4:6]
        names = data[names_at : names_at + names_length]
        # A name may also be the end of a longer one, where the linker has merged the two.
        places = {
            match.start(): name
            for name in wanted
            for match in re.finditer(re.escape(name.encode()) + b"\0", names)
        }
        entries = data[offset : offset + length]
        for name, _, _, _, value, _ in struct.iter_unpack("<IBBHQQ", entries):
            if name in places:
                found[places[name]] = value
    return found


@dataclass
class Task:
    """A struct task_struct."""

    address: int
    layout: Layout

    @property
    def pid(self) -> int:
        """Its thread id."""
        return int(struct.unpack("<i", read(self.address + self.layout.pid, 4))[0])

    @property
    def sp(self) -> int:
        """Where its registers are saved while it does not run."""
        return word(self.address + self.layout.sp)

    @property
    def in_call(self) -> bool:
        """Whether it is inside a system call of the host's."""
        host = word(self.address + self.layout.host)
        return bool(host) and struct.unpack("<I", read(host + self.layout.host_state, 4))[0] != 0

    def __str__(self) -> str:
        name = read(self.address + self.layout.comm, 16).split(b"\0")[0].decode(errors="replace")
        (state,) = struct.unpack("<I", read(self.address + self.layout.state, 4))
        letter = {0: "R", 1: "S", 2: "D", 0x402: "I", 0x80: "X"}.get(state, f"{state:#x}")
        host = word(self.address + self.layout.host)
        what = f"call {word(host)}" if self.in_call else "in the host" if host else "kernel"
        return f"{self.pid} {name} {letter} {what}"


class LoadedKernel:
    """One entry of plh_loaded_images, and its symbols once they are loaded."""

    def __init__(self, number: int, path: Path, bias: int) -> None:
        self.number = number
        self.path = path
        self.bias = bias
        self._loaded = False
        self._values: dict[str, int] = {}

    @property
    def debug_file(self) -> Path:
        """The file with the symbols."""
        file = self.path.with_name(self.path.name + ".debug")
        if not file.exists():
            raise gdb.GdbError(f"There is no {file}; build the kernel on this machine.")
        return file

    def load_symbols(self) -> None:
        """Give gdb the symbols, once; sources are looked for in this kernel's tree from now on."""
        if not self._loaded:
            command = f"add-symbol-file {self.debug_file} -o {self.bias:#x}"
            gdb.execute(command, to_string=True)
            self._loaded = True
        gdb.execute(f"set substitute-path {DEBUG_PREFIX} {self.path.parent / 'tree'}")

    def forget_symbols(self) -> None:
        """Take the symbols from gdb again: the kernel was halted."""
        if self._loaded:
            start = self._value("_stext")
            gdb.execute(f"remove-symbol-file -a {start:#x}", to_string=True)

    def _value(self, name: str) -> int:
        if not self._values:
            names = {"_stext", "init_task", "ll_layout", "ll_current", "ll_kernel_sp"}
            self._values = symbol_values(self.debug_file, names)
        return self.bias + self._values[name]

    def variable(self, name: str) -> int:
        """A word of this kernel's memory by its symbol."""
        return word(self._value(name))

    def tasks(self) -> list[Task]:
        """All tasks, threads included, by process."""
        layout = Layout(*struct.unpack("<10I", read(self._value("ll_layout"), 40)))
        head = self._value("init_task") + layout.tasks
        found, at = [], word(head)
        while at != head:
            signal = word(at - layout.tasks + layout.signal)
            thread = word(signal + layout.thread_head)
            while thread != signal + layout.thread_head:
                found.append(Task(thread - layout.thread_node, layout))
                thread = word(thread)
            at = word(at)
        return found


_known: dict[int, LoadedKernel] = {}
_numbers = 0


def kernels() -> list[LoadedKernel]:
    """The kernels that are loaded now, in the order of their boot."""
    global _numbers
    try:
        at = int(gdb.parse_and_eval("*(unsigned long *)&plh_loaded_images"))
    except gdb.error:
        raise gdb.GdbError("This process has not loaded libpylibos_host.so (yet).") from None
    entries = []
    while at:
        entries.append((word(at + 16), Path(text(word(at + 8)))))
        at = word(at)
    for bias in set(_known) - {bias for bias, _ in entries}:
        _known.pop(bias).forget_symbols()
    for bias, path in reversed(entries):
        if bias not in _known:
            _numbers += 1
            _known[bias] = LoadedKernel(_numbers, path, bias)
    return sorted(_known.values(), key=lambda kernel: kernel.number)


def kernel_of(number: str) -> LoadedKernel:
    """The kernel of a number as the user wrote it."""
    for kernel in kernels():
        if str(kernel.number) == number:
            return kernel
    raise gdb.GdbError(f"There is no kernel {number!r}; see 'pylibos kernels'.")


# --- Backtraces of tasks that do not run ---


@dataclass(frozen=True)
class FrameId:
    """What tells one frame from another."""

    sp: Any
    pc: Any


class BlockedTask(gdb.unwinder.Unwinder):
    """While it has a task, the innermost frame's caller is where that task sleeps."""

    def __init__(self) -> None:
        super().__init__("pylibos")
        self.sp = 0

    def __call__(self, pending: Any) -> Any:
        """Gdb's question how to leave a frame; None: as it thinks itself."""
        if not self.sp:
            return None
        if pending.level() == 0:
            return self._to_task(pending)
        if gdb.block_for_pc(int(pending.read_register("pc"))) is None:
            return self._by_frame_pointer(pending)
        return None

    def _to_task(self, pending: Any) -> Any:
        name = pending.architecture().name()
        # Below the task's own frames: gdb ends a backtrace whose stack goes the wrong way.
        here = FrameId(unsigned(self.sp - 16), pending.read_register("pc"))
        info = pending.create_unwind_info(here)
        for register, offset in SAVED[name].items():
            info.add_saved_register(register, unsigned(word(self.sp + offset)))
        info.add_saved_register(STACK_POINTER[name], unsigned(self.sp + FRAME_BYTES[name]))
        return info

    def _by_frame_pointer(self, pending: Any) -> Any:
        """Profiles without debug information keep frame pointers, and gdb does not know it."""
        name = pending.architecture().name()
        frame = int(pending.read_register(FRAME_POINTER[name]))
        here = FrameId(pending.read_register(STACK_POINTER[name]), pending.read_register("pc"))
        if not frame or (back := word(frame + 8)) == 0:
            return None
        info = pending.create_unwind_info(here)
        info.add_saved_register(FRAME_POINTER[name], unsigned(word(frame)))
        info.add_saved_register(STACK_POINTER[name], unsigned(frame + 16))
        info.add_saved_register(PROGRAM_COUNTER[name], unsigned(back))
        return info


_blocked = BlockedTask()
gdb.unwinder.register_unwinder(None, _blocked, replace=True)


def backtrace(sp: int, options: str) -> str:
    """The frames of a task whose registers are saved at sp, as gdb's bt prints them."""
    _blocked.sp = sp
    gdb.invalidate_cached_frames()
    try:
        lines = gdb.execute(f"bt {options}", to_string=True).splitlines()
    finally:
        _blocked.sp = 0
        gdb.invalidate_cached_frames()
    # Frame 0 is where the processor is: it belongs to another task, or to the host.
    first = next((n for n, line in enumerate(lines) if line.startswith("#1 ")), len(lines))
    return "\n".join(line for line in lines[first:] if "0x0000000000000000 in ??" not in line)


class Pylibos(gdb.Command):
    """Kernels of pylibos in this process: kernels, tasks, bt, symbols."""

    def __init__(self) -> None:
        super().__init__("pylibos", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


class Kernels(gdb.Command):
    """List the kernels: number, where the image lies, its file."""

    def __init__(self) -> None:
        super().__init__("pylibos kernels", gdb.COMMAND_STATUS)

    def invoke(self, _argument: str, _from_tty: bool) -> None:
        """Run it, as gdb.Command says."""
        for kernel in kernels():
            print(f"{kernel.number} {kernel.bias:#x} {kernel.path}")


class Symbols(gdb.Command):
    """Load the symbols of a kernel, for breakpoints: pylibos symbols NUMBER."""

    def __init__(self) -> None:
        super().__init__("pylibos symbols", gdb.COMMAND_FILES)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Run it, as gdb.Command says."""
        kernel_of(argument.strip()).load_symbols()


class Tasks(gdb.Command):
    """List the tasks of a kernel: pylibos tasks NUMBER."""

    def __init__(self) -> None:
        super().__init__("pylibos tasks", gdb.COMMAND_STACK)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Run it, as gdb.Command says."""
        for task in kernel_of(argument.strip()).tasks():
            print(task)


class Backtrace(gdb.Command):
    """Backtraces of tasks: pylibos bt NUMBER [PID | calls | all] [OPTIONS OF bt].

    Without a choice, or with "calls", those that are inside a system call.
    """

    def __init__(self) -> None:
        super().__init__("pylibos bt", gdb.COMMAND_STACK)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Run it, as gdb.Command says."""
        words = argument.split()
        if not words:
            raise gdb.GdbError("Say which kernel: pylibos bt NUMBER [PID | calls | all].")
        kernel = kernel_of(words[0])
        kernel.load_symbols()
        choice = words[1] if len(words) > 1 else "calls"
        options = " ".join(words[2:])
        inside_at, current = kernel.variable("ll_kernel_sp"), kernel.variable("ll_current")
        for task in kernel.tasks():
            if choice == str(task.pid) or choice == "all" or (choice == "calls" and task.in_call):
                print(f"Kernel {kernel.number}, task {task}")
                if task.address != current:
                    print(backtrace(task.sp, options))
                elif inside_at:  # it left to the host in the middle of something
                    print(backtrace(inside_at, options))
                else:
                    print("It runs now, or its stack is empty: see bt.")


for _command in (Pylibos, Kernels, Symbols, Tasks, Backtrace):
    _command()
