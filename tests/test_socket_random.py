# SPDX-License-Identifier: GPL-2.0-only
"""Random sequences of socket calls on the host's Linux and on the library's: equal outcomes.

All sockets do not block, so every call ends at once on both.  What may differ by right is
mapped away: port numbers, and how much a full buffer takes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import select
import socket
import time

import pytest
from guarded_memory import GuardedMemory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibos

ROOM = GuardedMemory(1 << 20)
KINDS = ("tcp", "udp", "udp6", "pair", "seqpacket", "listener")
OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.SOL_SOCKET, socket.SO_BROADCAST),
    (socket.SOL_SOCKET, socket.SO_ERROR),
    (socket.SOL_SOCKET, socket.SO_TYPE),
    (socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_CORK),
    (socket.IPPROTO_IP, socket.IP_TTL),
    (socket.IPPROTO_IP, socket.IP_TOS),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
]
FLAGS = [0, socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_TRUNC, socket.MSG_NOSIGNAL]

index = st.integers(0, 7)
operation = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(KINDS)),
    st.tuples(st.just("close"), index),
    st.tuples(st.just("send"), index, st.integers(0, 3000), st.sampled_from(FLAGS)),
    st.tuples(st.just("recv"), index, st.integers(0, 4000), st.sampled_from(FLAGS)),
    st.tuples(st.just("sendto"), index, index, st.integers(0, 3000)),
    st.tuples(st.just("recvfrom"), index, st.integers(0, 4000)),
    st.tuples(st.just("connect"), index, index),
    st.tuples(st.just("accept"), index),
    st.tuples(st.just("shutdown"), index, st.integers(0, 3)),
    st.tuples(st.just("get"), index, st.sampled_from(OPTIONS)),
    st.tuples(st.just("set"), index, st.sampled_from(OPTIONS), st.integers(-1, 300)),
    st.tuples(st.just("names"), index),
    st.tuples(st.just("listen"), index, st.integers(0, 4)),
    st.tuples(st.just("poll"), index),
    st.tuples(st.just("sendmsg"), index, st.lists(st.integers(0, 200), max_size=4)),
    st.tuples(st.just("recvmsg"), index, st.lists(st.integers(0, 200), max_size=4)),
)


class HostNet:
    """The host's functions under the names that a kernel has."""

    poll = staticmethod(select.poll)

    def __getattr__(self, name):
        return getattr(socket, name)

    def settle(self):
        """Let loopback traffic arrive; the host does that beside us."""
        time.sleep(0.0005)


