# SPDX-License-Identifier: GPL-2.0-only
"""The box in the middle: a process that routes by our stack, or sends from its socket.

Run as a program it is a worker. It routes until a command comes, a line on standard input, and
answers by a line of JSON:

* ``send SIZE BATCH MS``: UDP to the neighbour, in calls of so many datagrams;
* ``ask COUNT GAP_US SIZE``: datagrams that the neighbour sends back, one by one;
* ``take MS``, ``give MS``: bulk TCP with the neighbour, see bulk.py;
* ``stats``: counters of the devices and the kernel, and its memory.

With ``host`` instead of devices it is an application on the host's own stack, and does not
route. All loops are in C; Python only waits for commands, 20 times a second.
"""

from __future__ import annotations

import argparse
import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
from typing import Any

from benchmarks.paper import bulk

SLICE_NS = 50_000_000
NEIGHBOUR = ("10.0.1.1", 9001)
ANSWER_S = 0.2
SIOCSARP, ATF_COM, ATF_PERM = 0x8955, 0x02, 0x04
# Interface, address of its own, network; neighbour and where it is.
SIDES = (
    ("r0", "02:00:00:00:00:a2", "10.0.1.2/24", "10.0.1.1", "0200000000a1"),
    ("r1", "02:00:00:00:00:b1", "10.0.2.1/24", "10.0.2.2", "0200000000b2"),
)


