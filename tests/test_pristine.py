# SPDX-License-Identifier: GPL-2.0-only
"""Zero patches: the trees that the kernels were built from are what the distribution ships."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_source import REPOSITORY, KernelSource, SourceFinder
from link_tree import OUTPUT


def build_folders() -> list[Path]:
    """One build folder for each source tree that something was built from."""
    found = sorted((REPOSITORY / "build").glob("*/kernel.json"))
    by_source = {(path.parent / "tree/Makefile").resolve(): path.parent for path in found}
    return sorted(by_source.values())


def archive_members(source: KernelSource) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Every member of the source archive inside the verified package file, in its order."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", source.deb], stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        with tarfile.open(fileobj=program.stdout, mode="r|") as outer:
            for entry in outer:
                if entry.name.endswith(".tar.xz"):
                    with tarfile.open(fileobj=outer.extractfile(entry), mode="r|xz") as inner:
                        for member in inner:
                            yield inner, member


def differences(source: KernelSource) -> Iterator[str]:
    """What a tree has more, less, or other than its archive."""
    tree = Path(source.path)
    surplus = {str(path.relative_to(tree)) for path in tree.rglob("*")}
    for archive, member in archive_members(source):
        name = member.name.partition("/")[2]
        if not name:
            continue
        path = tree / name
        surplus.discard(name)
        if member.issym():
            # Not path.readlink(): that drops a './' from what stands in the link.
            if not path.is_symlink() or os.readlink(path) != member.linkname:  # noqa: PTH115
                yield f"{name}: the link differs"
        elif member.isdir():
            if path.is_symlink() or not path.is_dir():
                yield f"{name}: the folder is missing"
        elif path.is_symlink() or not path.is_file():
            yield f"{name}: the file is missing"
        else:
            content = archive.extractfile(member)
            assert content is not None
            if path.read_bytes() != content.read():
                yield f"{name}: the content differs"
            elif bool(path.stat().st_mode & 0o100) != bool(member.mode & 0o100):
                yield f"{name}: the mode differs"
    yield from (f"{name}: not in the archive" for name in sorted(surplus))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("folder", build_folders(), ids=lambda folder: folder.name)
def test_tree_equals_the_archive_of_its_package(folder: Path) -> None:
    described = json.loads((folder / "kernel.json").read_text())
    if described["source_origin"] != "package":
        pytest.skip(f"{folder.name} was built from a tree that was given, not from a package")
    source = SourceFinder().prepare(described["kernel_id"])
    assert (folder / "tree/Makefile").readlink() == Path(source.path) / "Makefile"
    assert list(differences(source)) == []


@pytest.mark.parametrize("folder", build_folders(), ids=lambda folder: folder.name)
def test_link_tree_adds_the_port_and_nothing_else(folder: Path) -> None:
    tree = folder / "tree"
    source = (tree / "Makefile").readlink().parent
    foreign = {
        str(path.relative_to(tree))
        for path in [*tree.iterdir(), *(tree / "arch").iterdir()]
        if not (path.is_symlink() and path.readlink() == source / path.relative_to(tree))
    }
    assert foreign == {"arch", "arch/lib", OUTPUT}
    assert (tree / "arch/lib").readlink() == REPOSITORY / "arch_lib"