class Interpreter:
    """Runs a script of operations against one implementation."""

    def __init__(self, net, settle):
        self.net = net
        self.settle = settle
        self.sockets = []
        self.ports = {}
        self.stack = contextlib.ExitStack()

    def keep(self, sock):
        sock.setblocking(False)
        self.sockets.append(self.stack.enter_context(sock))

    def pick(self, number):
        return self.sockets[number % len(self.sockets)]

    def address(self, value):
        """Replace port numbers by the order in which they were seen."""
        if isinstance(value, tuple) and len(value) in (2, 4) and isinstance(value[1], int):
            port = self.ports.setdefault(value[1], len(self.ports)) if value[1] else "none"
            return (value[0], port, *value[2:])
        return value

    def open(self, kind):
        net = self.net
        if kind == "pair":
            for sock in net.socketpair():
                self.keep(sock)
        elif kind == "seqpacket":
            for sock in net.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
                self.keep(sock)
        elif kind == "listener":
            self.keep(net.create_server(("127.0.0.1", 0)))
        elif kind == "tcp":
            self.keep(net.socket())
        else:
            six = kind == "udp6"
            family = socket.AF_INET6 if six else socket.AF_INET
            sock = net.socket(family, socket.SOCK_DGRAM)
            sock.bind(("::1" if six else "127.0.0.1", 0))
            self.keep(sock)

    def run(self, name, *args):
        if name == "open":
            return self.open(*args)
        if not self.sockets:
            return None
        sock, *rest = self.pick(args[0]), *args[1:]
        return getattr(self, "do_" + name)(sock, *rest)

    def do_close(self, sock):
        sock.close()

    def do_send(self, sock, size, flags):
        return sock.send(b"s" * size, flags)

    def do_recv(self, sock, size, flags):
        return len(sock.recv(size, flags))

    def do_sendto(self, sock, other, size):
        return sock.sendto(b"t" * size, self.pick(other).getsockname())

    def do_recvfrom(self, sock, size):
        data, source = sock.recvfrom(size)
        return len(data), self.address(source)

    def do_connect(self, sock, other):
        return sock.connect_ex(self.pick(other).getsockname())

    def do_accept(self, sock):
        peer, source = sock.accept()
        self.keep(peer)
        return self.address(source)

    def do_shutdown(self, sock, how):
        sock.shutdown(how)

    def do_get(self, sock, option):
        return sock.getsockopt(*option)

    def do_set(self, sock, option, value):
        sock.setsockopt(*option, value)

    def do_names(self, sock):
        mine = self.address(sock.getsockname())
        try:
            return mine, self.address(sock.getpeername())
        except OSError as error:
            return mine, error.errno

    def do_listen(self, sock, backlog):
        sock.listen(backlog)

    def do_poll(self, sock):
        poll = self.net.poll()
        poll.register(sock, 0x7F)
        return [events for _, events in poll.poll(0)]

    def do_sendmsg(self, sock, sizes):
        return sock.sendmsg([b"m" * size for size in sizes])

    def do_recvmsg(self, sock, sizes):
        count, control, flags, source = sock.recvmsg_into([bytearray(size) for size in sizes])
        return count, len(control), flags, self.address(source)

    def outcomes(self, script):
        results = []
        with self.stack:
            for step in script:
                try:
                    results.append((step, self.run(*step)))
                except OSError as error:
                    results.append((step, errno.errorcode.get(error.errno, error.errno)))
                except (OverflowError, ValueError, TypeError) as error:
                    results.append((step, type(error).__name__, str(error)))
                self.settle()
        return results


@pytest.fixture(scope="module")
def kernel():
    from kernel_builds import main_builds

    found = main_builds()
    if not found:
        pytest.fail("No kernel is built; run 'make liblinux.so'.")
    with pylibos.boot(**found[0].options) as booted:
        yield booted


# The host is another version of Linux, on a clock of its own: a socket that was shut down
# twice or a connect() to oneself may race there, so such sequences are left out.
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operation, min_size=1, max_size=25))
def test_random_calls_end_as_on_the_host(kernel, script):
    host = HostNet()
    expected = Interpreter(host, host.settle).outcomes(script)
    found = Interpreter(kernel, lambda: kernel.world.run_for(500_000)).outcomes(script)
    assert found == expected


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_random_system_calls_never_kill(kernel, seed):
    source = random.Random(seed)
    # Whatever length a call is given, it stays within this memory.
    room = ROOM.before_the_end(8192)
    # Calls that end the caller or the machine by design.
    deadly = {"reboot", "exit", "exit_group", "kill", "tkill", "tgkill", "kexec_load", "vfork"}
    deadly |= {"rt_sigreturn", "pause", "fork", "clone", "clone3", "execve", "execveat"}
    deadly |= {"rt_sigsuspend", "rt_sigtimedwait", "setitimer", "alarm", "timer_create"}
    deadly |= {"rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "ptrace", "unshare"}
    deadly |= {"setrlimit", "prlimit64", "umount2", "chroot", "pivot_root", "setns", "seccomp"}
    names = sorted(set(pylibos._syscalls.NUMBERS) - deadly)
    with kernel.task(share_files=False) as task:
        for _ in range(20):
            arguments = [
                source.choice(
                    [0, 1, -1, 3, source.getrandbits(8), source.getrandbits(64), room, None, 4096]
                )
                for _ in range(6)
            ]
            with contextlib.suppress(OSError, pylibos.DeadlockError):
                task.syscall(
                    source.choice(names), *arguments, deadline_ns=kernel.now_ns + 1_000_000
                )
    assert kernel.syscall("getpid") > 0
    assert os.getpid() > 0
