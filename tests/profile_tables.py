# SPDX-License-Identifier: GPL-2.0-only
"""What the default profile promises, by name and with the least options that make one of each."""

from __future__ import annotations

import socket
import struct

from profile_requests import (
    ROOT,
    algorithm,
    attribute,
    be16,
    be32,
    be64,
    nest,
    text,
    u8,
    u16,
    u32,
)

# What only some releases have: first release with it, first release without it.
SINCE = {"dualpi2": (6, 17)}
UNTIL = {"dccp": (6, 16), "udplite": (7, 1)}

IN4, IN6 = socket.AF_INET, socket.AF_INET6

CONGESTION_CONTROLS = [
    "reno",
    "bbr",
    "bic",
    "cdg",
    "cubic",
    "dctcp",
    "highspeed",
    "htcp",
    "hybla",
    "illinois",
    "lp",
    "nv",
    "scalable",
    "vegas",
    "veno",
    "westwood",
    "yeah",
]

# name: family, type, protocol
SOCKETS = {
    "tcp": (IN4, 1, 6),
    "tcp6": (IN6, 1, 6),
    "udp": (IN4, 2, 17),
    "udp6": (IN6, 2, 17),
    "udplite": (IN4, 2, 136),
    "udplite6": (IN6, 2, 136),
    "sctp": (IN4, 1, 132),
    "sctp6": (IN6, 1, 132),
    "sctp-one-to-many": (IN4, 5, 132),
    "sctp6-one-to-many": (IN6, 5, 132),
    "dccp": (IN4, 6, 33),
    "dccp6": (IN6, 6, 33),
    "mptcp": (IN4, 1, 262),
    "mptcp6": (IN6, 1, 262),
    "icmp": (IN4, 3, 1),
    "icmp6": (IN6, 3, 58),
    "raw": (IN4, 3, 255),
    "raw6": (IN6, 3, 255),
    "mobility-header": (IN6, 3, 135),
    "l2tp-ip": (IN4, 2, 115),
    "l2tp-ip6": (IN6, 2, 115),
    "packet": (17, 3, socket.htons(3)),
    "packet-dgram": (17, 2, socket.htons(3)),
    "unix-stream": (1, 1, 0),
    "unix-dgram": (1, 2, 0),
    "unix-seqpacket": (1, 5, 0),
    "key": (15, 3, 2),
    "pppoe": (24, 1, 0),
    "pppol2tp": (24, 1, 1),
    "pptp": (24, 1, 2),
    "xdp": (44, 3, 0),
    "rtnetlink": (16, 3, 0),
    "netlink-usersock": (16, 3, 2),
    "netlink-sock-diag": (16, 3, 4),
    "netlink-xfrm": (16, 3, 6),
    "netlink-fib-lookup": (16, 3, 10),
    "netlink-netfilter": (16, 3, 12),
    "netlink-uevent": (16, 3, 15),
    "netlink-generic": (16, 3, 16),
    "netlink-crypto": (16, 3, 21),
}

# kind: options of pyroute2; "over" is replaced by the index of a dummy device
LINKS = {
    "dummy": {},
    "veth": {"peer": "veth-peer"},
    "ifb": {},
    "nlmon": {},
    "bridge": {},
    "bond": {},
    "team": {},
    "vrf": {"vrf_table": 10},
    "vlan": {"over": "link", "vlan_id": 7},
    "macvlan": {"over": "link", "macvlan_mode": "bridge"},
    "macvtap": {"over": "link", "macvtap_mode": "bridge"},
    "ipvlan": {"over": "link", "ipvlan_mode": 0},
    "ipvtap": {"over": "link"},
    "macsec": {"over": "link"},
    "ipip": {"ipip_local": "10.9.0.1", "ipip_remote": "10.9.0.2"},
    "sit": {"sit_local": "10.9.0.1", "sit_remote": "10.9.0.2"},
    "gre": {"gre_local": "10.9.0.1", "gre_remote": "10.9.0.2"},
    "gretap": {},
    "erspan": {},
    "ip6tnl": {"ip6tnl_local": "fd09::1", "ip6tnl_remote": "fd09::2"},
    "ip6gre": {"ip6gre_local": "fd09::1", "ip6gre_remote": "fd09::2"},
    "ip6gretap": {},
    "ip6erspan": {},
    "vti": {"vti_local": "10.9.0.1", "vti_remote": "10.9.0.2"},
    "vti6": {},
    "xfrm": {"xfrm_if_id": 7},
    "vxlan": {"vxlan_id": 7, "vxlan_group": "239.1.1.1", "over": "vxlan_link"},
    "geneve": {"geneve_id": 7, "geneve_remote": "10.9.0.2"},
    "wireguard": {},
}

