# SPDX-License-Identifier: GPL-2.0-only
"""Kernel parameters as a mapping."""

from __future__ import annotations

import pytest


def test_parameter_can_be_set_and_read(kernel):
    kernel.sysctl["net.ipv4.ip_forward"] = 1
    assert kernel.sysctl["net.ipv4.ip_forward"] == "1"
    assert kernel.read_text("/proc/sys/net/ipv4/ip_forward") == "1\n"
    kernel.sysctl["net.ipv4.ip_forward"] = False
    assert kernel.sysctl["net.ipv4.ip_forward"] == "0"


def test_several_values_are_one_line(kernel):
    kernel.sysctl["net.ipv4.tcp_rmem"] = (4096, 100000, 200000)
    assert kernel.sysctl["net.ipv4.tcp_rmem"] == "4096 100000 200000"


def test_slashes_name_interfaces_with_dots(kernel):
    assert (
        kernel.sysctl["net/ipv4/conf/lo/forwarding"] == kernel.sysctl["net.ipv4.conf.lo.forwarding"]
    )


def test_all_parameters_are_listed(kernel):
    names = list(kernel.sysctl)
    assert len(names) == len(set(names)) == len(kernel.sysctl)
    assert "net.ipv4.ip_forward" in names
    assert "net.ipv6.conf.all.forwarding" in kernel.sysctl
    assert 7 not in kernel.sysctl


def test_unknown_parameter_is_a_key_error(kernel):
    with pytest.raises(KeyError, match="no parameter 'net.ipv4.nothing'"):
        kernel.sysctl["net.ipv4.nothing"]
    with pytest.raises(KeyError, match="no parameter 'net.ipv4.nothing'"):
        kernel.sysctl["net.ipv4.nothing"] = 1
    with pytest.raises(KeyError, match="is a group"):
        kernel.sysctl["net.ipv4"]
    assert "net.ipv4.nothing" not in kernel.sysctl


@pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "net/../../x"])
def test_names_that_lead_elsewhere_are_refused(kernel, name):
    with pytest.raises(KeyError, match="is no name of a kernel parameter"):
        kernel.sysctl[name]


def test_value_that_the_kernel_refuses(kernel):
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.sysctl["net.ipv4.tcp_ecn"] = "many"


def test_parameter_cannot_be_deleted(kernel):
    with pytest.raises(TypeError, match="cannot be deleted"):
        del kernel.sysctl["net.ipv4.ip_forward"]
