# SPDX-License-Identifier: GPL-2.0-only
"""The list of all figures, with the goals that the project has set itself."""

from __future__ import annotations

from benchmarks.build_time import build
from benchmarks.figure import Figure, Measurement, Setting
from benchmarks.from_c import run_program
from benchmarks.from_devices import added_delay, bulk_tcp, router_on, send_on
from benchmarks.from_dpdk import dpdk_router
from benchmarks.from_network import (
    chains,
    dce_scaling,
    idle_hour,
    network_create,
    round_trip_nodes,
    thousand_kernels,
)
from benchmarks.from_programs import (
    program_call,
    program_iperf3,
    program_redis,
    program_start,
)
from benchmarks.from_python import (
    boot_python,
    null_call_python,
    smallest_memory,
    socket_round_trip_python,
)


def _boot(setting: Setting) -> list[Measurement]:
    found = []
    for name, image in (("lean", setting.lean), ("default", setting.default)):
        if image is not None:
            found += run_program("boot", image, f"_{name}")
    return found


def _from_c(name: str) -> Figure:
    about, goals = _C[name]
    return Figure(name, about, lambda setting: run_program(name, setting.image()), goals)


_C: dict[str, tuple[str, dict[str, float]]] = {
    "null_call": (
        "getppid() from C, virtual and real clock",
        {"null_call_virtual": 25, "null_call_real": 40},
    ),
    "udp_loopback": ("send and receive 64 bytes over UDP loopback", {"udp_loopback_64": 550}),
    "pipe_ping_pong": ("one byte there and back between two tasks", {"pipe_ping_pong": 1000}),
    "tcp_loopback": ("bulk over TCP loopback", {"tcp_loopback_256k": 80}),
    "udp_three_kernels": (
        "64 bytes of UDP through three kernels in a row, socket to socket",
        {"udp_three_kernels_batch": 500, "udp_three_kernels_burst": 500},
    ),
    "tcp_two_kernels": (
        "bulk TCP between two kernels, MTU 1500",
        {"tcp_two_kernels_tso": 70, "tcp_two_kernels_wire": 25, "tcp_two_kernels_plain": 20},
    ),
    "blocked_calls": ("10,000 recv() blocked at once on one host thread", {}),
}


def _router(setting: Setting) -> list[Measurement]:
    found = []
    # Flow tables and XDP are in the default profile only.
    for suffix, image in (("", setting.lean), ("_default", setting.default)):
        if image is not None:
            found += run_program("router", image, suffix)
    return found


def _on_channels() -> list[Figure]:
    found = [
        Figure(
            "router_tap_programs",
            "a router between two taps, UDP from program to program of the host",
            router_on("tap-programs"),
            {f"router_tap_programs_{size}_ratio": 0.95 for size in (64, 1024)},
        )
    ]
    for channel in ("tap", "raw", "xdp"):
        goals = {f"router_{channel}_{size}_ratio": 0.95 for size in (64, 1024)}
        about = f"a router between two ends of {channel}, against a relay without a stack"
        found.append(Figure(f"router_{channel}", about, router_on(channel), goals))
        about = f"UDP of 64 bytes from one socket through {channel}, against the channel alone"
        goals = {f"send_{channel}_64_ratio": 0.9}
        found.append(Figure(f"send_{channel}", about, send_on(channel), goals))
    return found


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "boot",
            "load and boot, from C; memory of a further kernel",
            _boot,
            {"boot_lean": 4000, "boot_default": 10_000},
        ),
        Figure(
            "boot_python",
            "pylibos.boot(), from Python",
            boot_python,
            {"boot_python_default": 15},
        ),
        Figure(
            "smallest_memory",
            "smallest memory that boots and moves data",
            smallest_memory,
            {"smallest_memory_lean": 4, "smallest_memory_default": 10},
        ),
        *(_from_c(name) for name in _C),
        Figure(
            "router",
            "a router alone, 64 bytes of UDP, rings in memory",
            _router,
            {
                "router_64": 130,
                "router_64_flowtable_default": 60,
                "router_64_xdp_default": 60,
                "router_64_xdp_fixed_default": 60,
            },
        ),
        Figure(
            "dpdk_router",
            "a router between ports of DPDK, 64 bytes of UDP, against a relay on the same ports",
            dpdk_router,
            {
                "dpdk_router_ring": 5,
                "dpdk_router_ring_apart": 5,
                "dpdk_router_memif": 5,
                "dpdk_router_memif_apart": 5,
            },
        ),
        Figure(
            "null_call_python",
            "a null system call, from Python",
            null_call_python,
            {"null_call_python": 1000},
        ),
        Figure(
            "socket_round_trip_python",
            "64 bytes there and back over AF_UNIX, from Python",
            socket_round_trip_python,
            {},
        ),
        Figure(
            "network_create",
            "a network of three nodes, linked and routed, made and destroyed",
            network_create,
            {"network_create_default": 40, "network_create_lean": 40},
        ),
        Figure(
            "round_trip_nodes",
            "64 bytes there and back over TCP between programs on two nodes, from Python",
            round_trip_nodes,
            {"round_trip_nodes_python": 15},
        ),
        Figure(
            "idle_hour",
            "an hour of virtual time of ten idle nodes in a row",
            idle_hour,
            {"idle_hour_default": 0.2, "idle_hour_lean": 0.2},
        ),
        Figure(
            "thousand_kernels",
            "1,000 kernels booted in one process, and the memory that they take",
            thousand_kernels,
            {
                f"thousand_kernels_{name}{what}": goal
                for name in ("default", "lean")
                for what, goal in (("", 10), ("_memory", 4))
            },
        ),
        Figure(
            "chains",
            "UDP through chains of 10, 100 and 1,000 nodes, per packet and hop",
            chains,
            {"chain_growth": 1.5},
        ),
        Figure(
            "dce_scaling",
            "DCE's scaling scenario: 202 nodes, 100 flows, 64 s of virtual time, boot included",
            dce_scaling,
            {"dce_scaling_default": 2, "dce_scaling_lean": 2},
        ),
        *_on_channels(),
        Figure(
            "ping_tap",
            "a round trip through a router between two taps, above that through a relay",
            added_delay,
            {"ping_tap_epoll_added": 15, "ping_tap_busy_added": 5},
        ),
        Figure(
            "tcp_tap",
            "bulk TCP between the host and a program on our stack, with and without offloads",
            bulk_tcp,
            {
                "tcp_tap_offload_send": 30,
                "tcp_tap_offload_receive": 25,
                **{f"tcp_tap_offload_{way}_ratio": 2 for way in ("send", "receive")},
                **{f"tcp_tap_plain_{way}_ratio": 1.3 for way in ("send", "receive")},
            },
        ),
        Figure(
            "program_call",
            "a network system call of an unmodified program on a stack, and natively",
            program_call,
            {"program_call": 8000},
        ),
        Figure(
            "program_start",
            "what 'pylibos run' adds to the time of 'true'",
            program_start,
            {"program_start_added": 50},
        ),
        Figure(
            "program_redis",
            "redis-server on a stack, 50 connections of redis-benchmark; over veth natively",
            program_redis,
            {"program_redis_ratio": 0.6},
        ),
        Figure(
            "program_iperf3",
            "iperf3 on a stack sends through a tap; over veth natively",
            program_iperf3,
            {"program_iperf3_send_ratio": 1.0},
        ),
        Figure(
            "build",
            "a clean build on all cores, without a compiler cache (by name only)",
            build,
            {"build_default": 480, "build_lean": 210},
            by_name_only=True,
        ),
    )
}