# Families of generic netlink.
FAMILIES = [
    "ethtool",
    "fou",
    "gtp",
    "l2tp",
    "macsec",
    "mptcp_pm",
    "NET_DM",
    "SEG6",
    "tcp_metrics",
    "team",
    "wireguard",
]

# Numbers of struct tc_ratespec: 125,000 bytes a second on Ethernet.
_RATE = struct.pack("=BBHhHI", 0, 1, 0, -1, 0, 125_000)
_RED = struct.pack("=IIIBBBB", 60_000, 5_000, 15_000, 4, 10, 10, 0)
_PRIORITIES = bytes([1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
_QUEUES = struct.pack("=B16sB16H16H", 2, bytes([1]) + bytes(15), 0, 2, 2, *[0] * 15, 2, *[0] * 14)
_TAI = 11

# kind: TCA_OPTIONS, or None to send none
QDISCS: dict[str, bytes | None] = {
    "pfifo": None,
    "bfifo": None,
    "pfifo_fast": None,
    "pfifo_head_drop": None,
    "prio": struct.pack("=i", 3) + _PRIORITIES,
    "mq": None,
    "multiq": struct.pack("=HH", 0, 0),
    "mqprio": _QUEUES,
    "taprio": attribute(1, _QUEUES)
    + nest(2, nest(1, u8(2, 0), u32(3, 3), u32(4, 1_000_000)))
    + attribute(3, struct.pack("=q", 0))
    + u32(5, _TAI),
    "htb": attribute(2, struct.pack("=IIIII", 3, 10, 0, 0, 0)),
    "hfsc": struct.pack("=H", 0),
    "drr": None,
    "qfq": None,
    "ets": u8(1, 3),
    "tbf": attribute(1, _RATE + bytes(12) + struct.pack("=III", 60_000, 1_000_000, 0)),
    "cbs": attribute(1, struct.pack("=Bxxxiiii", 0, 100, -100, 1_000, -9_000)),
    "etf": attribute(1, struct.pack("=iiI", 1_000, _TAI, 0)),
    "netem": struct.pack("=6I", 1_000_000, 1_000, 0, 0, 0, 0),
    "sfq": None,
    "sfb": None,
    "red": attribute(1, _RED) + attribute(2, bytes(256)),
    "gred": attribute(3, struct.pack("=IIBBH", 2, 0, 0, 0, 0)),
    "choke": attribute(1, struct.pack("=IIIBBBB", 60, 5, 15, 4, 10, 10, 0))
    + attribute(2, bytes(256)),
    "codel": None,
    "fq_codel": None,
    "cake": None,
    "fq": None,
    "pie": None,
    "fq_pie": None,
    "hhf": None,
    "dualpi2": None,
    "skbprio": None,
    "plug": None,
    "teql0": None,
    "ingress": None,
    "clsact": None,
}

_RETURN_0 = struct.pack("=HBBI", 6, 0, 0, 0)

# kind: handle, TCA_OPTIONS
FILTERS = {
    "basic": (1, b""),
    "bpf": (1, u16(4, 1) + attribute(5, _RETURN_0) + u32(3, 1)),
    "cgroup": (1, b""),
    "flow": (1, u32(1, 1) + u32(2, 0)),
    "flower": (1, u32(1, 1)),
    "fw": (1, u32(1, 1)),
    "matchall": (1, u32(1, 1)),
    "route": (0xFFFF0007, u32(1, 1) + u32(2, 7)),
    "u32": (
        0,
        u32(1, 1) + attribute(5, struct.pack("=BBBxHHhhI", 1, 0, 1, 0, 0, 0, 0, 0) + bytes(16)),
    ),
}

_GENERIC = struct.pack("=IIiii", 0, 0, 3, 0, 0)  # struct tc_gen: pipe

# kind: TCA_ACT_OPTIONS
ACTIONS = {
    "gact": attribute(2, _GENERIC),
    "police": attribute(1, struct.pack("=IiIII", 0, 0, 0, 0, 0) + bytes(36)),
    "mirred": attribute(2, _GENERIC + struct.pack("=iI", 2, 1)),
    "sample": attribute(2, _GENERIC) + u32(3, 100) + u32(5, 1),
    "nat": attribute(1, _GENERIC + bytes(16)),
    "pedit": attribute(2, _GENERIC + struct.pack("=BBxx", 1, 0) + bytes(24)),
    "simple": attribute(2, _GENERIC) + text(3, "seen"),
    "skbedit": attribute(2, _GENERIC) + u32(3, 7),
    "csum": attribute(1, _GENERIC + struct.pack("=I", 1)),
    "mpls": attribute(2, _GENERIC + struct.pack("=i", 1)) + be16(4, 0x0800),
    "vlan": attribute(2, _GENERIC + struct.pack("=i", 1)),
    "bpf": attribute(2, _GENERIC) + u16(3, 1) + attribute(4, _RETURN_0),
    "connmark": attribute(1, _GENERIC + struct.pack("=Hxx", 0)),
    "ctinfo": attribute(3, _GENERIC) + u32(7, 1),
    "skbmod": attribute(2, _GENERIC + struct.pack("=xxxxQ", 8)),
    "ife": attribute(1, _GENERIC + struct.pack("=Hxx", 1)),
    "tunnel_key": attribute(2, _GENERIC + struct.pack("=i", 2)),
    "ct": attribute(1, _GENERIC),
    "gate": attribute(2, _GENERIC) + nest(5, nest(1, attribute(2, b""), u32(3, 1_000_000))),
}

_LOAD_ADDRESS = ("immediate", be32(1, 1) + nest(2, attribute(1, bytes([10, 9, 0, 1]))))

_LOAD_DEVICE = ("immediate", be32(1, 1) + nest(2, attribute(1, struct.pack("=I", 1))))

# expression: families, chain type, hook, what stands in the rule
EXPRESSIONS: dict[str, tuple[tuple[int, ...], str, int, list[tuple[str, bytes]]]] = {
    "counter": ((2, 10, 1), "filter", 1, [("counter", b"")]),
    "meta": ((2, 10, 1), "filter", 1, [("meta", be32(1, 1) + be32(2, 0))]),
    "ct": ((2, 10, 1), "filter", 1, [("ct", be32(1, 1) + be32(2, 0))]),
    "rt": ((2, 10, 1), "filter", 1, [("rt", be32(1, 1) + be32(2, 0))]),
    "fib": ((2, 10, 1), "filter", 1, [("fib", be32(1, 1) + be32(2, 1) + be32(3, 1))]),
    "socket": ((2, 10, 1), "filter", 1, [("socket", be32(1, 0) + be32(2, 1))]),
    "osf": ((2, 1), "filter", 1, [("osf", be32(1, 1))]),
    "xfrm": ((2, 10, 1), "filter", 1, [("xfrm", be32(1, 1) + be32(2, 4) + u8(3, 0))]),
    "tunnel": ((5,), "filter", 0, [("tunnel", be32(1, 1) + be32(2, 1))]),
    "numgen": ((2, 10, 1), "filter", 1, [("numgen", be32(1, 1) + be32(2, 8) + be32(3, 0))]),
    "hash": (
        (2,),
        "filter",
        1,
        [_LOAD_ADDRESS, ("hash", be32(1, 1) + be32(2, 2) + be32(3, 4) + be32(4, 8))],
    ),
    "limit": ((2, 10, 1), "filter", 1, [("limit", be64(1, 10) + be64(2, 1))]),
    "connlimit": ((2, 10, 1), "filter", 1, [("connlimit", be32(1, 10))]),
    "quota": ((2, 10, 1), "filter", 1, [("quota", be64(1, 1_000))]),
    "log": ((2, 10, 1), "filter", 1, [("log", b"")]),
    "fwd": ((5,), "filter", 0, [_LOAD_DEVICE, ("fwd", be32(1, 1))]),
    "queue": ((2, 10, 1), "filter", 1, [("queue", be16(1, 0))]),
    "reject": ((2, 10, 1), "filter", 1, [("reject", be32(1, 0) + u8(2, 3))]),
    "synproxy": ((2, 10, 1), "filter", 1, [("synproxy", be16(1, 1460) + u8(2, 7) + be32(3, 1))]),
    "tproxy": ((2,), "filter", 0, [_LOAD_ADDRESS, ("tproxy", be32(1, 2) + be32(2, 1))]),
    "dup": ((2,), "filter", 1, [_LOAD_ADDRESS, ("dup", be32(1, 1))]),
    "masq": ((2, 10, 1), "nat", 4, [("masq", b"")]),
    "redir": ((2, 10, 1), "nat", 0, [("redir", b"")]),
    "nat": ((2,), "nat", 0, [_LOAD_ADDRESS, ("nat", be32(1, 1) + be32(2, 2) + be32(3, 1))]),
}

# family: one that nftables has chains of: number, hook of a filter chain
NFT_FAMILIES = {
    "inet": (1, 1),
    "ip": (2, 1),
    "arp": (3, 0),
    "netdev": (5, 0),
    "bridge": (7, 1),
    "ip6": (10, 1),
}

IPSETS = {
    "hash:ip": b"",
    "hash:net": b"",
    "hash:ip,port": b"",
    "hash:ip,port,net": b"",
    "hash:net,port": b"",
    "bitmap:ip": nest(1, be32(1 | 0x4000, 0x0A000000)) + nest(2, be32(1 | 0x4000, 0x0A0000FF)),
    "bitmap:port": be16(4 | 0x4000, 1) + be16(5 | 0x4000, 100),
    "list:set": b"",
}

_HMAC = algorithm(1, "hmac(sha256)", bytes(32))

# name: protocol, mode (0 transport, 1 tunnel, 2 route optimization), attributes
STATES = {
    "esp-cbc": (50, 0, _HMAC + algorithm(2, "cbc(aes)", bytes(16))),
    "esp-3des": (50, 0, _HMAC + algorithm(2, "cbc(des3_ede)", bytes(range(24)))),
    "esp-gcm": (50, 1, algorithm(18, "rfc4106(gcm(aes))", bytes(20), 128)),
    "esp-chacha": (50, 1, algorithm(18, "rfc7539esp(chacha20,poly1305)", bytes(36), 128)),
    "esp-null": (50, 0, _HMAC + algorithm(2, "ecb(cipher_null)", b"")),
    "ah": (51, 0, _HMAC),
    "ipcomp": (108, 0, algorithm(3, "deflate", b"")),
}
MOBILE_STATES = {"type-2-routing-header": 43, "home-address-option": 60}

QDISC_PARENT = {"ingress": 0xFFFFFFF1, "clsact": 0xFFFFFFF1}


def parent_of(kind: str) -> int:
    """Where a queueing discipline is put."""
    return QDISC_PARENT.get(kind, ROOT)


def promised(name: str, release: str) -> bool:
    """Whether a kernel of this release ("6.12.117") has what a table names."""
    version = tuple(int(part) for part in release.split(".")[:2])
    base = name.rstrip("6")
    return version >= SINCE.get(base, (0,)) and version < UNTIL.get(base, (99,))
