# SPDX-License-Identifier: GPL-2.0-only
"""Runs CPython's own socket tests (test.test_socket) on the sockets of a library kernel.

python cpython_suite.py KERNEL PROFILE
"""

from __future__ import annotations

import os
import select
import socket
import sys
import tempfile
import unittest
from pathlib import Path

import pylibos

# Tests that need descriptors or files of the host behind a socket's number, hardware
# families, or a resolver.
UNFIT = {
    "BasicVSOCKTest": None,
    "ThreadedVSOCKSocketStreamTest": None,
    "LinuxKernelCryptoAPI": None,
    "BasicCANTest": None,
    "CANTest": None,
    "ISOTPTest": None,
    "J1939Test": None,
    "BasicRDSTest": None,
    "RDSTest": None,
    "BasicBluetoothTest": None,
    "BasicQIPCRTRTest": None,
    "InheritanceTest": {"test_get_inheritable_cloexec", "test_set_inheritable_cloexec"},
    "NonBlockingTCPTests": {"testInitNonBlocking", "testSetBlocking", "testSetBlocking_overflow"},
    "NonblockConstantTest": {"test_SOCK_NONBLOCK"},
    "NetworkConnectionNoServer": {"test_create_connection_timeout"},
    "SendRecvFdsTests": None,
    "TestUnixDomain": {"testStrAddr", "testUnencodableAddr"},
    "GeneralModuleTests": {
        "test__sendfile_use_sendfile",
        "test_socket_close",
        "test_socket_fileno_requires_socket_fd",
        "test_socket_fileno_rejects_other_fd",
        "test_getnameinfo",
        "test_getaddrinfo_ipv6_basic",
        "test_getaddrinfo_ipv6_scopeid_symbolic",
    },
}
# Classes that hand descriptors of the host over by SCM_RIGHTS.
UNFIT_PARTS = ("SCMRights", "TIPC", "SocketPath")


def make_socket_class(kernel: pylibos.Kernel) -> type:
    """A class for ``socket.socket``: made without naming the kernel."""

    class Everywhere(type):
        def __instancecheck__(cls, item: object) -> bool:
            return isinstance(item, pylibos.Socket)

    class KernelSocket(pylibos.Socket, metaclass=Everywhere):
        def __init__(self, family=-1, type=-1, proto=-1, fileno=None):  # noqa: A002
            super().__init__(kernel, family, type, proto, fileno)

    return KernelSocket


def mirror_folders(kernel: pylibos.Kernel) -> None:
    """Make the folders of AF_UNIX tests in the kernel's file system, too."""

    def make(path: str) -> None:
        if not kernel.exists(path):
            make(os.path.dirname(path))  # noqa: PTH120 - a path of the kernel
            kernel.mkdir(path)

    make_folder = tempfile.mkdtemp

    def mkdtemp(*args, **options):
        path = make_folder(*args, **options)
        make(path)
        return path

    tempfile.mkdtemp = mkdtemp
    make(str(Path.cwd()))


def speaks(kernel: pylibos.Kernel, kind: int, protocol: int) -> bool:
    """Whether a kernel has a protocol."""
    try:
        kernel.socket(socket.AF_INET, kind, protocol).close()
    except OSError:
        return False
    return True


def fits(test: unittest.TestCase, kernel: pylibos.Kernel) -> bool:
    """Whether a test can run on a library kernel."""
    name = type(test).__name__
    if any(part in name for part in UNFIT_PARTS):
        return False
    if "UDPLITE" in name and not speaks(kernel, socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE):
        return False
    return name not in UNFIT or (
        UNFIT[name] is not None and test._testMethodName not in UNFIT[name]
    )


def flatten(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    return [
        test
        for item in suite
        for test in (flatten(item) if isinstance(item, unittest.TestSuite) else [item])
    ]


def main() -> int:
    kernel = pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], clock="real")
    from test import test_socket

    socket.socket = make_socket_class(kernel)
    for name in [
        "create_connection",
        "create_server",
        "socketpair",
        "fromfd",
        "has_dualstack_ipv6",
        "getaddrinfo",
        "if_nameindex",
        "if_nametoindex",
        "if_indextoname",
    ]:
        setattr(socket, name, getattr(kernel, name))
    select.select = kernel.select
    mirror_folders(kernel)
    found = flatten(unittest.defaultTestLoader.loadTestsFromModule(test_socket))
    suite = unittest.TestSuite(test for test in found if fits(test, kernel))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    print(f"ran {result.testsRun}, skipped {len(result.skipped)}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
