# SPDX-License-Identifier: GPL-2.0-only
"""Configures and compiles one kernel as liblinux.so, from a source tree that stays untouched.

OUT/liblinux.so        the library, stripped
OUT/liblinux.so.debug  the same with symbols and debug information
OUT/kernel.config      the configuration that was used
OUT/kernel.json        what was built from what
OUT/build.log          everything that Kbuild printed
OUT/tree               the tree of links that Kbuild works in, its own output below tree/out
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kbuild import DEBUG_PREFIX, LIB_ISA, Kbuild
from kernel_config import check_outcome, format_config, merge_fragments, parse_config
from kernel_source import KernelSource, SourceFinder, cache_directory
from link_tree import REPOSITORY, update_link_tree
from progress import say
from tool_error import BuildError, run_tool

PRODUCTS = ("liblinux.so", "liblinux.so.debug", "kernel.config", "kernel.json")

# The files of this tool that decide what comes out.
OWN_FILES = ("build_kernel.py", "kbuild.py", "kernel_config.py", "link_tree.py")

# Objects to expect before a profile has been built once on this machine.
FIRST_GUESS = {"lean": 540, "defconfig": 1700, "debug": 1800}


@dataclass(frozen=True)
class Job:
    """What to build, and where."""

    source: KernelSource
    profile: str
    arch: str
    out: Path
    strict_config: bool
    jobs: int
    repository: Path = REPOSITORY

    @property
    def kbuild(self) -> Kbuild:
        """Kbuild on this job's link tree."""
        return Kbuild(self.out / "tree", self.arch, self.out / "build.log", self.jobs)

    @property
    def fragments(self) -> list[Path]:
        """The configuration fragments, the base first."""
        configs = self.repository / "arch_lib/configs"
        return [configs / "base.config", configs / f"{self.profile}.config"]


def files_digest(folders: list[Path]) -> str:
    """A digest of the names and contents of all files below some folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(folder)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def text_digest(*parts: str) -> str:
    """A digest of some strings."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_stamp(path: Path) -> str:
    """What a stamp file holds, '' if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def build(job: Job) -> bool:
    """Brings a build folder up to date; returns whether anything had to be done."""
    kbuild = job.kbuild
    inputs = text_digest(
        job.source.identity,
        job.profile,
        job.arch,
        str(job.out),
        kbuild.compiler_version(),
        files_digest([job.repository / name for name in ("arch_lib", "abi")]),
        *((REPOSITORY / "tools" / name).read_text(encoding="utf-8") for name in OWN_FILES),
    )
    stamp = job.out / "inputs.stamp"
    complete = all((job.out / name).is_file() for name in PRODUCTS)
    # Only a package's tree is known not to change under its path; Kbuild looks into any other.
    if job.source.origin == "package" and complete and read_stamp(stamp) == inputs:
        return False
    job.out.mkdir(parents=True, exist_ok=True)
    with alone_in(job.out):
        stamp.unlink(missing_ok=True)
        kbuild.log.write_text("", encoding="utf-8")
        prepare_tree(job)
        configure(job)
        compile_kernel(job)
        publish(job)
        stamp.write_text(inputs, encoding="utf-8")
    return True


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Refuses to build where another run is building: the two would mix their objects."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildError(
                f"Another run is building in {folder}; wait for it to end, then run this one again."
            ) from None
        yield


def prepare_tree(job: Job) -> None:
    """Makes the link tree; drops all objects if the kernel below it is another one now."""
    kbuild = job.kbuild
    stamp = job.out / "source.stamp"
    # A commit may change in a checkout that is worked in: there Kbuild goes by the time stamps.
    identity = text_digest(job.source.path, job.source.package_version, job.arch)
    if kbuild.output.exists() and read_stamp(stamp) != identity:
        shutil.rmtree(kbuild.output)
    update_link_tree(Path(job.source.path), kbuild.tree, job.repository)
    stamp.write_text(identity, encoding="utf-8")


def configure(job: Job) -> None:
    """Makes the .config anew if the fragments or the Kconfig files have changed."""
    kbuild = job.kbuild
    wanted = merge_fragments(job.fragments)
    config = kbuild.output / ".config"
    kconfig = sorted((job.repository / "arch_lib").rglob("Kconfig*"))
    digest = text_digest(
        job.source.identity,
        job.profile,
        kbuild.compiler_version(),
        format_config(wanted),
        *(path.read_text(encoding="utf-8") for path in kconfig),
    )
    stamp = job.out / "config.stamp"
    if not config.exists() or read_stamp(stamp) != digest:
        stamp.unlink(missing_ok=True)
        kbuild.output.mkdir(parents=True, exist_ok=True)
        # Whatever no fragment names is off: a new release brings no surprises.
        requested = kbuild.output / "requested.config"
        requested.write_text(format_config(wanted), encoding="utf-8")
        kbuild.make("allnoconfig", f"KCONFIG_ALLCONFIG={requested}")
        stamp.write_text(digest, encoding="utf-8")
    report_outcome(job, wanted, parse_config(config.read_text(encoding="utf-8"), ".config"))


def report_outcome(job: Job, wanted: dict[str, str], result: dict[str, str]) -> None:
    """Says which requested options Kconfig did not grant."""
    if "HZ" not in result:
        # Kbuild's `bc timeconst.bc` would read an empty number and run for ever.
        raise BuildError(
            "The configuration sets no CONFIG_HZ; let arch_lib/Kconfig source kernel/Kconfig.hz."
        )
    outcome = check_outcome(wanted, result, job.kbuild.tree)
    if outcome.unknown:
        say(f"Not in {job.source.version}: {', '.join(sorted(outcome.unknown))}")
    for symbol, difference in sorted(outcome.dropped.items()):
        say(f"warning: CONFIG_{symbol}: {difference}")
    if outcome.dropped and job.strict_config:
        raise BuildError(
            f"{len(outcome.dropped)} requested options were not granted (see above); correct the "
            f"fragments {' and '.join(path.name for path in job.fragments)}, or build without "
            "--strict-config."
        )


def compile_kernel(job: Job) -> None:
    """Compiles, with the last full build's number of objects as the measure of progress."""
    name = f"{job.source.id}-{job.profile}-{job.arch}.objects"
    counts = [job.out / name, cache_directory() / name]
    known = next((read_stamp(path) for path in counts if path.exists()), "")
    expected = int(known) if known.isdigit() else FIRST_GUESS.get(job.profile, 0)
    clean = not (job.kbuild.output / "vmlinux").exists()
    count = job.kbuild.compile(expected)
    if clean and count > expected // 2:
        for path in counts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(count), encoding="utf-8")


