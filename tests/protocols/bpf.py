# SPDX-License-Identifier: GPL-2.0-only
"""BPF programs assembled by hand, and bpf(2) (include/uapi/linux/bpf.h)."""

from __future__ import annotations

import ctypes
import socket
import struct

import pylibos
from pylibos._netlink import RTM_NEWLINK, attribute, request

MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, PROG_LOAD = 0, 1, 2, 5
ARRAY, DEVMAP = 2, 14
SOCKET_FILTER, XDP = 1, 6
ABORTED, DROP, PASS, TX = range(4)
_IFLA_XDP, _XDP_FD, _XDP_FLAGS, _NESTED = 43, 1, 3, 0x8000
# XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
GENERIC, DRIVER = 2, 4


def op(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction."""
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


def move(register: int, value: int) -> bytes:
    """Set a register to a number."""
    return op(0xB7, register, imm=value)


EXIT = op(0x95)


def verdict(value: int) -> bytes:
    """A whole program that returns a number."""
    return move(0, value) + EXIT


def counting(map_fd: int, value: int) -> bytes:
    """Add one to entry 0 of an array, and return a number."""
    return b"".join(
        (
            op(0x62, 10, off=-4, imm=0),  # *(u32 *)(r10 - 4) = 0
            op(0xBF, 2, 10),  # r2 = r10
            op(0x07, 2, imm=-4),  # r2 += -4
            op(0x18, 1, src=1, imm=map_fd) + op(0),  # r1 = the map
            op(0x85, imm=1),  # r0 = bpf_map_lookup_elem(r1, r2)
            op(0x15, 0, off=2, imm=0),  # if r0 == 0 goto the end
            move(1, 1),
            op(0xDB, 0, 1),  # lock *(u64 *)r0 += r1
            verdict(value),
        )
    )


def send_back() -> bytes:
    """An XDP program that swaps the addresses of a frame and sends it back."""
    swap = [
        op(0x61, 5, 2, 0),  # r5 = *(u32 *)(r2 + 0)
        op(0x69, 6, 2, 4),  # r6 = *(u16 *)(r2 + 4)
        op(0x61, 7, 2, 6),
        op(0x69, 8, 2, 10),
        op(0x63, 2, 7, 0),  # *(u32 *)(r2 + 0) = r7
        op(0x6B, 2, 8, 4),
        op(0x63, 2, 5, 6),
        op(0x6B, 2, 6, 10),
        verdict(TX),
    ]
    head = [
        op(0x61, 2, 1, 0),  # r2 = ctx->data
        op(0x61, 3, 1, 4),  # r3 = ctx->data_end
        op(0xBF, 4, 2),  # r4 = r2
        op(0x07, 4, imm=14),  # r4 += 14
        op(0x2D, 4, 3, off=len(b"".join(swap)) // 8),  # if r4 > r3 goto the end
    ]
    return b"".join(head + swap) + verdict(PASS)


def _bpf(process: pylibos.Process, command: int, attributes: bytes) -> int:
    return process.syscall("bpf", command, bytearray(attributes), len(attributes))


def load(process: pylibos.Process, kind: int, code: bytes) -> int:
    """Load a program; return its descriptor.

    Raises:
        OSError: EACCES or EINVAL, the verifier refused it.
    """
    program, name = (ctypes.create_string_buffer(data) for data in (code, b"GPL"))
    addresses = ctypes.addressof(program), ctypes.addressof(name)
    attributes = struct.pack("=IIQQ", kind, len(code) // 8, *addresses) + bytes(24)
    return _bpf(process, PROG_LOAD, attributes)


def make_array(process: pylibos.Process) -> int:
    """Make an array of one number of 64 bits; return its descriptor."""
    return _bpf(process, MAP_CREATE, struct.pack("=5I", ARRAY, 4, 8, 1, 0))


def read_array(process: pylibos.Process, map_fd: int) -> int:
    """The number in an array."""
    key, value = ctypes.c_uint32(0), ctypes.c_uint64(0)
    addresses = ctypes.addressof(key), ctypes.addressof(value)
    _bpf(process, MAP_LOOKUP_ELEM, struct.pack("=IxxxxQQQ", map_fd, *addresses, 0))
    return value.value


def make_device_map(process: pylibos.Process, device: str) -> int:
    """Make a map for redirect() whose entry 0 is a device; return its descriptor."""
    fd = _bpf(process, MAP_CREATE, struct.pack("=5I", DEVMAP, 4, 4, 1, 0))
    key, value = ctypes.c_uint32(0), ctypes.c_uint32(process.if_nametoindex(device))
    addresses = ctypes.addressof(key), ctypes.addressof(value)
    _bpf(process, MAP_UPDATE_ELEM, struct.pack("=IxxxxQQQ", fd, *addresses, 0))
    return fd


def redirect(map_fd: int) -> bytes:
    """An XDP program that sends each frame to the device of a map's entry 0."""
    return b"".join(
        (
            op(0x18, 1, src=1, imm=map_fd) + op(0),  # r1 = the map
            move(2, 0),
            move(3, ABORTED),  # the verdict if there is no such entry
            op(0x85, imm=51),  # r0 = bpf_redirect_map(r1, r2, r3)
            EXIT,
        )
    )


def attach_xdp(process: pylibos.Process, program_fd: int, mode: int, device: str = "eth0") -> None:
    """Attach an XDP program, GENERIC or by the DRIVER; -1 detaches."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, process.if_nametoindex(device), 0, 0)
    inner = attribute(_XDP_FD, struct.pack("=i", program_fd))
    inner += attribute(_XDP_FLAGS, struct.pack("=I", mode))
    request(process, RTM_NEWLINK, 0, body + attribute(_IFLA_XDP | _NESTED, inner))
