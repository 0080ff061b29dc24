# SPDX-License-Identifier: GPL-2.0-only
"""The default profile has what it promises: one of each thing of profile_tables.py is made."""

from __future__ import annotations

import ctypes
import itertools
import socket
import struct

import profile_requests as requests
import profile_tables as tables
import pytest
from profile_fixtures import device, ip, kernel

from pylibos._genetlink import find_family
from pylibos._netlink import attribute

pyroute2 = pytest.importorskip("pyroute2")
pytestmark = pytest.mark.kernel

LOOPBACK = "127.0.0.1"
SOL_IP, SOL_TCP, SOL_IPV6, SOL_TLS = 0, 6, 41, 282
_ports = itertools.count(20_000)


def skip_what_is_not_promised(kernel, name):
    """Ends a test of what this release does not have, after the refusal was seen by another."""
    if not tables.promised(name, kernel.release):
        pytest.skip(f"{kernel.release} does not have {name}, see the test of what is absent.")


# --- Sockets ---


@pytest.mark.parametrize("name", tables.SOCKETS)
def test_socket_is_made(kernel, name):
    family, kind, protocol = tables.SOCKETS[name]
    if tables.promised(name, kernel.release):
        kernel.socket(family, kind, protocol).close()
        return
    with pytest.raises(OSError, match="(Protocol|Socket type) not supported"):
        kernel.socket(family, kind, protocol)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["4", "6"])
def test_unprivileged_ping_socket_is_made(kernel, family):
    kernel.socket(family, socket.SOCK_DGRAM, 1 if family == socket.AF_INET else 58).close()


@pytest.mark.parametrize("name", tables.CONGESTION_CONTROLS)
def test_congestion_control_is_set(kernel, name):
    with kernel.socket() as sock:
        sock.setsockopt(SOL_TCP, socket.TCP_CONGESTION, name.encode())
        assert sock.getsockopt(SOL_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == name.encode()


def test_no_congestion_control_is_missing_from_the_list(kernel):
    available = kernel.sysctl["net.ipv4.tcp_available_congestion_control"].split()
    assert sorted(available) == sorted(tables.CONGESTION_CONTROLS)


def test_tls_of_the_kernel_seals_what_is_sent(kernel):
    with kernel.create_server((LOOPBACK, 0)) as server:
        with kernel.create_connection(server.getsockname()) as sock:
            sock.setsockopt(SOL_TCP, 31, b"tls")  # TCP_ULP
            # struct tls12_crypto_info_aes_gcm_128: TLS 1.2, AES-GCM-128
            sock.setsockopt(SOL_TLS, 1, struct.pack("=HH", 0x0303, 51) + bytes(36))
            sock.send(b"sealed")
            with server.accept()[0] as peer:
                assert peer.recv(100)[:3] == b"\x17\x03\x03"


def test_esp_in_tcp_is_set(kernel):
    with kernel.create_server((LOOPBACK, 0)) as server:
        with kernel.create_connection(server.getsockname()) as sock:
            sock.setsockopt(SOL_TCP, 31, b"espintcp")


def address_option():
    """A struct sockaddr_storage for keys of TCP."""
    return struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(LOOPBACK)).ljust(128, b"\0")


def test_connection_signed_with_md5_is_made(kernel):
    option = address_option() + struct.pack("=BBHi80s", 0, 0, 3, 0, b"key")
    with kernel.socket() as server, kernel.socket() as client:
        for sock in (server, client):
            sock.setsockopt(SOL_TCP, 14, option)
        server.bind((LOOPBACK, 0))
        server.listen()
        client.connect(server.getsockname())


def test_connection_authenticated_by_tcp_ao_is_made(kernel):
    option = address_option() + b"hmac(sha1)".ljust(64, b"\0")
    option += struct.pack("=iIHBBBBBB80s", 0, 0, 0, 32, 100, 100, 12, 0, 3, b"key")
    with kernel.socket() as server, kernel.socket() as client:
        for sock in (server, client):
            sock.setsockopt(SOL_TCP, 38, option)
        server.bind((LOOPBACK, 0))
        server.listen()
        client.connect(server.getsockname())


