# SPDX-License-Identifier: GPL-2.0-only
"""Bonding, team, macvlan, ipvlan, and network namespaces inside a node."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST, genlmsg, nla
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, repeats, round_trip_ns

NETWORKS = {4: "10.5.0.{}/24", 6: "fd05::{}/64"}
ACTIVE_BACKUP, BALANCE_XOR, LACP = 1, 2, 4  # BOND_MODE_*
LAYER34 = 1  # BOND_XMIT_POLICY_LAYER34
MIIMON_MS = 100
versions = pytest.mark.parametrize("version", [4, 6])


def bond(node, number, mode, devices=("eth0", "eth1"), **options):
    """Put devices below bond0, which gets the addresses of a number."""
    with node.iproute() as ip:
        options |= {"bond_mode": mode, "bond_miimon": MIIMON_MS}
        ip.link("add", ifname="bond0", kind="bond", **options)
        (master,) = ip.link_lookup(ifname="bond0")
        for name in devices:
            (index,) = ip.link_lookup(ifname=name)
            ip.link("set", index=index, state="down")
            ip.link("set", index=index, master=master)
        ip.link("set", index=master, state="up")
    for network in NETWORKS.values():
        node.add_address("bond0", network.format(number))


def plain(version, number):
    return NETWORKS[version].format(number).partition("/")[0]


def backed_up(net, **options):
    """A node with two links to a switch, bonded; another node on the switch."""
    switch = net.switch("s", subnet=())
    a, b = net.node("a"), net.node("b")
    links = [net.link(a, switch, delay_ms=1) for _ in range(2)]
    net.link(b, switch, subnet=(), delay_ms=1)
    for network in NETWORKS.values():
        b.add_address("eth0", network.format(2))
    opened_ns = net.now_ns
    bond(a, 1, ACTIVE_BACKUP, **options)
    return a, b, links, opened_ns


def active(node):
    return node.read_text("/sys/class/net/bond0/bonding/active_slave").strip()


@versions
def test_bond_fails_over_at_the_next_look_at_its_links(net, version):
    a, b, links, opened_ns = backed_up(net)
    assert round_trip_ns(net, a, b, plain(version, 2)) == 4 * MS
    assert active(a) == "eth0"
    links[0].down()
    down_ns = net.now_ns
    look_ns = opened_ns
    while look_ns <= down_ns:
        look_ns = wheel_ns(look_ns, MIIMON_MS)
    net.run_until(lambda: active(a) == "eth1")
    assert net.now_ns == look_ns
    before = links[1].stats().frames
    assert round_trip_ns(net, a, b, plain(version, 2)) == 4 * MS
    assert links[1].stats().frames >= before + 2


def test_bond_waits_for_its_down_delay(net):
    a, b, links, opened_ns = backed_up(net, bond_downdelay=300)
    round_trip_ns(net, a, b, plain(4, 2))
    links[0].down()
    look_ns = opened_ns
    while look_ns <= net.now_ns:
        look_ns = wheel_ns(look_ns, MIIMON_MS)
    for _ in range(300 // MIIMON_MS):
        look_ns = wheel_ns(look_ns, MIIMON_MS)
    net.run_until(lambda: active(a) == "eth1")
    assert net.now_ns == look_ns


def test_bond_without_a_link_is_down(net):
    a, _, links, _ = backed_up(net)
    for link in links:
        link.down()
    net.run_for(SECOND)
    assert a.read_text("/sys/class/net/bond0/carrier").strip() == "0"
    links[1].up()
    net.run_for(SECOND)
    assert a.read_text("/sys/class/net/bond0/carrier").strip() == "1"
    assert active(a) == "eth1"


@versions
def test_bond_spreads_flows_over_its_links(net, version):
    a, b = net.node("a"), net.node("b")
    links = [net.link(a, b, subnet=()) for _ in range(2)]
    for number, node in enumerate((a, b), 1):
        bond(node, number, BALANCE_XOR, bond_xmit_hash_policy=LAYER34)
    round_trip_ns(net, a, b, plain(version, 2))
    before = [link.stats().frames for link in links]
    for port in range(1000, 1064):
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            here.bind(("", port))
            here.sendto(b"x", (plain(version, 2), 9))
    net.run_for(MS)
    grown = [link.stats().frames - old for link, old in zip(links, before, strict=True)]
    assert sum(grown) >= 64
    assert min(grown) >= 16


class TeamMessage(genlmsg):
    """A message of the family "team" (include/uapi/linux/if_team.h)."""

    nla_map = (
        ("TEAM_ATTR_UNSPEC", "none"),
        ("TEAM_ATTR_TEAM_IFINDEX", "uint32"),
        ("TEAM_ATTR_LIST_OPTION", "options"),
    )

    class options(nla):  # noqa: N801 - pyroute2 finds it by its name
        nla_map = (("UNSPEC", "none"), ("ITEM", "option"))

        class option(nla):  # noqa: N801
            nla_map = (
                ("UNSPEC", "none"),
                ("NAME", "asciiz"),
                ("CHANGED", "flag"),
                ("TYPE", "uint8"),
                ("DATA", "asciiz"),
            )


def team(node, number, mode):
    """Put eth0 and eth1 below team0, which gets the addresses of a number."""
    with node.iproute() as ip:
        ip.link("add", ifname="team0", kind="team")
    with node.pyroute2(GenericNetlinkSocket) as channel:
        channel.bind("team", TeamMessage)
        message = TeamMessage()
        message["cmd"], message["version"] = 1, 1
        nla_string = 5
        option = {"attrs": [("NAME", "mode"), ("TYPE", nla_string), ("DATA", mode)]}
        message["attrs"] = [
            ("TEAM_ATTR_TEAM_IFINDEX", node.if_nametoindex("team0")),
            ("TEAM_ATTR_LIST_OPTION", {"attrs": [("ITEM", option)]}),
        ]
        try:
            channel.nlm_request(message, channel.prid, NLM_F_REQUEST | NLM_F_ACK)
        except NetlinkError as error:
            # It is done; but nobody listens to the notification, which counts as a failure.
            if error.code != errno.ESRCH:
                raise
    with node.iproute() as ip:
        (master,) = ip.link_lookup(ifname="team0")
        for name in ("eth0", "eth1"):
            (index,) = ip.link_lookup(ifname=name)
            ip.link("set", index=index, state="down")
            ip.link("set", index=index, master=master)
            ip.link("set", index=index, state="up")
        ip.link("set", index=master, state="up")
    for network in NETWORKS.values():
        node.add_address("team0", network.format(number))


@versions
def test_round_robin_team_uses_its_links_in_turn(net, version):
    a, b = net.node("a"), net.node("b")
    links = [net.link(a, b, subnet=()) for _ in range(2)]
    for number, node in enumerate((a, b), 1):
        team(node, number, "roundrobin")
    net.run_for(5 * SECOND)
    round_trip_ns(net, a, b, plain(version, 2))
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            ways = []
            for _ in range(20):
                before = links[0].stats().bytes
                here.sendto(bytes(1000), (plain(version, 2), 9))
                assert there.recv(2000) == bytes(1000)
                ways.append(links[0].stats().bytes - before > 1000)
    assert ways in ([True, False] * 10, [False, True] * 10)


def namespaces(net, node, count, stack):
    """Processes of a node, each with a network namespace of its own and loopback up."""
    found = []
    for _ in range(count):
        task = stack.enter_context(node.task(share_files=False, namespaces=("net",)))
        with task.iproute() as ip:
            ip.link("set", index=1, state="up")
        found.append(task)
    return found


def move(node, name, task):
    with node.iproute() as ip:
        ip.link("set", index=ip.link_lookup(ifname=name)[0], net_ns_pid=task.pid)


def give(task, name, number):
    with task.iproute() as ip:
        (index,) = ip.link_lookup(ifname=name)
        ip.link("set", index=index, state="up")
        for network in NETWORKS.values():
            address, _, bits = network.format(number).partition("/")
            more = {} if ":" not in address else {"flags": 2}  # IFA_F_NODAD
            ip.addr("add", index=index, address=address, prefixlen=int(bits), **more)


@versions
def test_veth_joins_two_namespaces(net, version):
    node = net.node("a")
    with ExitStack() as stack:
        first, second = namespaces(net, node, 2, stack)
        with node.iproute() as ip:
            ip.link("add", ifname="v0", kind="veth", peer="v1")
        for number, task in enumerate((first, second), 1):
            move(node, f"v{number - 1}", task)
            give(task, f"v{number - 1}", number)
        assert "v0" not in [name for _, name in node.if_nameindex()]
        assert [name for _, name in first.if_nameindex()][-1] == "v0"
        assert round_trip_ns(net, first, second, plain(version, 2)) == 0
        with node.socket(FAMILY[version], socket.SOCK_DGRAM) as outside:
            with pytest.raises(OSError) as caught:  # noqa: PT011
                outside.sendto(b"x", (plain(version, 2), 9))
            assert caught.value.errno == errno.ENETUNREACH


def test_namespace_takes_its_devices_along(net):
    node = net.node("a")
    with ExitStack() as stack:
        (task,) = namespaces(net, node, 1, stack)
        with node.iproute() as ip:
            ip.link("add", ifname="v0", kind="veth", peer="v1")
        move(node, "v1", task)
    net.run_for(SECOND)
    assert "v0" not in [name for _, name in node.if_nameindex()]


def test_netem_between_namespaces_delays(net):
    node = net.node("a")
    with ExitStack() as stack:
        tasks = namespaces(net, node, 2, stack)
        with node.iproute() as ip:
            ip.link("add", ifname="v0", kind="veth", peer="v1")
        for number, task in enumerate(tasks, 1):
            move(node, f"v{number - 1}", task)
            give(task, f"v{number - 1}", number)
            with task.iproute() as ip:
                index = ip.link_lookup(ifname=f"v{number - 1}")[0]
                ip.tc("add", "netem", index, handle="1:", delay=7000)
        assert round_trip_ns(net, *tasks, plain(4, 2)) == 14 * MS


def test_lacp_aggregates_links_to_the_same_partner(net):
    """IEEE 802.3ad between two namespaces, by veth, which tells its speed."""
    node = net.node("a")
    with ExitStack() as stack:
        tasks = namespaces(net, node, 2, stack)
        for pair in range(2):
            with node.iproute() as ip:
                ip.link("add", ifname=f"v{pair}0", kind="veth", peer=f"v{pair}1")
            for end, task in enumerate(tasks):
                move(node, f"v{pair}{end}", task)
        for end, task in enumerate(tasks):
            with task.iproute() as ip:
                ip.link("add", ifname="bond0", kind="bond", bond_mode=LACP, bond_miimon=MIIMON_MS)
                (master,) = ip.link_lookup(ifname="bond0")
                for pair in range(2):
                    (index,) = ip.link_lookup(ifname=f"v{pair}{end}")
                    ip.link("set", index=index, master=master)
                    ip.link("set", index=index, state="up")
            give(task, "bond0", end + 1)
        net.run_for(5 * SECOND)
        for task in tasks:
            with task.iproute() as ip:
                info = ip.get_links(ifname="bond0")[0].get_nested(
                    "IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BOND_AD_INFO"
                )
                assert info.get_attr("IFLA_BOND_AD_INFO_NUM_PORTS") == 2
        assert round_trip_ns(net, *tasks, plain(4, 2)) == 0


def upper(net, node, task, kind, name, number, **options):
    """A device on top of eth0, moved into a namespace."""
    with node.iproute() as ip:
        (lower,) = ip.link_lookup(ifname="eth0")
        ip.link("add", ifname=name, kind=kind, link=lower, **options)
    move(node, name, task)
    give(task, name, number)


@versions
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("macvlan", {"macvlan_mode": "bridge"}),
        ("ipvlan", {"ipvlan_mode": 0}),
        ("ipvlan", {"ipvlan_mode": 1}),
    ],
    ids=["macvlan", "ipvlan-l2", "ipvlan-l3"],
)
def test_namespaces_share_a_link(net, version, kind, options):
    """Both reach the node at the other end, and each other without the link."""
    node, peer = net.node("a"), net.node("b")
    link = net.link(node, peer, subnet=(), delay_ms=5)
    for network in NETWORKS.values():
        peer.add_address("eth0", network.format(9))
    with ExitStack() as stack:
        tasks = namespaces(net, node, 2, stack)
        for number, task in enumerate(tasks, 1):
            upper(net, node, task, kind, f"m{number}", number, **options)
        if options.get("ipvlan_mode") != 1:  # layer 3 leaves neighbours to the routes
            for task in tasks:
                assert round_trip_ns(net, task, peer, plain(version, 9)) == 10 * MS
        net.run_for(SECOND)
        before = link.stats().bytes
        assert round_trip_ns(net, *tasks, plain(version, 2), 1000) == 0
        assert link.stats().bytes - before < 1000


@versions
def test_private_macvlans_do_not_see_each_other(net, version):
    node, peer = net.node("a"), net.node("b")
    net.link(node, peer, subnet=(), delay_ms=5)
    for network in NETWORKS.values():
        peer.add_address("eth0", network.format(9))
    with ExitStack() as stack:
        tasks = namespaces(net, node, 2, stack)
        for number, task in enumerate(tasks, 1):
            upper(net, node, task, "macvlan", f"m{number}", number, macvlan_mode="private")
        assert round_trip_ns(net, tasks[0], peer, plain(version, 9)) == 10 * MS
        with pytest.raises((TimeoutError, OSError)):
            round_trip_ns(net, *tasks, plain(version, 2))


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b, links, _ = backed_up(net)
        links[1].capture(path)
        round_trip_ns(net, a, b, plain(4, 2))
        links[0].down()
        net.run_for(SECOND)
        round_trip_ns(net, a, b, plain(6, 2), 1000)

    assert repeats(build, tmp_path, scenario)