def publish(job: Job) -> None:
    """Puts the products in place, each in one step and under a new inode.

    A loader may have the old file mapped, and dlopen knows files by their inode.
    """
    kbuild = job.kbuild
    vmlinux = kbuild.output / "vmlinux"
    debug, library = job.out / "liblinux.so.debug", job.out / "liblinux.so"
    fresh_debug, fresh = job.out / "new.debug", job.out / "new.so"
    shutil.copyfile(vmlinux, fresh_debug)
    os.replace(fresh_debug, debug)
    objcopy(job, "--strip-unneeded", f"--add-gnu-debuglink={debug}", str(debug), str(fresh))
    fresh.chmod(0o755)
    os.replace(fresh, library)
    shutil.copyfile(kbuild.output / ".config", job.out / "kernel.config")
    (job.out / "kernel.json").write_text(json.dumps(describe(job), indent=2) + "\n", "utf-8")


def objcopy(job: Job, *arguments: str) -> None:
    """Runs the target's objcopy; BuildError with its own words if it fails."""
    answer = subprocess.run(
        [job.kbuild.tool("objcopy"), *arguments], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise BuildError(f"objcopy could not strip the library ({answer.stderr.strip()}).")


def describe(job: Job) -> dict[str, str | int]:
    """The content of kernel.json."""
    release = read_stamp(job.kbuild.output / "include/config/kernel.release").strip()
    return {
        "kernel_release": release,
        "kernel_id": job.source.id,
        "profile": job.profile,
        "arch": job.arch,
        "lib_isa": LIB_ISA[job.arch],
        "source_origin": job.source.origin,
        "source_version": job.source.version,
        "source_commit": job.source.commit,
        "package": job.source.package,
        "package_version": job.source.package_version,
        "deb_sha256": job.source.deb_sha256,
        "compiler": job.kbuild.compiler_version(),
        "library_bytes": (job.out / "liblinux.so").stat().st_size,
        "library_sha256": hashlib.sha256((job.out / "liblinux.so").read_bytes()).hexdigest(),
        "debug_prefix": DEBUG_PREFIX,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", default="", help="series or path of a kernel tree")
    parser.add_argument("--profile", default="defconfig", help="defconfig, lean or debug")
    parser.add_argument("--arch", default=os.uname().machine, choices=sorted(LIB_ISA))
    parser.add_argument("--out", type=Path, required=True, help="the build folder")
    parser.add_argument("--strict-config", action="store_true", help="fail on dropped options")
    parser.add_argument("--locked", action="store_true", help="take only the locked source")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    job = Job(
        source=SourceFinder().prepare(options.source, options.locked),
        profile=options.profile,
        arch=options.arch,
        out=options.out.resolve(),
        strict_config=options.strict_config,
        jobs=options.jobs,
    )
    done = build(job)
    library = job.out / "liblinux.so"
    size = library.stat().st_size
    state = "built" if done else "up to date"
    say(
        f"{os.path.relpath(library)}: Linux {job.source.version}, profile {job.profile}, "
        f"{job.arch}, {size / 1e6:.1f} MB, {state}"
    )
    return 0


if __name__ == "__main__":
    run_tool(main)