DIAGS = {
    # socket, family and protocol of the request
    "tcp": ("tcp", 2, 6),
    "tcp6": ("tcp6", 10, 6),
    "udp": ("udp", 2, 17),
    "udplite": ("udplite", 2, 136),
    "raw": ("raw", 2, 255),
    "sctp": ("sctp", 2, 132),
    "dccp": ("dccp", 2, 33),
    "mptcp": ("mptcp", 2, 6),
    "unix": ("unix-stream", 1, 0),
    "packet": ("packet", 17, 0),
    "netlink": ("netlink-generic", 16, 255),
    "xdp": ("xdp", 44, 0),
}


def inode_of(kernel, sock):
    """The inode number of a socket, by fstat(2)."""
    room = bytearray(144)
    kernel.syscall("fstat", sock.fileno(), room)
    return struct.unpack_from("=Q", room, 8)[0]


@pytest.mark.parametrize("name", DIAGS)
def test_sockets_are_listed_by_sock_diag(kernel, name):
    sockets, family, protocol = DIAGS[name]
    skip_what_is_not_promised(kernel, name)
    with kernel.socket(*tables.SOCKETS[sockets]) as sock:
        if family in (2, 10):
            extra, port = b"", 0
            if name == "mptcp":
                extra = attribute(3, struct.pack("=I", 262))  # INET_DIAG_REQ_PROTOCOL
                protocol = 0
            if name != "raw":
                port = next(_ports)
                sock.bind((LOOPBACK if family == 2 else "::1", port))
                if sock.type == socket.SOCK_STREAM or name == "dccp":
                    sock.listen()
            body = struct.pack("=BBBxI48x", family, protocol, 0, 0xFFFFFFFF) + extra
            ports = [struct.unpack_from(">H", item, 4)[0] for item in requests.diag(kernel, body)]
            assert name == "raw" or port in ports
            assert name != "raw" or len(ports) == 1
            return
        inode = inode_of(kernel, sock)
        sizes = {"unix": "=BBHIIIQ", "packet": "=BBHIIQ", "netlink": "=BBHIIQ", "xdp": "=BBHIIQ"}
        wanted = (0xFFFFFFFF, 0) if name == "unix" else (0,)
        body = struct.pack(sizes[name], family, protocol, 0, *wanted, 0xFF, 0)
        place = 4 if name in ("unix", "packet", "xdp") else 12
        found = requests.diag(kernel, body)
        if name == "netlink":
            assert any(item[2] == 16 for item in found)
        else:
            assert inode in [struct.unpack_from("=I", item, place)[0] for item in found]


# --- Links and routes ---


@pytest.mark.parametrize("kind", tables.LINKS)
def test_link_of_each_kind_is_made(ip, device, kind):
    options = dict(tables.LINKS[kind])
    if over := options.pop("over", None):
        options[over] = device
    name = f"new-{kind}"
    ip.link("add", ifname=name, kind=kind, **options)
    try:
        (link,) = ip.get_links(ifname=name)
        assert link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == kind
    finally:
        ip.link("del", ifname=name)


def test_bridge_runs_stp_and_filters_vlans(kernel, ip):
    ip.link("add", ifname="br", kind="bridge", br_stp_state=1, br_vlan_filtering=1)
    assert kernel.read_text("/sys/class/net/br/bridge/stp_state").strip() == "1"
    assert kernel.read_text("/sys/class/net/br/bridge/vlan_filtering").strip() == "1"
    ip.link("del", ifname="br")


@pytest.mark.parametrize("mode", range(7))
def test_bond_of_each_mode_is_made(kernel, ip, mode):
    ip.link("add", ifname="bond", kind="bond", bond_mode=mode)
    assert kernel.read_text("/sys/class/net/bond/bonding/mode").split()[1] == str(mode)
    ip.link("del", ifname="bond")


def test_tun_and_tap_devices_are_made(kernel):
    for name, flags in (("tun9", 0x1001), ("tap9", 0x1002)):
        descriptor = kernel.syscall("open", b"/dev/net/tun\0", 2)
        assert kernel.syscall("ioctl", descriptor, 0x400454CA, tun_request(name, flags)) == 0
        assert kernel.if_nametoindex(name)
        kernel.syscall("close", descriptor)


