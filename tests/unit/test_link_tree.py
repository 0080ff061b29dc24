# SPDX-License-Identifier: GPL-2.0-only
"""tools/link_tree.py: the tree of links mirrors the kernel's and adds one architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_apt import make_tree
from link_tree import update_link_tree
from tool_error import BuildError


def snapshot(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.lstat().st_mtime_ns) for p in [folder, *folder.rglob("*")])


def test_tree_shows_the_source_and_one_more_architecture(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "linux")
    (source / ".git").mkdir()
    before = snapshot(source)
    target, repository = tmp_path / "tree", tmp_path / "repository"
    assert update_link_tree(source, target, repository)
    assert snapshot(source) == before
    assert {path.name for path in target.iterdir()} == {
        "Makefile", "Kconfig", "Kbuild", "arch", "init", "net",
    }  # fmt: skip
    assert (target / "init").readlink() == source / "init"
    assert (target / "arch/x86").readlink() == source / "arch/x86"
    assert (target / "arch/lib").readlink() == repository / "arch_lib"
    assert not (target / "arch").is_symlink()


def test_second_update_changes_nothing(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "linux")
    update_link_tree(source, tmp_path / "tree", tmp_path)
    before = snapshot(tmp_path / "tree")
    assert not update_link_tree(source, tmp_path / "tree", tmp_path)
    assert snapshot(tmp_path / "tree") == before


def test_update_follows_the_source(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "linux")
    target = tmp_path / "tree"
    update_link_tree(source, target, tmp_path)
    (target / "out").mkdir()
    (source / "net/Kconfig").unlink()
    (source / "net").rmdir()
    (source / "arch/arm").mkdir()
    assert update_link_tree(source, target, tmp_path)
    assert not (target / "net").is_symlink()
    assert (target / "arch/arm").is_dir()
    assert (target / "out").is_dir()


def test_other_source_moves_every_link(tmp_path: Path) -> None:
    old, new = make_tree(tmp_path / "old"), make_tree(tmp_path / "new")
    target = tmp_path / "tree"
    update_link_tree(old, target, tmp_path)
    update_link_tree(new, target, tmp_path)
    assert (target / "Makefile").readlink() == new / "Makefile"
    assert (target / "arch/x86").readlink() == new / "arch/x86"


def test_source_with_an_arch_lib_of_its_own_is_refused(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "linux")
    (source / "arch/lib").mkdir()
    with pytest.raises(BuildError, match="already has an arch/lib; give a kernel tree without"):
        update_link_tree(source, tmp_path / "tree", tmp_path)


def test_foreign_file_in_the_way_is_refused(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "linux")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/Makefile").write_text("somebody else's")
    with pytest.raises(BuildError, match="Makefile is not a link, so it is not this project's"):
        update_link_tree(source, tmp_path / "tree", tmp_path)


@pytest.mark.parametrize("name", ["a b", "a:b"])
def test_place_that_kbuild_cannot_use_is_refused(tmp_path: Path, name: str) -> None:
    source = make_tree(tmp_path / "linux")
    with pytest.raises(BuildError, match="Kbuild cannot work in .*without spaces, colons"):
        update_link_tree(source, tmp_path / name, tmp_path)
