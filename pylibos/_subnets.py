# SPDX-License-Identifier: GPL-2.0-only
"""The subnets of a network's links: given, or picked; and the addresses of a link's ends."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from pylibos._errors import PylibosError
from pylibos._netlink import Interface, Network

# Where links without a subnet of their own get one from, and of what size.
_AUTO = (("10.0.0.0/8", 24), ("fd00::/48", 64))
_AUTO_SIZES = {(4, 24), (6, 64)}


class SubnetPool:
    """Remembers which subnets a network uses, and picks fresh ones."""

    def __init__(self) -> None:
        self._fresh: list[Iterator[Network]] = [
            iter(ipaddress.ip_network(text).subnets(new_prefix=length)) for text, length in _AUTO
        ]
        for pool in self._fresh:
            next(pool)  # a subnet that ends in zeros reads as if something was left out
        self._used: set[Network] = set()
        self._odd: list[Network] = []

    def take(self, subnet: str | Iterable[str] | None) -> list[Network]:
        """Return the subnets of a link; None picks one of IPv4 and one of IPv6.

        Raises:
            ValueError: a text is no subnet.
            PylibosError: none are left to pick from.
        """
        if subnet is None:
            found = [self._pick(pool) for pool in self._fresh]
        else:
            found = parse_subnets(subnet)
        self._used.update(found)
        self._odd += [item for item in found if (item.version, item.prefixlen) not in _AUTO_SIZES]
        return found

    def _pick(self, pool: Iterator[Network]) -> Network:
        for subnet in pool:
            if not self._overlaps(subnet):
                return subnet
        raise PylibosError("The network has no subnets left; give link(subnet=...).")

    def _overlaps(self, subnet: Network) -> bool:
        """Whether it cannot be given out; those of the same size are the quick case."""
        return subnet in self._used or any(
            subnet.version == used.version and subnet.overlaps(used) for used in self._odd
        )


def parse_subnets(subnet: str | Iterable[str] | None) -> list[Network]:
    """Turn one subnet, several or none from text into networks.

    Raises:
        ValueError: a text is no subnet.
    """
    texts = [] if subnet is None else [subnet] if isinstance(subnet, str) else list(subnet)
    return [ipaddress.ip_network(text) for text in texts]


def interface_pairs(subnets: Iterable[Network]) -> tuple[list[Interface], list[Interface]]:
    """The addresses of both ends of a link: the first and the second host of each subnet.

    Raises:
        ValueError: a subnet has no room for two.
    """
    first: list[Interface] = []
    second: list[Interface] = []
    for network in subnets:
        # RFC 3021 and RFC 6164: both addresses of a subnet of two are the ends'.
        offset = 0 if network.num_addresses == 2 else 1
        if network.num_addresses < 2 + offset:
            raise ValueError(f"The subnet {network} has no room for the two ends of a link.")
        for end, interfaces in enumerate((first, second)):
            host = network[offset + end]
            interfaces.append(ipaddress.ip_interface(f"{host}/{network.prefixlen}"))
    return first, second
