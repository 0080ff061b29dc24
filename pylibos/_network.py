# SPDX-License-Identifier: GPL-2.0-only
"""A network of Linux kernels in one process, in exact virtual time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, cast

from pylibos._boot_config import fill_config
from pylibos._capture import Capture
from pylibos._kernel import start
from pylibos._library import Image, open_image
from pylibos._link import Link
from pylibos._link_settings import SETTINGS
from pylibos._netlink import RTM_DELROUTE, Interface, request_all, route_message
from pylibos._netlink import Network as Subnet
from pylibos._network_picture import draw
from pylibos._node import Node, Switch
from pylibos._program import Program
from pylibos._report import deadlock
from pylibos._routes import Graph, Routes, Segment
from pylibos._subnets import SubnetPool, interface_pairs
from pylibos._world import World

P = ParamSpec("P")
T = TypeVar("T")
N = TypeVar("N", bound=Node)

_MEMORY_BYTES = 64 << 20


class Network(World):
    """A world with nodes and links.

    Args:
        seed: of all that is random: the same seed gives the same bytes in every capture.
        real_time: follow the host's clock, for nodes that speak to the host.
        kernel, profile: what nodes boot unless they say otherwise; see ``pylibos.boot()``.
        memory: of each node, in bytes.
        deadlock_ns: see World.

    Attributes:
        nodes: by name, in the order in which they were made; switches among them.
        links: all links, in the order in which they were made.

    Raises:
        LibraryNotFound: there is no such kernel.
        ValueError, TypeError: an argument does not fit.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        real_time: bool = False,
        kernel: str | os.PathLike[str] = "6.12",
        profile: str = "defconfig",
        memory: int = _MEMORY_BYTES,
        deadlock_ns: int | None = None,
    ) -> None:
        super().__init__("real" if real_time else "virtual", seed=seed, deadlock_ns=deadlock_ns)
        self.nodes: dict[str, Node] = {}
        self.links: list[Link] = []
        self._kernel, self._profile, self._memory = kernel, profile, memory
        self._images: dict[tuple[str | os.PathLike[str], str], Image] = {}
        self._segments: list[Segment] = []
        self._segment_of: dict[Switch, Segment] = {}
        self._subnets = SubnetPool()
        self._routes: dict[Node, set[Subnet]] = {}
        self._partitioned: list[Link] = []
        self._captures: list[Capture] = []

    # --- Nodes ---

    def node(
        self,
        name: str,
        *,
        kernel: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        memory: int | None = None,
        cmdline: str = "",
        **sysctls: object,
    ) -> Node:
        """Boot a node.

        Args:
            name: its host name, which the other nodes resolve; letters, digits, "-", ".", "_".
            kernel, profile, memory: instead of the network's.
            cmdline: kernel parameters.
            sysctls: ``**{"net.ipv4.tcp_congestion_control": "bbr"}``.

        Raises:
            ValueError: the name is taken, or is none.
            KeyError, OSError: a kernel parameter does not exist or refuses its value.
        """
        return self._boot(Node, name, kernel, profile, memory, cmdline, sysctls)

    def switch(
        self,
        name: str,
        *,
        subnet: str | Iterable[str] | None = None,
        kernel: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        **sysctls: object,
    ) -> Switch:
        """Boot a switch: a broadcast segment, made by Linux's own bridge.

        Args:
            name: as of a node.
            subnet: where nodes that are linked to it get their addresses from; None: one for
                IPv4 and one for IPv6, picked by the network; (): none.
            kernel, profile, sysctls: as of a node.
        """
        switch = self._boot(Switch, name, kernel, profile, None, "", sysctls)
        switch.subnets = self._subnets.take(subnet)
        self._segment_of[switch] = Segment(1, None)
        self._segments.append(self._segment_of[switch])
        return switch

    def _boot(
        self,
        kind: type[N],
        name: str,
        kernel: str | os.PathLike[str] | None,
        profile: str | None,
        memory: int | None,
        cmdline: str,
        sysctls: dict[str, object],
    ) -> N:
        if not name or not name.isascii() or not all(c.isalnum() or c in "-._" for c in name):
            raise ValueError(
                f"A node's name has ASCII letters, digits, '-', '.' and '_', unlike {name!r}."
            )
        if name in self.nodes:
            raise ValueError(f"There is a node {name!r} in this network already.")
        for key in sysctls:
            if "." not in key:
                raise TypeError(
                    f"node() has no argument {key!r}; kernel parameters have dots in their names: "
                    "**{'net.ipv4.ip_forward': 1}."
                )
        wanted = (kernel or self._kernel, profile or self._profile)
        image = self._images.get(wanted)
        if image is None:
            image = self._images[wanted] = open_image(*wanted)
        size = memory or self._memory
        node = start(
            kind,
            self,
            image,
            name,
            lambda config, callbacks: fill_config(config, callbacks, size, cmdline, None, None),
        )
        self.nodes[name] = node
        try:
            for parameter, value in sysctls.items():
                node.sysctl[parameter] = value
        except BaseException:
            node.halt()
            raise
        return node

    def forget(self, node: Node) -> None:
        """A node has halted."""
        if self.nodes.get(node.name) is node:
            del self.nodes[node.name]
        self.hosts.pop(node.name, None)
        self._routes.pop(node, None)
        for segment in self._segments:
            segment.members = [item for item in segment.members if item[0] is not node]

    # --- Links ---

    def link(
        self,
        a: Node,
        b: Node,
        *,
        subnet: str | Iterable[str] | None = None,
        metric: int = 1,
        names: tuple[str, str] = ("eth%d", "eth%d"),
        mtu: int = 1500,
        offload: bool | None = None,
        back: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Link:
        """Join two nodes by a cable.

        Args:
            a, b: the nodes; one or both may be switches.
            subnet: "10.0.0.0/24" or several: a gets the first address of each, b the second.
                None: one for IPv4 and one for IPv6, picked by the network.  (): no addresses.
                On a link to a switch None takes the switch's own, () none.
            metric: what route_all() takes it to cost.
            names, mtu, offload, back, settings: as of Kernel.link_to(): delay_ms, jitter_ms,
                rate_mbit, queue_packets, loss_pct, duplicate_pct, reorder_pct, corrupt_pct, ...;
                back holds what differs in the direction from b to a.

        Returns:
            The link; its set(), down() and up() change it while the network runs.

        Raises:
            ValueError: the nodes are of another network, or a value is out of range.
        """
        for node in (a, b):
            if self.nodes.get(node.name) is not node:
                raise ValueError(f"{node!r} is no running node of this network.")
        if a is b:
            raise ValueError(f"A link joins two nodes, not {a.name} with itself.")
        ends = self._addresses(a, b, subnet)
        for key in settings:
            if key not in SETTINGS:
                raise TypeError(f"A link has no setting {key!r}; it has {', '.join(SETTINGS)}.")
        link = a.link_to(b, names=names, mtu=mtu, offload=offload, back=back, **settings)
        for end, interfaces in zip(link.ends, ends, strict=True):
            node = cast(Node, end.kernel)
            node.links.append(link)
            if isinstance(node, Switch):
                node.attach(end.device.index)
            elif interfaces:
                node.add_addresses(end.device.index, interfaces)
        link.ends = tuple(
            replace(end, addresses=tuple(str(item.ip) for item in interfaces))
            for end, interfaces in zip(link.ends, ends, strict=True)
        )  # type: ignore[assignment]
        self.links.append(link)
        for capture in self._captures:
            if capture.is_open:
                capture.add(link)
        self._join(a, b, ends, link, metric)
        return link

    def settle(self) -> None:
        """Let kernels, but no programs, do what they can do now; time does not pass."""
        self._library.plh_world_run(self.open_handle, self.now_ns, 0, 0)

    def _addresses(
        self, a: Node, b: Node, subnet: str | Iterable[str] | None
    ) -> tuple[list[Interface], list[Interface]]:
        switches = [node for node in (a, b) if isinstance(node, Switch)]
        if switches:
            if subnet is not None and list(subnet):
                raise ValueError(
                    f"The subnets of {switches[0].name} are its own: switch(subnet=...)."
                )
            if len(switches) == 2 or subnet is not None:
                return [], []
            taken = switches[0].next_interfaces()
            return ([], taken) if switches[0] is a else (taken, [])
        return interface_pairs(self._subnets.take(subnet))

    def _join(
        self,
        a: Node,
        b: Node,
        ends: tuple[list[Interface], list[Interface]],
        link: Link,
        metric: int,
    ) -> None:
        """Note who can reach whom without a router."""
        if isinstance(a, Switch) and isinstance(b, Switch):
            keep, gone = self._segment_of[a], self._segment_of[b]
            if keep is not gone:
                keep.members += gone.members
                self._segments.remove(gone)
                for joined in [one for one, its in self._segment_of.items() if its is gone]:
                    self._segment_of[joined] = keep
            return
        for switch, node, interfaces in ((a, b, ends[1]), (b, a, ends[0])):
            if isinstance(switch, Switch):
                self._segment_of[switch].members.append((node, interfaces))
                return
        self._segments.append(Segment(metric, link, [(a, ends[0]), (b, ends[1])]))

    # --- Routing ---

    def route_all(self, *, multipath: bool = False) -> None:
        """Make every node that joins subnets a router, and give all nodes routes to everywhere.

        Paths are the cheapest ones by the metric of links, for IPv4 and IPv6.  May be called
        again after changes: links that are down do not count, and routes are replaced.

        Args:
            multipath: use all cheapest paths at once (ECMP) rather than the oldest.
        """
        wanted: dict[Node, Routes] = {}
        up = [segment for segment in self._segments if segment.link is None or segment.link.is_up]
        nodes = [node for node in self.nodes.values() if not isinstance(node, Switch)]
        for version in (4, 6):
            graph = Graph(nodes, up, version)
            for node in graph.routers():
                node.forward()
            for node, routes in graph.routes(multipath).items():
                wanted.setdefault(node, {}).update(routes)
        for node, routes in wanted.items():
            stale = self._routes.get(node, set()) - set(routes)
            messages = [route_message(gone, kind=RTM_DELROUTE) for gone in stale]
            messages += [route_message(subnet, via) for subnet, via in routes.items()]
            if messages:
                request_all(node, messages)
            self._routes[node] = set(routes)

    # --- Seeing ---

    def capture(self, path: str | os.PathLike[str], *, snaplen: int = 0) -> Capture:
        """Write what crosses the links, also those made later, to a pcapng file.

        Each frame is in it once, with the time in ns of the network's clock; what a link drops
        or changes has a comment.  The capture ends with the network, or by its close().

        Args:
            path: file of the host; replaced.
            snaplen: bytes of each frame to keep, 0 for all.

        Raises:
            PylibosError: the file cannot be written.
        """
        capture = Capture(self, path, snaplen=snaplen)
        capture.add(*(link for link in self.links if link.is_open))
        self._captures.append(capture)
        return capture

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the network to a PNG, SVG or PDF file, by the suffix."""
        draw(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Network:
        """Build the network that a TOML or GraphML file describes; see docs/topology.md.

        Args:
            path: the file.
            options: of Network(), instead of what the file says.

        Raises:
            TopologyError: something in the file is unknown or does not fit.
        """
        from pylibos._topology import load

        return load(path, **options)

    # --- Changes while it runs ---

    def partition(self, *groups: Iterable[Node]) -> None:
        """Pull all cables between nodes of different groups; heal() plugs them in again.

        Args:
            groups: nodes each; those in no group form one of their own.
        """
        group_of = {node: number for number, group in enumerate(groups, 1) for node in group}
        for link in self.links:
            first, second = (group_of.get(end.kernel, 0) for end in link.ends)  # type: ignore[call-overload]
            if first != second and link.is_up:
                link.down()
                self._partitioned.append(link)

    def heal(self) -> None:
        """Plug in what partition() pulled."""
        links, self._partitioned = self._partitioned, []
        for link in links:
            if link.is_open:
                link.up()

    def run_until(self, goal: int | Callable[[], bool], /, **options: Any) -> None:
        """Run until the clock shows a time in ns, or until a condition is true.

        Args:
            goal: the time; or a function, asked after each event.
            options: of World.run_until(), with a time.

        Raises:
            DeadlockError: nothing will ever happen any more, and the condition is not true.
            ProgramFailed: a spawned program failed and nobody joined it.
        """
        if not callable(goal):
            super().run_until(goal, **options)
            return
        end_ns = self.now_ns + self.deadlock_ns
        while True:
            self.hub.run_until(self.now_ns)
            # Asked before the condition, whose own calls make kernels want to run.
            next_ns = self.next_event_ns
            if goal():
                return
            if next_ns is None or next_ns > end_ns:
                raise deadlock(self, "The condition will never become true")
            self.hub.run_until(next_ns)
            self.hub.raise_failures()

    def at(
        self, time_ns: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Program[T]:
        """Call a function when the clock shows a time.

        It runs as a program, so it may block; its failure comes out of run_until().

        Args:
            time_ns: on the clock of ``now_ns``; in the past: as soon as the network runs.

        Returns:
            The program; kill() cancels it.
        """

        def wait() -> T:
            self.hub.run_until(time_ns)
            return function(*args, **kwargs)

        return self.spawn(wait)

    def after(
        self, delay_ns: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Program[T]:
        """Call a function when a delay in ns has passed; see at()."""
        return self.at(self.now_ns + delay_ns, function, *args, **kwargs)

    def __enter__(self) -> Network:
        return self

    def __repr__(self) -> str:
        return f"<pylibos.Network of {len(self.nodes)} nodes, {len(self.links)} links>"
