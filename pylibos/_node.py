# SPDX-License-Identifier: GPL-2.0-only
"""A node: a kernel of a Network that knows its neighbours and its addresses."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, cast

from pylibos._errors import PylibosError
from pylibos._kernel import Kernel
from pylibos._machine import Machine
from pylibos._netlink import (
    Interface,
    Message,
    add_link,
    address_message,
    request_all,
    set_link,
)

if TYPE_CHECKING:
    from pylibos._link import Link
    from pylibos._network import Network

# Known to every node from the start: addresses work at once, without duplicate detection.
_QUICK_IPV6 = {"net.ipv6.conf.default.accept_dad": 0}
_BRIDGE = "br0"


class Node(Kernel):
    """A kernel in a Network; made by ``Network.node()``.

    Attributes:
        links: the links that end here, in the order in which they were made.
        interfaces: its addresses, in the order in which they were given.
    """

    def __init__(self, machine: Machine, *, owns_world: bool) -> None:
        super().__init__(machine, owns_world=owns_world)
        self.links: list[Link] = []
        self.interfaces: list[Interface] = []
        name = self.name.encode()
        self.syscall("sethostname", name, len(name))
        for parameter, value in _QUICK_IPV6.items():
            if parameter in self.sysctl:
                self.sysctl[parameter] = value

    @property
    def network(self) -> Network:
        """The network that it is a node of."""
        return cast("Network", self.world)

    @property
    def ip(self) -> str:
        """Its first IPv4 address.

        Raises:
            PylibosError: it has none.
        """
        return self._first(4)

    @property
    def ip6(self) -> str:
        """Its first IPv6 address.

        Raises:
            PylibosError: it has none.
        """
        return self._first(6)

    @property
    def addresses(self) -> list[str]:
        """The addresses that the network gave it, "10.0.0.1" and the like, oldest first."""
        return [str(interface.ip) for interface in self.interfaces]

    def _first(self, version: int) -> str:
        for interface in self.interfaces:
            if interface.version == version:
                return str(interface.ip)
        raise PylibosError(
            f"The node {self.name} has no IPv{version} address; link it with a subnet, or give it "
            "one by add_address()."
        )

    def add_address(self, device: str, address: str | Interface) -> None:
        """Give an interface an address that can be used at once.

        Args:
            device: name of the interface.
            address: such as "10.0.0.1/24" or "fd00::1/64".

        Raises:
            OSError: ENODEV, no such interface; or the kernel refused the address.
        """
        self.add_addresses(self.if_nametoindex(device), [ipaddress.ip_interface(address)])

    def add_addresses(self, index: int, interfaces: list[Interface]) -> None:
        """Give the interface of an index some addresses; see add_address()."""
        messages: list[Message] = [address_message(index, item) for item in interfaces]
        request_all(self, messages)
        self.interfaces.extend(interfaces)
        known = self.network.hosts.setdefault(self.name, [])
        known.extend(str(item.ip) for item in interfaces)
        # Or a neighbour that asks at this very time would find no one yet who listens.
        self.network.settle()

    def device_to(self, other: Node) -> str:
        """Name of the interface of the first link to another node.

        Raises:
            ValueError: no link joins the two.
        """
        for link in self.links:
            mine, theirs = link.ends if link.ends[0].kernel is self else link.ends[::-1]
            if theirs.kernel is other:
                return mine.device.name
        raise ValueError(f"No link joins the nodes {self.name} and {other.name}.")

    def forward(self) -> None:
        """Become a router, for IPv4 and IPv6."""
        for parameter in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            if parameter in self.sysctl:
                self.sysctl[parameter] = 1

    def crash(self) -> None:
        """Stop at once, as if the power had failed: links go down, nothing is said to anybody.

        Programs that wait for it are killed; what they close then reaches nobody.
        """
        for link in self.links:
            if link.is_up:
                link.down()
        self.halt()

    def halt(self) -> None:
        """Stop the node and free all it holds; its links lose their carrier."""
        super().halt()
        self.network.forget(self)

    def __repr__(self) -> str:
        state = "" if self._machine.handle is not None else " halted"
        return f"<pylibos.Node {self.name} {self.release}{state}>"


class Switch(Node):
    """A node that is a switch: Linux's own bridge joins all its links into one segment.

    Attributes:
        subnets: networks from which each node that is linked to it gets its next addresses.
    """

    def __init__(self, machine: Machine, *, owns_world: bool) -> None:
        super().__init__(machine, owns_world=owns_world)
        self.subnets: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._taken: dict[int, int] = {}
        # A segment without a group membership protocol floods, as a plain switch does.
        if "net.ipv6.conf.default.disable_ipv6" in self.sysctl:
            self.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
        try:
            add_link(self, _BRIDGE, "bridge")
        except OSError as error:
            raise PylibosError(
                f"The kernel of the switch {self.name} ({self.image.profile}) has no bridge: "
                "choose another profile by switch(profile='defconfig')."
            ) from error
        self.bridge_index = self.if_nametoindex(_BRIDGE)
        self.write_text(f"/sys/class/net/{_BRIDGE}/bridge/multicast_snooping", "0")
        set_link(self, self.bridge_index, up=True)

    def attach(self, index: int) -> None:
        """Make an interface a port of the bridge."""
        set_link(self, index, up=True, master=self.bridge_index)

    def next_interfaces(self) -> list[Interface]:
        """Take the next free address of each subnet.

        Raises:
            ValueError: a subnet has none left.
        """
        taken: list[Interface] = []
        for number, subnet in enumerate(self.subnets):
            host = self._taken.get(number, 0) + 1
            # The last address of an IPv4 subnet is its broadcast address.
            if host >= subnet.num_addresses - (subnet.version == 4):
                raise ValueError(f"The subnet {subnet} of the switch {self.name} is full.")
            self._taken[number] = host
            taken.append(ipaddress.ip_interface(f"{subnet[host]}/{subnet.prefixlen}"))
        return taken
