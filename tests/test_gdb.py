# SPDX-License-Identifier: GPL-2.0-only
"""gdb with pylibos's commands: kernels, their tasks, and where each blocked call waits."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import pytest
from kernel_builds import DEBUG, builds

from pylibos._cli.gdb_script import SCRIPT

pytestmark = [
    pytest.mark.kernel,
]

# Two kernels of one process, each with a TCP connection that nothing is sent on.
PROGRAM = """
import os, signal, sys, pylibos
with pylibos.World() as world:
    kept = []
    for number in range(2):
        kernel = pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], world=world)
        server = kernel.create_server(("127.0.0.1", 7))
        client = kernel.create_connection(("127.0.0.1", 7))
        kept.append((kernel, server, client, server.accept()))
        world.spawn(client.recv, 100)
    world.run_for(1000)
    os.kill(os.getpid(), signal.SIGUSR1)
    os._exit(0)
"""
COMMANDS = [
    "set width 0",
    "handle SIGSEGV nostop noprint pass",
    "run",
    "pylibos kernels",
    "echo == tasks\\n",
    "pylibos tasks 2",
    "echo == bt 1\\n",
    "pylibos bt 1",
    "echo == bt 2\\n",
    "pylibos bt 2",
    "echo == all\\n",
    "pylibos bt 1 all",
    "echo == wrong\\n",
    "pylibos bt 7",
]


@cache
def session(build):
    """What gdb prints for all commands, by part."""
    commands = [word for command in COMMANDS for word in ("-ex", command)]
    program = [sys.executable, "-c", PROGRAM, build.kernel, build.profile]
    output = subprocess.run(
        ["gdb", "-nx", "-batch", "-x", str(SCRIPT), *commands, "--args", *program],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    parts = re.split(r"^== (.*)\n", output.stdout, flags=re.MULTILINE)
    assert len(parts) > 8, output.stdout + output.stderr
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {"before": parts[0], "errors": output.stderr, **found}


def chosen():
    """One build of each profile: what is shown differs by profile, not by release."""
    return list({build.profile: build for build in builds()}.values())


@pytest.fixture(params=chosen(), ids=str)
def gdb(request):
    return session(request.param)


@pytest.fixture
def gdb_with_lines():
    build = next((build for build in builds() if build.profile == DEBUG), None)
    if build is None:
        pytest.skip("No debug profile is built; run 'make PROFILE=debug liblinux.so'.")
    return session(build)


def test_kernels_are_listed(gdb):
    listed = re.findall(r"^(\d) (0x\w+) \S+/liblinux\.so$", gdb["before"], re.MULTILINE)
    assert [number for number, _ in listed] == ["1", "2"]
    assert listed[0][1] != listed[1][1]


def test_tasks_are_listed_with_what_they_do(gdb):
    tasks = gdb["tasks"].splitlines()
    assert re.fullmatch(r"1 init S in the host", tasks[0])
    assert "2 kthreadd S kernel" in tasks
    assert [line for line in tasks if re.fullmatch(r"\d+ init S call 45", line)]  # recvfrom


@pytest.mark.parametrize("number", [1, 2])
def test_blocked_recv_is_shown_down_to_where_it_waits(gdb, number):
    text = gdb[f"bt {number}"]
    assert re.match(rf"Kernel {number}, task \d+ init S call 45\n", text)
    names = re.findall(r"^#\d+ +(?:0x\w+ in )?(\w+) \(", text, re.MULTILINE)
    expected = ["schedule", "wait_woken", "sk_wait_data", "tcp_recvmsg", "inet_recvmsg"]
    places = [names.index(name) for name in expected]
    assert places == sorted(places)
    assert names[-1] == "ll_task_start"


def test_frames_of_two_kernels_lie_in_their_own_images(gdb):
    addresses = [
        int(re.search(r"(0x\w+) in (?:ll_switch|__schedule) ", gdb[f"bt {number}"])[1], 16)
        for number in (1, 2)
    ]
    biases = [int(bias, 16) for bias in re.findall(r"^\d (0x\w+) /", gdb["before"], re.MULTILINE)]
    assert addresses[0] - biases[0] == addresses[1] - biases[1]


def test_all_tasks_have_backtraces(gdb):
    titles = re.findall(r"^Kernel 1, task (\d+) (\S+)", gdb["all"], re.MULTILINE)
    assert len(titles) > 10
    assert len(re.findall(r"^#1 .*ll_switch", gdb["all"], re.MULTILINE)) >= len(titles) - 1


def test_unknown_kernel_is_refused(gdb):
    assert "There is no kernel '7'; see 'pylibos kernels'." in gdb["errors"]


@pytest.mark.parametrize("number", [1, 2])
def test_debug_profile_shows_lines(gdb_with_lines, number):
    line = r"^#\d+ +(0x\w+ in )?tcp_recvmsg \(sk=0x\w+.*\) at .*net/ipv4/tcp\.c:\d+$"
    assert re.search(line, gdb_with_lines[f"bt {number}"], re.MULTILINE)


def test_script_is_named_by_the_command_line():
    output = subprocess.run(
        [sys.executable, "-m", "pylibos", "gdb-script"], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == str(SCRIPT)
    assert SCRIPT.is_file()
