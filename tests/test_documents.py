# SPDX-License-Identifier: GPL-2.0-only
"""What the documents show works as shown."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

import pylibos

TOP = Path(__file__).resolve().parent.parent


def test_readme_python_runs(build, monkeypatch, capsys):
    monkeypatch.setattr(pylibos, "boot", functools.partial(pylibos.boot, **build.options))
    blocks = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert f"hello from Linux {build.kernel.split('-')[0]}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["programs.md"])
def test_blocks_of_a_page_run_in_order(build, monkeypatch, name):
    for kind in ("boot", "Network"):
        monkeypatch.setattr(
            pylibos, kind, functools.partial(getattr(pylibos, kind), **build.options)
        )
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (TOP / "docs" / name).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), names)


def test_links_between_documents_lead_somewhere():
    missing = []
    for document in [*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            if not (document.parent / target).exists():
                missing.append(f"{document.name}: {target}")
    assert not missing
