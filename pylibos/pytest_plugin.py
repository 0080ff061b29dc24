# SPDX-License-Identifier: GPL-2.0-only
"""pytest fixtures ``kernel`` and ``net``: the plugin loads itself where pylibos is installed.

From a checkout: ``pytest_plugins = ["pylibos.pytest_plugin"]`` in conftest.py, or
``-p pylibos.pytest_plugin``.  A test that fails shows the seed, the path of its capture, and the
end of the log of each node.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pylibos

# Of each frame in the capture of a test: enough for all headers, and little on the disk.
_SNAPLEN = 256
_LOG_LINES = 10
_CAPTURE = pytest.StashKey[Path]()
_SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the kernel, the seed and what is kept."""
    group = parser.getgroup("pylibos")
    group.addoption("--pylibos-kernel", default="6.12", help="series, or path of a liblinux.so")
    group.addoption("--pylibos-profile", default="defconfig", help="defconfig, lean or debug")
    group.addoption(
        "--pylibos-seed",
        default="0",
        help="seed of all that is random in 'net' and 'kernel': a number, or 'random'",
    )
    group.addoption(
        "--pylibos-keep-captures",
        action="store_true",
        help="keep the captures of passing tests, too",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that the fixtures' users may set; settle the seed."""
    config.addinivalue_line("markers", "pylibos: needs a kernel of pylibos")
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None:  # a process of pytest-xdist takes the seed of its master
        config.stash[_SEED] = workerinput["pylibos_seed"]
        return
    text = config.getoption("--pylibos-seed")
    if text == "random":
        config.stash[_SEED] = secrets.randbelow(2**32)
    elif re.fullmatch(r"\d{1,19}", text):
        config.stash[_SEED] = int(text)
    else:
        raise pytest.UsageError(f"--pylibos-seed is a number or 'random', not {text!r}.")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist the seed."""
    node.workerinput["pylibos_seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """Name the seed."""
    return f"pylibos: seed {config.stash[_SEED]}"


def _options(config: pytest.Config) -> dict[str, Any]:
    return {
        "kernel": config.getoption("--pylibos-kernel"),
        "profile": config.getoption("--pylibos-profile"),
        "seed": config.stash[_SEED],
    }


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Iterator[pylibos.Kernel]:
    """A fresh kernel in virtual time, halted after the test."""
    with pylibos.boot(**_options(request.config), name=request.node.name) as booted:
        yield booted


@pytest.fixture
def net(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pylibos.Network]:
    """An empty network in virtual time, closed after the test; its links are captured."""
    name = re.sub(r"\W+", "-", request.node.name)[:60]
    folder = tmp_path_factory.mktemp(name)
    path = folder / "network.pcapng"
    request.node.stash[_CAPTURE] = path
    with pylibos.Network(**_options(request.config)) as network:
        network.capture(path, snaplen=_SNAPLEN)
        yield network
    failed = getattr(request.node, "pylibos_failed", False)
    if not failed and not request.config.getoption("--pylibos-keep-captures"):
        path.unlink(missing_ok=True)
        folder.rmdir()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Say what is needed to look into a failure and to repeat it."""
    report = yield
    if report.when != "call" or not report.failed:
        return report
    item.pylibos_failed = True  # type: ignore[attr-defined]
    arguments = getattr(item, "funcargs", {})
    lines: list[str] = []
    for network in (value for value in arguments.values() if isinstance(value, pylibos.Network)):
        lines.append(f"{network!r} at {network.now_ns / 1e9:.9f} s")
        for node in network.nodes.values():
            lines += _end_of_log(node)
    for booted in (value for value in arguments.values() if isinstance(value, pylibos.Kernel)):
        lines += _end_of_log(booted)
    if lines:
        lines.insert(0, f"repeat with --pylibos-seed={item.config.stash[_SEED]}")
        if _CAPTURE in item.stash:
            lines.insert(1, f"capture: {item.stash[_CAPTURE]}")
        report.sections.append(("pylibos", "\n".join(lines)))
    return report


def _end_of_log(kernel: pylibos.Kernel) -> list[str]:
    lines = kernel.log.splitlines()[-_LOG_LINES:]
    return [f"--- log of {kernel.name} ---", *lines]
