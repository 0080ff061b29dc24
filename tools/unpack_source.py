# SPDX-License-Identifier: GPL-2.0-only
"""From a kernel source package to a verified tree: checksums, unpacking, all or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from progress import Progress
from tool_error import SourceError

CHUNK_BYTES = 1 << 20
TREE_BYTES = 2 * 1024**3
"""What an unpacked kernel takes at most; asked for before the work begins."""


@dataclass(frozen=True)
class UnpackedSource:
    """What lies beside an unpacked tree in the cache, as JSON."""

    series: str
    package: str
    version: str
    deb: str
    deb_sha256: str
    tar_sha256: str


def tree_name(version: str) -> str:
    """The folder of a package version; Kbuild takes no colon, shells dislike tildes."""
    return "linux-" + re.sub(r"[^A-Za-z0-9.]+", "-", version)


def record_path(tree: Path) -> Path:
    """Where the record of an unpacked tree lies; a tree without one is not finished."""
    return tree.parent / f"{tree.name}.json"


def read_record(tree: Path) -> UnpackedSource | None:
    """The record of a finished tree, None if the tree is not there or not finished."""
    try:
        record = UnpackedSource(**json.loads(record_path(tree).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return record if (tree / "Kbuild").is_file() else None


def sha256_of(path: Path, label: str = "") -> str:
    """The SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    display = Progress(label or f"Checking {path.name}", path.stat().st_size)
    done = 0
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
            done += len(block)
            display.update(done)
    display.clear()
    return digest.hexdigest()


def check_deb(deb: Path, expected_sha256: str) -> None:
    """Refuses a package file whose checksum is not the expected one, and removes it."""
    found = sha256_of(deb)
    if found != expected_sha256:
        deb.unlink()
        raise SourceError(
            f"The checksum of {deb.name} differs: expected SHA-256 {expected_sha256}, found "
            f"{found}. The file was removed; run the command again to fetch it anew, and "
            "distrust the mirror if it differs again."
        )


def unpack(deb: Path, cache: Path, source: UnpackedSource) -> UnpackedSource:
    """Unpacks a verified package below the cache; returns its record with the tar's checksum.

    `source.tar_sha256` may be '' if it is not known yet; otherwise it must match.
    """
    tree = cache / tree_name(source.version)
    free = shutil.disk_usage(cache).free
    if free < TREE_BYTES:
        raise SourceError(
            f"Too little room to unpack {deb.name}: {free >> 20} MiB are free and "
            f"{TREE_BYTES >> 20} MiB are needed in {cache}; free some, or move the cache with "
            "PYLIBOS_CACHE=/other/folder."
        )
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=cache) as folder:
        fresh = Path(folder) / "tree"
        fresh.mkdir()
        digest = _unpack_inner_tar(deb, fresh)
        if source.tar_sha256 and digest != source.tar_sha256:
            raise SourceError(
                f"The checksum of the source archive inside {deb.name} differs: expected "
                f"SHA-256 {source.tar_sha256}, found {digest}; run the command again with an "
                "empty cache, and distrust the mirror if it differs again."
            )
        if tree.exists():
            # Left by a run that ended between the two renames, or damaged since.
            os.rename(tree, Path(folder) / "old")
        os.rename(fresh, tree)
        done = UnpackedSource(**{**asdict(source), "tar_sha256": digest})
        record = Path(folder) / "record"
        record.write_text(json.dumps(asdict(done), indent=2) + "\n", encoding="utf-8")
        os.rename(record, record_path(tree))
    return done


def _unpack_inner_tar(deb: Path, target: Path) -> str:
    """Streams the source archive out of the package into tar; returns its SHA-256."""
    outer = subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(deb)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert outer.stdout is not None
    try:
        with tarfile.open(fileobj=outer.stdout, mode="r|") as archive:
            for member in archive:
                if re.fullmatch(r"linux-source-[0-9.]+\.tar\.xz", Path(member.name).name):
                    stream = archive.extractfile(member)
                    assert stream is not None
                    return _feed_tar(stream, member.size, target)
    except tarfile.TarError as error:
        raise SourceError(
            f"The package file {deb} is damaged ({error}); remove it and run the command again."
        ) from None
    finally:
        outer.kill()
        outer.wait()
        outer.stdout.close()
    raise SourceError(f"The package file {deb} holds no kernel source archive.")


def _feed_tar(stream: IO[bytes], size_bytes: int, target: Path) -> str:
    display = Progress("Unpacking the kernel source", size_bytes)
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as errors:
        tar = subprocess.Popen(
            ["tar", "--extract", "--xz", "--strip-components=1", "--no-same-owner"],
            cwd=target,
            stdin=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert tar.stdin is not None
        done = 0
        try:
            while block := stream.read(CHUNK_BYTES):
                digest.update(block)
                tar.stdin.write(block)
                done += len(block)
                display.update(done, f"{done >> 20} of {size_bytes >> 20} MiB")
            tar.stdin.close()
        except BrokenPipeError:
            pass  # tar has already said why it ended; its words follow below.
        except BaseException:
            tar.kill()
            tar.wait()
            raise
        if tar.wait() != 0:
            display.clear()
            errors.seek(0)
            raise _tar_failure(errors.read().decode(errors="replace"), target)
    display.finish()
    return digest.hexdigest()


def _tar_failure(text: str, target: Path) -> SourceError:
    first = next((line for line in text.splitlines() if line.strip()), "tar printed nothing")
    if "No space left on device" in text:
        return SourceError(
            f"The disk is full: the kernel source could not be unpacked below {target.parent}; "
            f"free {TREE_BYTES >> 20} MiB, or move the cache with PYLIBOS_CACHE=/other/folder."
        )
    return SourceError(f"The kernel source archive cannot be unpacked ({first}).")
