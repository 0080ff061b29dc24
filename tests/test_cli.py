# SPDX-License-Identifier: GPL-2.0-only
"""python -m pylibos: info, dmesg, shell, demo."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pylibos._cli import main


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pylibos", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        **options,
    )


def test_info_lists_the_images(one_build):
    result = run("info")
    assert result.returncode == 0, result.stderr
    assert "libpylibos_host.so" in result.stdout
    assert one_build.kernel in result.stdout


def test_dmesg_prints_the_log(one_build, capsys):
    options = ["--kernel", one_build.kernel, "--profile", one_build.profile]
    assert main(["dmesg", *options]) == 0
    assert "Linux version" in capsys.readouterr().out
    assert main(["dmesg", *options, "--level", "2"]) == 0
    assert "Linux version" not in capsys.readouterr().out


def test_missing_kernel_is_one_line_and_status_1(capsys):
    assert main(["dmesg", "--kernel", "2.4"]) == 1
    output = capsys.readouterr().err
    assert "LibraryNotFound" in output
    assert "make KERNEL=2.4" in output.replace("\n", " ")


def test_shell_has_a_kernel_at_hand(one_build):
    result = run(
        "shell",
        "--kernel",
        one_build.kernel,
        "--profile",
        one_build.profile,
        input="print(kernel.syscall('getpid') > 0, pylibos.__name__)\n",
    )
    assert result.returncode == 0, result.stderr
    assert "True pylibos" in result.stdout
    assert "Linux version" in result.stderr


def test_unknown_command_is_refused():
    result = run("dance")
    assert result.returncode == 2
    assert "invalid choice" in result.stderr


@pytest.mark.timeout(300)
def test_demo_moves_a_file_and_leaves_capture_and_picture(build, tmp_path):
    dpkt = pytest.importorskip("dpkt")
    result = run(
        "demo",
        "--kernel",
        build.kernel,
        "--profile",
        build.profile,
        "--mb",
        "5",
        "--out",
        str(tmp_path),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "equal" in result.stdout
    assert "DIFFERENT" not in result.stdout
    assert "virtual time" in result.stdout
    assert "retransmissions" in result.stdout
    assert (tmp_path / "connection.png").read_bytes()[:4] == b"\x89PNG"
    with (tmp_path / "connection.pcapng").open("rb") as file:
        assert sum(1 for _ in dpkt.pcapng.Reader(file)) > 3000


def test_demo_repeats_exactly(one_build, tmp_path):
    outputs = []
    for name in ("one", "two"):
        options = ["--kernel", one_build.kernel, "--profile", one_build.profile, "--mb", "2"]
        result = run("demo", *options, "--no-tap", "--out", str(tmp_path / name))
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        outputs.append([line for line in lines if "virtual time" in line or "SHA" in line])
    assert outputs[0] == outputs[1]
    captures = [(tmp_path / name / "connection.pcapng").read_bytes() for name in ("one", "two")]
    assert captures[0] == captures[1]
