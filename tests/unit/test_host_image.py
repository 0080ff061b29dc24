# SPDX-License-Identifier: GPL-2.0-only
"""host/image.c, host/image_elf.c, host/loader.c: what is no image is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import host_library
import pytest
from host_library import compile_shared, error, fake_image, host


def refusal(path: Path) -> str:
    assert not host().plh_image_open(str(path).encode())
    return error()


def test_image_tells_its_release_profile_and_banner() -> None:
    image = host().plh_image_open(str(fake_image()).encode())
    assert image, error()
    assert host().plh_image_release(image) == b"0.0-fake"
    assert host().plh_image_profile(image) == b"fake"
    assert host().plh_image_banner(image) == b"A fake kernel for tests"
    host().plh_image_close(image)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "build it with 'make liblinux.so'" in refusal(tmp_path / "nothing.so")


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "is not a regular file" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x7fEL", b"#!/bin/sh\n" * 100])
def test_file_that_is_no_elf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "script.so"
    path.write_bytes(content)
    assert "is not an ELF file" in refusal(path)


def changed(tmp_path: Path, offset: int, content: bytes) -> Path:
    image = bytearray(fake_image().read_bytes())
    image[offset : offset + len(content)] = content
    path = tmp_path / "changed.so"
    path.write_bytes(image)
    return path


def test_other_processor_is_refused(tmp_path: Path) -> None:
    assert "was built for riscv" in refusal(changed(tmp_path, 18, b"\xf3\x00"))


def test_program_is_refused(tmp_path: Path) -> None:
    assert "is not a shared object" in refusal(changed(tmp_path, 16, b"\x02\x00"))


def test_file_cut_at_any_place_is_refused(tmp_path: Path) -> None:
    image = fake_image().read_bytes()
    path = tmp_path / "cut.so"
    # The sections behind the segments are of no use to the loader.
    needed = image.find(b"GCC: (")
    for length in [*range(0, needed, 97), needed - 1]:
        path.write_bytes(image[:length])
        assert not host().plh_image_open(str(path).encode()), f"{length} bytes were accepted"


def test_damaged_headers_are_refused_or_harmless(tmp_path: Path) -> None:
    image = fake_image().read_bytes()
    path = tmp_path / "damaged.so"
    for offset in range(0, 0x400, 4):
        damaged = bytearray(image)
        damaged[offset : offset + 4] = b"\xff\xff\xff\x7f"
        path.write_bytes(damaged)
        opened = host().plh_image_open(str(path).encode())
        if opened:
            host().plh_image_close(opened)


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("-DFAKE_MAGIC=1", "magic number"),
        ("-DFAKE_ABI_VERSION=99", "speaks version 99 of the ABI"),
        ("-DFAKE_TASK_BYTES=8", "structures have other sizes"),
        ("-DFAKE_SYMBOL=something_else", "does not export the symbol liblinux_image"),
        ("-DFAKE_FOREIGN_RELOCATION", "only relative ones can be applied"),
    ],
)
def test_image_of_another_kind_is_refused(flag: str, sentence: str) -> None:
    assert sentence in refusal(fake_image(flag.strip("-").replace("=", "_"), flag))


def test_ordinary_shared_library_is_refused() -> None:
    libc_user = compile_shared("libhost.so", [])
    host_library.host()
    assert "dynamic linker" in refusal(libc_user) or "liblinux_image" in refusal(libc_user)


def test_hash_style_of_the_linker_does_not_matter() -> None:
    for style in ("gnu", "sysv", "both"):
        path = fake_image(f"hash_{style}", f"-Wl,--hash-style={style}")
        image = host().plh_image_open(str(path).encode())
        assert image, error()
        host().plh_image_close(image)


def test_packed_relocations_are_applied() -> None:
    path = fake_image("relr", "-Wl,-z,pack-relative-relocs")
    image = host().plh_image_open(str(path).encode())
    assert image, error()
    assert host().plh_image_release(image) == b"0.0-fake"
    host().plh_image_close(image)
