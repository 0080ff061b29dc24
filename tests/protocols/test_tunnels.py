# SPDX-License-Identifier: GPL-2.0-only
"""Tunnels: what each adds to a packet, byte by byte, and that both versions of IP pass."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import pytest
from frames import packets
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.generic import GenericNetlinkSocket
from topologies import FAMILY, MS, chain, ip_of, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETHERNET, IP4, IP6, UDP = 14, 20, 40, 8
GRE_KEY, GRE_CSUM, GRE_SEQ = 0x2000, 0x8000, 0x1000
IP6_TNL_F_IGN_ENCAP_LIMIT = 1
TUNNEL_ENCAP_FOU, TUNNEL_ENCAP_GUE = 1, 2
PORT = 5555
INNER = {4: "192.168.77.{}", 6: "fd77::{}"}


@dataclass(frozen=True)
class Tunnel:
    """A kind of tunnel.

    Attributes:
        kind: of the interface.
        outer: version of IP that carries it.
        header_bytes: between the outer IP header and the inner one.
        options: of the interface; "LOCAL" and "REMOTE" become addresses.
        inner: versions of IP that it carries.
    """

    kind: str
    outer: int
    header_bytes: int
    options: dict[str, object] = field(default_factory=dict)
    inner: tuple[int, ...] = (4, 6)


def tunnel(prefix: str, *args: object, **options: object) -> Tunnel:
    """A tunnel with options that have a prefix, and its ends as two of them."""
    ends = {f"{prefix}_local": "LOCAL", f"{prefix}_remote": "REMOTE"}
    more = {f"{prefix}_{key}": value for key, value in options.items() if key != "inner"}
    return Tunnel(*args, {**ends, **more}, options.get("inner", (4, 6)))  # type: ignore[arg-type]


KEY = {"iflags": GRE_KEY, "oflags": GRE_KEY, "ikey": 7, "okey": 7}
# This version of pyroute2 packs these two in the processor's order, where the kernel takes be16.
KEY6 = KEY | {"iflags": socket.htons(GRE_KEY), "oflags": socket.htons(GRE_KEY)}
ALL = {"iflags": GRE_KEY | GRE_CSUM | GRE_SEQ, "oflags": GRE_KEY | GRE_CSUM | GRE_SEQ}
NO_LIMIT = {"flags": IP6_TNL_F_IGN_ENCAP_LIMIT}
FOU = {"encap_type": TUNNEL_ENCAP_FOU, "encap_sport": PORT, "encap_dport": PORT}
GUE = {**FOU, "encap_type": TUNNEL_ENCAP_GUE}
VXLAN = {"vxlan_id": 7, "vxlan_port": 4789, "vxlan_link": "LINK"}
TUNNELS = {
    "gre": tunnel("gre", "gre", 4, 4),
    "gre-key": tunnel("gre", "gre", 4, 8, **KEY),
    "gre-key-csum-seq": tunnel("gre", "gre", 4, 16, **KEY | ALL),
    "gretap": tunnel("gre", "gretap", 4, 4 + ETHERNET),
    "ip6gre": tunnel("ip6gre", "ip6gre", 6, 4, **NO_LIMIT),
    "ip6gre-key": tunnel("ip6gre", "ip6gre", 6, 8, **NO_LIMIT | KEY6),
    "ip6gretap": tunnel("ip6gre", "ip6gretap", 6, 4 + ETHERNET, **NO_LIMIT),
    "ipip": tunnel("ipip", "ipip", 4, 0, inner=(4,)),
    "sit": tunnel("sit", "sit", 4, 0, inner=(6,)),
    "ip6tnl": tunnel("ip6tnl", "ip6tnl", 6, 0, proto=0, **NO_LIMIT),
    "ip6tnl-encap-limit": tunnel("ip6tnl", "ip6tnl", 6, 8, proto=0, encap_limit=4),
    "ipip-fou": tunnel("ipip", "ipip", 4, UDP, inner=(4,), **FOU),
    "ipip-gue": tunnel("ipip", "ipip", 4, UDP + 4, inner=(4,), **GUE),
    "sit-fou": tunnel("sit", "sit", 4, UDP, inner=(6,), **FOU),
    "vxlan": Tunnel(
        "vxlan", 4, UDP + 8 + ETHERNET,
        {"vxlan_local": "LOCAL", "vxlan_group": "REMOTE", **VXLAN},
    ),
    "vxlan6": Tunnel(
        "vxlan", 6, UDP + 8 + ETHERNET,
        {"vxlan_local6": "LOCAL", "vxlan_group6": "REMOTE", **VXLAN},
    ),
    "geneve": Tunnel(
        "geneve", 4, UDP + 8 + ETHERNET, {"geneve_id": 7, "geneve_remote": "REMOTE"}
    ),
    "geneve6": Tunnel(
        "geneve", 6, UDP + 8 + ETHERNET, {"geneve_id": 7, "geneve_remote6": "REMOTE"}
    ),
}  # fmt: skip
CASES = [(name, inner) for name, kind in TUNNELS.items() for inner in kind.inner]


class FouMessage(genlmsg):
    """A message of the family "fou" (include/uapi/linux/fou.h)."""

    prefix = "FOU_ATTR_"
    nla_map = (
        ("FOU_ATTR_UNSPEC", "none"),
        ("FOU_ATTR_PORT", "be16"),
        ("FOU_ATTR_AF", "uint8"),
        ("FOU_ATTR_IPPROTO", "uint8"),
        ("FOU_ATTR_TYPE", "uint8"),
    )


def receive_fou(node, protocol, kind):
    """Let a UDP port take packets of a protocol in: ip fou add port 5555."""
    with node.pyroute2(GenericNetlinkSocket) as channel:
        channel.bind("fou", FouMessage)
        message = FouMessage()
        message["cmd"], message["version"] = 1, 1
        message["attrs"] = [("FOU_ATTR_PORT", PORT), ("FOU_ATTR_AF", socket.AF_INET)]
        message["attrs"] += [("FOU_ATTR_TYPE", kind)]
        if kind == TUNNEL_ENCAP_FOU:
            message["attrs"] += [("FOU_ATTR_IPPROTO", protocol)]
        channel.nlm_request(message, channel.prid, NLM_F_REQUEST | NLM_F_ACK)


def configure(node, inner_number):
    for version in (4, 6):
        bits = 24 if version == 4 else 64
        node.add_address("tun", f"{INNER[version].format(inner_number)}/{bits}")


def build_tunnel(net, kind):
    """Two nodes with a router between them, and a tunnel through it."""
    a, r, b = chain(net, "arb", delay_ms=DELAY_NS / MS)
    for number, (node, other) in enumerate(((a, b), (b, a)), 1):
        ends = {"LOCAL": ip_of(node, kind.outer), "REMOTE": ip_of(other, kind.outer)}
        ends["LINK"] = node.if_nametoindex("eth0")
        options = {key: ends.get(str(value), value) for key, value in kind.options.items()}
        ends["LINK"] = node.if_nametoindex("eth0")
        with node.iproute() as ip:
            encapsulation = next(
                (value for key, value in options.items() if key.endswith("encap_type")), 0
            )
            if encapsulation:
                receive_fou(node, 4 if kind.kind == "ipip" else 41, encapsulation)
            ip.link("add", ifname="tun", kind=kind.kind, **options)
            ip.link("set", index=ip.link_lookup(ifname="tun")[0], state="up")
        configure(node, number)
    return a, r, b


def added_bytes(net, a, b, inner, link, path):
    """How many bytes a frame of a link has more than the inner packet, a datagram of 100 bytes."""
    target = INNER[inner].format(2)
    data = b"only one datagram has these bytes".ljust(100)
    assert round_trip_ns(net, a, b, target) == 4 * DELAY_NS
    with b.socket(FAMILY[inner], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(FAMILY[inner], socket.SOCK_DGRAM) as here, link.capture(path) as capture:
            here.sendto(data, (target, 9))
            assert there.recv(200) == data
            crossed = [packet.data for packet in packets(capture)]
    # Reports of multicast listeners (RFC 3810) pass, too, at times that chance chooses.
    (frame,) = [packet for packet in crossed if data in packet]
    assert frame.endswith(data)
    return len(frame) - (IP4 if inner == 4 else IP6) - UDP - len(data)


@pytest.mark.parametrize(("name", "inner"), CASES)
def test_tunnel_adds_its_headers_and_nothing_else(net, tmp_path, name, inner):
    kind = TUNNELS[name]
    a, _, b = build_tunnel(net, kind)
    outer = IP4 if kind.outer == 4 else IP6
    added = added_bytes(net, a, b, inner, net.links[1], tmp_path / "tunnel.pcapng")
    assert added == ETHERNET + outer + kind.header_bytes


@pytest.mark.parametrize("name", TUNNELS)
def test_mtu_leaves_room_for_the_headers(net, name):
    kind = TUNNELS[name]
    a, _, b = build_tunnel(net, kind)
    inner = kind.inner[0]
    with a.iproute() as ip:
        mtu = ip.get_links(ifname="tun")[0].get("mtu")
    assert mtu == 1500 - (IP4 if kind.outer == 4 else IP6) - kind.header_bytes
    payload = mtu - (IP4 if inner == 4 else IP6) - UDP
    target = INNER[inner].format(2)
    round_trip_ns(net, a, b, target)
    with a.socket(FAMILY[inner], socket.SOCK_DGRAM) as here:
        for size, pieces in ((payload, 0), (payload + 1, 2)):
            before = a.counters()
            here.sendto(b"x" * size, (target, 9))
            grown = a.counters() - before
            fragments = grown["IpFragCreates"], grown["Ip6FragCreates"]
            assert fragments == ((pieces, 0) if inner == 4 else (0, pieces))


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, _, b = build_tunnel(net, TUNNELS["geneve6"])
        net.links[0].capture(path)
        for inner in (4, 6):
            round_trip_ns(net, a, b, INNER[inner].format(2), 1400)

    assert repeats(build, tmp_path, scenario)
