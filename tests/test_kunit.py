# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own KUnit suites, run at boot in this process (the debug profile)."""

from __future__ import annotations

import re
from functools import cache

import pytest
from kernel_builds import DEBUG, builds

import pylibos

SUITES = [
    "example_init",
    "time_test_cases",
    "resource",
    "sysctl_test",
    "string",
    "string_helpers",
    "cpumask",
    "hash",
    "list_sort",
    "lib_sort",
    "kunit_executor_test",
    "kunit-try-catch-test",
    "kunit-resource-test",
    "kunit-log-test",
    "kunit_status",
    "kunit_current",
    "kunit_device",
    "kunit_fault",
    "kunit_platform_device",
    "kunit_platform_driver",
    "string-stream-test",
    "kunit-assert",
    "example",
    "bitfields",
    "checksum",
    "list-kunit-test",
    "hlist",
    "klist",
    "hashtable",
    "linear-ranges-test",
    "bits-test",
    "cmdline",
    "slub_test",
    "memcpy",
    "is_signed_type",
    "overflow",
    "stackinit",
    "siphash",
    "usercopy",
    "dev-addr-list-test",
    "net_core",
    "mptcp-crypto",
    "mptcp-token",
]

pytestmark = [pytest.mark.kunit, pytest.mark.kernel]
_RESULT = re.compile(r"(?P<indent> *)(?P<word>ok|not ok) \d+ (?P<name>[^#]+?)(?: # (?P<note>.*))?$")


@cache
def results() -> dict[str, tuple[str, list[str]]]:
    """Boot with all suites; the outcome of each and its lines of KTAP."""
    build = next((build for build in builds() if build.profile == DEBUG), None)
    if build is None:
        pytest.skip("No debug profile is built; run 'make PROFILE=debug liblinux.so'.")
    pieces: list[str] = []
    with pylibos.boot(
        **build.options,
        memory=256 << 20,
        cmdline="kunit.enable=1",
        log=lambda _level, text: pieces.append(text),
    ):
        log = "".join(pieces)
    found: dict[str, tuple[str, list[str]]] = {}
    lines: list[str] = []
    for record in log.splitlines():
        line = record.partition("] ")[2]
        lines.append(line)
        match = _RESULT.match(line)
        if match and not match["indent"]:
            skipped = (match["note"] or "").startswith("SKIP")
            found[match["name"]] = ("skip" if skipped else match["word"], lines)
            lines = []
    return found


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes(suite):
    if suite not in results():
        pytest.skip("This kernel has no such suite.")
    outcome, lines = results()[suite]
    if outcome == "skip":
        pytest.skip("The suite skips itself.")
    assert outcome == "ok", "\n".join(lines)


def test_no_suite_is_missing_from_the_list():
    assert set(results()) <= set(SUITES)


def test_most_suites_are_there():
    assert len(results()) >= 30
