# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin that users load."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def run(one_build, tmp_path):
    """Runs pytest on a file of a user's; returns what it printed."""

    def start(text, *options):
        path = tmp_path / "test_users.py"
        path.write_text(text)
        command = [sys.executable, "-m", "pytest", "-p", "pylibos.pytest_plugin"]
        command += [f"--pylibos-kernel={one_build.kernel}"]
        command += [f"--pylibos-profile={one_build.profile}", f"--basetemp={tmp_path / 'base'}"]
        command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(path), *options]
        result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        return result.stdout + result.stderr

    return start


def test_kernel_fixture_gives_a_fresh_kernel(run):
    output = run("""
import pytest

def test_closed_port_refuses(kernel):
    with kernel.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("127.0.0.1", 9))

def test_name_is_the_tests(kernel):
    assert kernel.name == "test_name_is_the_tests"
""")
    assert "2 passed" in output, output


TOPOLOGY = """
def test_echo(net):
    a, r, b = (net.node(name) for name in "arb")
    net.link(a, r, delay_ms=5)
    net.link(r, b, delay_ms=20)
    net.route_all()
    server = b.create_server(("", 7))
    with a.create_connection(("b", 7)) as conn, server, server.accept()[0] as peer:
        conn.sendall(b"hello")
        assert peer.recv(10) == b"hello"
"""


def test_topology_takes_ten_lines(run):
    output = run(TOPOLOGY)
    assert "1 passed" in output, output
    assert "pylibos: seed 0" in output
    assert len(TOPOLOGY.strip().splitlines()) <= 10


def test_failure_shows_seed_capture_and_logs(run):
    output = run(TOPOLOGY + "        assert net.seed == 0\n", "--pylibos-seed=12")
    assert "1 failed" in output, output
    assert "repeat with --pylibos-seed=12" in output
    for name in "arb":
        assert f"--- log of {name} ---" in output
    capture = Path(re.search(r"^capture: (.*)$", output, re.MULTILINE)[1])
    assert b"eth0" in capture.read_bytes()


def test_captures_of_passing_tests_are_kept_only_on_request(run, tmp_path):
    run(TOPOLOGY)
    assert list((tmp_path / "base").rglob("*.pcapng")) == []
    run(TOPOLOGY, "--pylibos-keep-captures")
    assert len(list((tmp_path / "base").rglob("*.pcapng"))) == 1


def test_random_seed_is_the_same_in_all_processes_of_xdist(run):
    output = run(TOPOLOGY + "        assert 0\n", "--pylibos-seed=random", "-n2")
    header = re.search(r"pylibos: seed (\d+)", output)[1]
    assert f"repeat with --pylibos-seed={header}" in output


def test_bad_seed_is_refused(run):
    assert "--pylibos-seed is a number or 'random', not 'x'" in run(TOPOLOGY, "--pylibos-seed=x")
