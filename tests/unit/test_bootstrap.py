# SPDX-License-Identifier: GPL-2.0-only
"""tools/bootstrap.sh: installs what is missing if it may, and names it if it may not."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kernel_source import REPOSITORY

INSTALLED = "bc bison build-essential ca-certificates ccache debian-archive-keyring git"
INSTALLED += " libbpf-dev libxdp-dev"
MISSING = ["flex", "python3", "xz-utils", "python3-venv"]


class Machine:
    """A checkout whose .venv is ready, on a machine with some packages."""

    def __init__(self, folder: Path, uid: int) -> None:
        self.root = folder / "checkout"
        (self.root / "tools").mkdir(parents=True)
        for name in ("tools/bootstrap.sh", "tools/apt-packages.txt", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, self.root / name)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.add_program("id", f"echo {uid}")
        self.set_installed(INSTALLED)
        self.add_program("apt-get", f'echo "apt-get $*" >> {self.log}')
        self.make_venv()

    def add_program(self, name: str, script: str) -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def set_installed(self, packages: str) -> None:
        self.add_program("dpkg-query", f"for p in {packages}; do echo installed $p; done")

    def make_venv(self) -> None:
        inputs = (self.root / "pyproject.toml").read_bytes()
        inputs += (self.root / "tools/bootstrap.sh").read_bytes()
        (self.root / ".venv/bin").mkdir(parents=True)
        (self.root / ".venv/bin/python").symlink_to("/bin/true")
        stamp = self.root / ".venv/pylibos-requirements"
        stamp.write_text(f"{hashlib.sha256(inputs).hexdigest()}  -\n")

    def run(self, *sections: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "tools/bootstrap.sh"), *sections],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": f"{self.bin}:/usr/bin:/bin", **environment},
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def test_root_installs_what_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0)
    assert machine.run().returncode == 0
    update, install = machine.calls()
    assert update == "apt-get update"
    assert install == "apt-get install --yes --no-install-recommends " + " ".join(MISSING)


def test_anyone_else_is_told_what_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000)
    answer = machine.run()
    assert answer.returncode == 2
    assert f"error: These packages are missing: {' '.join(MISSING)}" in answer.stderr
    assert "Install them as root (apt-get install" in answer.stderr
    assert machine.calls() == []


def test_nothing_missing_asks_for_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000)
    machine.set_installed(" ".join([INSTALLED, *MISSING]))
    answer = machine.run()
    assert (answer.returncode, answer.stderr, machine.calls()) == (0, "", [])


def test_section_adds_its_packages(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000)
    machine.set_installed(" ".join([INSTALLED, *MISSING]))
    answer = machine.run("test", "aarch64")
    listed = (REPOSITORY / "tools/apt-packages.txt").read_text()
    sections = dict(part.split("]\n", 1) for part in listed.split("\n[")[1:])
    lines = (sections["test"] + sections["aarch64"]).splitlines()
    test_and_aarch64 = " ".join(line for line in lines if line and not line.startswith("#"))
    assert len(test_and_aarch64.split()) > 20
    assert f"missing: {test_and_aarch64}" in answer.stderr


def test_apt_failure_shows_apts_own_words(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0)
    machine.add_program("apt-get", "echo 'E: Unable to locate package flex'; exit 100")
    answer = machine.run(TMPDIR=str(tmp_path))
    assert answer.returncode == 2
    assert "E: Unable to locate package flex" in answer.stderr
    assert "error: apt could not install flex" in answer.stderr


@pytest.mark.parametrize("damage", ["pyproject.toml", ".venv/pylibos-requirements"])
def test_old_python_is_refused(tmp_path: Path, damage: str) -> None:
    machine = Machine(tmp_path, uid=1000)
    machine.set_installed(" ".join([INSTALLED, *MISSING]))
    (machine.root / damage).write_text("# changed, so .venv must be brought up to date\n")
    machine.add_program("python3", "exit 1")
    answer = machine.run()
    assert answer.returncode == 2
    assert "error: python3 is older than 3.11; give a newer one: make PYTHON=" in answer.stderr
