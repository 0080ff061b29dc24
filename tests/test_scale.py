# SPDX-License-Identifier: GPL-2.0-only
"""Many kernels in one process."""

from __future__ import annotations

import itertools
import re
import socket
from pathlib import Path

import pytest

import pylibos

# Of each kernel; the text is shared, the rest is each kernel's own.
MEMORY_BYTES = 16 << 20


def resident_text_kib(path):
    """Pages of a file's code in memory, and those of them that are private copies, in KiB."""
    text = Path("/proc/self/smaps").read_text()
    shared = copied = 0
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text):
        head, _, rest = mapping.partition("\n")
        if str(path) in head and " r-x" in head:
            sizes = dict(re.findall(r"^(\w+): +(\d+) kB", rest, re.MULTILINE))
            shared += int(sizes["Pss"])
            copied += int(sizes["Private_Dirty"])
    return shared, copied


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thousand_nodes_live_in_one_process(one_build):
    with pylibos.Network(memory=MEMORY_BYTES, **one_build.options) as net:
        nodes = [net.node(f"n{number}") for number in range(1000)]
        for group in tens(nodes):
            for first, second in itertools.pairwise(group):
                net.link(first, second, delay_ms=1)
        net.route_all()
        receivers = []
        for start in range(0, 1000, 10):
            receiver = nodes[start + 9].socket(socket.AF_INET6, socket.SOCK_DGRAM)
            receiver.bind(("::", 7))
            receivers.append(receiver)
            with nodes[start].socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"%d" % start, (nodes[start + 9].ip6, 7))
        net.run_for(10**9)
        for number, receiver in enumerate(receivers):
            receiver.setblocking(False)
            assert receiver.recv(10) == b"%d" % (10 * number)
            receiver.close()
        shared, copied = resident_text_kib(nodes[0].image.path)
        assert 0 < shared < 20_000
        assert copied == 0


def tens(nodes):
    return [nodes[start : start + 10] for start in range(0, len(nodes), 10)]
