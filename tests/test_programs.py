# SPDX-License-Identifier: GPL-2.0-only
"""Programs: plain functions that take turns, in real Linux tasks."""

from __future__ import annotations

import struct

import pytest

import pylibos

SECOND = 10**9


def test_program_returns_its_value(kernel):
    assert kernel.spawn(lambda a, b: a + b, 1, b=2).result() == 3


def test_program_runs_only_while_the_caller_waits(kernel):
    seen = []
    program = kernel.spawn(seen.append, 1)
    assert seen == []
    assert not program.done
    program.join()
    assert seen == [1]
    assert program.done


def test_server_and_client_need_no_thread(kernel):
    def serve(server):
        peer, _ = server.accept()
        with peer:
            while data := peer.recv(100):
                peer.sendall(data.upper())

    with kernel.create_server(("127.0.0.1", 7)) as server:
        program = kernel.spawn(serve, server)
        with kernel.create_connection(("127.0.0.1", 7)) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO"
        program.result()


def test_hundred_programs_take_turns_in_order(kernel):
    order = []

    def work(number):
        for step in range(3):
            order.append((step, number))
            kernel.sleep(1)

    programs = [kernel.spawn(work, number) for number in range(100)]
    for program in programs:
        program.join()
    assert order == [(step, number) for step in range(3) for number in range(100)]
    assert kernel.now_ns == SECOND + 3 * SECOND


def test_sleeps_of_programs_overlap(kernel):
    before = kernel.now_ns
    programs = [kernel.spawn(kernel.sleep, seconds) for seconds in (3, 1, 2)]
    for program in programs:
        program.join()
    assert kernel.now_ns - before == 3 * SECOND


def test_exception_of_a_program_comes_out_of_result(kernel):
    def fail():
        raise LookupError("lost")

    program = kernel.spawn(fail)
    with pytest.raises(LookupError, match="lost"):
        program.result()
    assert "failed" in repr(program)


def test_failure_that_nobody_asked_for_comes_out_of_run(kernel):
    def fail():
        raise LookupError("lost")

    kernel.spawn(fail)
    with pytest.raises(pylibos.ProgramFailed, match=r"fail failed: LookupError\('lost'\)"):
        kernel.world.run_for(1)


def test_failure_that_nobody_asked_for_comes_out_of_the_with_block(one_build):
    def fail():
        raise LookupError("lost")

    def run():
        with pylibos.boot(**one_build.options) as kernel:
            kernel.spawn(fail)
            kernel.syscall("nanosleep", struct.pack("qq", 0, 1), None)

    with pytest.raises(pylibos.ProgramFailed):
        run()


def test_killed_program_runs_its_finally(kernel):
    events = []

    def wait(server):
        try:
            server.accept()
        finally:
            events.append("finally")

    with kernel.create_server(("127.0.0.1", 7)) as server:
        program = kernel.spawn(wait, server)
        kernel.world.run_for(SECOND)
        program.kill()
        assert events == ["finally"]
        assert program.done
        # The listener is as before: the next call works.
        with kernel.create_connection(("127.0.0.1", 7)):
            server.accept()[0].close()


def test_killing_before_the_start_is_fine(kernel):
    program = kernel.spawn(pytest.fail, "it ran")
    program.kill()
    kernel.world.run_for(SECOND)
    assert program.done


def test_halt_ends_blocked_programs(boot):
    kernel = boot()
    events = []

    def wait():
        with kernel.create_server(("127.0.0.1", 7)) as server:
            try:
                server.accept()
            finally:
                events.append("ended")

    kernel.spawn(wait)
    kernel.world.run_for(SECOND)
    kernel.halt()
    assert events == ["ended"]


def test_tasks_of_ended_programs_are_gone(kernel):
    def count():
        return sum(name.isdecimal() for name in kernel.listdir("/proc"))

    kernel.spawn(kernel.syscall, "getpid").join()
    before = count()
    for _ in range(50):
        kernel.spawn(kernel.syscall, "getpid").join()
    assert count() <= before + 1


def test_programs_of_two_kernels_talk(pair):
    a, b, _ = pair

    def serve():
        with b.create_server(("", 7)) as server:
            peer, address = server.accept()
            with peer:
                peer.sendall(repr(address[0]).encode())

    def ask():
        with a.create_connection(("10.0.0.2", 7)) as conn:
            return conn.recv(100)

    b.spawn(serve)
    a.world.run_for(1)
    assert a.spawn(ask).result() == b"'10.0.0.1'"


def test_thousand_programs_wait_at_once(kernel):
    with kernel.socket(type=2) as sock:
        sock.bind(("127.0.0.1", 9))
        programs = [kernel.spawn(sock.recv, 10) for _ in range(1000)]
        kernel.world.run_for(1)
        with kernel.socket(type=2) as sender:
            for number in range(1000):
                sender.sendto(b"%d" % number, ("127.0.0.1", 9))
                kernel.world.run_for(0)
        # Linux wakes them in the order in which they came.
        assert [program.result() for program in programs] == [b"%d" % n for n in range(1000)]


def test_programs_from_a_second_thread_are_refused(kernel):
    import threading

    errors = []

    def other():
        try:
            kernel.spawn(print)
        except pylibos.ThreadError as error:
            errors.append(str(error))

    program = kernel.spawn(kernel.sleep, 1)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    program.join()
    assert "Programs of a world take turns in the thread that spawned" in errors[0]


def test_keyboard_interrupt_in_a_program_reaches_the_caller(kernel):
    def interrupt():
        raise KeyboardInterrupt

    kernel.spawn(interrupt)
    with pytest.raises(KeyboardInterrupt):
        kernel.sleep(1)


def test_task_has_its_own_descriptors(kernel):
    with kernel.socket() as sock, kernel.task(share_files=False) as task:
        with task.socket() as other:
            assert other.process is task
            with pytest.raises(ValueError, match="belongs to"):
                kernel.select([other], [], [], 0)
        sock.close()
        assert task.syscall("fcntl", 3, 1, 0) == 1  # its copy is still open


def test_task_shares_descriptors_when_asked(kernel):
    with kernel.task() as task, kernel.socket() as sock:
        assert task.syscall("fcntl", sock.fileno(), 1, 0) == 1


def test_task_in_a_network_namespace_sees_its_own_interfaces(kernel):
    with kernel.task(share_files=False, namespaces=["net"]) as task:
        kernel.add_device(lambda frame: None, name="outer0")
        assert "outer0" in [name for _, name in kernel.if_nameindex()]
        with pytest.raises(OSError, match="No such device"):
            task.if_nametoindex("outer0")
        assert task.if_nametoindex("lo") == 1


def test_unknown_namespace_is_refused(kernel):
    with pytest.raises(ValueError, match="There is no namespace 'space'"):
        kernel.task(namespaces=["space"])


def test_ended_task_refuses_calls(kernel):
    task = kernel.task()
    task.syscall("getpid")
    task.close()
    task.close()
    with pytest.raises(ProcessLookupError, match="This task has ended"):
        task.syscall("getpid")
    assert repr(task).endswith("ended>")


def test_fatal_signal_ends_the_task_only(kernel):
    with kernel.task() as task:
        pid = task.pid
        kernel.syscall("kill", pid, 9)
        kernel.world.run_for(1)
        with pytest.raises(ProcessLookupError, match="A signal has ended"):
            task.syscall("getpid")
    assert kernel.syscall("getpid") > 0
