# SPDX-License-Identifier: GPL-2.0-only
"""IPsec: ESP with AES-GCM (RFC 4303, RFC 4106) and AH, transport and tunnel mode."""

from __future__ import annotations

import socket

import pytest
import xfrm
from pcapng import read
from topologies import FAMILY, MS, SECOND, chain, ip_of, largest_frames, repeats, round_trip_ns

DELAY_NS = 5 * MS
ETHERNET, UDP = 14, 8
KEY, OTHER_KEY = bytes(range(20)), bytes(range(1, 21))
versions = pytest.mark.parametrize("version", [4, 6])
modes = pytest.mark.parametrize("mode", [xfrm.TRANSPORT, xfrm.TUNNEL], ids=["transport", "tunnel"])


def host(address):
    return f"{address}/{128 if ':' in address else 32}"


def ip_bytes(version):
    return 20 if version == 4 else 40


def protect(a, b, version, mode, *, protocol=xfrm.ESP, keys=(KEY, KEY), **limits):
    """Protect all between two nodes; keys are a's and b's."""
    ends = ip_of(a, version), ip_of(b, version)
    for node, key in zip((a, b), keys, strict=True):
        for number, (source, destination) in enumerate((ends, ends[::-1])):
            xfrm.add_state(
                node, source, destination, 100 + number, key, mode=mode, protocol=protocol, **limits
            )
            direction = xfrm.OUT if (node is a) == (number == 0) else xfrm.IN
            tunnel = (source, destination) if mode == xfrm.TUNNEL else None
            xfrm.add_policy(
                node, host(source), host(destination), direction, tunnel=tunnel, protocol=protocol
            )


def esp_bytes(payload):
    """ESP header, IV, the payload padded with its trailer to 4 bytes, integrity value."""
    return 8 + 8 + (payload + 2 + 3 & ~3) + 16


@versions
@modes
def test_esp_adds_its_headers_and_hides_the_payload(net, version, mode, tmp_path):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    if version == 6:
        round_trip_ns(net, a, b, b.ip6)  # neighbour discovery falls under the policy, too
    protect(a, b, version, mode)
    capture = net.links[0].capture(tmp_path / "all.pcapng")
    assert round_trip_ns(net, a, b, ip_of(b, version)) == 2 * DELAY_NS
    (size,) = largest_frames(net, tmp_path, a, ip_of(b, version))
    capture.close()
    payload = UDP + 1000 + (ip_bytes(version) if mode == xfrm.TUNNEL else 0)
    assert size == ETHERNET + ip_bytes(version) + esp_bytes(payload)
    frames = [packet.data for packet in read(capture.path).packets]
    assert not any(b"xxxxxxxx" in frame for frame in frames)
    assert sum(frame[23 if version == 4 else 20] == xfrm.ESP for frame in frames) >= 5


@versions
@modes
def test_states_count_packets_and_bytes(net, version, mode):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    protect(a, b, version, mode)
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            here.sendto(b"x", (ip_of(b, version), 9))
            there.recv(10)
            before = [xfrm.states(node)[100] for node in (a, b)]
            for _ in range(7):
                here.sendto(b"x" * 100, (ip_of(b, version), 9))
                assert there.recv(200) == b"x" * 100
    after = [xfrm.states(node)[100] for node in (a, b)]
    assert [new.packets - old.packets for new, old in zip(after, before, strict=True)] == [7, 7]
    assert after[0].bytes == after[1].bytes


@versions
@modes
def test_wrong_key_drops_everything(net, version, mode):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    protect(a, b, version, mode, keys=(KEY, OTHER_KEY))
    before = b.counters()
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        for _ in range(5):
            here.sendto(b"x" * 100, (ip_of(b, version), 9))
        net.run_for(2 * DELAY_NS)
    assert (b.counters() - before)["XfrmInStateProtoError"] == 5
    assert xfrm.states(b)[100].integrity_failed == 5
    with pytest.raises(TimeoutError):
        round_trip_ns(net, a, b, ip_of(b, version))


@versions
def test_unprotected_packet_is_refused_where_protection_is_asked_for(net, version):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    xfrm.add_policy(b, host(ip_of(a, version)), host(ip_of(b, version)), xfrm.IN)
    before = b.counters()
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        here.sendto(b"x", (ip_of(b, version), 9))
        net.run_for(2 * DELAY_NS)
    assert (b.counters() - before)["XfrmInTmplMismatch"] == 1


