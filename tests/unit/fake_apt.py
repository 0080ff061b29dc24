# SPDX-License-Identifier: GPL-2.0-only
"""A distribution of one's own for the tests: real packages, and an apt-get that serves them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

FAKE_PROGRAM = """\
#!/usr/bin/python3
import json, os, shutil, sys
state = json.load(open(os.environ["FAKE_APT_STATE"]))
words = [w for w in sys.argv[1:] if w[:2] != "-o" and "::" not in w]
log = open(os.environ["FAKE_APT_STATE"] + ".log", "a")
log.write(" ".join([os.path.basename(sys.argv[0]), *words]) + "\\n")
if words[0] in state["fail"]:
    print(state["fail"][words[0]])
    sys.exit(100)
if words[0] == "indextargets":
    print(state["index"])
elif words[0] == "show":
    print("\\n\\n".join(state["records"].get(words[1], [])))
elif words[0] == "search":
    print("\\n".join(f"{name} - Linux kernel source" for name in state["records"]))
elif words[0] == "download":
    name, version = words[1].split("=")
    for file in state["files"]:
        if os.path.basename(file).startswith(f"{name}_{version}_"):
            shutil.copy(file, os.getcwd())
"""

TREE = {
    "Makefile": "VERSION = {0}\nPATCHLEVEL = {1}\nSUBLEVEL = {2}\nEXTRAVERSION =\n",
    "Kconfig": "mainmenu\n",
    "Kbuild": "\n",
    "arch/Kconfig": "config ARCH\n",
    "arch/x86/Kconfig": "config X86\n",
    "init/main.c": "int main;\n",
    "net/Kconfig": "config NET\n\tbool\nmenuconfig INET\n",
}


def make_tree(folder: Path, version: str = "6.12.117") -> Path:
    """The few files by which a kernel tree is known."""
    for name, text in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(*version.split(".")))
    return folder


class FakeApt:
    """Puts fake apt-get and apt-cache programs into a folder and tells them what to answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        for name in ("apt-get", "apt-cache"):
            program = self.bin / name
            program.write_text(FAKE_PROGRAM)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.state = folder / "state.json"
        self.index = "mirror:/debian/|testing|main\nmirror:/other/|nodistro|main"
        self.fail: dict[str, str] = {}
        self.records: dict[str, list[str]] = {}
        self.files: list[str] = []
        self.save()

    def save(self) -> None:
        """Hands the present answers to the programs."""
        answers = {
            "index": self.index,
            "fail": self.fail,
            "records": self.records,
            "files": self.files,
        }
        self.state.write_text(json.dumps(answers))

    def calls(self) -> list[str]:
        """What the programs were called with so far."""
        log = Path(f"{self.state}.log")
        return log.read_text().splitlines() if log.exists() else []

    def add(self, series: str, version: str) -> tuple[Path, str]:
        """Offers a package of a series; returns its file and the file's SHA-256."""
        deb = make_deb(self.folder / "mirror", series, version)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        name = f"linux-source-{series}"
        record = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            f"Size: {deb.stat().st_size}\nSHA256: {digest}"
        )
        self.records.setdefault(name, []).insert(0, record)
        self.files.append(str(deb))
        self.save()
        return deb, digest


def make_deb(folder: Path, series: str, version: str) -> Path:
    """A small but real linux-source package."""
    root = folder / f"{series}-{version}"
    tree = make_tree(root / f"linux-source-{series}", version.split("-")[0])
    usr_src = root / "deb/usr/src"
    usr_src.mkdir(parents=True)
    with tarfile.open(usr_src / f"linux-source-{series}.tar.xz", "w:xz") as archive:
        archive.add(tree, tree.name)
    control = root / "deb/DEBIAN/control"
    control.parent.mkdir()
    control.write_text(
        f"Package: linux-source-{series}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.invalid>\nDescription: for tests\n"
    )
    deb = folder / f"linux-source-{series}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(root / "deb"), str(deb)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    return deb
