# SPDX-License-Identifier: GPL-2.0-only
"""sendfile and splice of programs between files and pipes of the host and sockets of a stack."""

from __future__ import annotations

import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from program_sources import PRELUDE
from stack_programs import EMPTY, Stack, assert_same, lines_of

pytestmark = pytest.mark.kernel

SOURCES = (
    PRELUDE
    + """
import hashlib, tempfile
DATA = bytes(range(251)) * 8000
file = tempfile.TemporaryFile()
file.write(DATA); file.flush()
IN_FILE = file.fileno()

def reader(connection):
    # Reads all in a thread; join() says what it was.
    thread = threading.Thread(target=lambda: setattr(thread, "data", drain(connection)))
    thread.start()
    return thread

def drain(connection):
    parts = []
    while part := connection.recv(1 << 20): parts.append(part)
    return b"".join(parts)

def name(function, *args):
    try: return function(*args)
    except OSError as error: return errno.errorcode[error.errno]
"""
)


def run(stack: Stack, source: str) -> tuple[str, ...]:
    return assert_same(stack, SOURCES + source)


def test_sendfile_sends_a_file_whole(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
thread = reader(server)
print(os.sendfile(client.fileno(), IN_FILE, 0, len(DATA)), os.lseek(IN_FILE, 0, os.SEEK_CUR))
print(os.sendfile(client.fileno(), IN_FILE, len(DATA) - 10, 100))
print(os.sendfile(client.fileno(), IN_FILE, len(DATA), 100))
file.seek(5)
print(os.sendfile(client.fileno(), IN_FILE, None, 1000), os.lseek(IN_FILE, 0, os.SEEK_CUR))
print(os.sendfile(client.fileno(), IN_FILE, 0, 0))
client.close(); thread.join()
print(thread.data == DATA + DATA[-10:] + DATA[5:1005])
""",
    )
    assert lines[0] == "2008000 2008000"
    assert lines[-1] == "True"


def test_sendfile_moves_the_offset_of_its_caller(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
offset = ctypes.c_int64(100)
print(libc.sendfile(client.fileno(), IN_FILE, ctypes.byref(offset), 50), offset.value)
print(server.recv(100) == DATA[100:150])
offset.value = -1
print(libc.sendfile(client.fileno(), IN_FILE, ctypes.byref(offset), 50), ctypes.get_errno())
print(libc.sendfile(client.fileno(), IN_FILE, ctypes.c_void_p(8), 50), ctypes.get_errno())
""",
    )


def test_a_full_socket_ends_sendfile_early_only_if_it_may_not_wait(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
client.setblocking(False)
sent = os.sendfile(client.fileno(), IN_FILE, 0, 1 << 20)
while isinstance(more := name(os.sendfile, client.fileno(), IN_FILE, sent % 1000000, 100000), int):
    sent += more
print(0 < sent, more)
print(polled(20, client=(client, OUT)))
thread = reader(server)
print(polled(10000, client=(client, OUT)))
client.setblocking(True)
print(os.sendfile(client.fileno(), IN_FILE, 0, len(DATA)))
client.close(); thread.join(); print(len(thread.data) == sent + len(DATA))
""",
    )
    assert lines[0] == "True EAGAIN"


@pytest.mark.parametrize(
    "call",
    [
        "os.sendfile(client.fileno(), IN_FILE, sent, len(DATA) - sent)",
        "client.send(DATA[sent:])",
        "os.writev(client.fileno(), [DATA[sent:][:9], DATA[sent:][9:]])",
    ],
)
def test_what_is_being_sent_goes_on_after_signals(stack: Stack, call: str) -> None:
    # Handlers run in the middle and make calls of their own; no byte is sent twice or lost.
    source = """
client, server = connected()
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
r, w = os.pipe(); os.set_blocking(w, False)
signal.set_wakeup_fd(w)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
def slow():
    # A handler has run, in C, before each part.
    parts = []
    while part := server.recv(400000):
        os.read(r, 1); parts.append(part)
    thread.data = b"".join(parts)
thread = threading.Thread(target=slow)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); thread.start()
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
sent = 0
while sent < len(DATA): sent += CALL
client.close(); thread.join(); print(thread.data == DATA)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    assert run(stack, source.replace("CALL", call)) == ("True",)


