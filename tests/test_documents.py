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


def _with_python() -> list[str]:
    return sorted(path.name for path in TOP.glob("docs/*.md") if "```python" in path.read_text())


@pytest.mark.parametrize("name", _with_python())
def test_blocks_of_a_page_run_in_order(build, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    for maker in ("boot", "Network"):
        monkeypatch.setattr(
            pylibos, maker, functools.partial(getattr(pylibos, maker), **build.options)
        )
    names: dict[str, object] = {}
    text = (TOP / "docs" / name).read_text()
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        line = text[: match.start(1)].count("\n")
        exec(compile("\n" * line + match[1], name, "exec"), names)


def test_links_between_documents_lead_somewhere():
    missing = []
    for document in [*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            if not (document.parent / target).exists():
                missing.append(f"{document.name}: {target}")
    assert not missing
