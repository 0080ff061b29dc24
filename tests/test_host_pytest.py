# SPDX-License-Identifier: GPL-2.0-only
"""pytest's own clocks and time limits while a test is inside as_host()."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

TESTS = """
import time
import pylibos

def test_hour_passes():
    with pylibos.boot(kernel={kernel!r}, profile={profile!r}) as kernel, kernel.as_host():
        time.sleep(3600)

def test_never_ends():
    with pylibos.boot(kernel={kernel!r}, profile={profile!r}) as kernel, kernel.as_host():
        while True:
            time.sleep(1)
"""


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_time_limits_and_durations_are_the_hosts(one_build, tmp_path, method):
    path = tmp_path / "test_inside.py"
    path.write_text(TESTS.format(kernel=one_build.kernel, profile=one_build.profile))
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", "--durations=0"),
            *("--timeout=2", f"--timeout-method={method}", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )
    output = result.stdout + result.stderr
    assert "test_hour_passes PASSED" in output
    assert "Timeout" in output
    assert "test_never_ends" in output
    assert result.returncode == 1
    if method == "signal":  # the other one ends the process at once
        seconds = re.search(r"([\d.]+)s call +test_inside.py::test_hour_passes", output)
        assert float(seconds[1]) < 60
        assert re.search(r"1 failed, 1 passed in \d{1,2}\.\d+s", output)