class Sent(ctypes.Structure):
    """struct sent of socket_loops.c."""

    _fields_ = (
        ("sent", ctypes.c_uint64),
        ("refused", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("errno", ctypes.c_int64),
    )


class Asked(ctypes.Structure):
    """struct asked of socket_loops.c."""

    _fields_ = (
        ("lost", ctypes.c_uint64),
        ("min_us", ctypes.c_double),
        ("p50_us", ctypes.c_double),
        ("p90_us", ctypes.c_double),
        ("p99_us", ctypes.c_double),
        ("max_us", ctypes.c_double),
    )


def _members(record: ctypes.Structure) -> dict[str, Any]:
    return {name: getattr(record, name) for name, *_ in record._fields_}


class HostStack(bulk.HostCaller):
    """An application on the host's own kernel."""

    def __init__(self) -> None:
        super().__init__()
        self._socket = self._new_socket()
        timeout = struct.pack("qq", 0, round(ANSWER_S * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self._socket.connect(NEIGHBOUR)

    def _new_socket(self) -> Any:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _connection(self) -> Any:
        return socket.create_connection((NEIGHBOUR[0], bulk.PORT), bulk.WAIT_S)

    def send(self, size: int, batch: int, ms: int) -> dict[str, Any]:
        """Send for a while; see send_loop()."""
        sent = Sent()
        counts = ctypes.c_uint32(size), ctypes.c_uint32(batch), ctypes.c_uint64(ms)
        self.run("send_loop", sent, self._socket.fileno(), *counts)
        if sent.errno:
            raise OSError(-sent.errno, os.strerror(-sent.errno))
        return _members(sent)

    def ask(self, count: int, gap_us: int, size: int) -> dict[str, Any]:
        """Ask and wait for answers; see ask_loop()."""
        asked = Asked()
        counts = ctypes.c_uint32(size), ctypes.c_uint64(count), ctypes.c_uint64(gap_us)
        self.run("ask_loop", asked, self._socket.fileno(), *counts)
        return {"count": count} | _members(asked)

    def take(self, _ms: int) -> dict[str, Any]:
        """Read what the neighbour gives."""
        with self._connection() as conn:
            return bulk.take(self, conn)

    def give(self, ms: int) -> dict[str, Any]:
        """Write to the neighbour."""
        with self._connection() as conn:
            return bulk.give(self, conn, ms)

    def stats(self) -> dict[str, Any]:
        """Nothing to tell of the host."""
        return {}

    def idle(self) -> None:
        """Wait for the next command."""
        select.select([0], [], [])


class OurStack(HostStack):
    """A kernel of ours with two devices, which routes between them.

    Args:
        kernel, profile: of the image.
        devices: two device specs, or one for an application only.
        wait: how the world waits, None for the default.
    """

    def __init__(self, kernel: str, profile: str, devices: list[str], wait: str | None) -> None:
        import pylibos

        options: dict[str, Any] = {} if wait is None else {"wait": wait}
        world = pylibos.World("real", **options)
        self.kernel = pylibos.boot(kernel=kernel, profile=profile, world=world)
        self.devices = [
            self.kernel.open_device(spec, name=side[0], mac=side[1])
            for spec, side in zip(devices, SIDES, strict=False)
        ]
        for device, side in zip(self.devices, SIDES, strict=False):
            self._configure(device, *side[2:])
        self.kernel.sysctl["net.ipv4.ip_forward"] = 1
        # Nothing leaves but what is measured.
        self.kernel.sysctl["net.ipv6.conf.all.disable_ipv6"] = 1
        super().__init__()

    def _configure(self, device: Any, network: str, neighbour: str, lladdr: str) -> None:
        from pylibos import _netlink

        device.up()
        _netlink.add_address(self.kernel, device.index, ipaddress.ip_interface(network))
        address = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(neighbour))
        # struct arpreq: protocol address, hardware address, flags, mask, interface.
        request = address + struct.pack(
            "=H6s8xi16x16s", 0, bytes.fromhex(lladdr), ATF_COM | ATF_PERM, device.name.encode()
        )
        with self.kernel.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            self.kernel.syscall("ioctl", control.fileno(), SIOCSARP, request)

    def _new_socket(self) -> Any:
        return self.kernel.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _connection(self) -> Any:
        return self.kernel.create_connection((NEIGHBOUR[0], bulk.PORT), bulk.WAIT_S)

    def run(self, name: str, result: ctypes.Structure, fd: int, *counts: Any) -> None:
        """Run a loop of socket_loops.c on a descriptor of our stack."""
        world, machine = self.kernel.world, self.kernel._machine
        library = world._library
        kernel, task = ctypes.c_void_p(machine.open_handle), ctypes.c_void_p(self.kernel._leader)
        loop = getattr(self._loops, name)
        # The loops wait in C: nothing of Python is to look for signals meanwhile.
        library.plh_world_set_slice(world.open_handle, 0)
        try:
            loop(library.plh_call6, kernel, task, fd, *counts, ctypes.byref(result))
        finally:
            library.plh_world_set_slice(world.open_handle, SLICE_NS)

    def stats(self) -> dict[str, Any]:
        """Counters of devices, interfaces and IP; memory of the kernel."""
        with self.kernel.open("/proc/meminfo") as file:
            memory = dict(line.split(":") for line in file.read().splitlines())
        counters = self.kernel.counters()
        return {
            "devices": [vars(device.stats()) for device in self.devices],
            "counters": {name: counters[name] for name in counters},
            "free_kib": int(memory["MemFree"].split()[0]),
            "slab_kib": int(memory["Slab"].split()[0]),
            "now_ns": self.kernel.world.now_ns,
        }

    def idle(self) -> None:
        """Route, until a command comes."""
        while not select.select([0], [], [], 0)[0]:
            self.kernel.world.run_for(SLICE_NS)


def serve(stack: HostStack) -> None:
    """Obey commands until standard input ends."""
    while True:
        stack.idle()
        words = os.read(0, 1000).decode().split()
        if not words:
            return
        name, numbers = words[0], [int(word) for word in words[1:]]
        try:
            answer = getattr(stack, name)(*numbers)
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper.box", description=__doc__)
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--kernel", default="6.12")
    parser.add_argument("--profile", default="lean")
    parser.add_argument("--wait", help="how the world waits, such as busy")
    parser.add_argument("devices", nargs="+", metavar="SPEC", help="device specs, or 'host'")
    options = parser.parse_args()
    _die_with_parent()
    os.sched_setaffinity(0, {options.core})
    if options.devices == ["host"]:
        stack = HostStack()
    else:
        stack = OurStack(options.kernel, options.profile, options.devices, options.wait)
    print('{"ready": true}', flush=True)
    serve(stack)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, 9)


if __name__ == "__main__":
    main()
