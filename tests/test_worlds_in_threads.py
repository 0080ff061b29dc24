# SPDX-License-Identifier: GPL-2.0-only
"""Several kernels at the same time, each in a world and a thread of its own."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import pylibos
from pylibos import _abi, _netlink

CPUS = sorted(os.sched_getaffinity(0))


def join(channel, one, other, subnet):
    """A cable between kernels of two worlds: a pair of sockets of the host, or rings in memory."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for kernel, end, address in zip((one, other), ends, subnet, strict=True):
        with end:
            if channel == "unix":
                device = kernel.add_unix(fd=end.fileno(), vnet_hdr=True)
            else:
                device = kernel.add_shm(fd=end.fileno(), listen=kernel is one)
        device.up()
        _netlink.add_address(kernel, device.index, ipaddress.ip_interface(address))


@pytest.fixture(params=["unix", "shm"])
def channel(request):
    return request.param


@pytest.fixture(params=["epoll", "busy", "adaptive"])
def chain(request, boot, channel):
    """Three kernels in a row, each in a world that a thread of its own runs, on two processors."""
    kernels = []
    for number, name in enumerate(("client", "router", "server")):
        cpu = CPUS[number % len(CPUS)]
        kernels.append(boot(clock="real", wait=request.param, cpu=cpu, name=name))
    client, router, server = kernels
    join(channel, client, router, ("10.0.1.1/24", "10.0.1.2/24"))
    join(channel, router, server, ("10.0.2.2/24", "10.0.2.1/24"))
    router.sysctl["net.ipv4.ip_forward"] = 1
    everywhere = ipaddress.ip_network("0.0.0.0/0")
    _netlink.add_route(client, everywhere, gateway=ipaddress.ip_address("10.0.1.2"))
    _netlink.add_route(server, everywhere, gateway=ipaddress.ip_address("10.0.2.2"))
    threads = [kernel.world.run_thread() for kernel in kernels]
    yield kernels
    assert all(thread.alive() for thread in threads)


def test_kernels_on_several_processors_carry_a_connection(chain):
    client, router, server = chain
    data = os.urandom(1_000_000)

    def serve(listener):
        peer, _ = listener.accept()
        with peer:
            while piece := peer.recv(1 << 18):
                peer.sendall(piece)

    with server.create_server(("", 7)) as listener, ThreadPoolExecutor() as pool:
        served = pool.submit(serve, listener)
        with client.create_connection(("10.0.2.1", 7)) as conn:
            sent = pool.submit(conn.sendall, data)
            received = bytearray()
            while len(received) < len(data):
                received += conn.recv(1 << 18)
            sent.result()
        served.result()
    assert received == data
    forwarded = router.read_text("/proc/net/snmp").splitlines()[1].split()[6]
    assert int(forwarded) > 0


def test_worlds_of_threads_stay_on_their_processors(chain):
    for number, kernel in enumerate(chain):
        (thread,) = kernel.world.threads
        assert os.sched_getaffinity(thread.native_id) == {CPUS[number % len(CPUS)]}


def transfer(world, boot, capture):
    """What crosses a bad link, in virtual time: its digest and the time it took."""
    a, b = boot(world=world, name="a"), boot(world=world, name="b")
    link = a.link_to(b, subnet="10.0.0.0/24", delay_ms=3, loss_pct=3, rate_mbit=20)
    link.capture(capture)
    with b.create_server(("", 7)) as server, a.create_connection(("10.0.0.2", 7)) as conn:
        peer, _ = server.accept()
        with peer:
            for number in range(40):
                conn.sendall(bytes([number]) * 5000)
                assert len(peer.recv(5000, socket.MSG_WAITALL)) == 5000
    return world.now_ns


def test_virtual_worlds_in_threads_run_as_they_do_alone(one_build, tmp_path):
    def run(name):
        path = tmp_path / name
        with pylibos.World(seed=5) as world:
            end_ns = transfer(
                world, lambda **options: pylibos.boot(**one_build.options, **options), path
            )
        return end_ns, hashlib.sha256(path.read_bytes()).hexdigest()

    alone = run("alone")
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, [f"thread{number}" for number in range(4)]))
    assert together == [alone] * 4


def test_kernels_boot_and_halt_in_many_threads_at_once(one_build):
    def work(number):
        for _ in range(5):
            with pylibos.boot(**one_build.options, seed=number) as kernel:
                with kernel.create_server(("127.0.0.1", 7)) as server:
                    with kernel.create_connection(("127.0.0.1", 7)) as client:
                        peer, _ = server.accept()
                        client.sendall(b"%d" % number)
                        assert peer.recv(9) == b"%d" % number
                        peer.close()
        return number

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == list(range(6))


def test_panic_in_one_world_disturbs_none_in_other_threads(boot_one):
    """A fault is caught in the thread that made it, while others are inside of their kernels."""
    steady = boot_one(clock="real", wait="busy")
    steady.world.run_thread()
    stop = threading.Event()
    counts = []

    def work():
        calls = 0
        with steady.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            while not stop.is_set():
                sock.sendto(b"x", sock.getsockname())
                assert sock.recv(9) == b"x"
                calls += 1
        counts.append(calls)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for what in (0, 1, 2):  # panic, BUG(), null dereference
            kernel = boot_one(clock="real")
            with kernel.world.run_thread(), pytest.raises(pylibos.KernelPanic):
                kernel.syscall(_abi.LL_SYS_FAIL, what, 0)
            kernel.halt()
    finally:
        stop.set()
        worker.join()
    assert counts
    assert counts[0] > 0
    assert steady.syscall("getpid") > 0
