# SPDX-License-Identifier: GPL-2.0-only
"""Shortest paths through a network, and the routes that they make.

A segment is what shares a subnet: the two ends of a link, or all that is linked to a switch.
Hosts, which have one segment with one router in it, get a default route; all others get a
route to each subnet, neighbouring subnets with the same next hop joined into one.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pylibos._netlink import Address, Interface, Network

if TYPE_CHECKING:
    from pylibos._link import Link
    from pylibos._node import Node

Routes = dict[Network, tuple[Address, ...]]
_DEFAULT: dict[int, Network] = {
    4: ipaddress.ip_network("0.0.0.0/0"),
    6: ipaddress.ip_network("::/0"),
}


@dataclass(eq=False)
class Segment:
    """What shares a subnet.

    Attributes:
        metric: cost of crossing it.
        link: the only link that it consists of; None: a switch with its links.
        members: the nodes on it, with their addresses there.
    """

    metric: int
    link: Link | None
    members: list[tuple[Node, list[Interface]]] = field(default_factory=list)

    def subnets(self, version: int) -> list[Network]:
        """The networks that its members' addresses are in, oldest first."""
        found: dict[Network, None] = {}
        for _, interfaces in self.members:
            for interface in interfaces:
                if interface.version == version:
                    found[interface.network] = None
        return list(found)

    def gateway(self, node: Node, version: int) -> Address | None:
        """The first address of a member."""
        for member, interfaces in self.members:
            if member is node:
                for interface in interfaces:
                    if interface.version == version:
                        return interface.ip
        return None


class Graph:
    """The nodes and segments of a network for one version of IP."""

    def __init__(self, nodes: Iterable[Node], segments: Iterable[Segment], version: int) -> None:
        self.version = version
        self.segments = [segment for segment in segments if segment.subnets(version)]
        self.of_node: dict[Node, list[Segment]] = {node: [] for node in nodes}
        for segment in self.segments:
            for node, interfaces in segment.members:
                if any(item.version == version for item in interfaces):
                    self.of_node.setdefault(node, []).append(segment)

        self._order = {node: number for number, node in enumerate(self.of_node)}
        self._routers_on = {
            segment: [node for node, _ in segment.members if len(self.of_node.get(node, ())) > 1]
            for segment in self.segments
        }

    def routers(self) -> list[Node]:
        """The nodes that join segments."""
        return [node for node, segments in self.of_node.items() if len(segments) > 1]

    def _distances(self, near: Iterable[Node]) -> dict[Node, int]:
        """How far each router is from a segment, of which the nearest are given (Dijkstra)."""
        distance = dict.fromkeys(near, 0)
        order = self._order
        queue = [(0, order[node], node) for node in distance]
        heapq.heapify(queue)
        seen: set[Segment] = set()
        while queue:
            far, _, node = heapq.heappop(queue)
            if far > distance[node]:
                continue
            for segment in self.of_node[node]:
                if segment in seen and segment.metric == 1:
                    continue  # whoever came first came from nearest
                seen.add(segment)
                for other in self._routers_on[segment]:
                    reach = far + segment.metric
                    if reach < distance.get(other, reach + 1):
                        distance[other] = reach
                        heapq.heappush(queue, (reach, order[other], other))
        return distance

    def routes(self, multipath: bool) -> dict[Node, Routes]:
        """The routes of all nodes.

        Args:
            multipath: use all shortest paths rather than the first of them.
        """
        hops: dict[Node, dict[tuple[Address, ...], list[Network]]] = {}
        found: dict[Node, Routes] = {node: {} for node in self.of_node}
        asking = []
        for node, segments in self.of_node.items():
            routers = [
                other
                for segment in segments
                for other in self._routers_on[segment]
                if other is not node
            ]
            if len(segments) == 1 and len(routers) == 1:
                gateway = segments[0].gateway(routers[0], self.version)
                if gateway is not None:
                    found[node][_DEFAULT[self.version]] = (gateway,)
            elif routers:
                asking.append(node)
        # All segments behind the same routers are reached alike.
        ways: dict[tuple[Node, ...], list[tuple[Node, tuple[Address, ...]]]] = {}
        for goal in self.segments:
            near = tuple(self._routers_on[goal])
            if near not in ways:
                distance = self._distances(near)
                every = [(node, self._next_hops(node, distance, multipath)) for node in asking]
                ways[near] = [(node, via) for node, via in every if via]
            subnets = goal.subnets(self.version)
            for node, via in ways[near]:
                if goal not in self.of_node[node]:
                    hops.setdefault(node, {}).setdefault(via, []).extend(subnets)
        for node, by_hop in hops.items():
            for via, subnets in by_hop.items():
                for joined in ipaddress.collapse_addresses(subnets):  # type: ignore[type-var]
                    found[node][joined] = via
        return found

    def _next_hops(
        self, node: Node, distance: dict[Node, int], multipath: bool
    ) -> tuple[Address, ...]:
        best: int | None = None
        gateways: list[Address] = []
        for segment in self.of_node[node]:
            for other in self._routers_on[segment]:
                if other is node or other not in distance:
                    continue
                reach = distance[other] + segment.metric
                if best is not None and (reach > best or (reach == best and not multipath)):
                    continue
                gateway = segment.gateway(other, self.version)
                if gateway is None:
                    continue
                if reach != best:
                    best, gateways = reach, []
                gateways.append(gateway)
        return tuple(gateways)
