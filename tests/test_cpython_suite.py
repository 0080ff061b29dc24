# SPDX-License-Identifier: GPL-2.0-only
"""CPython's own tests of the socket module, on a library kernel."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("cpython_suite.py")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(
    importlib.util.find_spec("test.test_socket") is None,
    reason="This Python comes without its test suite (Debian: libpython3.11-testsuite).",
)
def test_sockets_pass_cpythons_own_tests(one_build, tmp_path):
    result = subprocess.run(
        [sys.executable, str(SUITE), one_build.kernel, one_build.profile],
        capture_output=True,
        text=True,
        timeout=390,
        cwd=tmp_path,
        check=False,
    )
    failed = re.findall(r"^(?:ERROR|FAIL): (.*)$", result.stderr, re.MULTILINE)
    assert failed == [], result.stderr[-8000:]
    assert result.returncode == 0
    count = re.search(r"ran (\d+), skipped (\d+)", result.stdout)
    assert count
    assert int(count[1]) - int(count[2]) > 300
