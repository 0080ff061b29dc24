# SPDX-License-Identifier: GPL-2.0-only
"""poll, ppoll, select and pselect of programs on a stack, with descriptors of host and stack."""

from __future__ import annotations

import select
import signal

import pytest
from program_sources import PRELUDE
from stack_programs import EMPTY, Stack, assert_same

pytestmark = pytest.mark.kernel


def run(stack: Stack, source: str) -> tuple[str, ...]:
    return assert_same(stack, PRELUDE + source)


def test_poll_mixes_a_pipe_and_a_socket(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
def show(): print(polled(20, server=(server, IN), pipe=(r, IN), out=(w, OUT)))
show()
client.send(b"x"); show()
os.write(w, b"x"); show()
server.recv(1); show()
print(polled(20, server=(server, IN)))
print(polled(20, server=(server, IN), pipe=(os.dup(r), IN)))
""",
    )
    assert lines[2] == "[('out', 4), ('pipe', 1), ('server', 1)]"


def test_either_side_ends_a_wait(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
later(os.write, w, b"x")
print(polled(10000, server=(server, IN), pipe=(r, IN)))
os.read(r, 1)
later(client.send, b"x")
print(polled(10000, server=(server, IN), pipe=(r, IN)))
later(os.close, w)
server.recv(1)
print(polled(10000, server=(server, IN), pipe=(r, IN)))
""",
    )
    assert lines == ("[('pipe', 1)]", "[('server', 1)]", "[('pipe', 16)]")


def test_a_timeout_is_waited_for(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
for descriptors in ({"server": (server, IN)}, {"server": (server, IN), "pipe": (r, IN)}):
    for timeout_ms in (0, 1, 60):
        start = time.monotonic()
        result = polled(timeout_ms, **descriptors)
        passed_ms = (time.monotonic() - start) * 1000
        print(result, timeout_ms <= passed_ms < timeout_ms + 2000)
""",
    )


def test_ends_of_connections_show(stack: Stack) -> None:
    lines = run(
        stack,
        """
ALL = IN | OUT | PRI | RDHUP
r, w = os.pipe()
def show(s):
    # What has been sent may take a while.
    print(polled(10000, s=(s, ALL & ~OUT)), polled(10000, s=(s, ALL), pipe=(r, IN)))
print(polled(0, fresh=(socket.socket(), ALL), pipe=(r, IN)))
client, server = connected()
client.shutdown(socket.SHUT_WR); show(server)
server.shutdown(socket.SHUT_WR); show(server); show(client)
client, server = connected()
client.send(b"!", socket.MSG_OOB); show(server)
server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0"); server.close()
show(client)
print(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET); show(client)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("127.0.0.1", 1)); u.send(b"x"); show(u)
""",
    )
    assert lines[0] == "[('fresh', 20)]"


def test_no_descriptor_is_nval_and_none_is_ignored(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
print(polled(1000, server=(server, IN), none=(199, IN)))
class pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]
fds = (pollfd * 4)((server.fileno(), OUT, 99), (-1, IN, 99), (server.fileno(), IN, 99), (0, 0, 99))
print(libc.poll(fds, 4, 0), [f.revents for f in fds])
print(libc.poll(fds, 0, 0), libc.poll(None, 4, 0), ctypes.get_errno())
with open("/etc/passwd") as file:
    print(polled(1000, server=(server, IN), file=(file, IN | OUT)))
    print(polled(20, server=(server, IN), file=(file, 0)))
""",
    )


def test_select_answers_sets_and_the_rest_of_the_time(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
names = {client.fileno(): "client", server.fileno(): "server", r: "r", w: "w"}
def show(read, write, exceptional, timeout_s=0.02):
    sets = select.select(read, write, exceptional, timeout_s)
    print([sorted(names[f if isinstance(f, int) else f.fileno()] for f in part) for part in sets])
show([server, r], [], [server])
show([server, r], [client, w], [server])
client.send(b"x"); os.write(w, b"y"); show([server, r], [w], [server, client])
client.send(b"!", socket.MSG_OOB); show([r], [], [server, client], 2)
client.close(); server.recv(9); server.recv(9); show([server], [], [])
class timeval(ctypes.Structure): _fields_ = [("s", ctypes.c_long), ("part", ctypes.c_long)]
def bits(*fds):
    words = (ctypes.c_uint64 * 16)()
    for fd in fds: words[fd // 64] |= 1 << fd % 64
    return words
left = timeval(5, 0)
readable = bits(server.fileno())
ready = libc.select(64, readable, None, None, ctypes.byref(left))
print(ready, list(readable) == list(bits(server.fileno())))
print((left.s, left.part >= 900000) == (4, True))
os.read(r, 1)
left, readable = timeval(0, 30000), bits(r, w)
ready = libc.select(64, readable, None, bits(server.fileno()), ctypes.byref(left))
print(ready, left.s, left.part, sum(readable))
print(libc.select(64, bits(server.fileno(), 63), None, None, None), ctypes.get_errno())
print(libc.select(-1, readable, None, None, None), ctypes.get_errno())
negative = timeval(-1, 0)
print(libc.select(64, bits(server.fileno()), None, None, ctypes.byref(negative)))
print(libc.select(1 << 20, bits(server.fileno()), None, None, None))
""",
    )


SIGNALS = """
client, server = connected()
r, w = os.pipe()
class timespec(ctypes.Structure): _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
class pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
signal.signal(signal.SIGCHLD, lambda *_: seen.append("child"))
def result(ret): return (ret, errno.errorcode[ctypes.get_errno()] if ret < 0 else "")
def mask(*blocked): return ctypes.byref(ctypes.c_uint64(sum(1 << number - 1 for number in blocked)))
fds = (pollfd * 2)((server.fileno(), IN, 0), (r, IN, 0))
def bits(*numbers): return (ctypes.c_uint64 * 16)(sum(1 << number for number in numbers))
"""


def test_a_signal_ends_a_wait_even_if_others_would_be_restarted(stack: Stack) -> None:
    lines = run(
        stack,
        SIGNALS
        + """
for restart in (False, True):
    signal.siginterrupt(signal.SIGALRM, not restart)
    for count in (1, 2):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        print(result(libc.poll(fds, count, 10000)))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        numbers = [server.fileno(), r][:count]
        print(result(libc.select(64, bits(*numbers), None, None, None)))
    # What comes later waits again.
    print(result(libc.poll(fds, 2, 20)))
print(seen)
""",
    )
    assert lines[:4] == ("(-1, 'EINTR')",) * 4


def test_a_mask_lets_a_blocked_signal_end_the_wait(stack: Stack) -> None:
    lines = run(
        stack,
        SIGNALS
        + """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGCHLD])
