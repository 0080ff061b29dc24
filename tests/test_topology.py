# SPDX-License-Identifier: GPL-2.0-only
"""Topologies from files, and their pictures."""

from __future__ import annotations

import re
from pathlib import Path

import networkx
import pytest

import pylibos

EXAMPLE = re.search(
    r"```toml\n(.*?)```",
    (Path(__file__).parent.parent / "docs/topology.md").read_text(encoding="utf-8"),
    re.DOTALL,
)[1]


@pytest.fixture
def load(one_build, tmp_path):
    """Loads a text as a topology."""
    networks = []

    def start(text, suffix=".toml"):
        path = tmp_path / f"net{suffix}"
        path.write_text(text, encoding="utf-8")
        networks.append(pylibos.Network.load(path, **one_build.options))
        return networks[-1]

    yield start
    for net in networks:
        net.close()


def test_example_of_the_documentation_loads(load):
    net = load(EXAMPLE)
    assert list(net.nodes) == ["client", "router", "server", "lan"]
    client, server = net.nodes["client"], net.nodes["server"]
    assert client.ip == "10.9.0.1"
    assert server.addresses == ["10.1.0.2", "fd01::2"]
    assert client.sysctl["net.ipv4.tcp_congestion_control"] == "reno"
    before = net.now_ns
    with server.create_server(("", 7)), client.create_connection(("server", 7)):
        # 20 ms there and 5 ms back, and the time that 2 * (14 + 28) + (14 + 60) bytes take.
        assert net.now_ns - before >= 25_000_000
    assert net.seed == 7


def test_options_win_over_the_file(one_build, tmp_path):
    path = tmp_path / "net.toml"
    path.write_text("[network]\nseed = 7\n")
    with pylibos.Network.load(path, seed=8, **one_build.options) as net:
        assert net.seed == 8


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[network", "this is no TOML"),
        ("[nodes]", "there is no table 'nodes'"),
        ("[node]\nname = 'a'", "node is written [[node]]"),
        ("[network]\nsede = 1", "[network]: there is no key 'sede'"),
        ("[network]\nseed = 'x'", "[network]: seed is int, not 'x'"),
        ("[[node]]", "[[node]] number 1: it has no name"),
        ("[[node]]\nname = 'a b'", "[[node]] number 1: A node's name"),
        ("[[node]]\nname = 'a'\n[[node]]\nname = 'a'", "[[node]] number 2: There is a node 'a'"),
        ("[[node]]\nname = 'a'\nsysctl = { 'net.x' = 1 }", "no parameter 'net.x'"),
        ("[[node]]\nname = 'a'\n[[link]]\nends = ['a', 'b']", "number 1: there is no node"),
        ("[[link]]\nends = ['a']", "[[link]] number 1: it has no ends"),
        (
            "[[node]]\nname = 'a'\n[[node]]\nname = 'b'\n[[link]]\nends = ['a', 'b']\ndelay = 5",
            "[[link]] number 1: A link has no setting 'delay'",
        ),
        (
            "[[node]]\nname = 'a'\n[[node]]\nname = 'b'\n"
            "[[link]]\nends = ['a', 'b']\nloss_model = { p_pct = 200, r_pct = 1 }",
            "p_pct is 0 to 100",
        ),
    ],
)
def test_mistake_in_a_file_is_named_with_its_place(load, tmp_path, text, problem):
    with pytest.raises(pylibos.TopologyError, match=re.escape(problem)) as caught:
        load(text)
    assert str(caught.value).startswith(str(tmp_path / "net.toml"))


def test_unknown_suffix_is_refused():
    with pytest.raises(pylibos.TopologyError, match="a .toml or a .graphml file"):
        pylibos.Network.load("net.json")


def test_graphml_of_networkx_loads(load, tmp_path):
    graph = networkx.cycle_graph(4)
    graph.nodes[0]["label"] = "Tokyo 1"
    for first, second in graph.edges:
        graph.edges[first, second].update(delay_ms=10.0, rate_mbit=100.0, LinkLabel="STM-4")
    path = tmp_path / "graph.graphml"
    networkx.write_graphml(graph, path)
    net = load(path.read_text(), ".graphml")
    assert list(net.nodes) == ["Tokyo-1", "1", "2", "3"]
    assert len(net.links) == 4
    assert {link.describe() for link in net.links} == {"10 ms, 100 Mbit/s"}
    far = net.nodes["2"]
    with far.create_server(("", 7)), net.nodes["Tokyo-1"].create_connection((far.ip, 7)):
        pass


def test_broken_graphml_is_refused(load):
    with pytest.raises(pylibos.TopologyError, match="this is no GraphML"):
        load("<graphml", ".graphml")


def test_picture_shows_names_addresses_and_settings(load, tmp_path):
    net = load(EXAMPLE)
    net.links[0].down()
    pictures = []
    for name in ("first.svg", "second.svg"):
        net.draw(tmp_path / name)
        pictures.append((tmp_path / name).read_text())
    assert pictures[0] == pictures[1]
    for text in ("client", "10.9.0.1", "router → server: 20 ms, 10 Mbit/s, loss in bursts", "down"):
        assert f"<!-- {text} -->" in pictures[0]
    net.draw(tmp_path / "net.png")
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