def tun_request(name, flags):
    """struct ifreq of TUNSETIFF."""
    return bytearray(struct.pack("=16sH22x", name.encode(), flags))


def test_l2tp_tunnels_carry_ethernet_sessions(kernel, device):
    with kernel.pyroute2(pyroute2.L2tp) as l2tp:
        for number, encapsulation in ((1, "udp"), (2, "ip")):
            ports = {"udp_sport": 5000, "udp_dport": 5000} if encapsulation == "udp" else {}
            l2tp.create_tunnel(
                tunnel_id=number,
                peer_tunnel_id=number,
                remote="10.9.0.2",
                local="10.9.0.1",
                encap=encapsulation,
                **ports,
            )
            l2tp.create_session(
                tunnel_id=number,
                session_id=number,
                peer_session_id=number,
                ifname=f"l2tp{number}",
            )
            assert kernel.if_nametoindex(f"l2tp{number}")


@pytest.mark.parametrize("family", tables.FAMILIES)
def test_generic_netlink_family_is_there(kernel, family):
    assert find_family(kernel, family).number >= 16


def test_wireguard_takes_keys(kernel, ip):
    ip.link("add", ifname="wg0", kind="wireguard")
    key = "aBcDefGhIjKlMnOpQrStUvWxYz0123456789ABCDEFE="
    with kernel.pyroute2(pyroute2.WireGuard) as wireguard:
        wireguard.set("wg0", private_key=key, listen_port=51820)
        (info,) = wireguard.info("wg0")
        assert info.get("WGDEVICE_A_LISTEN_PORT") == 51820
    ip.link("del", ifname="wg0")


ENCAPSULATIONS = {
    "mpls": ("10.20.1.0/24", {"type": "mpls", "labels": "200/300"}),
    "seg6": ("fd20:1::/64", {"type": "seg6", "mode": "encap", "segs": "fd09::5"}),
    "seg6-inline": ("fd20:2::/64", {"type": "seg6", "mode": "inline", "segs": "fd09::5"}),
    "seg6local": ("fd20:3::1/128", {"type": "seg6local", "action": "End"}),
}


@pytest.mark.parametrize("kind", ENCAPSULATIONS)
def test_route_with_an_encapsulation_is_made(ip, device, kind):
    destination, encapsulation = ENCAPSULATIONS[kind]
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    route = {"dst": destination, "family": family, "oif": device, "encap": encapsulation}
    if family == socket.AF_INET:
        route["gateway"] = "10.9.0.2"
    ip.route("add", **route)
    found = [item for item in ip.get_routes(family=family) if item.get("RTA_ENCAP_TYPE")]
    assert destination.partition("/")[0] in [item.get("RTA_DST") for item in found]
    ip.route("del", **route)


def test_mpls_route_is_made(ip, device):
    ip.route("add", family=28, dst=100, oif=device, newdst=200)
    assert next(route.get("RTA_DST") for route in ip.get_routes(family=28))[0]["label"] == 100


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["4", "6"])
def test_policy_rule_and_multipath_route_are_made(ip, device, family):
    destination, gateways = (
        ("10.30.0.0/16", ("10.9.0.2", "10.9.0.3"))
        if family == socket.AF_INET
        else ("fd30::/64", ("fd09::2", "fd09::3"))
    )
    hops = [{"gateway": gateway, "oif": device} for gateway in gateways]
    ip.rule("add", family=family, table=77, priority=77, fwmark=7)
    ip.route("add", family=family, dst=destination, table=77, multipath=hops)
    assert 77 in [rule.get("FRA_TABLE") for rule in ip.get_rules(family=family)]
    (route,) = [
        item for item in ip.get_routes(family=family, table=77) if item.get("RTA_MULTIPATH")
    ]
    assert len(route.get("RTA_MULTIPATH")) == 2
    ip.rule("del", family=family, table=77, priority=77, fwmark=7)


@pytest.mark.parametrize("version", [4, 6])
def test_multicast_routing_daemon_is_served(kernel, version):
    family, protocol, level = (
        (socket.AF_INET, 2, SOL_IP) if version == 4 else (socket.AF_INET6, 58, SOL_IPV6)
    )
    with kernel.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.setsockopt(level, 200, 1)  # MRT_INIT, MRT6_INIT
        sock.setsockopt(level, 201, 1 if version == 4 else 0)  # MRT_DONE


