# SPDX-License-Identifier: GPL-2.0-only
"""pytest fixtures: load it by ``pytest_plugins = ["pylibos.pytest_plugin"]`` or ``-p``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pylibos


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the kernel."""
    group = parser.getgroup("pylibos")
    group.addoption("--pylibos-kernel", default="6.12", help="series, or path of a liblinux.so")
    group.addoption("--pylibos-profile", default="defconfig", help="defconfig, lean or debug")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that the fixtures' users may set."""
    config.addinivalue_line("markers", "pylibos: needs a kernel of pylibos")


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Iterator[pylibos.Kernel]:
    """A fresh kernel in virtual time, halted after the test."""
    config = request.config
    with pylibos.boot(
        kernel=config.getoption("--pylibos-kernel"),
        profile=config.getoption("--pylibos-profile"),
        name=request.node.name,
    ) as booted:
        yield booted
