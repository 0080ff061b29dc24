# SPDX-License-Identifier: GPL-2.0-only
"""select, poll, epoll and selectors on the kernel's own calls."""

from __future__ import annotations

import select
import selectors
import socket

import pytest


@pytest.fixture
def two(kernel):
    first, second = kernel.socketpair()
    with first, second:
        yield first, second


def test_select_tells_what_is_ready(kernel, two):
    first, second = two
    assert kernel.select([first], [first], [first], 0) == ([], [first], [])
    second.send(b"x")
    assert kernel.select([first, second], [], [], 0) == ([first], [], [])
    assert kernel.select([first.fileno()], [], [], 5) == ([first.fileno()], [], [])


def test_select_waits_exactly(kernel, two):
    before = kernel.now_ns
    assert kernel.select([two[0]], [], [], 1.25) == ([], [], [])
    assert kernel.now_ns - before == 1_250_000_000


def test_select_sees_out_of_band_data(kernel):
    with kernel.create_server(("127.0.0.1", 7)) as server:
        with kernel.create_connection(("127.0.0.1", 7)) as client:
            peer, _ = server.accept()
            with peer:
                client.send(b"x", socket.MSG_OOB)
                assert kernel.select([], [], [peer], 1)[2] == [peer]


def test_select_refuses(kernel, two):
    with pytest.raises(ValueError, match="timeout must be non-negative"):
        kernel.select([], [], [], -1)
    with pytest.raises(TypeError, match="fileno"):
        kernel.select(["x"], [], [])
    with pytest.raises(ValueError, match="negative integer"):
        kernel.select([-1], [], [])
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.select([999], [], [], 0)


def test_program_wakes_a_select(kernel, two):
    first, second = two

    def later():
        kernel.sleep(3)
        second.send(b"now")

    program = kernel.spawn(later)
    before = kernel.now_ns
    assert kernel.select([first], [], []) == ([first], [], [])
    assert kernel.now_ns - before == 3_000_000_000
    program.join()


def test_poll_object(kernel, two):
    first, second = two
    poll = kernel.poll()
    poll.register(first, select.POLLIN)
    assert poll.poll(10) == []
    second.send(b"x")
    assert poll.poll() == [(first.fileno(), select.POLLIN)]
    poll.modify(first, select.POLLOUT)
    assert poll.poll(0) == [(first.fileno(), select.POLLOUT)]
    second.close()
    assert poll.poll(0)[0][1] & select.POLLHUP
    poll.unregister(first)
    assert poll.poll(0) == []
    with pytest.raises(KeyError):
        poll.unregister(first)
    with pytest.raises(FileNotFoundError):
        poll.modify(first, 1)


def test_epoll_object(kernel, two):
    first, second = two
    with kernel.epoll() as epoll:
        epoll.register(first, select.EPOLLIN)
        with pytest.raises(FileExistsError):
            epoll.register(first)
        before = kernel.now_ns
        assert epoll.poll(0.5) == []
        assert kernel.now_ns - before == 500_000_000
        second.send(b"x")
        assert epoll.poll() == [(first.fileno(), select.EPOLLIN)]
        epoll.modify(first, select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(0) == [(first.fileno(), select.EPOLLIN)]
        assert epoll.poll(0) == []
        epoll.unregister(first)
        with pytest.raises(FileNotFoundError):
            epoll.unregister(first)
        with pytest.raises(ValueError, match="maxevents must be greater than 0"):
            epoll.poll(0, 0)
    assert epoll.closed
    with pytest.raises(ValueError, match="closed epoll object"):
        epoll.poll()


def test_epoll_refuses(kernel):
    with pytest.raises(ValueError, match="sizehint"):
        kernel.epoll(0)
    with pytest.raises(OSError, match="invalid flags"):
        kernel.epoll(flags=12345)


def test_many_events_come_in_portions(kernel):
    pairs = [kernel.socketpair() for _ in range(20)]
    with kernel.epoll() as epoll:
        for first, second in pairs:
            epoll.register(first, select.EPOLLIN)
            second.send(b"x")
        assert len(epoll.poll(0, 7)) == 7
        assert len(epoll.poll(0)) == 20
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_selector(kernel, two):
    first, second = two
    with kernel.selector() as selector:
        selector.register(first, selectors.EVENT_READ, "data")
        assert selector.select(0) == []
        second.send(b"x")
        ((key, events),) = selector.select()
        assert (key.fileobj, key.data, events) == (first, "data", selectors.EVENT_READ)