# --- Queueing, classification ---


@pytest.mark.parametrize("kind", tables.QDISCS)
def test_queueing_discipline_is_added(kernel, ip, device, kind):
    parent = tables.parent_of(kind)
    if not tables.promised(kind, kernel.release):
        with pytest.raises(OSError, match="No such file"):
            requests.add_qdisc(kernel, device, kind, tables.QDISCS[kind], parent)
        return
    requests.add_qdisc(kernel, device, kind, tables.QDISCS[kind], parent)
    assert kind in [qdisc.get("kind") for qdisc in ip.get_qdiscs(index=device)]
    requests.delete_qdisc(kernel, device, parent)


def test_unknown_queueing_discipline_is_refused(kernel, device):
    with pytest.raises(OSError, match="No such file"):
        requests.add_qdisc(kernel, device, "nonsense", None, requests.ROOT)


@pytest.mark.parametrize("kind", tables.FILTERS)
def test_classifier_is_added(kernel, ip, device, kind):
    requests.add_qdisc(kernel, device, "clsact", None, requests.INGRESS)
    try:
        requests.add_filter(kernel, device, kind, *tables.FILTERS[kind])
        found = ip.get_filters(index=device, parent=requests.CLSACT_INGRESS)
        assert kind in [item.get("kind") for item in found]
    finally:
        requests.delete_qdisc(kernel, device, requests.INGRESS)


@pytest.mark.parametrize("kind", tables.ACTIONS)
def test_action_is_made(kernel, kind):
    requests.add_action(kernel, kind, tables.ACTIONS[kind])


def test_unknown_action_is_refused(kernel):
    with pytest.raises(OSError, match="No such file"):
        requests.add_action(kernel, "nonsense", tables.ACTIONS["gact"])


# --- IPsec and Mobile IPv6 ---


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["4", "6"])
@pytest.mark.parametrize("name", tables.STATES)
def test_security_association_is_made(kernel, name, family):
    requests.add_state(kernel, family, *tables.STATES[name])


@pytest.mark.parametrize("name", tables.MOBILE_STATES)
def test_mobile_ipv6_state_is_made(kernel, name):
    care_of = attribute(14, socket.inet_pton(socket.AF_INET6, "fd09::77"))
    requests.add_state(kernel, socket.AF_INET6, tables.MOBILE_STATES[name], 2, care_of)


# --- BPF ---

BPF_PROGRAMS = {"socket-filter": 1, "classifier": 3, "action": 4, "xdp": 6, "cgroup-skb": 8}


def load(kernel, kind):
    """Load a BPF program that returns 1; its descriptor."""
    program = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0))
    license_text = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQ", kind, 2, ctypes.addressof(program), ctypes.addressof(license_text)
    )
    return kernel.syscall("bpf", 5, bytearray(attributes.ljust(128, b"\0")), 128)


@pytest.mark.parametrize("name", BPF_PROGRAMS)
def test_bpf_program_is_loaded(kernel, name):
    kernel.syscall("close", load(kernel, BPF_PROGRAMS[name]))


def test_xdp_program_is_attached(kernel, ip, device):
    descriptor = load(kernel, BPF_PROGRAMS["xdp"])
    ip.link("set", index=device, xdp_fd=descriptor)
    (link,) = ip.get_links(device)
    assert link.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED") == "xdpgeneric"
    ip.link("set", index=device, xdp_fd=-1)
    kernel.syscall("close", descriptor)


def test_classic_bpf_filters_a_socket(kernel):
    program = ctypes.create_string_buffer(tables._RETURN_0)
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setsockopt(1, 26, struct.pack("=HxxxxxxQ", 1, ctypes.addressof(program)))


# --- Namespaces ---


@pytest.mark.parametrize("name", ["net", "mnt", "uts", "ipc", "pid", "user", "cgroup"])
def test_task_in_a_new_namespace_is_made(kernel, name):
    with kernel.task(share_files=False, namespaces=[name]) as task:
        assert task.syscall("getpid") > 0
