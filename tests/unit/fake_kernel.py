# SPDX-License-Identifier: GPL-2.0-only
"""A repository and a kernel tree whose Kbuild is a Makefile of a few lines, for the tests."""

from __future__ import annotations

from pathlib import Path

from build_kernel import Job
from fake_apt import make_tree
from kernel_source import KernelSource

MAKEFILE = """\
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
EXTRAVERSION =

# Drops what no Kconfig file defines, as Kconfig does, and CONFIG_INET on top.
allnoconfig:
\tgrep -E 'CONFIG_(HZ|NET)=' $(KCONFIG_ALLCONFIG) > $(O)/.config; true
\techo '# CONFIG_INET is not set' >> $(O)/.config

vmlinux:
\t@if [ -e net/broken.c ]; then echo 'net/broken.c:1:1: error: no good'; exit 1; fi
\t@echo '  CC      net/core/dev.o'
\t@echo '  AS      arch/lib/kernel/entry.o'
\t@mkdir -p $(O)/include/config && echo 6.12.1 > $(O)/include/config/kernel.release
\techo 'int liblinux_start(void) { return ISA_$(LIB_ISA); }' | gcc -g -shared -fPIC \\
\t\t-DISA_x86=86 -DISA_arm64=64 $(KCFLAGS) -x c - -o $(O)/vmlinux
"""


def make_repository(folder: Path) -> Path:
    """The parts of the project that build_kernel looks at."""
    configs = folder / "arch_lib/configs"
    configs.mkdir(parents=True)
    (configs / "base.config").write_text("CONFIG_HZ=1000\nCONFIG_NET=y\n")
    (configs / "lean.config").write_text("# nothing more\n")
    (configs / "debug.config").write_text("CONFIG_INET=y\nCONFIG_IP_DCCP=y\n")
    (folder / "arch_lib/Kconfig").write_text("config HZ\n\tint\n")
    (folder / "abi").mkdir()
    (folder / "abi/liblinux.h").write_text("/* the boundary */\n")
    return folder


def make_kernel(folder: Path) -> Path:
    """A tree that 'compiles'."""
    tree = make_tree(folder)
    (tree / "Makefile").write_text(MAKEFILE)
    return tree


def make_job(folder: Path, profile: str = "lean", origin: str = "package") -> Job:
    """A job on a fresh repository, tree and build folder below one folder."""
    tree = make_kernel(folder / "linux")
    source = KernelSource(str(tree), "6.12", "6.12.1", origin, package_version="6.12.1-1")
    repository = make_repository(folder / "repository")
    return Job(source, profile, "x86_64", folder / "build", False, 1, repository)