def test_refusals_are_those_of_linux(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
print(name(os.sendfile, IN_FILE, client.fileno(), None, 10))
print(name(os.sendfile, client.fileno(), server.fileno(), None, 10))
print(name(os.sendfile, client.fileno(), r, None, 10))
print(name(os.sendfile, client.fileno(), 199, 0, 9))
print(name(os.copy_file_range, IN_FILE, client.fileno(), 10))
print(name(os.copy_file_range, client.fileno(), IN_FILE, 10))
SPLICE = lambda i, o: name(os.splice, i, o, 10)
print(SPLICE(client.fileno(), server.fileno()), SPLICE(IN_FILE, client.fileno()))
print(SPLICE(199, client.fileno()), SPLICE(client.fileno(), 199))
print(name(os.splice, r, client.fileno(), 10, 0))
print(name(os.splice, client.fileno(), w, 10, None, 0))
seen = []
signal.signal(signal.SIGPIPE, lambda *_: seen.append("SIGPIPE"))
server.close(); print(polled(10000, client=(client, HUP | RDHUP)))
name(os.sendfile, client.fileno(), IN_FILE, 0, 10)
polled(10000, client=(client, HUP))
print(name(os.sendfile, client.fileno(), IN_FILE, 0, 10))
os.write(w, b"x"); print(SPLICE(r, client.fileno()))
while len(seen) < 2: pass
# Who does not handle it is gone before the answer.
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for call in (lambda: os.sendfile(client.fileno(), IN_FILE, 0, 10), lambda: client.send(b"x")):
    pid = os.fork()
    if not pid: name(call); print("lives", flush=True); os._exit(0)
    print(os.waitpid(pid, 0)[1] == signal.SIGPIPE)
signal.signal(signal.SIGPIPE, signal.SIG_IGN); print(name(client.send, b"x"))
""",
    )


def test_splice_moves_from_a_pipe_and_into_one(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
nonblock = os.SPLICE_F_NONBLOCK
os.write(w, b"abcdef")
print(os.splice(r, client.fileno(), 4), os.splice(r, client.fileno(), 100))
print(name(os.splice, r, client.fileno(), 10, None, None, nonblock))
drain_n = lambda s, n: s.recv(n, socket.MSG_WAITALL)
print(drain_n(server, 6))
client.send(b"uvwxyz")
polled(10000, server=(server, IN))
print(os.splice(server.fileno(), w, 2), os.splice(server.fileno(), w, 100), os.read(r, 99))
server.setblocking(False); print(name(os.splice, server.fileno(), w, 10)); server.setblocking(True)
later(os.write, w, b"later"); print(os.splice(r, client.fileno(), 100), drain_n(server, 5))
later(client.send, b"later"); print(os.splice(server.fileno(), w, 100), os.read(r, 99))
# A full pipe: it waits for a reader, or says so.
import fcntl
fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096); os.write(w, b"x" * 4096)
client.send(b"more"); polled(10000, server=(server, IN))
print(name(os.splice, server.fileno(), w, 100, None, None, nonblock))
later(os.read, r, 4096); print(os.splice(server.fileno(), w, 100), os.read(r, 99))
# Ends.
client.shutdown(socket.SHUT_WR); print(os.splice(server.fileno(), w, 100))
later(os.close, w); print(os.splice(r, server.fileno(), 100))
""",
    )
    assert lines[0] == "4 2"


def test_splice_relays_a_stream_through_a_pipe(stack: Stack) -> None:
    lines = run(
        stack,
        """
one, two = connected()
three, four = connected()
r, w = os.pipe()
def relay():
    while moved := os.splice(two.fileno(), w, 1 << 20):
        while moved: moved -= os.splice(r, three.fileno(), moved)
    three.close()
thread = threading.Thread(target=relay); thread.start()
result = reader(four)
one.sendall(DATA); one.close()
thread.join(); result.join()
print(result.data == DATA)
""",
    )
    assert lines == ("True",)


def test_a_program_killed_while_it_sends_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    source = """
client, server = connected()
r, w = os.pipe()
threading.Thread(target=os.splice, args=(r, client.fileno(), 10)).start()
threading.Thread(target=os.splice, args=(client.fileno(), w, 10)).start()
print("sends", flush=True)
while True: os.sendfile(client.fileno(), IN_FILE, 0, 1 << 20)
"""
    with stack.start(["python3", "-S", "-c", SOURCES + source]) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "sends\n"
        while stack.stats()["blocked"] < 3:
            select.select([], [], [], 0.005)
        program.kill()
    assert program.returncode == -signal.SIGKILL
    assert stack.await_empty() == EMPTY


NGINX = """
user root;
daemon off; master_process on; worker_processes 2; pid {folder}/pid; error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:8000; root {folder}/html; }}
}}
"""


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_nginx_serves_files_by_sendfile(stack: Stack, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "file").write_bytes(bytes(range(256)) * 20_000)
    (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path))
    got = tmp_path / "got"
    nginx = stack.start(
        ["nginx", "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "conf")],
        stderr=subprocess.DEVNULL,
    )
    try:
        stack.await_listener(8000)
        url = "http://127.0.0.1:8000/file"
        assert lines_of(stack.start(["curl", "-sS", "-o", str(got), url])) == []
        assert got.read_bytes() == (tmp_path / "html" / "file").read_bytes()
        # Workers that are told to reload end after their last answer.
        nginx.send_signal(signal.SIGHUP)
        words = [
            "curl",
            "-sS",
            "--parallel",
            "--no-progress-meter",
            "-w",
            "%{http_code} %{size_download}\\n",
        ]
        for _ in range(20):
            words += ["-o", "/dev/null", url]
        assert lines_of(stack.start(words)) == ["200 5120000"] * 20
    finally:
        nginx.send_signal(signal.SIGQUIT)
        assert nginx.wait(30) == 0
        nginx.communicate()
    assert stack.await_empty() == EMPTY
