# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin that users load."""

from __future__ import annotations

import subprocess
import sys


def test_kernel_fixture_gives_a_fresh_kernel(one_build, tmp_path):
    path = tmp_path / "test_users.py"
    path.write_text(
        "import pytest\n\n"
        "def test_closed_port_refuses(kernel):\n"
        "    with kernel.socket() as sock, pytest.raises(ConnectionRefusedError):\n"
        "        sock.connect(('127.0.0.1', 9))\n\n"
        "def test_name_is_the_tests(kernel):\n"
        "    assert kernel.name == 'test_name_is_the_tests'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pylibos.pytest_plugin"]
    command += [f"--pylibos-kernel={one_build.kernel}", f"--pylibos-profile={one_build.profile}"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "2 passed" in result.stdout, result.stdout + result.stderr
