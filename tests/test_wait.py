# SPDX-License-Identifier: GPL-2.0-only
"""How worlds wait: sleeping, polling, both; and threads that do nothing but run one."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from ctypes import byref
from pathlib import Path
from types import SimpleNamespace

import pytest

import pylibos
from pylibos import _abi
from pylibos._device import netdev_config
from pylibos._hub import Hub
from pylibos._library import last_error

WAITS = ["epoll", "busy", "adaptive"]
OTHERS = WAITS[1:]


def cpu_ns_of(thread):
    """Time that a thread has used of its processor (/proc/PID/task/TID/schedstat)."""
    return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0])


def context_switches_of(thread):
    """How often a thread went to sleep by itself."""
    for line in Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise AssertionError


@pytest.fixture(params=WAITS)
def waiting(request, boot_one):
    """A kernel for each way to wait."""
    return boot_one(clock="real", wait=request.param)


# --- All of them ---


def test_sleep_lasts_as_long_as_asked(waiting):
    before = time.monotonic_ns()
    waiting.sleep(0.02)
    assert time.monotonic_ns() - before >= 20_000_000


def test_blocked_call_ends_when_another_thread_sends(waiting):
    with waiting.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))

        def send():
            with waiting.socket(type=socket.SOCK_DGRAM) as sender:
                sender.sendto(b"now", receiver.getsockname())

        timer = threading.Timer(0.02, send)
        timer.start()
        assert receiver.recv(9) == b"now"
        timer.join()


def test_other_threads_get_their_turn_while_one_waits(waiting):
    """The one that waits for ever must not keep the lock."""
    with waiting.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=silent.recv, args=(9,))
        thread.start()
        pids = set()
        for _ in range(2000):
            pids.add(waiting.syscall("getpid"))
        assert len(pids) == 1
        with waiting.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", silent.getsockname())
        thread.join()


def test_timeout_of_a_socket_is_kept(waiting):
    with waiting.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.02)
        before = time.monotonic_ns()
        with pytest.raises(TimeoutError):
            sock.recv(9)
        assert time.monotonic_ns() - before >= 20_000_000


def test_handler_of_a_signal_runs_while_a_call_waits(waiting):
    def handler(number, frame):
        raise InterruptedError("handled")

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    timer = threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGUSR1))
    try:
        timer.start()
        with waiting.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            with pytest.raises(InterruptedError, match="handled"):
                sock.recv(9)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


# --- What differs ---


def served(boot, wait, **options):
    kernel = boot(clock="real", wait=wait, **options)
    return kernel, kernel.world.run_thread()


def idle(thread, wall_ns=50_000_000):
    """Processor time and naps of a thread during some wall time in which nothing happens."""
    cpu_ns, switches = cpu_ns_of(thread), context_switches_of(thread)
    until = time.monotonic_ns() + wall_ns
    while time.monotonic_ns() < until:
        os.sched_yield()
    return cpu_ns_of(thread) - cpu_ns, context_switches_of(thread) - switches


def test_busy_world_never_sleeps(boot_one):
    _, thread = served(boot_one, "busy")
    cpu_ns, switches = idle(thread)
    assert switches == 0
    assert cpu_ns > 0


def test_epoll_world_sleeps(boot_one):
    kernel, thread = served(boot_one, "epoll")
    kernel.sleep(0.05)
    cpu_ns, _ = idle(thread)
    assert cpu_ns < 25_000_000


def test_adaptive_world_sleeps_once_it_has_looked_around(boot_one):
    kernel, thread = served(boot_one, "adaptive", spin_us=20_000)
    kernel.sleep(0.1)
    cpu_ns, _ = idle(thread)
    assert cpu_ns < 25_000_000
    before = cpu_ns_of(thread)
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.001)
        for _ in range(10):
            with pytest.raises(TimeoutError):
                sock.recv(1)
            kernel.sleep(0.04)
    # It has looked around for 200 ms of wall time, however little of the processor it got then.
    assert cpu_ns_of(thread) - before > 1_000_000


def test_adaptive_world_that_looks_around_for_long_is_a_busy_one(boot_one):
    kernel, thread = served(boot_one, "adaptive", spin_us=1_000_000)
    assert kernel.syscall("getpid") > 0
    kernel.sleep(0.001)
    _, switches = idle(thread)
    assert switches == 0


# --- Backends that can be looked at ---


@pytest.fixture
def polled():
    """Adds a backend of poll() alone, no descriptor; returns the times at which it was called."""
    kept = []

    def add(kernel):
        looks = []
        kinds = dict(_abi.plh_backend._fields_)
        backend = _abi.plh_backend(
            name=b"looks",
            transmit=kinds["transmit"](lambda device: None),
            receive=kinds["receive"](lambda device: None),
            poll=kinds["poll"](lambda device: looks.append(time.monotonic_ns())),
        )
        machine = kernel._machine
        config = netdev_config("eth0", 1500, None)
        kept.append(backend)
        if not machine.library.plh_device_add(
            machine.open_handle, byref(backend), None, byref(config)
        ):
            raise pylibos.PylibosError(last_error())
        return looks

    return add


def median_gap(times):
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(times))
    return gaps[len(gaps) // 2]


def test_sleeping_world_looks_every_100_us_at_what_has_no_descriptor(boot_one, polled):
    kernel = boot_one(clock="real")
    looks = polled(kernel)
    kernel.sleep(0.02)
    assert 5 < len(looks) < 1000


def test_busy_world_looks_all_the_time(boot_one, polled):
    kernel = boot_one(clock="real", wait="busy")
    looks = polled(kernel)
    kernel.sleep(0.02)
    assert median_gap(looks) < 50_000


def test_adaptive_world_looks_all_the_time_and_then_now_and_then(boot_one, polled):
    kernel = boot_one(clock="real", wait="adaptive", spin_us=5000)
    looks = polled(kernel)
    kernel.sleep(0.04)
    assert median_gap([look for look in looks if look - looks[0] < 4_000_000]) < 50_000
    assert median_gap([look for look in looks if look - looks[0] > 20_000_000]) > 50_000


def test_what_can_only_be_looked_at_is_refused_in_virtual_time(boot_one, polled):
    with pytest.raises(pylibos.PylibosError, match="needs a world with a real-time clock"):
        polled(boot_one())


# --- Threads that run a world ---


@pytest.mark.parametrize("wait", WAITS)
def test_thread_leads_and_others_follow(boot_one, wait):
    kernel, thread = served(boot_one, wait)
    before = cpu_ns_of(thread)
    with (
        kernel.create_server(("127.0.0.1", 0)) as server,
        kernel.create_connection(server.getsockname()) as client,
        server.accept()[0] as peer,
    ):
        data = os.urandom(3_000_000)
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        received = bytearray()
        while len(received) < len(data):
            received += peer.recv(65536)
        sender.join()
    assert received == data
    assert thread.alive()
    assert cpu_ns_of(thread) > before


@pytest.mark.parametrize("wait", WAITS)
def test_stop_ends_the_thread_and_the_world_goes_on(boot_one, wait):
    kernel, thread = served(boot_one, wait)
    thread.stop()
    assert not thread.alive()
    thread.stop()
    kernel.sleep(0.001)
    with kernel.world.run_thread() as again:
        kernel.sleep(0.001)
        assert again.alive()
    assert not again.alive()


def test_end_of_a_kernel_ends_its_thread(boot_one):
    kernel, thread = served(boot_one, "busy")
    kernel.halt()
    assert not thread.alive()


def test_thread_takes_over_from_one_that_leads(boot_one):
    kernel = boot_one(clock="real")
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        blocked = threading.Thread(target=sock.recv, args=(9,))
        blocked.start()
        with kernel.world.run_thread() as thread, kernel.socket(type=socket.SOCK_DGRAM) as other:
            other.settimeout(0.001)
            before = cpu_ns_of(thread)
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    other.recv(1)
            assert cpu_ns_of(thread) > before
            other.sendto(b"end", sock.getsockname())
            blocked.join()


@pytest.mark.parametrize("wait", WAITS)
def test_wake_reaches_one_that_follows(boot_one, wait):
    """A callback's error comes out of the call that waits, not of the thread that runs."""
    kernel, thread = served(boot_one, wait)
    requests = []

    def take(frame):
        if frame[12:14] == b"\x08\x06":  # ARP
            requests.append(threading.get_native_id())
            if len(requests) == 2:  # the first is sent by the call that asks for it
                raise ArithmeticError("in a callback")

    device = kernel.add_device(take, name="eth0")
    device.up()
    kernel.sysctl["net.ipv4.neigh.eth0.retrans_time_ms"] = 10
    with kernel.iproute() as ip:
        ip.addr("add", index=device.index, address="10.0.0.1", prefixlen=24)
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("10.0.0.2", 9))
        with pytest.raises(ArithmeticError, match="in a callback"):
            kernel.sleep(20)
    assert requests[1] == thread.native_id
    assert thread.alive()


