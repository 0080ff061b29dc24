# SPDX-License-Identifier: GPL-2.0-only
"""The default profile has all of netfilter that it promises: nftables, iptables, sets, tracking."""

from __future__ import annotations

import socket
import struct

import profile_requests as requests
import profile_tables as tables
import pytest
from profile_fixtures import device, ip, kernel

pytestmark = pytest.mark.kernel
LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize("name", tables.NFT_FAMILIES)
def test_nftables_chain_of_each_family_is_made(kernel, device, name):
    family, hook = tables.NFT_FAMILIES[name]
    below = "below" if name == "netdev" else ""
    requests.batch(
        kernel,
        [
            requests.nft_table(family, "family"),
            requests.nft_chain(family, "family", "chain", "filter", hook, below),
            requests.nft_rule(family, "family", "chain", ("counter", b"")),
        ],
    )
    requests.batch(kernel, [requests.nft_delete_table(family, "family")])


@pytest.mark.parametrize(
    ("name", "family"),
    [(name, family) for name, entry in tables.EXPRESSIONS.items() for family in entry[0]],
)
def test_nftables_expression_is_taken(kernel, device, name, family):
    _, kind, hook, rule = tables.EXPRESSIONS[name]
    below = "below" if family == tables.NFT_FAMILIES["netdev"][0] else ""
    requests.batch(
        kernel,
        [
            requests.nft_table(family, "expressions"),
            requests.nft_chain(family, "expressions", "chain", kind, hook, below),
            requests.nft_rule(family, "expressions", "chain", *rule),
        ],
    )
    requests.batch(kernel, [requests.nft_delete_table(family, "expressions")])


def test_unknown_nftables_expression_is_refused(kernel):
    with pytest.raises(OSError, match="No such file"):
        requests.batch(
            kernel,
            [
                requests.nft_table(2, "expressions"),
                requests.nft_chain(2, "expressions", "chain", "filter", 1),
                requests.nft_rule(2, "expressions", "chain", ("nonsense", b"")),
            ],
        )


@pytest.mark.parametrize("family", [2, 10, 1], ids=["ip", "ip6", "inet"])
def test_flowtable_takes_flows(kernel, device, family):
    requests.batch(
        kernel,
        [
            requests.nft_table(family, "flows"),
            requests.nft_flowtable(family, "flows", "fast", "below"),
            requests.nft_chain(family, "flows", "chain", "filter", 2),
            requests.nft_rule(family, "flows", "chain", ("flow_offload", requests.text(1, "fast"))),
        ],
    )
    requests.batch(kernel, [requests.nft_delete_table(family, "flows")])


def test_connections_are_tracked(kernel):
    rule = tables.EXPRESSIONS["ct"][3]
    requests.batch(
        kernel,
        [
            requests.nft_table(2, "tracked"),
            requests.nft_chain(2, "tracked", "chain", "filter", 1),
            requests.nft_rule(2, "tracked", "chain", *rule),
        ],
    )
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"seen", (LOOPBACK, 4321))
    tracked = kernel.read_text("/proc/net/nf_conntrack")
    assert any("udp" in line and "dport=4321" in line for line in tracked.splitlines())
    requests.batch(kernel, [requests.nft_delete_table(2, "tracked")])


TABLES = {
    # name of the family: socket family, level, getsockopt number, tables
    "iptables": (socket.AF_INET, 0, 64, ["filter", "nat", "mangle", "raw"]),
    "ip6tables": (socket.AF_INET6, 41, 64, ["filter", "nat", "mangle", "raw"]),
    "arptables": (socket.AF_INET, 0, 96, ["filter"]),
}


def get_option(kernel, family, level, option, room):
    """getsockopt(2) of a raw socket with a buffer that says what is wanted."""
    with kernel.socket(family, socket.SOCK_RAW, 255) as sock:
        size = bytearray(struct.pack("=I", len(room)))
        kernel.syscall("getsockopt", sock.fileno(), level, option, room, size)
    return room


@pytest.mark.parametrize(
    ("program", "table"), [(p, t) for p, (_, _, _, names) in TABLES.items() for t in names]
)
def test_legacy_table_is_there(kernel, program, table):
    family, level, option, _ = TABLES[program]
    hooks = 3 if program == "arptables" else 5
    room = bytearray(32 + 4 * (1 + 2 * hooks + 2))
    room[: len(table)] = table.encode()
    get_option(kernel, family, level, option, room)
    entries, size = struct.unpack_from("=II", room, len(room) - 8)
    assert entries >= 2
    assert size > 0


MATCHES = [
    "addrtype",
    "bpf",
    "cgroup",
    "cluster",
    "comment",
    "connbytes",
    "connlabel",
    "connlimit",
    "connmark",
    "conntrack",
    "cpu",
    "devgroup",
    "dscp",
    "ecn",
    "esp",
    "hashlimit",
    "helper",
    "ipcomp",
    "iprange",
    "l2tp",
    "length",
    "limit",
    "mac",
    "mark",
    "multiport",
    "osf",
    "owner",
    "physdev",
    "pkttype",
    "policy",
    "quota",
    "realm",
    "recent",
    "sctp",
    "set",
    "socket",
    "state",
    "statistic",
    "string",
    "tcp",
    "tcpmss",
    "time",
    "u32",
    "udp",
]
TARGETS = [
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CT",
    "DNAT",
    "DSCP",
    "HMARK",
    "IDLETIMER",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "RATEEST",
    "REDIRECT",
    "REJECT",
    "SNAT",
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TPROXY",
    "TRACE",
]


@pytest.mark.parametrize("name", MATCHES + TARGETS)
def test_iptables_extension_is_there(kernel, name):
    option = 67 if name in TARGETS else 66  # IPT_SO_GET_REVISION_TARGET, _MATCH
    refusals = set()
    for revision in range(8):
        room = bytearray(name.encode().ljust(29, b"\0") + bytes([revision]))
        try:
            get_option(kernel, socket.AF_INET, 0, option, room)
            return
        except OSError as error:
            refusals.add(error.strerror)
    pytest.fail(f"No revision of {name} is taken: {refusals}.")


def test_unknown_iptables_extension_is_refused(kernel):
    room = bytearray(b"nonsense".ljust(29, b"\0") + b"\0")
    with pytest.raises(OSError, match="No such file"):
        get_option(kernel, socket.AF_INET, 0, 66, room)


@pytest.mark.parametrize("kind", tables.IPSETS)
def test_ip_set_is_made(kernel, kind):
    requests.add_ipset(kernel, kind, tables.IPSETS[kind])


HELPERS = {"ftp": 6, "irc": 6, "pptp": 6, "sip": 17, "tftp": 17}


@pytest.mark.parametrize("name", HELPERS)
def test_tracking_helper_is_there(kernel, name):
    requests.batch(
        kernel,
        [requests.nft_table(2, "helpers"), requests.nft_helper("helpers", name, HELPERS[name])],
    )
    requests.batch(kernel, [requests.nft_delete_table(2, "helpers")])
