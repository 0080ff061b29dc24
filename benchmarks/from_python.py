# SPDX-License-Identifier: GPL-2.0-only
"""What is measured from Python: boot(), a null system call, the smallest memory."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pylibos
from benchmarks.figure import Measurement, Setting, median_of


def boot_python(setting: Setting) -> list[Measurement]:
    """pylibos.boot() and halt()."""
    found = []
    for name, image in (("default", setting.default), ("lean", setting.lean)):
        if image is None:
            continue
        boots = []
        pylibos.boot(kernel=image).halt()
        for _ in range(setting.rounds):
            start = time.perf_counter_ns()
            kernel = pylibos.boot(kernel=image)
            boots.append((time.perf_counter_ns() - start) / 1e6)
            kernel.halt()
        found.append(median_of(f"boot_python_{name}", "library", "ms", boots))
    return found


def null_call_python(setting: Setting) -> list[Measurement]:
    """kernel.syscall("getppid") against os.getppid(), which does less in Python."""
    count = 2000
    found = []
    with pylibos.boot(kernel=setting.image()) as kernel:
        call = kernel.syscall
        library, native = [], []
        for _ in range(20 * setting.rounds):
            start = time.perf_counter_ns()
            for _ in range(count):
                call("getppid")
            middle = time.perf_counter_ns()
            for _ in range(count):
                os.getppid()
            end = time.perf_counter_ns()
            library.append((middle - start) / count)
            native.append((end - middle) / count)
    found.append(median_of("null_call_python", "library", "ns", library))
    found.append(median_of("null_call_python", "native", "ns", native))
    return found


def socket_round_trip_python(setting: Setting) -> list[Measurement]:
    """send() and recv() of 64 bytes over an AF_UNIX pair, there and back, one thread."""
    count = 300

    def measure(first: socket.socket, second: socket.socket) -> float:
        data = bytes(64)
        start = time.perf_counter_ns()
        for _ in range(count):
            first.send(data)
            second.recv(100)
            second.send(data)
            first.recv(100)
        return (time.perf_counter_ns() - start) / count

    with pylibos.boot(kernel=setting.image()) as kernel:
        ours, theirs = kernel.socketpair(), socket.socketpair()
        library, native = [], []
        for _ in range(20 * setting.rounds):
            library.append(measure(*ours))
            native.append(measure(*theirs))
        for sock in (*ours, *theirs):
            sock.close()
    return [
        median_of("socket_round_trip_python", "library", "ns", library),
        median_of("socket_round_trip_python", "native", "ns", native),
    ]


def _moves_data(image: Path, size: int) -> int | None:
    """Boot with an arena of a size and move data; bytes of memory in all, or None."""
    try:
        with pylibos.boot(kernel=image, memory=size) as kernel:
            stats = kernel.stats()
            with kernel.create_server(("127.0.0.1", 7)) as server:
                with kernel.create_connection(("127.0.0.1", 7)) as client:
                    peer, _ = server.accept()
                    with peer:
                        for _ in range(20):
                            client.sendall(bytes(4096))
                            left = 4096
                            while left:
                                left -= len(peer.recv(left))
            return stats.arena_bytes + stats.image_private_bytes
    except (pylibos.PylibosError, OSError):
        return None


def smallest_memory(setting: Setting) -> list[Measurement]:
    """The smallest arena that boots and moves data, with the image's private part."""
    found = []
    for name, image in (("lean", setting.lean), ("default", setting.default)):
        if image is None:
            continue
        low, high, best = 1 << 20, 64 << 20, None
        while high - low > 1 << 16:
            middle = (low + high) // 2
            total = _moves_data(image, middle)
            if total is None:
                low = middle
            else:
                high, best = middle, total
        if best is not None:
            found.append(median_of(f"smallest_memory_{name}", "library", "MB", [best / 1e6]))
    return found
