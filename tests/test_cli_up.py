# SPDX-License-Identifier: GPL-2.0-only
"""python -m pylibos up: a configured stack in real time, until it is told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from host_namespaces import HostNamespace, need_namespaces

from pylibos._cli import main

ROUTER = Path(__file__).resolve().parent.parent / "examples/router.toml"


@pytest.fixture
def start(one_build):
    """Starts the command; what still runs at the end is killed."""
    processes = []

    def popen(path, *options, inside=lambda *words: list(words)):
        command = [sys.executable, "-m", "pylibos", "up", "--config", str(path), *options]
        command += ["--kernel", one_build.kernel, "--profile", one_build.profile]
        processes.append(
            subprocess.Popen(
                inside(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return processes[-1]

    yield popen
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.root
def test_router_between_two_taps_forwards_both_protocols(start):
    need_namespaces()
    with HostNamespace() as box, HostNamespace() as west, HostNamespace() as east:
        process = start(ROUTER, "--status", inside=box.command)
        greeting = process.stdout.readline()
        assert greeting.startswith("router is up: Linux 6.12"), greeting + process.stdout.read()
        assert "with west (west0), east (east0); Ctrl-C ends it" in greeting
        west.take("west0", box, "10.1.0.2/24", "fd01::2/64")
        east.take("east0", box, "10.2.0.2/24", "fd02::2/64")
        for near, host in (("1", west), ("2", east)):
            host.run("ip", "route", "add", "10.0.0.0/8", "via", f"10.{near}.0.1")
            host.run("ip", "-6", "route", "add", "fd00::/8", "via", f"fd0{near}::1")
        assert " 0% packet loss" in west.run("ping", "-n", "-c1", "-W5", "10.2.0.2")
        assert " 0% packet loss" in west.run("ping", "-n", "-c1", "-W5", "fd02::2")
        line = process.stdout.readline()
        while "rx 0 " in line:
            line = process.stdout.readline()
        assert " s: west rx " in line
        assert "; east rx " in line
        process.terminate()
        rest = process.stdout.read()
        assert process.wait(20) == 0
        assert rest.endswith("down\n")


def test_ctrl_c_ends_it(start, tmp_path):
    path = tmp_path / "stack.toml"
    path.write_text('[[interface]]\nname = "lo"\naddresses = "10.0.0.1/32"\n')
    process = start(path)
    assert "is up: Linux 6.12" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "down\n"
    assert process.returncode == 0


def test_wrong_file_is_one_message_and_status_1(tmp_path, capsys):
    path = tmp_path / "stack.toml"
    path.write_text("[stack]\nmemory = 1\n")
    assert main(["up", "--config", str(path)]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "ConfigError:" in message
    assert "stack.toml:2: [stack] has no key 'memory'; did you mean 'memory_mib'?" in message


def test_missing_file_is_one_message_and_status_1(tmp_path, capsys):
    assert main(["up", "--config", str(tmp_path / "none.toml")]) == 1
    assert "none.toml: No such file or directory" in " ".join(capsys.readouterr().err.split())
