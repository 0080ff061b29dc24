# SPDX-License-Identifier: GPL-2.0-only
"""What every protocol test starts from: a network of each kernel to test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import pylibos


@pytest.fixture
def net(build: Any) -> Iterator[pylibos.Network]:
    """An empty network in virtual time."""
    with pylibos.Network(seed=7, **build.options) as network:
        yield network
