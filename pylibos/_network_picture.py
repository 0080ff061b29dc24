# SPDX-License-Identifier: GPL-2.0-only
"""A network as a picture: nodes, switches, links with what they do, addresses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pylibos._node import Switch

if TYPE_CHECKING:
    from pylibos._link import Link
    from pylibos._network import Network

# Beyond this many nodes only names are written, and the layout is a circle.
_DETAILED, _LARGE = 30, 400
_NODE_COLOUR, _SWITCH_COLOUR, _DOWN_COLOUR = "#cfe2f3", "#fff2cc", "#cc0000"


def draw(net: Network, path: str | os.PathLike[str]) -> None:
    """Draw a network to a PNG, SVG or PDF file, by the suffix; the same network, the same picture.

    Raises:
        ValueError: matplotlib does not know the suffix.
    """
    import matplotlib
    import networkx
    from matplotlib.figure import Figure

    graph = networkx.Graph()
    graph.add_nodes_from(net.nodes)
    for link in net.links:
        if link.is_open:
            graph.add_edge(*(end.kernel.name for end in link.ends))
    places = _layout(networkx, graph)
    size = max(6.0, min(20.0, 2.2 * len(graph) ** 0.5 + 3))
    figure = Figure(figsize=(size * 1.3, size))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.margins(0.15)
    for link in net.links:
        if link.is_open:
            _draw_link(axes, places, link, detailed=len(graph) <= _DETAILED)
    for name, node in net.nodes.items():
        is_switch = isinstance(node, Switch)
        lines = [name]
        if len(graph) <= _DETAILED:
            lines += node.addresses
        x, y = places[name]
        axes.text(
            x,
            y,
            "\n".join(lines),
            ha="center",
            va="center",
            fontsize=9 if len(graph) <= _DETAILED else 6,
            zorder=3,
            bbox={
                "boxstyle": "square,pad=0.4" if is_switch else "round,pad=0.5",
                "facecolor": _SWITCH_COLOUR if is_switch else _NODE_COLOUR,
                "edgecolor": "#444444",
            },
        )
    # No date and no random ids: the bytes depend on the network alone.
    with matplotlib.rc_context({"svg.hashsalt": "pylibos"}):
        metadata = {"Date": None} if os.fspath(path).endswith(".svg") else {}
        figure.savefig(path, dpi=110, bbox_inches="tight", metadata=metadata)


def _layout(networkx: Any, graph: Any) -> dict[str, Any]:
    if len(graph) > _LARGE:
        places: dict[str, Any] = networkx.circular_layout(graph)
    elif networkx.is_connected(graph) if len(graph) else False:
        # Start from a circle: nodes that were made one after the other stay near.
        start = networkx.circular_layout(graph)
        places = networkx.spring_layout(graph, pos=start, seed=1, iterations=200)
    else:
        places = networkx.spring_layout(graph, seed=1, k=1.5, iterations=200)
    return places


def _draw_link(axes: Any, places: dict[str, Any], link: Link, *, detailed: bool) -> None:
    (x1, y1), (x2, y2) = (places[end.kernel.name] for end in link.ends)
    colour = "#666666" if link.is_up else _DOWN_COLOUR
    axes.plot([x1, x2], [y1, y2], color=colour, linestyle="-" if link.is_up else ":", zorder=1)
    if not detailed:
        return
    text = "\n".join(filter(None, (link.describe(), "" if link.is_up else "down")))
    if text:
        axes.text(
            (x1 + x2) / 2,
            (y1 + y2) / 2,
            text,
            fontsize=8,
            ha="center",
            va="center",
            color=colour,
            zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
