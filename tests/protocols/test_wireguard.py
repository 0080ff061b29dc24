# SPDX-License-Identifier: GPL-2.0-only
"""WireGuard: handshakes, rekeying, keepalives and roaming in exact virtual time."""

from __future__ import annotations

import errno
import itertools
import socket
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pcapng import read
from pyroute2 import WireGuard
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, ip_of, keep, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETHERNET, UDP, PORT = 14, 8, 51820
INNER = {4: "192.168.8.{}", 6: "fd08::{}"}
# drivers/net/wireguard/messages.h
INITIATION, RESPONSE, DATA = 1, 2, 4
SIZES = {INITIATION: 148, RESPONSE: 92, DATA: 32}  # of data: with nothing in it
REKEY_AFTER_TIME, KEEPALIVE_TIMEOUT = 120, 10
versions = pytest.mark.parametrize("version", [4, 6])
outers = pytest.mark.parametrize("outer", [4, 6])


def keys(number):
    private = X25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    public = private.public_key()
    return b64encode(private.private_bytes_raw()), b64encode(public.public_bytes_raw())


def add_interface(node, number, peers):
    """Make wg0 with a key and the addresses of a number; peers: dictionaries of WireGuard.set()."""
    with node.iproute() as ip:
        ip.link("add", ifname="wg0", kind="wireguard")
    with node.pyroute2(WireGuard) as wireguard:
        wireguard.set("wg0", private_key=keys(number)[0].decode(), listen_port=PORT)
        for peer in peers:
            wireguard.set("wg0", peer=peer)
    with node.iproute() as ip:
        ip.link("set", index=ip.link_lookup(ifname="wg0")[0], state="up")
    node.add_address("wg0", f"{INNER[4].format(number)}/24")
    node.add_address("wg0", f"{INNER[6].format(number)}/64")


def peer(number, endpoint=None, **options):
    found = {"public_key": keys(number)[1].decode(), **options}
    found["allowed_ips"] = [f"{INNER[4].format(number)}/32", f"{INNER[6].format(number)}/128"]
    if endpoint:
        found |= {"endpoint_addr": endpoint, "endpoint_port": PORT}
    return found


def pair(net, outer=4, **options):
    """Node a knows where b is; b learns where a is."""
    a, b = net.node("a"), net.node("b")
    for node in (a, b):
        node.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    net.link(a, b, delay_ms=DELAY_NS / MS)
    warm(net, a, b, outer)
    add_interface(a, 1, [peer(2, ip_of(b, outer), **options)])
    add_interface(b, 2, [peer(1)])
    return a, b


def warm(net, a, b, outer):
    """Let neighbours be known for as long as the test takes."""
    for node in (a, b):
        node.sysctl[f"net.ipv{outer}.neigh.eth0.base_reachable_time_ms"] = 3_600_000
    round_trip_ns(net, a, b, ip_of(b, outer))
    net.run_for(10 * SECOND)


def messages(capture):
    """WireGuard's messages that the device sent: (time_ns, type, bytes)."""
    capture.flush()
    found = []
    for packet in read(capture.path).packets:
        header = {0x0800: 20, 0x86DD: 40}.get(int.from_bytes(packet.data[12:14], "big"))
        data = packet.data[ETHERNET + header + UDP :] if header else b""
        protocol = packet.data[23 if header == 20 else 20]
        if not packet.inbound and header and protocol == socket.IPPROTO_UDP:
            found.append((packet.time_ns, data[0], len(data)))
    return found


@versions
@outers
def test_first_packet_waits_for_the_handshake(net, version, outer):
    a, b = pair(net, outer)
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            for trips in (3, 1):  # initiation, response, data; then data only
                start = net.now_ns
                here.sendto(b"x", (INNER[version].format(2), 9))
                assert there.recv(10) == b"x"
                assert net.now_ns - start == trips * DELAY_NS


@versions
@outers
def test_messages_have_the_sizes_of_the_protocol(net, version, outer, tmp_path):
    a, b = pair(net, outer)
    capture = net.links[0].ends[0].device.capture(tmp_path / "a.pcapng")
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            here.sendto(b"x" * 100, (INNER[version].format(2), 9))
            there.recv(200)
    inner = (20 if version == 4 else 40) + UDP + 100
    padded = SIZES[DATA] + (inner + 15 & ~15)
    assert [size for _, _, size in messages(capture)] == [SIZES[INITIATION], padded]
    assert b"xxxx" not in capture.path.read_bytes()


@outers
def test_keys_are_renewed_after_120_seconds(net, outer, tmp_path):
    a, b = pair(net, outer)
    capture = net.links[0].ends[0].device.capture(tmp_path / "a.pcapng")
    start = net.now_ns
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            for _ in range(400):
                here.sendto(b"x", (INNER[4].format(2), 9))
                net.run_for(SECOND)
                assert there.recv(10) == b"x"
    began = [time - start for time, kind, _ in messages(capture) if kind == INITIATION]
    # A key is born with the response, one round trip after the initiation, and old with the
    # first packet that is sent 120 s or more later.
    second = (REKEY_AFTER_TIME + 1) * SECOND
    assert began == [0, second, 2 * second, 3 * second]


