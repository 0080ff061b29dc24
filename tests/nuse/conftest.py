# SPDX-License-Identifier: GPL-2.0-only
"""A stack for the programs of a test module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_builds import Build, main_builds

pytest.register_assert_rewrite("stack_programs")

from stack_programs import Stack  # noqa: E402


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with loopback, of the default build."""
    build: Build = main_builds()[0]
    folder: Path = tmp_path_factory.mktemp("stack")
    stack = Stack(folder, build.options)
    yield stack
    assert stack.close() == 0, stack.log.read_text()