def test_process_may_end_while_a_thread_runs_a_world(one_build):
    """Its log goes to Python, which must not be called once the interpreter is gone."""
    script = f"""
        import pylibos
        kernel = pylibos.boot(
            clock="real", wait="busy", log=lambda level, text: None, **{one_build.options!r}
        )
        device = kernel.add_device(lambda frame: None, name="eth0")
        device.up()
        kernel.world.run_thread()
        print(kernel.syscall("getpid") > 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_call_is_interrupted_even_if_the_serving_thread_is_late():
    """A wait for it ends after a slice of time; a call left in flight would block its task."""
    answers = [_abi.PLH_SIGNAL, _abi.PLH_SIGNAL, _abi.PLH_OK]

    def interrupt(handle, task, result):
        status = answers.pop(0)
        if status == _abi.PLH_OK:
            result._obj.value = 7
        return status

    hub = object.__new__(Hub)
    hub._library = SimpleNamespace(plh_interrupt=interrupt)
    assert hub._interrupt(SimpleNamespace(handle=1), 2) == 7
    assert not answers


def test_second_thread_is_refused(boot_one):
    kernel, _ = served(boot_one, "epoll")
    with pytest.raises(pylibos.ThreadError, match="runs this world already"):
        kernel.world.run_thread()


@pytest.mark.parametrize("clock", ["virtual", time.monotonic_ns])
def test_thread_for_another_clock_is_refused(clock):
    with pylibos.World(clock) as world:
        with pytest.raises(ValueError, match="clock='real' only"):
            world.run_thread()


# --- Processors ---


def test_thread_stays_on_its_processor(boot_one):
    cpu = max(os.sched_getaffinity(0))
    kernel = boot_one(clock="real", cpu=cpu)
    with kernel.world.run_thread() as thread:
        kernel.sleep(0.001)
        assert thread.cpu == cpu
        assert os.sched_getaffinity(thread.native_id) == {cpu}


def test_world_keeps_the_thread_that_runs_it_on_its_processor_for_as_long(boot_one):
    before = os.sched_getaffinity(0)
    cpu = min(before)
    kernel = boot_one(clock="real", cpu=cpu)
    seen = []
    kernel.spawn(lambda: seen.append(os.sched_getaffinity(0)))
    kernel.world.run_for(1_000_000)
    assert seen == [{cpu}]
    assert os.sched_getaffinity(0) == before


def test_processor_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"cpu is one of those .* not 4095"):
        pylibos.World("real", cpu=4095)


# --- What is refused ---


def test_unknown_way_to_wait_is_refused():
    with pytest.raises(ValueError, match="waits by 'epoll', 'busy' or 'adaptive', not 'sleepy'"):
        pylibos.World("real", wait="sleepy")


@pytest.mark.parametrize("clock", ["virtual", time.monotonic_ns])
@pytest.mark.parametrize("wait", OTHERS)
def test_polling_with_another_clock_is_refused(clock, wait):
    with pytest.raises(ValueError, match="needs clock='real'"):
        pylibos.World(clock, wait=wait)


@pytest.mark.parametrize("spin_us", [0, -1, 1e7, float("nan")])
def test_time_to_look_around_has_limits(spin_us):
    with pytest.raises(ValueError, match="spin_us is above 0"):
        pylibos.World("real", wait="adaptive", spin_us=spin_us)


def test_way_to_wait_of_a_given_world_is_its_own(one_build):
    with pylibos.World("real") as world, pytest.raises(ValueError, match="belong to the world"):
        pylibos.boot(world=world, wait="busy", **one_build.options)
