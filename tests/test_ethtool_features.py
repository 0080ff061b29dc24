# SPDX-License-Identifier: GPL-2.0-only
"""Features of interfaces, read and switched as ethtool does."""

from __future__ import annotations

import pytest

from pylibos._ethtool import features, set_features


@pytest.fixture
def device(kernel):
    return kernel.add_device(lambda frame: None, name="eth0")


def test_feature_is_switched_and_read_back(kernel, device):
    before = features(kernel, "eth0")
    assert before["rx-gro"]
    assert not before["rx-udp-gro-forwarding"]
    set_features(kernel, "eth0", {"rx-gro": False, "rx-udp-gro-forwarding": True})
    after = features(kernel, "eth0")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"rx-gro", "rx-udp-gro-forwarding"}


def test_unknown_feature_is_a_key_error(kernel, device):
    with pytest.raises(KeyError, match="warp-drive"):
        set_features(kernel, "eth0", {"warp-drive": True})


def test_feature_that_the_device_lacks_cannot_be_switched_on(kernel, device):
    with pytest.raises(ValueError, match="tx-tcp-segmentation cannot be switched on"):
        set_features(kernel, "eth0", {"tx-tcp-segmentation": True})


def test_interface_that_is_not_there_is_enodev(kernel):
    with pytest.raises(OSError, match="No such device"):
        features(kernel, "none0")