@versions
def test_policy_without_a_state_lets_nothing_out(net, version):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    xfrm.add_policy(a, host(ip_of(a, version)), host(ip_of(b, version)), xfrm.OUT)
    before = a.counters(), b.counters()
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        here.sendto(b"x", (ip_of(b, version), 9))
        net.run_for(2 * DELAY_NS)
    assert (a.counters() - before[0])["XfrmOutNoStates"] == 1
    grown = b.counters() - before[1]
    assert grown["UdpNoPorts"] == grown["Udp6NoPorts"] == 0


@versions
def test_replayed_packet_is_dropped(net, version):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    protect(a, b, version, xfrm.TRANSPORT)
    net.links[0].set(duplicate_pct=100)
    before = b.counters()
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        there.settimeout(1)
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
            here.sendto(b"once", (ip_of(b, version), 9))
        assert there.recv(10) == b"once"
        with pytest.raises(TimeoutError):
            there.recv(10)
    assert (b.counters() - before)["XfrmInStateSeqError"] >= 1


def test_state_ends_after_its_packets(net):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, b.ip)
    protect(a, b, 4, xfrm.TRANSPORT, packets=3)
    with b.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("", 9))
        there.settimeout(1)
        with a.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.setblocking(False)
            for _ in range(3):
                here.sendto(b"x", (b.ip, 9))
                assert there.recv(10) == b"x"
            assert 100 in xfrm.states(a)
            with pytest.raises(OSError, match="Invalid argument"):
                here.sendto(b"x", (b.ip, 9))
    net.run_for(MS)
    assert 100 not in xfrm.states(a)


def test_state_ends_after_its_seconds(net):
    a, b = chain(net, "ab")
    protect(a, b, 4, xfrm.TRANSPORT, seconds=60)
    net.run_for(59 * SECOND)
    assert set(xfrm.states(a)) == {100, 101}
    net.run_for(2 * SECOND)
    assert xfrm.states(a) == {}


@versions
@pytest.mark.parametrize("outer", [4, 6])
def test_tunnel_joins_two_networks(net, version, outer, tmp_path):
    a, g, _, h, b = chain(net, "agrhb", delay_ms=DELAY_NS / MS)
    gates = [g.addresses[2 + (outer == 6)], h.addresses[outer == 6]]
    networks = [host(ip_of(a, version)), host(ip_of(b, version))]
    for node in (g, h):
        for number, (source, destination) in enumerate(((0, 1), (1, 0))):
            ends = gates[source], gates[destination]
            xfrm.add_state(node, *ends, 100 + number, KEY, mode=xfrm.TUNNEL)
            out = (node is g) == (number == 0)
            for direction in (xfrm.OUT,) if out else (xfrm.IN, xfrm.FORWARD):
                xfrm.add_policy(
                    node, networks[source], networks[destination], direction, tunnel=ends
                )
    assert round_trip_ns(net, a, b, ip_of(b, version)) == 8 * DELAY_NS
    sizes = largest_frames(net, tmp_path, a, ip_of(b, version))
    plain = ETHERNET + ip_bytes(version) + UDP + 1000
    hidden = ETHERNET + ip_bytes(outer) + esp_bytes(plain - ETHERNET)
    assert sizes == [plain, hidden, hidden, plain]


@versions
def test_ah_signs_but_does_not_hide(net, version, tmp_path):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    protect(a, b, version, xfrm.TRANSPORT, protocol=xfrm.AH)
    assert round_trip_ns(net, a, b, ip_of(b, version)) == 2 * DELAY_NS
    (size,) = largest_frames(net, tmp_path, a, ip_of(b, version))
    # RFC 4302: 12 bytes, and the first 12 of the HMAC.
    assert size == ETHERNET + ip_bytes(version) + 12 + 12 + UDP + 1000
    packets = read(tmp_path / "0.pcapng").packets
    assert any(b"x" * 1000 in packet.data for packet in packets)


@versions
def test_ah_refuses_what_was_changed(net, version):
    a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
    round_trip_ns(net, a, b, ip_of(b, version))
    protect(a, b, version, xfrm.TRANSPORT, protocol=xfrm.AH, keys=(KEY, OTHER_KEY))
    before = b.counters()
    with a.socket(FAMILY[version], socket.SOCK_DGRAM) as here:
        here.sendto(b"x", (ip_of(b, version), 9))
        net.run_for(2 * DELAY_NS)
    assert (b.counters() - before)["XfrmInStateProtoError"] == 1


def test_same_seed_gives_the_same_capture(build, tmp_path):
    def scenario(net, path):
        a, b = chain(net, "ab", delay_ms=DELAY_NS / MS)
        protect(a, b, 6, xfrm.TUNNEL)
        net.links[0].capture(path)
        round_trip_ns(net, a, b, b.ip6, 1000)

    assert repeats(build, tmp_path, scenario)
