# SPDX-License-Identifier: GPL-2.0-only
"""``pylibos run`` and ``pylibos stack``: what they promise of a program, and how they refuse."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernel_builds import main_builds

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 60.0
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return {**os.environ, "PYLIBOS_RUN_DIR": str(folder), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def pylibos(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run a command of the command line."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pylibos", *words],
            **{
                "env": environment,
                "cwd": tmp_path,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "timeout": LIMIT_S,
                "check": False,
                **({} if "input" in options else {"stdin": subprocess.DEVNULL}),
                **options,
            },
        )

    return run


KERNEL = [
    word for key in ("kernel", "profile") for word in (f"--{key}", main_builds()[0].options[key])
]


@pytest.fixture
def stack(pylibos: Run) -> Iterator[str]:
    """A stack with loopback that programs join."""
    started = pylibos("stack", "start", "it", *KERNEL)
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    yield "it"
    pylibos("stack", "stop", "it")


# --- As without it ---


@pytest.mark.parametrize("status", [0, 1, 42])
def test_exit_status_is_the_programs(pylibos: Run, status: int) -> None:
    assert pylibos("run", *KERNEL, "--", "sh", "-c", f"exit {status}").returncode == status


def test_death_by_signal_is_the_programs(pylibos: Run) -> None:
    assert pylibos("run", *KERNEL, "--", "sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL


def test_process_is_the_one_that_was_started(environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "pylibos", "run", *KERNEL, "--", "sh", "-c", "echo $$"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert int(program.stdout.read()) == program.pid


def test_standard_streams_folder_and_environment_are_kept(pylibos: Run, tmp_path: Path) -> None:
    done = pylibos("run", *KERNEL, "--", "sh", "-c", "cat; pwd; echo $HOME >&2", input="words\n")
    assert done.stdout == f"words\n{tmp_path}\n"
    assert done.stderr == f"{os.environ['HOME']}\n"


def test_broken_pipe_ends_the_program_as_in_a_shell(pylibos: Run) -> None:
    done = pylibos("run", *KERNEL, "--", "sh", "-c", "yes | head -n 1; echo ${PIPESTATUS:-none}")
    assert done.stdout.startswith("y\n")
    assert done.returncode == 0


def test_stack_process_is_no_child_of_the_program(pylibos: Run) -> None:
    done = pylibos("run", *KERNEL, "--", "sh", "-c", "wait; ps -o comm= --ppid $$")
    assert done.stdout.split() == ["ps"]


def test_stack_ends_with_its_last_program(pylibos: Run) -> None:
    marker = f"pylibos-{os.getpid()}-{time.monotonic_ns()}"
    pylibos(
        "run", *KERNEL, "--", "true", env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": marker}
    )
    end_s = time.monotonic() + LIMIT_S
    while _processes_with(marker):
        assert time.monotonic() < end_s
        time.sleep(0.01)  # another process, which tells nobody: it is asked again


def _processes_with(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_daemon_keeps_its_stack(pylibos: Run, tmp_path: Path) -> None:
    """The program that was started ends; what it left in the background still has its network."""
    source = (
        "import os, socket, time\n"
        "server = socket.create_server(('127.0.0.1', 7000))\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid(); time.sleep(0.2)\n"
        "client = socket.create_connection(('127.0.0.1', 7000))\n"
        "client.send(b'still here'); print(server.accept()[0].recv(10).decode(), flush=True)\n"
    )
    with (tmp_path / "out").open("w") as out:
        done = pylibos("run", *KERNEL, "--", sys.executable, "-c", source, stdout=out)
        assert done.returncode == 0
    end_s = time.monotonic() + LIMIT_S
    while (tmp_path / "out").read_text() != "still here\n":
        assert time.monotonic() < end_s
        time.sleep(0.01)  # another process, which tells nobody: it is asked again


# --- Its network is the stack's ---


def test_network_is_the_stacks_and_not_the_hosts(pylibos: Run) -> None:
    done = pylibos("run", *KERNEL, "--", "ip", "-o", "link", "show", "up")
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["lo:"]


def test_two_stacks_do_not_see_each_other(pylibos: Run, environment: dict[str, str]) -> None:
    source = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 7001)):\n print('open', flush=True); input()\n"
    )
    words = [sys.executable, "-m", "pylibos", "run", *KERNEL, "--", sys.executable, "-c", source]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, env=environment, text=True, **pipes) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "open\n"
        client = "import socket; socket.create_connection(('127.0.0.1', 7001))"
        done = pylibos("run", *KERNEL, "--", sys.executable, "-c", client)
        server.communicate("\n")
    assert "ConnectionRefusedError" in done.stderr


def test_programs_share_a_stack_that_they_join(pylibos: Run, stack: str) -> None:
    script = "ip link add d7 type dummy && ip addr add 10.66.0.1/24 dev d7 && ip link set d7 up"
    assert pylibos("run", "--stack", stack, "--", "sh", "-c", script).returncode == 0
    assert "10.66.0.1" in pylibos("stack", "exec", stack, "--", "ip", "addr").stdout
    listed = pylibos("stack", "list").stdout
    assert stack in listed
    assert "lo only" in listed


def test_sockets_of_a_killed_program_are_closed(pylibos: Run, stack: str) -> None:
    source = (
        "import os, signal, socket\n"
        "server = socket.create_server(('127.0.0.1', 7002))\n"
        "client = socket.create_connection(('127.0.0.1', 7002))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = ("run", "--stack", stack, "--")
    assert pylibos(*run, sys.executable, "-c", source).returncode == -signal.SIGKILL
    assert pylibos(*run, "ss", "-Htln").stdout == ""
    again = "import socket; socket.create_server(('127.0.0.1', 7002)); print('free')"
    assert pylibos(*run, sys.executable, "-c", again).stdout == "free\n"


def test_trace_names_calls_and_their_results(pylibos: Run, tmp_path: Path) -> None:
    source = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    done = pylibos("run", *KERNEL, "--trace", "calls", "--", sys.executable, "-c", source)
    assert done.returncode == 0
    lines = (tmp_path / "calls").read_text().splitlines()
    assert any(" socket(" in line and line.endswith("= 3 [stack]") for line in lines)
    assert any(" connect(" in line and "Connection refused" in line for line in lines)


def test_call_that_cannot_be_made_is_refused_by_name(pylibos: Run) -> None:
    source = "import ctypes; print(ctypes.CDLL(None, use_errno=True).syscall(425, 8, 0))"
    done = pylibos("run", *KERNEL, "--", sys.executable, "-c", source)
    assert done.stdout == "-1\n"
    assert "io_uring_setup is refused" in done.stderr


def test_way_into_the_hosts_network_is_refused(pylibos: Run) -> None:
    """The host's own namespace, opened before there was a stack."""
    words = [sys.executable, "-m", "pylibos", "run", *KERNEL, "--", sys.executable, "-c"]
    source = "import ctypes; print(ctypes.CDLL(None).setns(9, 0x40000000))"
    script = 'exec 9</proc/self/ns/net; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words, source],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout == "-1\n"
    assert "setns is refused: the way into a network of the host" in done.stderr