# One that has come before, one that comes during the wait, one of a child.
os.kill(os.getpid(), signal.SIGALRM)
print(result(libc.ppoll(fds, 2, None, mask(signal.SIGCHLD))), seen)
signal.setitimer(signal.ITIMER_REAL, 0.05)
print(result(libc.ppoll(fds, 1, None, mask(signal.SIGCHLD))), seen)
if os.fork() == 0: os._exit(0)
print(result(libc.pselect(64, bits(server.fileno(), r), None, None, None, mask())), seen)
# What the mask keeps blocked does not.
os.kill(os.getpid(), signal.SIGALRM)
print(result(libc.ppoll(fds, 2, ctypes.byref(timespec(0, 50000000)), mask(signal.SIGALRM))), seen)
# What is ready is told before the signal.
client.send(b"x")
print(result(libc.ppoll(fds, 2, None, mask())), [f.revents for f in fds], seen)
server.recv(1)
print(result(libc.ppoll(fds, 2, None, mask())), seen)
print(polled(20, server=(server, IN | OUT), pipe=(r, IN)))
""",
    )
    assert lines[0] == "(-1, 'EINTR') ['alarm']"


def test_a_thousand_descriptors_of_both_kinds(stack: Stack) -> None:
    lines = run(
        stack,
        """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(500)]
for s in udp: s.bind(("127.0.0.1", 0))
pipes = [os.pipe() for _ in range(500)]
poller = select.poll()
for s in udp: poller.register(s, IN)
for r, _ in pipes: poller.register(r, IN)
print(poller.poll(10))
later(udp[0].sendto, b"x", udp[499].getsockname())
print(poller.poll(10000) == [(udp[499].fileno(), IN)])
os.write(pipes[250][1], b"x")
print(sorted(poller.poll(10000)) == sorted([(udp[499].fileno(), IN), (pipes[250][0], IN)]))
room = ctypes.create_string_buffer(8 * 4097)
print(libc.poll(room, 4096, 0) > 0, libc.poll(room, 4097, 0), ctypes.get_errno())
""",
    )
    assert lines[:3] == ("[]", "True", "True")


def test_a_closed_end_shows_while_another_waits(stack: Stack) -> None:
    # The server's duplicate of a pipe lasts no longer than the wait.
    run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
print(polled(10, server=(server, IN), pipe=(w, HUP)))
os.close(r)
print(polled(10000, server=(server, IN), pipe=(w, OUT)))
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
try: os.write(w, b"x")
except BrokenPipeError: print("EPIPE")
""",
    )


@pytest.mark.parametrize("wait", ["os.read(n, 9)", "bool(polled(10000, s=(n, IN)))"])
def test_a_socket_that_is_closed_while_a_call_waits_lasts_until_the_call_ends(
    stack: Stack, wait: str
) -> None:
    source = """
client, server = connected()
n = server.detach()
thread = threading.Thread(target=lambda: print(WAIT))
thread.start()
# Until it is inside of read(2) or poll(2), or ppoll(2) where there is no poll.
numbers = ("0", "7") if os.uname().machine == "x86_64" else ("63", "73")
def call():
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file: return file.read().split()[0]
while call() not in numbers: pass
os.close(n)
others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
client.send(b"x")
thread.join()
for s in others: s.close()
print(client.recv(9) if "read" in "WAIT" else "")
"""
    run(stack, source.replace("WAIT", wait))


@pytest.mark.parametrize("call", ["select.select([server, r], [], [])", "poller.poll()"])
def test_a_program_killed_while_it_waits_leaves_nothing(stack: Stack, call: str) -> None:
    source = f"""
client, server = connected()
r, w = os.pipe()
poller = select.poll()
poller.register(server, IN); poller.register(r, IN)
print("waits", flush=True)
{call}
"""
    with stack.start(["python3", "-S", "-c", PRELUDE + source]) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waits\n"
        while not stack.stats()["blocked"]:
            select.select([], [], [], 0.005)
        program.kill()
    assert program.returncode == -signal.SIGKILL
    assert stack.await_empty() == EMPTY


def test_bash_reads_its_children_through_pipes(stack: Stack) -> None:
    source = (
        "for i in 1 2 3; do (echo $i | cat) & done; wait; read -t 0.05 x < <(sleep 5 2>&-); echo $?"
    )
    with stack.start(["bash", "-c", source]) as program:
        output, errors = program.communicate(timeout=30)
    assert (sorted(output.split()), errors) == (["1", "142", "2", "3"], "")
    assert stack.await_empty() == EMPTY
