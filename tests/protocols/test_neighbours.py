# SPDX-License-Identifier: GPL-2.0-only
"""ARP and neighbour discovery: resolution, its failure, states, proxies, announcements."""

from __future__ import annotations

import errno
import socket
import struct

import dpkt
import pytest
from frames import layer, packets
from icmp import LEVEL, RECVERR
from timer_wheel import wheel_ns
from topologies import FAMILY, MS, SECOND, chain, ip_of
from wire import keep

ONE_WAY = 10 * MS
ROUND_TRIP = 2 * ONE_WAY
# include/uapi/linux/neighbour.h
REACHABLE, STALE, DELAY, PROBE, FAILED, PERMANENT = 0x02, 0x04, 0x08, 0x10, 0x20, 0x80
SOLICIT, ADVERT = 135, 136
BROADCAST = b"\xff" * 6

both = pytest.mark.parametrize("version", [4, 6])


class Pair:
    """Two nodes, 10 ms, and a capture of what the first one sends and receives."""

    def __init__(self, net, version, path):
        self.net, self.version = net, version
        self.a, self.b = chain(net, "ab", delay_ms=10)
        net.run_for(10 * SECOND)  # what IPv6 says when a link comes up has been said
        self.target = ip_of(self.b, version)
        self.link = self.a.links[0]
        self.capture = self.link.ends[0].device.capture(path / "a.pcapng")
        self.start_ns = net.now_ns

    def send(self, address=None, data=b"x"):
        with self.a.socket(FAMILY[self.version], socket.SOCK_DGRAM) as sock:
            sock.sendto(data, (address or self.target, 9))

    def asked(self, since_ns=0):
        """(ns since the start, whether to all) of each request that a sent."""
        found = []
        for packet in packets(self.capture, sent=True):
            if is_request(packet.data, self.version) and packet.time_ns >= since_ns:
                to_all = bool(packet.data[0] & 1)
                found.append((packet.time_ns - self.start_ns, to_all))
        return found

    def state(self, address=None):
        """The NUD state of a neighbour of a; None: unknown."""
        wanted = address or self.target
        with self.a.iproute() as ip:
            for entry in ip.get_neighbours(family=FAMILY[self.version]):
                if entry.get_attr("NDA_DST") == wanted:
                    return entry["state"]
        return None


def is_request(frame, version):
    """Whether a frame asks for a neighbour's address."""
    if version == 4:
        arp = layer(frame, dpkt.arp.ARP)
        return arp is not None and arp.op == dpkt.arp.ARP_OP_REQUEST
    icmp = layer(frame, dpkt.icmp6.ICMP6)
    return icmp is not None and icmp.type == SOLICIT


def hardware_address(node, device="eth0"):
    return bytes.fromhex(
        node.read_text(f"/sys/class/net/{device}/address").strip().replace(":", "")
    )


