# SPDX-License-Identifier: GPL-2.0-only
"""The file of a capture: complete whatever ends first, and errors where it cannot be."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap

import pytest
from pcapng import read
from quiet_link import quiet_pair

import pylibos


@pytest.fixture
def quiet(boot):
    with quiet_pair(boot, delay_ms=10) as pair:
        yield pair


def test_capture_of_a_kernel_is_complete_once_the_kernel_has_halted(quiet, tmp_path):
    capture = quiet.a.capture(tmp_path / "a")
    quiet.exchange(5)
    assert read(tmp_path / "a").packets == []  # in the buffer
    quiet.a.halt()
    file = read(tmp_path / "a")
    assert len(file.packets) == file.interfaces[0].received == 5
    capture.close()
    assert read(tmp_path / "a") == file


def test_flush_writes_what_there_is_and_goes_on(quiet, tmp_path):
    with quiet.link.capture(tmp_path / "link") as capture:
        quiet.exchange(1)
        capture.flush()
        assert len(read(tmp_path / "link").packets) == 1
        quiet.exchange(1)
    assert len(read(tmp_path / "link").packets) == 2


def test_end_of_the_world_closes_captures(boot, tmp_path):
    with quiet_pair(boot) as pair:
        capture = pair.link.capture(tmp_path / "link")
        pair.exchange(1)
    file = read(tmp_path / "link")
    assert len(file.packets) == file.interfaces[0].received == 1
    capture.close()
    with pytest.raises(pylibos.PylibosError, match="is closed, by close"):
        capture.flush()
    with pytest.raises(pylibos.PylibosError, match="is closed, by close"):
        capture.add(pair.link)


def test_halt_of_a_kernel_with_a_world_of_its_own_closes_captures(boot, tmp_path):
    kernel = boot()
    device = kernel.add_device(lambda frame: None)
    kernel.capture(tmp_path / "kernel")
    device.up()
    kernel.world.run_for(10**9)
    kernel.halt()
    assert read(tmp_path / "kernel").interfaces[0].received > 0


def test_many_frames_of_all_sizes_are_all_there(quiet, tmp_path):
    sizes = [4 + number * 7 % 1400 for number in range(2000)]
    with quiet.link.capture(tmp_path / "link"):
        for size in sizes:
            quiet.send(1, size)
    assert [packet.bytes - 42 for packet in read(tmp_path / "link").packets] == sizes


SCRIPT = """
    import ctypes, os, sys
    sys.path[:0] = {path!r}
    from quiet_link import quiet_pair
    import pylibos

    with quiet_pair(lambda **options: pylibos.boot(**{options!r}, **options)) as pair:
        capture = pair.link.capture({file!r})
        pair.exchange(3)
        {rest}
"""


def run_script(build, tmp_path, rest):
    script = textwrap.dedent(SCRIPT).format(
        path=sys.path, options=build.options, file=str(tmp_path / "link"), rest=rest
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_exit_of_the_process_loses_nothing(one_build, tmp_path):
    """exit(3), which runs nothing of Python's own any more."""
    result = run_script(one_build, tmp_path, "ctypes.CDLL(None).exit(7)")
    assert (result.returncode, result.stderr) == (7, "")
    assert len(read(tmp_path / "link").packets) == 3


def test_forked_child_does_not_write_into_its_parents_capture(one_build, tmp_path):
    rest = "; ".join(
        [
            "child = os.fork()",
            "child or ctypes.CDLL(None).exit(7)",
            "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])",
            "pair.exchange(3)",
            "capture.close()",
            "os._exit(code)",
        ]
    )
    result = run_script(one_build, tmp_path, rest)
    assert (result.returncode, result.stderr) == (7, "")
    assert len(read(tmp_path / "link").packets) == 6


def test_forked_child_may_close_its_copy(one_build, tmp_path):
    rest = "; ".join(
        [
            "child = os.fork()",
            "child or (capture.close(), pair.a.world.close(), os._exit(8))",
            "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])",
            "capture.close()",
            "os._exit(code)",
        ]
    )
    result = run_script(one_build, tmp_path, rest)
    assert (result.returncode, result.stderr) == (8, "")
    assert len(read(tmp_path / "link").packets) == 3


# --- Errors ---


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/link", "No such file or directory"),
        (".", "Is a directory"),
        ("/dev/full", "No space left on device"),
    ],
)
def test_file_that_cannot_be_written_is_refused(quiet, tmp_path, path, reason):
    with pytest.raises(pylibos.PylibosError, match=rf"The capture .* cannot be .*\({reason}\)"):
        quiet.link.capture(tmp_path / path)
    assert quiet.exchange(1) == [0]


@pytest.fixture
def small_files():
    """No file of this process may grow beyond 20 kB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_disk_that_is_full_is_an_error_of_flush_and_close(quiet, tmp_path):
    capture = quiet.link.capture(tmp_path / "link")
    assert quiet.exchange(50, 1000) == list(range(50))
    for function in (capture.flush, capture.flush, capture.close):
        with pytest.raises(pylibos.PylibosError, match=r"link is incomplete.*\(File too large\)"):
            function()
    capture.close()
    assert quiet.exchange(1) == [0]


@pytest.mark.usefixtures("small_files")
def test_disk_that_is_full_is_an_error_of_the_worlds_end(boot, tmp_path):
    def run():
        with quiet_pair(boot) as pair:
            pair.link.capture(tmp_path / "link")
            pair.exchange(50, 1000)

    with pytest.raises(pylibos.PylibosError, match="link is incomplete"):
        run()


def test_capture_of_another_world_is_refused(quiet, boot, tmp_path):
    other = boot()
    device = other.add_device(lambda frame: None)
    with pylibos.Capture(quiet.a.world, tmp_path / "x") as capture:
        with pytest.raises(pylibos.PylibosError, match="of the world that it was made in"):
            capture.add(device)
        with pytest.raises(pylibos.PylibosError, match="of the world that it was made in"):
            capture.add(other)
    with pylibos.Capture(other.world, tmp_path / "y") as capture:
        with pytest.raises(pylibos.PylibosError, match="of the world that it was made in"):
            capture.add(quiet.link)


def test_senseless_snaplen_is_refused(quiet, tmp_path):
    with pytest.raises(ValueError, match="snaplen is a number of bytes"):
        quiet.link.capture(tmp_path / "link", snaplen=-1)
    assert not (tmp_path / "link").exists()