def test_owner_is_root_on_the_stack_and_others_are_not(pylibos: Run) -> None:
    if os.geteuid():
        pytest.skip("Only root can become another user.")
    source = (
        "import os, socket\n"
        "def bind():\n"
        "    try:\n"
        "        socket.create_server(('127.0.0.1', 99)).close(); print('may')\n"
        "    except PermissionError: print('may not')\n"
        "bind(); os.setuid(65534); bind()\n"
    )
    done = pylibos("run", *KERNEL, "--", sys.executable, "-c", source)
    assert done.stdout.splitlines() == ["may", "may not"], done.stderr


def test_user_without_rights_has_a_stack_where_he_is_root(pylibos: Run) -> None:
    if os.geteuid():
        pytest.skip("Only root can become another user.")
    # Loaded before, since the interpreter's own folder may be closed to others.
    source = (
        "import json, os, shutil, sys\n"
        "from pylibos import _cli, _library, _stack_config\n"
        "from pylibos import _stack_exec, _stack_kernel, _stack_server\n"
        "from pylibos._cli import run, stack_options\n"
        "_library.host()\n"
        "os.chdir('/'); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(_cli.main(sys.argv[1:]))\n"
    )
    script = "ip link add d0 type dummy && ip -br link show d0; id -u; ping -c 1 127.0.0.1"
    words = ("run", *KERNEL, "--", "sh", "-c", script)
    done = subprocess.run(
        [sys.executable, "-c", source, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout.startswith("d0"), done.stderr
    assert "\n65534\n" in done.stdout
    assert "1 received" in done.stdout


def test_nat_reaches_what_the_host_reaches(pylibos: Run, tmp_path: Path) -> None:
    if shutil.which("passt") is None:
        pytest.skip("The host has no passt.")
    (tmp_path / "file").write_text("through passt")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            fetch = (
                "curl",
                "-sSf",
                "--retry",
                "9",
                "--retry-connrefused",
                "--retry-max-time",
                "20",
            )
            done = pylibos("run", "--nat", *KERNEL, "--", *fetch, f"http://10.0.2.2:{port}/file")
        finally:
            server.terminate()
    assert done.stdout == "through passt", done.stderr
    shown = pylibos("run", "--nat", *KERNEL, "--", "cat", "/etc/resolv.conf").stdout
    assert shown == "nameserver 10.0.2.3\n"


# --- What it refuses ---


def test_missing_program_is_127_and_no_stack_is_started(pylibos: Run) -> None:
    done = pylibos("run", "--", "no-such-program")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "pylibos run: There is no program no-such-program.\n"


def test_file_that_is_no_program_is_126(pylibos: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("words")
    done = pylibos("run", "--", "./text")
    assert done.returncode == 126
    assert done.stderr == "pylibos run: ./text is not executable.\n"


def test_stack_that_is_not_there_is_named(pylibos: Run) -> None:
    done = pylibos("run", "--stack", "nowhere", "--", "true")
    assert done.returncode == 125
    assert (
        "There is no stack nowhere to join: 'pylibos stack start nowhere' makes one" in done.stderr
    )


def test_device_that_cannot_be_opened_is_said_before_the_program_runs(pylibos: Run) -> None:
    done = pylibos("run", *KERNEL, "--device", "tap:bad/name", "--", "echo", "ran")
    assert done.returncode == 125
    assert done.stdout == ""
    assert "bad/name" in done.stderr


def test_second_stack_of_a_name_is_refused(pylibos: Run, stack: str) -> None:
    done = pylibos("stack", "start", stack)
    assert done.returncode == 1
    assert f"There is a stack {stack} already." in done.stderr


@pytest.mark.parametrize("name", ["../x", "", "a" * 65, ".hidden"])
def test_name_that_is_none_is_refused(pylibos: Run, name: str) -> None:
    assert "A stack's name has up to 64" in pylibos("stack", "start", name).stderr


def test_stack_inside_of_a_stack_is_refused(pylibos: Run) -> None:
    inner = [sys.executable, "-m", "pylibos", "run", *KERNEL, "--", "true"]
    done = pylibos("run", *KERNEL, "--", *inner)
    assert done.returncode == 125
    assert "a stack inside of another one is not possible" in done.stderr


def test_stopped_stack_leaves_its_programs_without_network(
    pylibos: Run, stack: str, environment: dict[str, str]
) -> None:
    source = (
        "import socket\n"
        "print('ready', flush=True); input()\n"
        "try: socket.socket()\n"
        "except OSError as error: print(error.errno)\n"
    )
    words = [sys.executable, "-m", "pylibos", "run", "--stack", stack, "--"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [*words, sys.executable, "-c", source]
    with subprocess.Popen(command, env=environment, text=True, **pipes) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        assert pylibos("stack", "stop", stack).returncode == 0
        output, _errors = program.communicate("\n", timeout=LIMIT_S)
    # Its calls that are filtered answer ENOSYS from now on (seccomp(2)), also its read(2).
    assert "Traceback" not in output


def test_other_users_may_not_join(pylibos: Run, stack: str, environment: dict[str, str]) -> None:
    if os.geteuid():
        pytest.skip("Only root can become another user.")
    path = str(Path(environment["PYLIBOS_RUN_DIR"]) / "it.sock")
    source = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
    done = subprocess.run(
        ["python3", "-c", source], user=65534, cwd="/", capture_output=True, text=True, check=False
    )
    assert "PermissionError" in done.stderr
