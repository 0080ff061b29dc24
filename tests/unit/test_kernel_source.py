# SPDX-License-Identifier: GPL-2.0-only
"""tools/kernel_source.py: where a tree comes from, and every way in which it is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kernel_source
import pytest
import unpack_source
from fake_apt import FakeApt, make_tree
from kernel_lock import read_lock
from kernel_source import SourceFinder, kernel_id
from private_apt import PrivateApt, machine_sources
from tool_error import SourceError

TOOL = Path(kernel_source.__file__)
LOCKED_VERSION = "6.12.1-1"


class World:
    """A repository with a lock file, an empty cache, and a distribution."""

    def __init__(self, folder: Path) -> None:
        self.apt = FakeApt(folder / "apt")
        self.repository = folder / "repository"
        self.repository.mkdir()
        self.cache = folder / "cache"
        self.deb, self.deb_sha256 = self.apt.add("6.12", LOCKED_VERSION)
        self.write_lock()

    def write_lock(self, sha256: str = "", tar_sha256: str = "") -> None:
        (self.repository / "kernel.lock.toml").write_text(
            'default = "6.12"\n[series."6.12"]\npackage = "linux-source-6.12"\n'
            f'suites = ["own"]\nversion = "{LOCKED_VERSION}"\n'
            f'deb_sha256 = "{sha256 or self.deb_sha256}"\ntar_sha256 = "{tar_sha256}"\n'
        )

    @property
    def finder(self) -> SourceFinder:
        return SourceFinder(
            self.cache, self.repository, PrivateApt(self.cache / "apt", release="testing")
        )

    def replace_offer(self, version: str) -> str:
        self.apt.records.clear()
        self.apt.files.clear()
        return self.apt.add("6.12", version)[1]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("PATH", f"{made.apt.bin}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_APT_STATE", str(made.apt.state))
    return made


def test_series_is_fetched_verified_and_unpacked(world: World) -> None:
    source = world.finder.prepare("6.12")
    assert (source.origin, source.version, source.id) == ("package", "6.12.1", "6.12")
    assert source.package_version == LOCKED_VERSION
    assert (Path(source.path) / "init/main.c").is_file()
    assert Path(source.deb).read_bytes() == world.deb.read_bytes()


def test_empty_name_means_the_default_series(world: World) -> None:
    assert world.finder.prepare("").id == "6.12"


def test_second_run_asks_nobody(world: World) -> None:
    first = world.finder.prepare("6.12")
    calls = world.apt.calls()
    assert world.finder.prepare("6.12") == first
    assert world.apt.calls() == calls


def test_stored_package_serves_without_network(world: World) -> None:
    source = world.finder.prepare("6.12")
    shutil.rmtree(source.path)
    calls = world.apt.calls()
    assert world.finder.prepare("6.12") == source
    assert world.apt.calls() == calls


def test_tree_without_record_is_unpacked_again(world: World) -> None:
    source = world.finder.prepare("6.12")
    unpack_source.record_path(Path(source.path)).unlink()
    (Path(source.path) / "init/main.c").unlink()
    assert world.finder.prepare("6.12") == source
    assert (Path(source.path) / "init/main.c").is_file()


def test_half_a_download_is_started_anew(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    partial = world.cache / "debs/partial"
    partial.mkdir(parents=True)
    (partial / world.deb.name).write_bytes(b"half")
    world.finder.prepare("6.12")
    assert list(partial.iterdir()) == []
    assert f"An earlier fetch of {world.deb.name} ended" in capsys.readouterr().err


def test_submodule_goes_before_the_package(world: World) -> None:
    make_tree(world.repository / "kernel-src", "6.12.0")
    source = world.finder.prepare("6.12")
    assert (source.origin, source.version) == ("submodule", "6.12.0")
    assert world.apt.calls() == []


def test_submodule_of_another_series_is_passed_over(world: World) -> None:
    make_tree(world.repository / "kernel-src", "7.3.0")
    assert world.finder.prepare("6.12").origin == "package"


def test_path_is_used_as_it_is(world: World, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "net-next", "7.4.0")
    source = world.finder.prepare(str(tree))
    assert (source.origin, source.path, source.version) == ("path", str(tree), "7.4.0")
    assert source.id == kernel_id(str(tree))
    assert source.id.startswith("net-next-")


def test_two_paths_of_one_name_have_two_ids(tmp_path: Path) -> None:
    assert kernel_id(str(tmp_path / "a/linux")) != kernel_id(str(tmp_path / "b/linux"))


def test_newer_version_is_taken_and_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.replace_offer("6.12.2-1")
    assert world.finder.prepare("6.12").version == "6.12.2"
    said = (
        "The distribution has moved on within series 6.12: the lock file names 6.12.1-1, "
        "now there is 6.12.2-1."
    )
    assert said in capsys.readouterr().err
    calls = world.apt.calls()
    assert world.finder.prepare("6.12").version == "6.12.2"
    assert said in capsys.readouterr().err
    assert world.apt.calls() == calls


def test_locked_version_is_preferred_to_a_newer_one(world: World) -> None:
    world.apt.add("6.12", "6.12.2-1")
    assert world.finder.prepare("6.12").package_version == LOCKED_VERSION


def test_locked_refuses_a_newer_version(world: World) -> None:
    world.replace_offer("6.12.2-1")
    with pytest.raises(SourceError, match=r"6\.12\.2-1\. --locked takes no other version; pin"):
        world.finder.prepare("6.12", locked=True)


def test_locked_refuses_a_series_that_is_not_pinned(world: World) -> None:
    with pytest.raises(SourceError, match=r"does not name series 7\.2; pin it with"):
        world.finder.prepare("7.2", locked=True)


def test_unknown_series_names_those_there_are(world: World) -> None:
    with pytest.raises(
        SourceError, match=r"has no kernel series 9\.9 \(it offers 6\.12\); choose one of these"
    ):
        world.finder.prepare("9.9")


def test_missing_folder_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no folder .*/nowhere; give KERNEL a series"):
        world.finder.prepare(str(tmp_path / "nowhere"))


def test_folder_that_is_no_kernel_tree_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a kernel source tree"):
        world.finder.prepare(str(tmp_path))


def test_tree_with_build_output_is_refused(world: World, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "linux")
    (tree / ".config").touch()
    with pytest.raises(SourceError, match=r"earlier build \(\.config\).*mrproper"):
        world.finder.prepare(str(tree))


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("E: Could not resolve 'mirror'", "mirror cannot be reached .*check the network"),
        ("E: Write error - write (28: No space left on device)", "The disk is full"),
        ("E: Something else", r"apt could not fetch the kernel source \(E: Something else\)"),
    ],
)
@pytest.mark.parametrize("step", ["update", "download"])
def test_apt_failure_says_what_to_do(world: World, step: str, printed: str, message: str) -> None:
    world.apt.fail = {step: printed}
    world.apt.save()
    with pytest.raises(SourceError, match=message):
        world.finder.prepare("6.12")


def test_machine_without_mirror_is_told(world: World) -> None:
    world.apt.index = "mirror:/other/|nodistro|main"
    world.apt.save()
    with pytest.raises(SourceError, match="name no Debian mirror"):
        world.finder.prepare("6.12")


def test_machine_without_apt_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(world.cache))
    with pytest.raises(SourceError, match="apt-get is not on this machine.*submodule update"):
        world.finder.prepare("6.12")


def test_package_with_another_checksum_than_locked_is_refused(world: World) -> None:
    world.write_lock(sha256="0" * 64)
    with pytest.raises(SourceError, match="lock file has SHA-256 0{64}, the distribution offers"):
        world.finder.prepare("6.12")


def test_damaged_download_is_removed_and_refused(world: World) -> None:
    Path(world.apt.files[0]).write_bytes(b"not what was promised")
    with pytest.raises(SourceError, match=r"The checksum of .*\.deb differs: expected"):
        world.finder.prepare("6.12")
    assert list(world.cache.glob("debs/**/*.deb")) == []


def test_archive_with_another_checksum_is_refused(world: World) -> None:
    world.write_lock(tar_sha256="0" * 64)
    with pytest.raises(SourceError, match="checksum of the source archive inside .* differs"):
        world.finder.prepare("6.12")
    assert list(world.cache.glob("linux-*")) == []


def test_too_little_room_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(world.repository)._replace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SourceError, match="Too little room to unpack .*: 5 MiB are free"):
        world.finder.prepare("6.12")


def test_disk_full_while_unpacking_is_told_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    tar = tmp_path / "apt/bin/tar"
    tar.write_text("#!/bin/sh\necho 'tar: x: No space left on device' >&2\nexit 2\n")
    tar.chmod(0o755)
    with pytest.raises(SourceError, match="The disk is full: the kernel source could not be unp"):
        world.finder.prepare("6.12")
    assert list(world.cache.glob("linux-*")) + list(world.cache.glob("unpacking-*")) == []


def test_unwritable_cache_is_told(world: World) -> None:
    world.cache.write_text("a file where a folder should be")
    with pytest.raises(SourceError, match="cannot be written .*PYLIBOS_CACHE"):
        world.finder.prepare("6.12")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing; restore it with `git checkout"),
        (lambda path: path.write_text("default = 1\n"), "cannot be read"),
        (lambda path: path.write_text("= nonsense"), "cannot be read"),
    ],
)
def test_damaged_lock_file_is_refused(
    world: World, damage: Callable[[Path], object], message: str
) -> None:
    damage(world.repository / "kernel.lock.toml")
    with pytest.raises(SourceError, match=message):
        world.finder.prepare("")


def test_update_lock_pins_what_there_is(world: World) -> None:
    sha256 = world.replace_offer("6.12.2-1")
    world.finder.update_lock()
    entry = read_lock(world.repository / "kernel.lock.toml").series["6.12"]
    assert (entry.version, entry.deb_sha256) == ("6.12.2-1", sha256)
    assert len(entry.tar_sha256) == 64
    assert world.finder.prepare("6.12", locked=True).version == "6.12.2"


def test_update_lock_adds_a_series(world: World) -> None:
    world.apt.add("7.3", "7.3.4-1~bpo13+1")
    world.finder.update_lock("7.3")
    lock = read_lock(world.repository / "kernel.lock.toml")
    assert list(lock.series) == ["6.12", "7.3"]
    assert world.finder.prepare("7.3", locked=True).version == "7.3.4"


def test_second_run_waits_for_the_first(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.cache.mkdir()
    holder = subprocess.Popen(
        ["flock", str(world.cache / "lock"), "sh", "-c", "echo held; sleep 0.3"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    world.finder.prepare("6.12")
    assert holder.poll() is not None or holder.wait(timeout=5) == 0
    holder.stdout.close()
    assert "Another run is preparing a kernel source" in capsys.readouterr().err


def test_command_line_refuses_without_a_traceback(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, str(TOOL), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith(f"error: {tmp_path} is not a kernel source tree")
    assert "Traceback" not in answer.stderr


def test_only_the_distributions_own_suites_are_used() -> None:
    listing = "\n".join(
        [
            "m:/debian/|bookworm|main",
            "m:/debian/|bookworm|contrib",
            "m:/security/|bookworm-security|main",
            "m:/elsewhere/|nodistro|main",
            "m:/debian/|bookworm|main",
        ]
    )
    found = [(source.uri, source.suite) for source in machine_sources(listing, "bookworm")]
    assert found == [("m:/debian/", "bookworm"), ("m:/security/", "bookworm-security")]
