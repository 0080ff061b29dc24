# SPDX-License-Identifier: GPL-2.0-only
"""epoll of programs on a stack, with descriptors of host and stack in one set."""

from __future__ import annotations

import select
import signal

import pytest
from program_sources import EPOLL_PRELUDE
from stack_programs import EMPTY, Stack, assert_same

pytestmark = pytest.mark.kernel


def run(stack: Stack, source: str) -> tuple[str, ...]:
    return assert_same(stack, EPOLL_PRELUDE + source)


def test_a_pipe_and_a_socket_share_an_epoll(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
names = Names()
print(names.wait())
names.add("pipe", r, EIN); print(names.wait())
names.add("server", server, EIN | ERDHUP); print(names.wait())
client.send(b"x"); print(names.wait(2))
os.write(w, b"x"); print(names.wait(2), names.wait(2))
print(len(names.wait(2, 1)), len(names.wait(2, 1)))
server.recv(1); print(names.wait(2))
client.shutdown(socket.SHUT_WR); os.close(w); print(names.wait(2))
names.epoll.modify(server, 0); server.shutdown(socket.SHUT_RDWR); print(names.wait(2))
""",
    )
    assert lines[4] == "[('pipe', 1), ('server', 1)] [('pipe', 1), ('server', 1)]"


def test_small_rooms_serve_both_sides_in_turn(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
names = Names()
names.add("out", w, EOUT); names.add("client", client, EOUT)
print(sorted({names.wait(2, 1)[0] for _ in range(4)}))
""",
    )
    assert lines == ("[('client', 4), ('out', 4)]",)


def test_an_edge_is_told_once(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
names = Names()
names.add("server", server, EIN | ET); names.add("pipe", r, EIN | ET)
client.send(b"x"); os.write(w, b"x"); print(names.wait(2), names.wait())
client.send(b"x"); print(names.wait(2), names.wait())
names.epoll.modify(server, EIN | ET); print(names.wait(2), names.wait())
server.recv(1); print(names.wait())
later(client.send, b"y"); print(names.wait(5), names.wait())
later(client.close); print(names.wait(5), names.wait())
""",
    )
    assert lines[1] == "[('server', 1)] []"


def test_one_shot_waits_to_be_armed_again(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
names = Names()
names.add("server", server, EIN | EOUT | ONESHOT)
client.send(b"x")
print(names.wait(2), names.wait())
client.send(b"x"); print(names.wait())
names.epoll.modify(server, EIN | ONESHOT); print(names.wait(2), names.wait())
""",
    )


def test_errors_are_those_of_linux(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
e, f = select.epoll(), select.epoll()
print(refused(e.modify, server, EIN), refused(e.unregister, server), refused(e.unregister, r))
e.register(server, EIN)
print(refused(e.register, server, EIN), refused(e.register, 199, EIN), refused(e.register, e))
with open("/etc/passwd") as file: print(refused(e.register, file))
def control(epoll, op, fd, event): return libc.epoll_ctl(epoll, op, fd, event), ctypes.get_errno()
event = ctypes.create_string_buffer(12)
for op in (0, 1, 2, 3, 4, 99):
    for epoll in (e.fileno(), r, server.fileno(), 199):
        print(op, control(epoll, op, server.fileno(), event))
        print(op, control(epoll, op, client.fileno(), None))
e.register(client, EIN | EXCLUSIVE)
print(refused(e.modify, client, EIN), refused(f.register, client, EIN | EXCLUSIVE | ONESHOT))
for epoll in (r, server.fileno(), 199):
    print(libc.epoll_wait(epoll, event, 1, 0), ctypes.get_errno())
print(libc.epoll_wait(e.fileno(), event, 0, 0), ctypes.get_errno())
print(libc.epoll_wait(e.fileno(), event, -1, 0), ctypes.get_errno())
client.send(b"x")
print(libc.epoll_wait(e.fileno(), ctypes.c_void_p(8), 1, 1000), ctypes.get_errno())
f.register(e, EIN); print(refused(e.register, f, EIN))
e.close(); print(refused(f.register, server) or "registered")
""",
    )
    assert lines[0] == "ENOENT ENOENT ENOENT"


def test_two_numbers_of_a_socket_are_two_entries(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
names = Names()
names.add("one", server, EIN)
copy = os.dup(server.fileno())
names.add("two", copy, EIN | EOUT)
client.send(b"x"); print(names.wait(2))
names.epoll.modify(copy, EOUT); print(names.wait(2))
names.epoll.unregister(server); print(names.wait(2), refused(names.epoll.unregister, server))
names.epoll.modify(copy, EIN); print(names.wait(2))
# It lasts as long as any number of the socket; the number itself may be another's.
third = os.dup(copy); server.close(); os.close(copy); print(names.wait(2))
os.close(third); print(names.wait())
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(refused(names.epoll.unregister, other))
""",
    )