@both
def test_first_datagrams_wait_for_the_neighbour_and_all_arrive(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    with pair.b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind((pair.target, 9))
        for number in range(3):
            pair.send(data=bytes([number]))
        assert [there.recv(10)[0] for _ in range(3)] == [0, 1, 2]
        # There and back for the address, and there for the data.
        assert net.now_ns - pair.start_ns == 3 * ONE_WAY
    assert pair.asked() == [(0, True)]
    assert pair.state() == REACHABLE


@both
def test_neighbour_that_does_not_answer_is_asked_three_times(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    missing = "10.0.1.77" if version == 4 else "fd00:0:0:1::77"
    with pair.a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
        sock.setsockopt(LEVEL[version], RECVERR[version], 1)
        sock.connect((missing, 9))
        sock.send(b"x")
        with pytest.raises(OSError, match="No route to host") as failed:
            sock.recv(10)
    assert failed.value.errno == errno.EHOSTUNREACH
    # mcast_solicit is 3, retrans_time_ms 1000: RFC 4861, 7.2.2.
    times = [pair.start_ns]
    for _ in range(3):
        times.append(wheel_ns(times[-1], 1000))
    assert pair.asked() == [(time_ns - pair.start_ns, True) for time_ns in times[:3]]
    assert net.now_ns == times[3]
    assert pair.state(missing) == FAILED


@both
def test_number_of_questions_is_a_setting(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    pair.a.sysctl[f"net.ipv{version}.neigh.eth0.mcast_solicit"] = 5
    pair.send("10.0.1.77" if version == 4 else "fd00:0:0:1::77")
    net.run_for(20 * SECOND)
    assert len(pair.asked()) == 5


@both
def test_known_neighbour_becomes_stale_and_is_probed_when_used(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    # Between half and one and a half of 30 s (RFC 4861, 6.3.2), picked by the kernel.
    pair.send()
    net.run_for(ROUND_TRIP)
    assert pair.state() == REACHABLE
    net.run_for(50 * SECOND)
    pair.capture.flush()
    used_ns = net.now_ns
    pair.send()
    assert pair.state() == DELAY
    # delay_first_probe_time is 5 s; then one that is for the neighbour alone.
    net.run_until(wheel_ns(used_ns, 5000) - 1)
    assert pair.state() == DELAY
    net.run_for(1 + ONE_WAY)
    assert pair.state() == PROBE
    net.run_for(ONE_WAY)
    assert pair.state() == REACHABLE
    expected = wheel_ns(used_ns, 5000) - pair.start_ns
    assert pair.asked(used_ns) == [(expected, False)]


@both
def test_neighbour_that_has_gone_is_probed_three_times_and_given_up(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    pair.send()
    net.run_for(60 * SECOND)
    pair.link.set(loss_pct=100, direction=0)
    used_ns = net.now_ns
    pair.send()
    times = [wheel_ns(used_ns, 5000)]
    for _ in range(3):
        times.append(wheel_ns(times[-1], 1000))
    net.run_until(times[3] - 1)
    assert pair.state() == PROBE
    net.run_until(times[3])
    assert pair.state() == FAILED
    # ucast_solicit is 3.
    assert pair.asked(used_ns) == [(time_ns - pair.start_ns, False) for time_ns in times[:3]]


@both
def test_confirmation_by_the_program_saves_probes(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    # Nothing is said in the other direction, by which b would ask for a.
    keep(pair.b.socket(FAMILY[version], socket.SOCK_DGRAM)).bind((pair.target, 9))
    pair.send()
    net.run_for(60 * SECOND)
    used_ns = net.now_ns
    with pair.a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
        for _ in range(2):
            sock.sendto(b"x", socket.MSG_CONFIRM, (pair.target, 9))
            net.run_for(3 * SECOND)
    net.run_for(10 * SECOND)
    assert pair.state() == REACHABLE
    assert pair.asked(used_ns) == []


@both
def test_permanent_entry_is_never_asked_for(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    address = hardware_address(pair.b).hex(":")
    with pair.a.iproute() as ip:
        index = pair.a.if_nametoindex("eth0")
        ip.neigh("add", dst=pair.target, lladdr=address, ifindex=index, state=PERMANENT)
    with pair.b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind((pair.target, 9))
        pair.send()
        assert there.recv(10) == b"x"
        assert net.now_ns - pair.start_ns == ONE_WAY
    net.run_for(60 * SECOND)
    assert pair.asked() == []
    assert pair.state() == PERMANENT


@both
def test_router_answers_as_a_proxy_for_what_is_behind_it(net, tmp_path, version):
    a, r, b = chain(net, "arb", delay_ms=10)
    place = 0 if version == 4 else 1
    inside = r.device_to(a)
    target = b.addresses[place]
    with a.iproute() as ip:
        # a takes everything for its neighbour.
        ip.route(
            "add",
            dst=f"{target}/{32 if version == 4 else 128}",
            oif=a.if_nametoindex("eth0"),
            family=FAMILY[version],
        )
    if version == 4:
        r.sysctl[f"net.ipv4.conf.{inside}.proxy_arp"] = 1
        r.sysctl[f"net.ipv4.neigh.{inside}.proxy_delay"] = 0
    else:
        r.sysctl[f"net.ipv6.conf.{inside}.proxy_ndp"] = 1
        r.sysctl[f"net.ipv6.neigh.{inside}.proxy_delay"] = 0
        with r.iproute() as ip:
            ip.neigh("add", dst=target, ifindex=r.if_nametoindex(inside), flags=8)  # NTF_PROXY
    with b.socket(FAMILY[version], socket.SOCK_DGRAM) as there:
        there.bind((target, 9))
        with a.socket(FAMILY[version], socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", (target, 9))
        there.settimeout(5)
        assert there.recv(10) == b"x"
    with a.iproute() as ip:
        (entry,) = (
            item
            for item in ip.get_neighbours(family=FAMILY[version])
            if item.get_attr("NDA_DST") == target
        )
    assert entry.get_attr("NDA_LLADDR") == hardware_address(r, inside).hex(":")


@both
def test_new_address_is_announced_to_all(net, tmp_path, version):
    pair = Pair(net, version, tmp_path)
    new = "10.0.1.99" if version == 4 else "fd00:0:0:1::99"
    if version == 4:
        pair.a.sysctl["net.ipv4.conf.eth0.arp_notify"] = 1
    else:
        pair.a.sysctl["net.ipv6.conf.eth0.ndisc_notify"] = 1
        pair.a.sysctl["net.ipv6.conf.eth0.keep_addr_on_down"] = 1
    pair.a.add_address("eth0", new + ("/24" if version == 4 else "/64"))
    pair.link.ends[0].device.down()
    pair.link.ends[0].device.up()
    net.run_for(SECOND)
    announced = set()
    for packet in packets(pair.capture, sent=True):
        arp, icmp = layer(packet.data, dpkt.arp.ARP), layer(packet.data, dpkt.icmp6.ICMP6)
        if version == 4 and arp and arp.spa == arp.tpa:
            # RFC 5227, 3: sender and target are the same.
            assert packet.data[:6] == BROADCAST
            announced.add(socket.inet_ntop(socket.AF_INET, arp.spa))
        if version == 6 and icmp and icmp.type == ADVERT:
            flags = bytes(icmp)[4]
            assert flags & 0x40 == 0  # not solicited (RFC 4861, 4.4)
            announced.add(socket.inet_ntop(socket.AF_INET6, bytes(icmp)[8:24]))
    assert new in announced


def test_gratuitous_arp_moves_an_address_to_another_card(net, tmp_path):
    pair = Pair(net, 4, tmp_path)
    pair.send()
    net.run_for(2 * SECOND)  # an entry is not changed within locktime, 1 s
    moved = bytes.fromhex("02aabbccddee")
    announce(pair.b, moved, pair.target)
    net.run_for(SECOND)
    with pair.a.iproute() as ip:
        (entry,) = (e for e in ip.get_neighbours(family=2) if e.get_attr("NDA_DST") == pair.target)
    assert entry.get_attr("NDA_LLADDR") == moved.hex(":")
    # Who was not known is taken in with arp_accept only.
    announce(pair.b, moved, "10.0.1.50")
    net.run_for(SECOND)
    assert pair.state("10.0.1.50") is None
    pair.a.sysctl["net.ipv4.conf.eth0.arp_accept"] = 1
    announce(pair.b, moved, "10.0.1.50")
    net.run_for(SECOND)
    assert pair.state("10.0.1.50") == STALE


def announce(node, hardware, address):
    """Send a gratuitous ARP request from a packet socket."""
    packed = socket.inet_aton(address)
    arp = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, hardware, packed, BROADCAST, packed)
    with node.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.sendto(BROADCAST + hardware + b"\x08\x06" + arp, ("eth0", 0x0806))


@pytest.mark.parametrize(("ignore", "answered"), [(0, True), (1, False)])
def test_address_of_another_interface_is_answered_for_unless_ignored(
    net, tmp_path, ignore, answered
):
    pair = Pair(net, 4, tmp_path)
    pair.b.sysctl["net.ipv4.conf.eth0.arp_ignore"] = ignore
    pair.b.add_address("lo", "192.0.2.1/32")
    with pair.a.iproute() as ip:
        ip.route("add", dst="192.0.2.1/32", oif=pair.a.if_nametoindex("eth0"))
    pair.send("192.0.2.1")
    net.run_for(10 * SECOND)
    assert (pair.state("192.0.2.1") == REACHABLE) == answered
