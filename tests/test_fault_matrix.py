# SPDX-License-Identifier: GPL-2.0-only
"""Transfers under drawn topologies, losses, reorderings, partitions and crashes.

Whatever happens, the data arrives intact, or both sides get an error of the right kind within
the protocol's own time limits.  A failing example shrinks to a few values and a seed, which
repeat it exactly.  ``PYLIBOS_FAULT_EXAMPLES`` draws more of them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import random
import socket
import struct
from dataclasses import dataclass
from typing import Any

import pytest
from greenlet import GreenletExit
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import pylibos

SECOND = 10**9
EXAMPLES = int(os.environ.get("PYLIBOS_FAULT_EXAMPLES", "12"))
IPPROTO_MPTCP = 262
PROTOCOLS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "mptcp": (socket.SOCK_STREAM, IPPROTO_MPTCP),
}
# What a user may see when the way is gone or the other side is; programs of a crashed node are
# killed (GreenletExit).
RIGHT_KIND = {
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ECONNABORTED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ENOTCONN,
}
# When a side that has nothing to send asks whether the other one lives.
KEEP_IDLE_S, KEEP_INTERVAL_S, KEEP_COUNT = 60, 10, 6
# Time limits, from the documentation of the kernel's parameters:
# - TCP: tcp_retries2 = 15 gives up after 924.6 s at the least (RTO from 0.2 to 120 s), and with an
#   RTO grown by delay and loss before that, after 15 waits of 120 s and the last one at most.
# - SCTP: association_max_retrans = 10, RTO at most 60 s; an idle path is asked every 30 s + RTO.
#   An INIT is sent 9 times, with at most 60 s between two.
# - Keepalive as above.
LIMIT_NS = 2100 * SECOND
# A blocking send() of MPTCP sleeps on after the connection has timed out: see
# test_mptcp_send_sleeps_on_when_all_subflows_have_timed_out.
MPTCP_TIMEOUT_S = 1500

PERCENT = st.integers(0, 15)
WAY = st.fixed_dictionaries(
    {
        "delay_ms": st.sampled_from([0, 1, 20, 150]),
        "jitter_ms": st.sampled_from([0, 5]),
        "rate_mbit": st.sampled_from([0, 1, 50]),
        "loss_pct": PERCENT,
        "duplicate_pct": PERCENT,
        "reorder_pct": PERCENT,
        "corrupt_pct": st.integers(0, 3),
    }
)
MISHAP = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(["cut", "cut for a while", "crash of a router", "crash of the receiver"]),
        st.integers(0, 3000),  # ms after the start
        st.integers(1, 60_000),  # ms until it is mended
    ),
)


@dataclass
class Outcome:
    """What a program came to: a value or an error, and when."""

    value: Any = None
    error: BaseException | None = None
    end_ns: int = 0


def watch(net, outcome, function, *args):
    """Run a function as a program and note its outcome."""
    try:
        outcome.value = function(*args)
    except (OSError, pylibos.KernelDead, GreenletExit) as error:
        outcome.error = error
    outcome.end_ns = net.now_ns


def read(conn, size):
    data = bytearray()
    while len(data) < size:
        piece = conn.recv(min(65536, size - len(data)))
        if not piece:
            raise ConnectionResetError(errno.ECONNRESET, "The stream ended early")
        data += piece
    return bytes(data)


def ask_whether_peer_lives(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_IDLE_S)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_INTERVAL_S)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_COUNT)


def receive(server, keepalive):
    with server, server.accept()[0] as conn:
        if keepalive:
            ask_whether_peer_lives(conn)
        (size,) = struct.unpack("!Q", read(conn, 8))
        digest = hashlib.sha256(read(conn, size)).digest()
        conn.sendall(digest)
        return digest


def send(node, kind, address, data, keepalive):
    with node.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, *kind) as conn:
        if kind == PROTOCOLS["mptcp"]:
            conn.settimeout(MPTCP_TIMEOUT_S)
        conn.connect((address, 7))
        if keepalive:
            ask_whether_peer_lives(conn)
        conn.sendall(struct.pack("!Q", len(data)) + data)
        return read(conn, 32)


def build(net, routers, ways):
    """Two hosts with one or two paths between them, of some routers each."""
    sender, receiver = net.node("sender"), net.node("receiver")
    middle = []
    for path, way in enumerate(ways):
        chain = [sender]
        chain += [net.node(f"r{path}{number}") for number in range(routers)]
        middle += chain[1:]
        chain.append(receiver)
        for number, (first, second) in enumerate(itertools.pairwise(chain)):
            # Only the last link of a path does harm: one is enough.
            net.link(first, second, **(way if number == routers else {"delay_ms": 1}))
    net.route_all()
    return sender, receiver, middle


def meet(net, mishap, receiver, middle):
    """Let a mishap happen at its time."""
    if mishap is None:
        return
    what, start_ms, end_ms = mishap
    at_ns = net.now_ns + start_ms * 10**6
    if what == "crash of the receiver":
        net.at(at_ns, receiver.crash)
    elif what == "crash of a router" and middle:
        net.at(at_ns, middle[0].crash)
    else:
        net.at(at_ns, net.partition, [receiver])
        if what == "cut for a while":
            net.at(at_ns + end_ms * 10**6, net.heal)


def transfer(build_options, protocol, seed, family, routers, ways, mishap, size, path=None):
    """Run one transfer; return the outcomes of both sides, the data's digest and the start."""
    data = random.Random(seed).randbytes(size)
    kind = PROTOCOLS[protocol]
    keepalive = protocol != "sctp"
    there, back = Outcome(), Outcome()
    with pylibos.Network(seed=seed, **build_options) as net:
        if path is not None:
            net.capture(path)
        sender, receiver, middle = build(net, routers, ways)
        server = receiver.socket(family, *kind)
        server.bind(("", 7))
        server.listen()
        server.settimeout(2000)
        address = receiver.ip6 if family == socket.AF_INET6 else receiver.ip
        start_ns = net.now_ns
        receiving = receiver.spawn(watch, net, back, receive, server, keepalive)
        sending = sender.spawn(watch, net, there, send, sender, kind, address, data, keepalive)
        meet(net, mishap, receiver, middle)
        net.run_until(start_ns + LIMIT_NS + SECOND)
        unfinished = [program for program in (sending, receiving) if not program.done]
        with contextlib.suppress(pylibos.KernelDead):
            server.close()
    return there, back, unfinished, hashlib.sha256(data).digest(), start_ns


