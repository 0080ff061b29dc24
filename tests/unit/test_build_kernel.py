# SPDX-License-Identifier: GPL-2.0-only
"""tools/build_kernel.py: what it makes, when it works again, and what it refuses."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from build_kernel import Job, alone_in, build
from fake_kernel import make_job
from kbuild import clean_environment
from kernel_config import merge_fragments, parse_config
from tool_error import BuildError

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the fake kernel is built for x86_64"
)


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLIBOS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path)


def compilations(job: Job) -> int:
    """How often Kbuild was started by the last build that did anything."""
    return (job.out / "build.log").read_text().count("$ make -C")


def test_products_are_made(job: Job) -> None:
    assert build(job)
    library = ctypes.CDLL(str(job.out / "liblinux.so"))
    assert library.liblinux_start() == 86
    assert "CONFIG_NET=y" in (job.out / "kernel.config").read_text()
    described = json.loads((job.out / "kernel.json").read_text())
    assert described["kernel_release"] == "6.12.1"
    assert (described["profile"], described["lib_isa"]) == ("lean", "x86")
    assert described["package_version"] == "6.12.1-1"


def test_library_is_stripped_and_points_to_its_symbols(job: Job) -> None:
    build(job)

    def sections(name: str) -> str:
        return subprocess.run(
            ["readelf", "--wide", "--sections", str(job.out / name)],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert ".debug_info" in sections("liblinux.so.debug")
    assert ".debug_info" not in sections("liblinux.so")
    assert ".dynsym" in sections("liblinux.so")
    assert ".gnu_debuglink" in sections("liblinux.so")


def test_debug_information_does_not_name_the_build_folder(job: Job) -> None:
    build(job)
    assert str(job.out).encode() not in (job.out / "liblinux.so.debug").read_bytes()


def test_second_build_does_nothing(job: Job) -> None:
    build(job)
    before = (job.out / "liblinux.so").stat()
    assert not build(job)
    assert (job.out / "liblinux.so").stat() == before


def test_change_in_the_port_builds_again(job: Job) -> None:
    build(job)
    (job.repository / "arch_lib/setup.c").write_text("int more;\n")
    assert build(job)
    # The configuration has not changed, so Kbuild was started for vmlinux only.
    assert compilations(job) == 1


def test_change_of_a_fragment_configures_again(job: Job) -> None:
    build(job)
    (job.repository / "arch_lib/configs/lean.config").write_text("CONFIG_HZ=100\n")
    assert build(job)
    assert compilations(job) == 2
    assert "CONFIG_HZ=100\n" in (job.out / "kernel.config").read_text()


def test_missing_product_builds_again(job: Job) -> None:
    build(job)
    (job.out / "liblinux.so").unlink()
    assert build(job)


def test_tree_at_a_path_is_always_looked_at(tmp_path: Path) -> None:
    job = make_job(tmp_path, origin="path")
    build(job)
    assert build(job)


def test_other_package_version_drops_all_objects(job: Job) -> None:
    build(job)
    (job.kbuild.output / "old.o").touch()
    assert build(replace(job, source=replace(job.source, package_version="6.12.1-2")))
    assert not (job.kbuild.output / "old.o").exists()


def test_rebuilt_library_is_another_file(job: Job) -> None:
    # dlopen knows files by inode: a loaded library must never change under its user.
    build(job)
    before = (job.out / "liblinux.so").stat().st_ino
    keep = (job.out / "liblinux.so").open("rb")
    (job.repository / "arch_lib/setup.c").write_text("int more;\n")
    build(job)
    assert (job.out / "liblinux.so").stat().st_ino != before
    keep.close()


def test_dropped_and_unknown_options_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(make_job(tmp_path, "debug"))
    said = capsys.readouterr().err
    assert "warning: CONFIG_INET: wanted y, got n" in said
    assert "Not in 6.12.1: IP_DCCP" in said


def test_strict_config_refuses_dropped_options(tmp_path: Path) -> None:
    job = replace(make_job(tmp_path, "debug"), strict_config=True)
    with pytest.raises(BuildError, match="1 requested options were not granted"):
        build(job)


def test_unknown_profile_names_those_there_are(job: Job) -> None:
    with pytest.raises(BuildError, match="There is no profile 'fast' .*: debug, lean"):
        build(replace(job, profile="fast"))


def test_malformed_fragment_is_refused(job: Job) -> None:
    (job.repository / "arch_lib/configs/lean.config").write_text("\nNET=y\n")
    with pytest.raises(BuildError, match=r"lean\.config:2: 'NET=y' is neither CONFIG_X=value"):
        build(job)


def test_configuration_without_hz_is_refused(job: Job) -> None:
    # Kbuild would compute time constants from it for ever.
    (job.repository / "arch_lib/configs/base.config").write_text("CONFIG_NET=y\n")
    with pytest.raises(BuildError, match="sets no CONFIG_HZ; let arch_lib/Kconfig source"):
        build(job)


def test_compiler_error_is_shown_with_the_log(job: Job) -> None:
    (Path(job.source.path) / "net/broken.c").touch()
    with pytest.raises(BuildError, match=r"the whole log is in .*/build\.log") as refused:
        build(job)
    assert "net/broken.c:1:1: error: no good" in str(refused.value)
    (Path(job.source.path) / "net/broken.c").unlink()
    assert build(job)


def test_second_run_in_the_same_folder_is_refused(job: Job) -> None:
    job.out.mkdir()
    with alone_in(job.out), pytest.raises(BuildError, match="Another run is building in"):
        build(job)
    assert build(job)


def test_missing_cross_compiler_names_its_package(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="install the package gcc-aarch64-linux-gnu"):
        build(replace(job, arch="aarch64"))


def test_environment_of_the_caller_does_not_reach_kbuild(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "KERNEL", "PROFILE", "ARCH", "KCFLAGS", "CFLAGS", "KBUILD_OUTPUT"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CCACHE_DIR", "kept")
    environment = clean_environment()
    assert environment.keys().isdisjoint({"MAKEFLAGS", "KERNEL", "PROFILE", "ARCH", "KCFLAGS"})
    assert environment.keys().isdisjoint({"CFLAGS", "KBUILD_OUTPUT"})
    assert environment["CCACHE_DIR"] == "kept"


def test_later_fragment_overrides_an_earlier_one(tmp_path: Path) -> None:
    first, second = tmp_path / "a.config", tmp_path / "b.config"
    first.write_text("CONFIG_A=y\nCONFIG_B=10\n")
    second.write_text('# CONFIG_A is not set\nCONFIG_C="x"\n')
    assert merge_fragments([first, second]) == {"A": "n", "B": "10", "C": '"x"'}


def test_config_is_read_as_kconfig_writes_it() -> None:
    text = "#\n# comment\n#\nCONFIG_A=y\n# CONFIG_B is not set\n\nCONFIG_C=0x10\n"
    assert parse_config(text) == {"A": "y", "B": "n", "C": "0x10"}