def test_a_closed_socket_is_silent_at_once(stack: Stack) -> None:
    run(
        stack,
        """
names = Names()
for _ in range(50):
    client, server = connected()
    names.add("server", server, EIN | EOUT)
    if not names.wait(2): print("silent")
    server.close()
    print(names.wait(0))
""",
    )


def test_a_waiting_thread_hears_of_sockets_that_another_adds(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
client.send(b"x")
for first in (None, os.pipe()[0]):
    names = Names()
    if first: names.add("pipe", first, EIN)
    later(names.add, "server", server, EIN)
    print(names.wait(10))
    names.epoll.unregister(server)
    names.epoll.register(server, 0)
    later(names.epoll.modify, server, EIN)
    print(names.wait(10))
    server.recv(1)
    later(client.send, b"x")
    print(names.wait(10))
""",
    )
    assert lines == ("[('server', 1)]",) * 6


def test_one_of_many_waiting_threads_hears_of_an_edge(stack: Stack) -> None:
    lines = run(
        stack,
        """
import queue
client, server = connected()
told = queue.SimpleQueue()
names = Names()
names.add("server", server, EIN | ET)
def wait():
    while events := names.wait(10):
        data = server.recv(9)
        told.put(events)
        if data == b"end": return
threads = [threading.Thread(target=wait) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(20):
    client.send(b"x")
    print(told.get())
for _ in threads:
    client.send(b"end")
    print(told.get())
for thread in threads: thread.join()
print(told.empty())
""",
    )
    assert lines[-1] == "True"


def test_processes_share_an_epoll_after_fork(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
names = Names()
names.add("pipe", r, EIN); names.add("server", server, EIN)
def child(function):
    pid = os.fork()
    if not pid:
        function()
        os._exit(0)
    print(os.waitpid(pid, 0)[1])
def told(): print(names.wait(2), flush=True)
client.send(b"x"); child(told); told()
# What a child registers or forgets, its parent does, too.
child(lambda: names.epoll.modify(server, EIN | EOUT)); told()
child(lambda: names.epoll.unregister(server))
print(names.wait(), refused(names.epoll.unregister, server))
child(lambda: names.epoll.register(server, EIN)); told()
# The child keeps it when the parent has closed it.
start, go = os.pipe()
pid = os.fork()
if not pid:
    os.read(start, 1); told(); os._exit(0)
names.epoll.close(); server.close(); later(os.write, go, b"x")
print(os.waitpid(pid, 0)[1])
""",
    )
    assert lines[0] == "[('server', 1)]"


def test_an_epoll_passed_to_another_process_keeps_its_sockets(stack: Stack) -> None:
    run(
        stack,
        """
client, server = connected()
here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
pid = os.fork()
if not pid:
    _, (number,), *_ = socket.recv_fds(there, 1, 1)
    epoll = select.epoll.fromfd(number)
    os.write(1, repr(epoll.poll(10) == [(server.fileno(), EIN)]).encode() + b"\\n")
    os._exit(0)
epoll = select.epoll()
epoll.register(server, EIN)
socket.send_fds(here, [b"x"], [epoll.fileno()])
epoll.close()
later(client.send, b"x")
print(os.waitpid(pid, 0)[1])
""",
    )


def test_every_exclusive_worker_gets_its_share(stack: Stack) -> None:
    lines = run(
        stack,
        """
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
listener.setblocking(False)
pids = []
for _ in range(4):
    pid = os.fork()
    if pid:
        pids.append(pid)
        continue
    epoll = select.epoll()
    epoll.register(listener, EIN | EXCLUSIVE)
    while epoll.poll(10):
        try: connection, _ = listener.accept()
        except BlockingIOError: continue
        if connection.recv(9) == b"end": os._exit(0)
        connection.send(b"served")
        connection.close()
    os._exit(1)
for _ in range(20):
    with socket.create_connection(listener.getsockname()) as client:
        client.send(b"x"); print(client.recv(9))
for pid in pids:
    with socket.create_connection(listener.getsockname()) as client:
        client.send(b"end"); client.recv(9)
print([os.waitpid(pid, 0)[1] for pid in pids])
""",
    )
    assert lines[-1] == "[0, 0, 0, 0]"


def test_an_epoll_can_be_polled_selected_and_nested(stack: Stack) -> None:
    lines = run(
        stack,
        """
client, server = connected()
r, w = os.pipe()
inner, outer = Names(), Names()
inner.add("server", server, EIN); inner.add("pipe", r, EIN)
outer.add("inner", inner.epoll, EIN)
def show(timeout_s=0.02):
    ready = select.select([inner.epoll, outer.epoll], [], [], timeout_s)[0]
    print(len(ready), polled(int(timeout_s * 1000), inner=(inner.epoll, IN)), outer.wait(timeout_s))
show()
client.send(b"x"); show(2)
os.write(w, b"x"); show(2)
server.recv(1); show(2)
os.read(r, 1); show()
later(client.send, b"x"); print(outer.wait(10)); server.recv(1)
later(client.send, b"x"); print(polled(10000, outer=(outer.epoll, IN))); server.recv(1)
outer.epoll.modify(inner.epoll, EIN | ET)
client.send(b"x"); print(outer.wait(2), outer.wait())
outer.epoll.unregister(inner.epoll); print(outer.wait())
# Nested before it has anything of the stack.
inner, outer = Names(), Names()
outer.add("inner", inner.epoll, EIN); inner.add("server", server, EIN); print(outer.wait(2))
""",
    )
    assert lines[1] == "2 [('inner', 1)] [('inner', 1)]"


SIGNALS = """
import struct
client, server = connected()
epoll = select.epoll()
epoll.register(server, EIN)
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
room = ctypes.create_string_buffer(12 * 8)
def mask(*blocked): return ctypes.byref(ctypes.c_uint64(sum(1 << number - 1 for number in blocked)))
def result(ret): return (ret, errno.errorcode[ctypes.get_errno()] if ret < 0 else "")
"""


def test_signals_end_a_wait(stack: Stack) -> None:
    lines = run(
        stack,
        SIGNALS
        + """
for restart in (False, True):
    signal.siginterrupt(signal.SIGALRM, not restart)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    print(result(libc.epoll_wait(epoll.fileno(), room, 8, 10000)))
    print(result(libc.epoll_wait(epoll.fileno(), room, 8, 20)))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
os.kill(os.getpid(), signal.SIGALRM)
print(result(libc.epoll_pwait(epoll.fileno(), room, 8, -1, mask())))
signal.setitimer(signal.ITIMER_REAL, 0.05)
print(result(libc.epoll_pwait(epoll.fileno(), room, 8, -1, mask())))
os.kill(os.getpid(), signal.SIGALRM)
print(result(libc.epoll_pwait(epoll.fileno(), room, 8, 50, mask(signal.SIGALRM))))
client.send(b"x")
print(result(libc.epoll_pwait(epoll.fileno(), room, 8, -1, mask())), room.raw[:4])
server.recv(1)
half = struct.pack("qq", 0, 30000000)
print(result(libc.epoll_pwait2(epoll.fileno(), room, 8, half, mask(signal.SIGALRM), 8)))
print(result(libc.epoll_pwait2(epoll.fileno(), room, 8, struct.pack("qq", 0, -1), None, 8)))
print(seen)
""",
    )
    assert lines[0] == "(-1, 'EINTR')"


def test_an_edge_survives_signals_without_number(stack: Stack) -> None:
    # An event that was taken from the stack for a wait that a signal ended is told again.
    lines = run(
        stack,
        """
client, server = connected()
names = Names()
names.add("server", server, EIN | ET)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
def echo():
    for _ in range(150):
        client.send(b"x")
        client.recv(1)
thread = threading.Thread(target=echo)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
thread.start()
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
for count in range(150):
    if not names.wait(10): print("lost", count); os._exit(1)
    server.recv(1)
    server.send(b"x")
signal.setitimer(signal.ITIMER_REAL, 0)
thread.join()
print("all")
""",
    )
    assert lines == ("all",)


def test_a_thousand_sockets_in_an_epoll(stack: Stack) -> None:
    lines = run(
        stack,
        """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1000)]
for s in udp: s.bind(("127.0.0.1", 0))
epoll = select.epoll()
for s in udp: epoll.register(s, EIN)
print(epoll.poll(0.01))
for s in udp[:700]: s.sendto(b"x", udp[999].getsockname())
print(epoll.poll(10) == [(udp[999].fileno(), EIN)])
for s in udp: udp[0].sendto(b"x", s.getsockname())
seen = set()
for s in udp: epoll.modify(s, EIN | ONESHOT)
while events := epoll.poll(0.1, 100): seen.update(number for number, _ in events)
print(len(seen))
""",
    )
    assert lines == ("[]", "True", "1000")


def test_a_program_killed_while_it_waits_leaves_nothing(stack: Stack) -> None:
    source = """
client, server = connected()
names = Names()
names.add("server", server, EIN); names.add("pipe", os.pipe()[0], EIN)
for _ in range(3): threading.Thread(target=names.wait, args=(60,)).start()
print("waits", flush=True)
names.wait(60)
"""
    with stack.start(["python3", "-S", "-c", EPOLL_PRELUDE + source]) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waits\n"
        while stack.stats()["blocked"] < 4:
            select.select([], [], [], 0.005)
        program.kill()
    assert program.returncode == -signal.SIGKILL
    assert stack.await_empty() == EMPTY


def test_epolls_that_are_closed_are_forgotten(stack: Stack) -> None:
    # The program lives on; the server may not keep hundreds of them.
    source = """
client, server = connected()
for _ in range(300):
    epoll = select.epoll()
    epoll.register(server, EIN)
    epoll.close()
print("closed", flush=True)
sys.stdin.read()
"""
    with stack.start(["python3", "-S", "-c", EPOLL_PRELUDE + source], stdin=-1) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "closed\n"
        assert stack.descriptors_in_use() < 40
        program.communicate("")
    assert stack.await_empty() == EMPTY
