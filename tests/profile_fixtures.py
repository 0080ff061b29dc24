# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of test_profile*.py: one kernel for all tests of a file, since they only add things."""

from __future__ import annotations

import socket

import pytest
from kernel_builds import builds

import pylibos


@pytest.fixture(scope="module", params=[b for b in builds() if b.profile == "defconfig"], ids=str)
def kernel(request):
    """One kernel of each default build for all tests of this file."""
    with pylibos.boot(**request.param.options) as kernel:
        kernel.sysctl["net.ipv4.ping_group_range"] = "0 0"
        kernel.sysctl["net.mpls.platform_labels"] = 1000
        yield kernel


@pytest.fixture(scope="module")
def ip(kernel):
    """pyroute2's view of it."""
    with kernel.iproute() as ip:
        yield ip


@pytest.fixture(scope="module")
def device(ip):
    """The index of a device with four queues and addresses to put things on."""
    ip.link("add", ifname="below", kind="dummy", num_tx_queues=4, num_rx_queues=4, state="up")
    (index,) = ip.link_lookup(ifname="below")
    ip.addr("add", index=index, address="10.9.0.1", prefixlen=24)
    ip.addr("add", index=index, address="fd09::1", prefixlen=64, family=socket.AF_INET6)
    return index
