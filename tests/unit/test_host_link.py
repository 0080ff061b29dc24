# SPDX-License-Identifier: GPL-2.0-only
"""host/link.c and host/capture.c: what they refuse, and files without a kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import host_library as h
import pytest
from host_library import Fake, error

from pylibos import _abi


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake(seeded=1, seed=7)
    yield fake
    fake.close()


def cable(fake: Fake, **members: int) -> _abi.plh_link_parameters:
    parameters = _abi.plh_link_parameters(offload=members.pop("offload", 0))
    for end in range(2):
        parameters.kernel[end] = fake.kernel
    for name, value in members.items():
        setattr(parameters.config[1], name, value)
    return parameters


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"loss_model": 2}, "There is no loss model 2: see enum plh_loss_model."),
        ({"offload": 3}, "There is no offload 3: see enum plh_offload."),
        ({"offload": _abi.PLH_OFFLOAD_ON, "loss": 1}, "cannot lose, duplicate, reorder"),
        ({"offload": _abi.PLH_OFFLOAD_ON, "corrupt": 1}, "let offload be automatic or off."),
        (
            {"offload": _abi.PLH_OFFLOAD_ON, "loss_model": _abi.PLH_LOSS_GILBERT_ELLIOTT},
            "A link that always carries segments whole",
        ),
    ],
)
def test_senseless_links_are_refused(fake: Fake, members: dict[str, int], message: str) -> None:
    assert not fake.host.plh_link_create(fake.world, ctypes.byref(cable(fake, **members)))
    assert message in error()


def test_link_of_another_world_is_refused(fake: Fake) -> None:
    other = Fake()
    assert not fake.host.plh_link_create(fake.world, ctypes.byref(cable(other)))
    assert "must live in the world that it is made in" in error()
    other.close()


def test_capture_without_interfaces_is_a_section(fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    capture = fake.host.plh_capture_create(fake.world, bytes(path), 0)
    assert capture, error()
    assert path.stat().st_size == 44
    assert fake.host.plh_capture_flush(capture) == h.OK
    assert fake.host.plh_capture_close(capture) == h.OK
    assert path.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert path.stat().st_size == 44


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"/nowhere/at/all", "No such file or directory"),
        (b"/dev/full", "No space left on device"),
        (b"/", "Is a directory"),
    ],
)
def test_capture_that_cannot_be_written_is_refused(fake: Fake, path: bytes, reason: str) -> None:
    assert not fake.host.plh_capture_create(fake.world, path, 0)
    assert error() == f"The capture {path.decode()} cannot be written ({reason})."


def open_below(folder: Path) -> int:
    """How many files in a folder this process has open."""
    targets = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sum(target.is_relative_to(folder) for target in targets)


def test_world_closes_the_captures_that_are_open(fake: Fake, tmp_path: Path) -> None:
    other = Fake()
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        assert other.host.plh_capture_create(other.world, bytes(path), 0), error()
    assert open_below(tmp_path) == 2
    other.close()
    assert open_below(tmp_path) == 0