def test_data_without_an_answer_is_confirmed_by_a_keepalive(net, tmp_path):
    a, b = pair(net)
    capture = net.links[0].ends[1].device.capture(tmp_path / "b.pcapng")
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.sendto(b"x", (INNER[4].format(2), 9))
            there.recv(10)
    arrival = net.now_ns
    net.run_for(60 * SECOND)
    sent = messages(capture)
    assert [kind for _, kind, _ in sent] == [RESPONSE, DATA]
    assert sent[1] == (wheel_ns(arrival, KEEPALIVE_TIMEOUT * 1000), DATA, SIZES[DATA])


@pytest.mark.parametrize("interval", [5, 25])
def test_persistent_keepalives_come_at_their_interval(net, interval, tmp_path):
    a, b = net.node("a"), net.node("b")
    net.link(a, b, delay_ms=DELAY_NS / MS)
    warm(net, a, b, 4)
    capture = net.links[0].ends[0].device.capture(tmp_path / "a.pcapng")
    add_interface(b, 2, [peer(1)])
    add_interface(a, 1, [peer(2, b.ip, persistent_keepalive=interval)])
    net.run_for(100 * SECOND)
    sent = messages(capture)
    assert sent[0][1] == INITIATION
    keepalives = [time for time, kind, size in sent if (kind, size) == (DATA, SIZES[DATA])]
    assert len(keepalives) >= 3
    for first, second in itertools.pairwise(keepalives[1:]):
        assert second == wheel_ns(first, interval * 1000)


@outers
def test_peer_is_followed_to_its_new_address(net, outer):
    a, b = pair(net, outer)
    second = net.link(a, b, delay_ms=2)
    target = INNER[4].format(2)
    assert round_trip_ns(net, a, b, target) == 2 * DELAY_NS
    old = ip_of(a, outer)
    new, there = (end.addresses[outer == 6] for end in second.ends)
    assert endpoint(b) == old
    with a.pyroute2(WireGuard) as wireguard:  # by the other link, as after a handover
        wireguard.set("wg0", peer=peer(2, there))
    assert round_trip_ns(net, a, b, target) == 4 * MS
    assert endpoint(b) == new


def endpoint(node):
    with node.pyroute2(WireGuard) as wireguard:
        (device,) = wireguard.info("wg0")
        return device.get("WGDEVICE_A_PEERS")[0].get("WGPEER_A_ENDPOINT")["addr"]


def test_address_of_no_peer_is_refused(net):
    a, _ = pair(net)
    with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            here.sendto(b"x", (INNER[4].format(3), 9))
    assert caught.value.errno == errno.ENOKEY


def test_source_that_a_peer_may_not_use_is_dropped(net):
    a, b = pair(net)
    a.add_address("wg0", "192.168.8.77/24")
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        there.settimeout(1)
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.bind(("192.168.8.77", 0))
            here.sendto(b"x", (INNER[4].format(2), 9))
            with pytest.raises(TimeoutError):
                there.recv(10)
    assert b.read_text("/sys/class/net/wg0/statistics/rx_errors").strip() == "1"


def test_stranger_gets_no_answer_and_gives_up(net, tmp_path):
    a, b = net.node("a"), net.node("b")
    net.link(a, b, delay_ms=DELAY_NS / MS)
    warm(net, a, b, 4)
    add_interface(a, 1, [peer(2, b.ip)])
    add_interface(b, 2, [peer(9)])
    captures = [end.device.capture(tmp_path / end.kernel.name) for end in net.links[0].ends]
    sock = keep(a.socket(socket.AF_INET, socket.SOCK_DGRAM))
    start = net.now_ns
    sock.sendto(b"x", (INNER[4].format(2), 9))
    net.run_for(300 * SECOND)
    sent, answers = (messages(capture) for capture in captures)
    assert answers == []
    # Every REKEY_TIMEOUT (5 s, and up to a third of a second by chance) for REKEY_ATTEMPT_TIME
    # (90 s); timers.c counts from 0 to 90 / 5.
    assert [kind for _, kind, _ in sent] == [INITIATION] * (1 + 90 // 5 + 1)
    gaps = [second[0] - first[0] for first, second in itertools.pairwise(sent)]
    assert all(5 * SECOND <= gap <= 5.334 * SECOND + 512 * MS for gap in gaps)
    assert sent[0][0] == start


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b = pair(net, 6)
        net.links[0].capture(path)
        round_trip_ns(net, a, b, INNER[6].format(2), 1000)

    assert repeats(build, tmp_path, scenario)
