# SPDX-License-Identifier: GPL-2.0-only
"""Host threads: side by side in real time, refused in virtual time; Ctrl-C; fork."""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import pylibos


def count_tasks(kernel):
    return sum(name.isdecimal() for name in kernel.listdir("/proc"))


def test_threads_block_side_by_side_in_real_time(boot_one):
    kernel = boot_one(clock="real")
    answers = []

    def serve(server):
        peer, _ = server.accept()
        with peer:
            peer.sendall(peer.recv(100)[::-1])

    with kernel.create_server(("127.0.0.1", 7)) as server:
        threads = [threading.Thread(target=serve, args=(server,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for number in range(10):
            with kernel.create_connection(("127.0.0.1", 7)) as client:
                client.sendall(b"%d!" % number)
                answers.append(client.recv(100))
        for thread in threads:
            thread.join()
    assert answers == [b"!%d" % number for number in range(10)]


def test_call_in_one_thread_wakes_another(boot_one):
    kernel = boot_one(clock="real")
    first, second = kernel.socketpair()
    latencies = []

    def reader():
        for _ in range(100):
            sent = struct.unpack("q", second.recv(8))[0]
            latencies.append(time.perf_counter_ns() - sent)

    thread = threading.Thread(target=reader)
    thread.start()
    for _ in range(100):
        time.sleep(0.001)
        first.send(struct.pack("q", time.perf_counter_ns()))
    thread.join()
    first.close()
    second.close()
    assert sorted(latencies)[50] < 20_000_000


def test_each_thread_has_a_task_and_gives_it_back(boot_one):
    kernel = boot_one(clock="real")
    before = count_tasks(kernel)
    pids = set()
    for _ in range(50):
        thread = threading.Thread(target=lambda: pids.add(kernel.pid))
        thread.start()
        thread.join()
    assert kernel.pid not in pids
    assert len(pids) == 50
    kernel.spawn(kernel.syscall, "getpid").join()
    assert count_tasks(kernel) <= before + 3


def test_threads_share_one_kernel_safely(boot_one):
    kernel = boot_one(clock="real")
    errors = []

    def work(number):
        try:
            path = f"/tmp/{number}"
            for step in range(200):
                kernel.write_text(path, str(step))
                assert kernel.read_text(path) == str(step)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_second_waiter_in_virtual_time_is_refused(boot_one):
    kernel = boot_one()
    entered, release = threading.Event(), threading.Event()

    def hold(frame):
        if threading.current_thread() is thread:
            entered.set()
            release.wait(10)

    thread = threading.Thread(target=lambda: kernel.world.run_for(10**10))
    kernel.add_device(hold).up()
    thread.start()
    try:
        assert entered.wait(10)
        threading.Timer(0.2, release.set).start()
        with pytest.raises(pylibos.ThreadError, match="Another thread waits in this world"):
            kernel.sleep(1)
    finally:
        release.set()
        thread.join()
    kernel.sleep(1)


def test_threads_may_take_turns_in_virtual_time(boot_one):
    kernel = boot_one()
    times = []

    def sleep():
        kernel.sleep(1)
        times.append(kernel.now_ns)

    for _ in range(3):
        thread = threading.Thread(target=sleep)
        thread.start()
        thread.join()
    assert times == [2 * 10**9, 3 * 10**9, 4 * 10**9]


@pytest.mark.parametrize("clock", ["real", "virtual"])
def test_interrupt_ends_a_blocking_call_and_nothing_else(boot_one, clock):
    kernel = boot_one(clock=clock)
    server = kernel.create_server(("127.0.0.1", 7))
    calls = kernel.spawn(lambda: None) if clock == "virtual" else None
    timer = threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT))
    if clock == "real":
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            server.accept()
    else:
        # In virtual time something must go on for ever, or it would be a deadlock.
        def chatter():
            while True:
                kernel.sleep(1)

        calls = kernel.spawn(chatter)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            server.accept()
        calls.kill()
    timer.join()
    with kernel.create_connection(("127.0.0.1", 7)) as client:
        peer, address = server.accept()
        assert address == client.getsockname()
        peer.close()
    server.close()


def test_handler_that_returns_lets_the_call_wait_on(boot_one):
    kernel = boot_one(clock="real")
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        start = time.perf_counter()
        kernel.syscall("nanosleep", struct.pack("qq", 0, 200_000_000), None)
        assert time.perf_counter() - start >= 0.2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen


def test_handler_that_raises_ends_the_call(boot_one):
    def handler(*_):
        raise LookupError("enough")

    kernel = boot_one(clock="real")
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with kernel.socket(type=2) as sock:
            sock.bind(("127.0.0.1", 9))
            with pytest.raises(LookupError, match="enough"):
                sock.recv(10)
    finally:
        signal.signal(signal.SIGALRM, before)


def run_script(build, text):
    script = textwrap.dedent(text).replace("BOOT", f"pylibos.boot(**{build.options!r}")
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_ctrl_c_ends_a_program_that_waits(one_build):
    script = """
        import os, pylibos, signal, sys, threading
        with BOOT, clock="real") as kernel:
            with kernel.create_server(("127.0.0.1", 7)) as server:
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    server.accept()
                except KeyboardInterrupt:
                    print("interrupted", kernel.syscall("getpid") > 0)
    """
    assert run_script(one_build, script).stdout == "interrupted True\n"


def test_forked_child_is_told_to_boot_its_own(one_build):
    script = """
        import os, pylibos, sys
        with BOOT, name="parents") as kernel:
            sock = kernel.socket()
            child = os.fork()
            if child == 0:
                for use in (lambda: kernel.syscall("getpid"), kernel.socket, sock.listen,
                            lambda: kernel.sleep(1), kernel.task):
                    try:
                        use()
                    except pylibos.ForkedProcess as error:
                        print(error)
                with BOOT) as own:
                    print(own.syscall("getpid") > 0)
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
            print("parent", kernel.syscall("getpid") > 0)
            sock.close()
    """
    result = run_script(one_build, script)
    line = (
        "The kernel parents belongs to the process that booted it, not to its fork; "
        "boot one of its own in the child."
    )
    assert result.stdout.splitlines() == [line] * 5 + ["True", "parent True"], result.stderr


def test_forked_child_may_exit_normally(one_build):
    script = """
        import os, pylibos, sys
        kernel = BOOT)
        child = os.fork()
        if child == 0:
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print(kernel.syscall("getpid") > 0)
        kernel.halt()
    """
    result = run_script(one_build, script)
    assert (result.stdout, result.returncode) == ("True\n", 0), result.stderr


def test_interpreter_may_end_without_a_halt(one_build):
    script = """
        import pylibos
        kernel = BOOT)
        sock = kernel.socket()
        program = kernel.spawn(kernel.sleep, 1)
        kernel.world.run_for(1)
        print("end")
    """
    result = run_script(one_build, script)
    assert (result.stdout, result.returncode) == ("end\n", 0), result.stderr
    assert "Traceback" not in result.stderr


def test_multiprocessing_by_spawn_works(one_build):
    script = """
        import multiprocessing, pylibos
        with BOOT) as kernel:
            print(kernel.syscall("getpid") > 0)
    """
    assert run_script(one_build, script).stdout == "True\n"
    assert os.getpid()


def drop_in_a_cycle(kernel):
    """Leave an unclosed socket that only the garbage collector finds."""
    cycle = [kernel.socket()]
    cycle.append(cycle)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_socket_collected_inside_a_call_disturbs_no_call(kernel):
    before = kernel.listdir("/proc/self/fd")
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(300):
            drop_in_a_cycle(kernel)
            with kernel.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                assert sock.getsockname()[0] == "127.0.0.1"
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert kernel.listdir("/proc/self/fd") == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_socket_collected_inside_a_callback_is_closed_later(boot_one):
    kernel = boot_one()
    device = kernel.add_device(lambda _frame: gc.collect())
    device.up()
    kernel.world.run_for(10**9)
    before = kernel.listdir("/proc/self/fd")
    with kernel.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        gc.disable()
        try:
            drop_in_a_cycle(kernel)
            sender.sendto(bytes(60), (device.name, 0))
            kernel.world.run_for(10**9)
        finally:
            gc.enable()
    assert kernel.listdir("/proc/self/fd") == before


def test_calls_of_a_signal_handler_disturb_no_call(boot_one):
    kernel = boot_one(clock="real")
    first, second = kernel.socketpair()
    handled = 0

    def handle(*_):
        nonlocal handled
        handled += 1
        # One byte each: on a slow machine handlers interrupt each other, too.
        first.send(b"x")
        assert second.recv(1) == b"x"

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        while handled < 100:
            with kernel.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                assert sock.getsockname()[0] == "127.0.0.1"
        kernel.sleep(0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    first.close()
    second.close()
