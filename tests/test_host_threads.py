# SPDX-License-Identifier: GPL-2.0-only
"""threading and concurrent.futures inside as_host(): threads are programs, in virtual time."""

from __future__ import annotations

import concurrent.futures
import http.server
import logging
import queue
import socket
import threading
import time
import urllib.request

import pytest
from host_servers import Handler, serving, started

import pylibos

SECOND = 10**9


def test_threads_sleep_side_by_side(host):
    order = []

    def work(name, seconds):
        for step in range(3):
            time.sleep(seconds)
            order.append((name, step, host.now_ns // SECOND))

    before = host.now_ns
    threads = [started(work, "slow", 2), started(work, "fast", 1)]
    for thread in threads:
        thread.join()
    assert host.now_ns - before == 6 * SECOND
    assert order == [
        ("fast", 0, 2),
        ("slow", 0, 3),
        ("fast", 1, 3),
        ("fast", 2, 4),
        ("slow", 1, 5),
        ("slow", 2, 7),
    ]


def test_thread_knows_itself(host):
    seen = []

    def work():
        seen.append((threading.current_thread(), threading.get_ident()))

    threads = [started(work), started(work)]
    assert [thread.is_alive() for thread in threads] == [True, True]
    for thread in threads:
        thread.join()
    assert [thread.is_alive() for thread in threads] == [False, False]
    assert seen == [(thread, thread.ident) for thread in threads]
    assert threads[0].ident != threads[1].ident
    assert threading.current_thread() is threading.main_thread()


def test_thread_is_inside_as_well(host):
    seen = []

    def work():
        with socket.socket() as sock:
            seen.append(sock.process)

    started(work).join()
    assert seen == [host]


def test_subclass_of_thread_keeps_its_methods(host):
    class Worker(threading.Thread):
        def run(self):
            time.sleep(1)
            self.value = 42

        def join(self, timeout=None):
            super().join(timeout)
            return self.value

    worker = Worker(name="worker", daemon=True)
    worker.start()
    assert worker.join() == 42
    assert isinstance(worker, Worker)
    assert worker.daemon
    assert worker.name == "worker"
    assert repr(worker).startswith("<Worker(worker, program, stopped")


def test_join_gives_up_in_virtual_time(host):
    thread = started(time.sleep, 10)
    before = host.now_ns
    thread.join(3)
    assert host.now_ns - before == 3 * SECOND
    assert thread.is_alive()
    thread.join(-1)
    assert thread.is_alive()
    thread.join()
    assert host.now_ns - before == 10 * SECOND


def test_misuse_of_threads_is_refused(host):
    def join_itself():
        with pytest.raises(RuntimeError, match="cannot join current thread"):
            threading.current_thread().join()

    thread = threading.Thread(target=join_itself)
    with pytest.raises(RuntimeError, match="cannot join thread before it is started"):
        thread.join()
    thread.start()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    thread.join()


def test_thread_outlives_the_block(kernel):
    with kernel.as_host():
        thread = started(time.sleep, 5)
    assert thread.is_alive()
    before = kernel.now_ns
    thread.join()
    assert kernel.now_ns - before == 5 * SECOND
    assert not thread.is_alive()


def test_exception_of_a_thread_goes_to_the_hook(host, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args))
    thread = started(lambda: 1 / 0)
    thread.join()
    assert [(args.exc_type, args.thread) for args in seen] == [(ZeroDivisionError, thread)]


def test_threads_of_the_host_stay_outside(kernel):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(threading.current_thread()))
    program = kernel.spawn(lambda: kernel.sleep(1))
    thread.start()
    program.join()
    thread.join()
    assert seen == [thread]


def test_timer_fires_in_virtual_time(host):
    fired = []
    timer = threading.Timer(90, lambda: fired.append(host.now_ns))
    cancelled = threading.Timer(100, fired.append, ["cancelled"])
    before = host.now_ns
    timer.start()
    cancelled.start()
    timer.join()
    cancelled.cancel()
    cancelled.join()
    assert [now - before for now in fired] == [90 * SECOND]


def test_pool_of_threads_works_side_by_side(host):
    def work(seconds):
        time.sleep(seconds)
        return threading.current_thread().name

    before = host.now_ns
    with concurrent.futures.ThreadPoolExecutor(3, thread_name_prefix="pool") as pool:
        futures = [pool.submit(work, seconds) for seconds in (3, 2, 1, 1)]
        done, _ = concurrent.futures.wait(futures, timeout=2.5)
        assert len(done) == 3
        names = [future.result() for future in futures]
    assert names == ["pool_0", "pool_1", "pool_2", "pool_2"]
    assert host.now_ns - before == 3 * SECOND


def test_failure_in_a_pool_comes_out_of_its_future(host):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 / 0).result()
        with pytest.raises(TimeoutError):
            pool.submit(time.sleep, 10).result(timeout=1)


def test_log_records_name_thread_and_time(host, caplog):
    def work():
        time.sleep(100)
        logging.getLogger("test").warning("hello")

    before = time.time()
    thread = threading.Thread(target=work, name="logger")
    thread.start()
    thread.join()
    record = caplog.records[0]
    assert (record.threadName, record.thread) == ("logger", thread.ident)
    assert record.created - before == 100


def test_thread_starts_threads(host):
    ends = []

    def outer():
        threads = [started(time.sleep, seconds) for seconds in (1, 2)]
        for thread in threads:
            thread.join()
            ends.append(host.now_ns)

    before = host.now_ns
    started(outer).join()
    assert [end - before for end in ends] == [SECOND, 2 * SECOND]


def test_threads_of_a_real_world_are_threads_and_inside(boot):
    kernel = boot(clock="real")
    seen = queue.Queue()

    def serve():
        server = socket.create_server(("127.0.0.1", 7))
        seen.put((threading.get_native_id(), server.process))
        peer, _ = server.accept()
        with server, peer:
            peer.sendall(peer.recv(10).upper())

    with kernel.as_host():
        lock = threading.Lock()
        thread = started(serve)
        identity, process = seen.get(timeout=60)
        with socket.create_connection(("127.0.0.1", 7)) as client:
            client.sendall(b"hello")
            assert client.recv(10) == b"HELLO"
        thread.join()
    assert process is kernel
    assert identity != threading.get_native_id()
    assert type(lock) is type(threading.Lock())
    assert type(thread) is threading.Thread


def test_worlds_of_two_host_threads_do_not_disturb_each_other(one_build):
    results = {}

    def fetch(name, seconds):
        with pylibos.boot(**one_build.options) as kernel:
            handler = type("Named", (Handler,), {"do_GET": lambda self: self.answer(name)})
            with serving(kernel, http.server.ThreadingHTTPServer, ("127.0.0.1", 80), handler):
                with kernel.as_host():
                    for _ in range(5):
                        time.sleep(seconds)
                        with urllib.request.urlopen("http://localhost/") as answer:
                            results.setdefault(name, set()).add(answer.read())
                    results[name].add(time.monotonic())

    threads = [
        threading.Thread(target=fetch, args=args) for args in ((b"first", 1), (b"second", 3))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {b"first": {b"first", 6.0}, b"second": {b"second", 16.0}}
