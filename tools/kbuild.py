# SPDX-License-Identifier: GPL-2.0-only
"""Runs Kbuild: a clean environment, a compiler cache, a log, a progress display, first errors."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from link_tree import OUTPUT
from progress import Progress
from tool_error import BuildError

DEBUG_PREFIX = "/liblinux"
"""What debug information calls the link tree, wherever it lies; gdb maps it back."""

# Each of these would otherwise reach Kbuild from the make that started this tool.
NOT_INHERITED = re.compile(
    r"MAKE.*|MFLAGS|KERNEL|PROFILE|ARCH|SUBARCH|CROSS_COMPILE|O|V|W|C|M|LLVM|CC|LD|AS|"
    r"KBUILD_.*|KCONFIG_.*|K[CAR]\w*FLAGS|HOST\w*FLAGS|[A-Z]*FLAGS|INSTALL_.*"
)
STEP = re.compile(r"^  ([A-Z][A-Z0-9_+.-]*(?: \[[A-Z]\])?) +(\S.*)$")
OBJECT_STEPS = {"CC", "AS"}
ERROR = re.compile(
    r"error:|^/bin/sh: |Error \d+|undefined reference|undefined symbol|\*\*\* |: fatal|not found$|"
    r"No space left on device|relocation .* against"
)
ERROR_LINES_SHOWN = 12
COMPILER_PREFIX = {"x86_64": "", "aarch64": "aarch64-linux-gnu-"}
LIB_ISA = {"x86_64": "x86", "aarch64": "arm64"}


@dataclass(frozen=True)
class Kbuild:
    """One Kbuild output folder below a link tree, for one instruction set."""

    tree: Path
    arch: str
    log: Path
    jobs: int

    @property
    def output(self) -> Path:
        """Kbuild's O= folder."""
        return self.tree / OUTPUT

    @property
    def cross_prefix(self) -> str:
        """The prefix of the cross tools; '' when the machine builds for itself."""
        return "" if os.uname().machine == self.arch else COMPILER_PREFIX[self.arch]

    def tool(self, name: str) -> str:
        """The name of a compiler or binutils program for the target."""
        return f"{self.cross_prefix}{name}"

    def compiler_version(self) -> str:
        """The first line of the compiler's version; BuildError if there is none."""
        try:
            answer = subprocess.run(
                [self.tool("gcc"), "--version"], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            package = f"gcc-{self.cross_prefix.rstrip('-')}" if self.cross_prefix else "gcc"
            raise BuildError(
                f"The compiler {self.tool('gcc')} is not on this machine; install the package "
                f"{package}."
            ) from None
        return answer.stdout.splitlines()[0]

    def variables(self) -> list[str]:
        """What stands on Kbuild's command line, the same for every call."""
        cache = "ccache " if shutil.which("ccache") else ""
        prefix_map = f"-ffile-prefix-map={self.tree}={DEBUG_PREFIX}"
        variables = [
            "ARCH=lib",
            f"LIB_ISA={LIB_ISA[self.arch]}",
            f"O={self.output}",
            f"CC={cache}{self.tool('gcc')}",
            f"HOSTCC={cache}gcc",
            f"KCFLAGS={prefix_map}",
            f"KAFLAGS={prefix_map}",
            # A build is a function of its sources: no date, user, host or counter in it.
            "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
            "KBUILD_BUILD_USER=pylibos",
            "KBUILD_BUILD_HOST=pylibos",
            "KBUILD_BUILD_VERSION=1",
        ]
        if self.cross_prefix:
            variables.append(f"CROSS_COMPILE={self.cross_prefix}")
        return variables

    def make(self, *targets: str, on_line: Callable[[str], None] | None = None) -> None:
        """Runs make on the link tree, its output going to the log; BuildError if it fails."""
        self.output.mkdir(parents=True, exist_ok=True)
        command = ["make", "-C", str(self.tree), f"-j{self.jobs}", *self.variables(), *targets]
        with self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"$ {' '.join(repr(w) if ' ' in w else w for w in command)}\n")
            log.flush()
            lines: list[str] = []
            # A process group of its own, so that an interrupt can end make with all its children.
            with subprocess.Popen(
                command,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            ) as process:
                assert process.stdout is not None
                try:
                    for line in process.stdout:
                        log.write(line)
                        lines.append(line.rstrip("\n"))
                        if on_line is not None:
                            on_line(lines[-1])
                except BaseException:
                    os.killpg(process.pid, signal.SIGTERM)
                    raise
        if process.returncode != 0:
            raise BuildError(explain_failure(lines, self.log, targets))

    def compile(self, expected_objects: int) -> int:
        """Builds vmlinux with a progress display; returns how many objects were compiled."""
        display = Progress("Compiling the kernel", expected_objects)
        count = 0

        def step(line: str) -> None:
            nonlocal count
            found = STEP.match(line)
            if found is None:
                return
            count += found.group(1) in OBJECT_STEPS
            display.update(count, f"{count} objects, {found.group(1)} {found.group(2)}")

        try:
            self.make("vmlinux", on_line=step)
        except BuildError:
            display.clear()
            raise
        display.finish(f"{count} objects")
        return count


def clean_environment() -> dict[str, str]:
    """The environment less whatever would change the build behind the reader's back."""
    kept = {k: v for k, v in os.environ.items() if not NOT_INHERITED.fullmatch(k)}
    return {**kept, "LC_ALL": "C"}


def explain_failure(lines: list[str], log: Path, targets: tuple[str, ...]) -> str:
    """The first lines of a build's output that tell what went wrong."""
    matching = [number for number, line in enumerate(lines) if ERROR.search(line)]
    if matching:
        # What a step complains about often stands just before the line that says 'Error 1'.
        before = lines[max(0, matching[0] - 3) : matching[0]]
        errors = before + [lines[number] for number in matching]
    else:
        errors = lines[-ERROR_LINES_SHOWN:]
    shown = "\n  ".join(errors[:ERROR_LINES_SHOWN])
    return (
        f"The kernel build step '{' '.join(targets)}' failed; the whole log is in {log}. "
        f"Its first errors:\n  {shown}"
    )
