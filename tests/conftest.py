# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures: kernels of every build that is to be tested.

``PYLIBOS_BUILDS`` names the builds ("6.12-defconfig 7.3-lean"); ``make test`` sets it.  Without
it all builds that are there count.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from kernel_builds import DEBUG, Build, builds, main_builds
from tls_cases import TLS_PORT, wrap_both

import pylibos

# Tests that start a Python of their own find the checkout's package there.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")])
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_build" in metafunc.fixturenames:
        chosen = [build for build in builds() if build.profile != DEBUG]
        metafunc.parametrize("any_build", chosen or [None], ids=str, indirect=True)
    if "build" in metafunc.fixturenames:
        metafunc.parametrize("build", main_builds() or [None], ids=str, indirect=True)
    if "one_build" in metafunc.fixturenames:
        metafunc.parametrize("one_build", main_builds()[:1] or [None], ids=str, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        if {"build", "any_build", "one_build"} & set(names):
            item.add_marker(pytest.mark.kernel)


def _need(build: Build | None) -> Build:
    if build is None:
        pytest.fail("No kernel is built; run 'make liblinux.so'.")
    return build


@pytest.fixture
def build(request: pytest.FixtureRequest) -> Build:
    """One build of each kernel."""
    return _need(request.param)


@pytest.fixture
def any_build(request: pytest.FixtureRequest) -> Build:
    """Every build but debug ones."""
    return _need(request.param)


@pytest.fixture
def one_build(request: pytest.FixtureRequest) -> Build:
    """The default build only, for what does not depend on the kernel."""
    return _need(request.param)


@pytest.fixture
def boot(build: Build) -> Iterator[Callable[..., pylibos.Kernel]]:
    """boot() of a build; its kernels are halted at the end."""
    yield from _booter(build)


@pytest.fixture
def boot_one(one_build: Build) -> Iterator[Callable[..., pylibos.Kernel]]:
    """boot() of the default build."""
    yield from _booter(one_build)


def _booter(build: Build) -> Iterator[Callable[..., pylibos.Kernel]]:
    kernels: list[pylibos.Kernel] = []

    def start(**options: Any) -> pylibos.Kernel:
        kernel = pylibos.boot(**{**build.options, **options})
        kernels.append(kernel)
        return kernel

    yield start
    for kernel in reversed(kernels):
        kernel.halt()


@pytest.fixture
def kernel(boot: Callable[..., pylibos.Kernel]) -> pylibos.Kernel:
    """A fresh kernel in virtual time."""
    return boot()


@pytest.fixture
def pair(
    boot: Callable[..., pylibos.Kernel],
) -> Iterator[tuple[pylibos.Kernel, pylibos.Kernel, pylibos.Link]]:
    """Two kernels of one virtual world, and a link of 10 ms between them."""
    with pylibos.World(seed=1) as world:
        a, b = boot(world=world, name="a"), boot(world=world, name="b")
        link = a.link_to(b, subnet=["10.0.0.0/24", "fd00::/64"], delay_ms=10)
        yield a, b, link


def _sockets_of_the_host() -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    return sorted(name for name in found if name.startswith(("socket:", "anon_inode:")))


@pytest.fixture
def nodes(
    boot: Callable[..., pylibos.Kernel],
) -> Iterator[tuple[pylibos.Kernel, pylibos.Kernel]]:
    """Kernels named a and b, 10 ms apart, whose neighbours know each other.

    Afterwards no descriptor may be left open in them, and none was opened on the host.
    """
    with pylibos.World(seed=1) as world:
        a, b = boot(world=world, name="a"), boot(world=world, name="b")
        a.link_to(b, subnet=["10.0.0.0/24", "fd00::/64"], delay_ms=10)
        world.hosts.update(a=["10.0.0.1", "fd00::1"], b=["10.0.0.2", "fd00::2"])
        world.run_for(5_000_000_000)  # until the IPv6 addresses are known to be unique
        for family, address in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
            with a.socket(family) as probe, pytest.raises(ConnectionRefusedError):
                probe.connect((address, 9))
        before = _sockets_of_the_host(), [kernel.listdir("/proc/self/fd") for kernel in (a, b)]
        yield a, b
        after = _sockets_of_the_host(), [kernel.listdir("/proc/self/fd") for kernel in (a, b)]
        assert after == before, "descriptors left open"


@pytest.fixture(scope="session")
def authority() -> Any:
    """A certificate authority that nobody knows yet."""
    return trustme.CA()


@pytest.fixture
def server_context(authority: Any) -> ssl.SSLContext:
    """For a server on b."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("b", "10.0.0.2").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: Any) -> ssl.SSLContext:
    """For a client that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def connected(nodes: Any) -> tuple[pylibos.Socket, pylibos.Socket]:
    """A plain connection from a to b, and the peer's end."""
    a, b = nodes
    with b.create_server(("", TLS_PORT)) as server:
        client = a.create_connection(("b", TLS_PORT))
        peer, _ = server.accept()
    return client, peer


@pytest.fixture
def pair_of_tls(
    nodes: Any, connected: Any, client_context: Any, server_context: Any
) -> Iterator[tuple[Any, Any]]:
    """A TLS connection from a to b, and the peer's end."""
    client, peer = wrap_both(nodes, connected, client_context, server_context)
    with client, peer:
        yield client, peer


def _replaced() -> list[Any]:
    """What as_host() replaces while it is in use."""
    module = threading
    return [
        module.Thread.start,
        module.Lock,
        module.RLock,
        module._allocate_lock,
        module.current_thread,
        module.get_ident,
        queue.SimpleQueue,
    ]


@pytest.fixture
def host(kernel: pylibos.Kernel) -> Iterator[pylibos.Kernel]:
    """A kernel that is the host; no thread of the real host may be started meanwhile."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    before = _replaced()
    with kernel.as_host():
        yield kernel
        assert len(list(Path("/proc/self/task").iterdir())) == threads
    assert _replaced() == before