def check(outcome, digest, start_ns):
    if outcome.error is None:
        assert outcome.value == digest
    elif not isinstance(outcome.error, pylibos.KernelDead | TimeoutError | GreenletExit):
        assert outcome.error.errno in RIGHT_KIND, repr(outcome.error)
    assert outcome.end_ns - start_ns <= LIMIT_NS


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_data_arrives_intact_or_an_error_in_time(build_options, protocol):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        seed=st.integers(0, 2**32 - 1),
        family=st.sampled_from([socket.AF_INET, socket.AF_INET6]),
        routers=st.integers(0, 2),
        ways=st.lists(WAY, min_size=1, max_size=2),
        mishap=MISHAP,
        size=st.sampled_from([0, 1, 10_000, 200_000]),
    )
    def run(seed, family, routers, ways, mishap, size):
        there, back, unfinished, digest, start_ns = transfer(
            build_options, protocol, seed, family, routers, ways, mishap, size
        )
        note(f"sender: {there}")
        note(f"receiver: {back}")
        assert unfinished == []
        check(there, digest, start_ns)
        check(back, digest, start_ns)
        if mishap is None and all(way["loss_pct"] < 10 for way in ways):
            assert there.error is None

    run()


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_same_seed_repeats_a_transfer_to_the_byte(build_options, protocol, tmp_path):
    way = {"delay_ms": 20, "jitter_ms": 5, "loss_pct": 5, "reorder_pct": 5, "rate_mbit": 5}
    mishap = ("cut for a while", 100, 900)
    captures, outcomes = [], []
    for number in range(2):
        path = tmp_path / f"{number}.pcapng"
        outcomes.append(
            transfer(
                build_options, protocol, 3, socket.AF_INET6, 1, [way, way], mishap, 50_000, path
            )[:2]
        )
        captures.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert outcomes[0][0].error is None
    assert captures[0] == captures[1]
    assert outcomes[0] == outcomes[1]


def test_mptcp_send_sleeps_on_when_all_subflows_have_timed_out(build_options):
    """The kernel's own fault, which the matrix found: nobody wakes the sender.

    mptcp_do_fastclose() (net/mptcp/protocol.c) sets the state to TCP_CLOSE and neither sk_err nor
    sk_shutdown, for which sk_stream_wait_memory() waits.
    """
    sent = Outcome()
    with pylibos.Network(seed=1, **build_options) as net:
        sender, receiver, _ = build(net, 0, [{"rate_mbit": 1}])
        kind = PROTOCOLS["mptcp"]
        with receiver.socket(socket.AF_INET, *kind) as server:
            server.bind(("", 7))
            server.listen()
            with sender.socket(socket.AF_INET, *kind) as conn:
                conn.connect((receiver.ip, 7))
                program = sender.spawn(watch, net, sent, conn.sendall, bytes(10**7))
                net.after(SECOND, net.partition, [receiver])
                # tcp_retries2, then net.mptcp.close_timeout, and some.
                net.run_for((925 + 60 + 100) * SECOND)
                states = {item.state for item in sender.sockets() if item.protocol == "mptcp"}
                assert states == {"CLOSE"}
                # A kernel that wakes it makes MPTCP_TIMEOUT_S needless there.
                assert not program.done
                program.kill()
    assert isinstance(sent.error, GreenletExit)


@pytest.fixture
def build_options(build):
    return build.options
