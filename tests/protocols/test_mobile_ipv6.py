# SPDX-License-Identifier: GPL-2.0-only
"""Mobile IPv6 (RFC 6275), the kernel's part: route optimization between a node that moves and
its correspondent.  The mobile node keeps its home address while its care-of address changes.

What a daemon would learn from binding updates is entered by xfrm states.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

import dpkt
import pytest
import xfrm
from frames import layer, packets
from icmp import IPPROTO_ICMPV6
from topologies import MS, SECOND, pattern
from wire import keep, read_exactly

HOME = "2001:db8:100::1"
HOME_ADDRESS, NO_DAD = 0x10, 0x02  # IFA_F_HOMEADDRESS, IFA_F_NODAD
MOBILITY_HEADER = 135
HOME_ADDRESS_OPTION = 0xC9
BINDING_UPDATE = 5
PORT = 7


class Roaming:
    """A mobile node with links to two routers, and a correspondent; 5 ms each link."""

    def __init__(self, net, *, home_address=True, states=True):
        self.net = net
        self.mobile, self.correspondent = net.node("mobile"), net.node("correspondent")
        self.routers = [net.node("r1"), net.node("r2")]
        for router in self.routers:
            net.link(self.mobile, router, delay_ms=5)
            net.link(router, self.correspondent, delay_ms=5)
        net.route_all()
        self.mobile.sysctl["net.ipv6.conf.all.forwarding"] = 0
        self.care_of = [address for address in self.mobile.addresses if ":" in address]
        self.peer = self.correspondent.ip6
        with self.mobile.iproute() as ip:
            ip.addr(
                "add",
                index=self.mobile.if_nametoindex("lo"),
                address=HOME,
                prefixlen=128,
                flags=(HOME_ADDRESS if home_address else 0) | NO_DAD,
            )
        self.bind(0, update=False)
        if states:
            self.protect()

    def route(self, place):
        """Both nodes send by one of the routers."""
        near, far = (address for address in self.routers[place].addresses if ":" in address)
        for node, destination, gateway in (
            (self.mobile, self.peer, near),
            (self.correspondent, HOME, far),
        ):
            with node.iproute() as ip:
                ip.route("replace", dst=f"{destination}/128", gateway=gateway, family=10)

    def bind(self, place, *, update=True):
        """The correspondent and the mobile node learn of a care-of address."""
        self.route(place)
        for node in (self.mobile, self.correspondent):
            for source, destination, protocol in (
                (HOME, self.peer, xfrm.DESTINATION_OPTIONS),
                (self.peer, HOME, xfrm.ROUTING),
            ):
                xfrm.add_state(
                    node,
                    source,
                    destination,
                    0,
                    b"",
                    mode=xfrm.ROUTE_OPTIMIZATION,
                    protocol=protocol,
                    care_of=self.care_of[place],
                    update=update,
                )

    def protect(self):
        """Policies: what is from or to the home address goes the optimized way."""
        home, peer = f"{HOME}/128", f"{self.peer}/128"
        for node in (self.mobile, self.correspondent):
            outward, inward = (xfrm.OUT, xfrm.IN) if node is self.mobile else (xfrm.IN, xfrm.OUT)
            xfrm.add_policy(node, home, peer, outward, protocol=xfrm.DESTINATION_OPTIONS)
            xfrm.add_policy(node, peer, home, inward, protocol=xfrm.ROUTING)

    def capture(self, path, place=0):
        """What the mobile node's link carries."""
        device = self.mobile.links[place].ends[0].device
        return device.capture(path / f"{place}.pcapng")

    def socket(self, node, address, kind=socket.SOCK_DGRAM):
        sock = keep(node.socket(socket.AF_INET6, kind))
        sock.bind((address, PORT))
        sock.settimeout(5)
        return sock


def headers(capture, *, sent):
    """(source, destination, extension header) of each packet that has such a header."""
    found = []
    for packet in packets(capture, sent=sent):
        ip = layer(packet.data, dpkt.ip6.IP6)
        if ip is not None and ip.nxt in (xfrm.ROUTING, xfrm.DESTINATION_OPTIONS):
            ends = (str(ipaddress.ip_address(end)) for end in (ip.src, ip.dst))
            found.append((*ends, packet.data[54 : 54 + 24]))
    return found


def test_home_address_travels_in_an_option(net, tmp_path):
    roaming = Roaming(net)
    here = roaming.socket(roaming.mobile, HOME)
    there = roaming.socket(roaming.correspondent, "::")
    capture = roaming.capture(tmp_path)
    here.sendto(b"hello", (roaming.peer, PORT))
    data, address = there.recvfrom(100)
    assert (data, address[:2]) == (b"hello", (HOME, PORT))
    ((source, destination, header),) = headers(capture, sent=True)
    assert (source, destination) == (roaming.care_of[0], roaming.peer)
    # RFC 6275, 6.3: next header UDP, 24 bytes, four of padding, the option with its 16 bytes.
    packed = ipaddress.ip_address(HOME).packed
    assert header == bytes([17, 2, 1, 2, 0, 0, HOME_ADDRESS_OPTION, 16]) + packed


def test_packets_to_the_home_address_have_a_routing_header(net, tmp_path):
    roaming = Roaming(net)
    here = roaming.socket(roaming.mobile, HOME)
    there = roaming.socket(roaming.correspondent, "::")
    capture = roaming.capture(tmp_path)
    there.sendto(b"hello", (HOME, PORT))
    data, address = here.recvfrom(100)
    assert (data, address[:2]) == (b"hello", (roaming.peer, PORT))
    ((source, destination, header),) = headers(capture, sent=False)
    assert (source, destination) == (roaming.peer, roaming.care_of[0])
    # RFC 6275, 6.4: next header UDP, 24 bytes, type 2, one segment left, the home address.
    packed = ipaddress.ip_address(HOME).packed
    assert header == bytes([17, 2, 2, 1, 0, 0, 0, 0]) + packed


def test_connection_survives_a_move(net, tmp_path):
    roaming = Roaming(net)
    with roaming.correspondent.create_server(("::", PORT), family=socket.AF_INET6) as server:
        here = keep(roaming.mobile.socket(socket.AF_INET6))
        here.bind((HOME, 0))
        here.connect((roaming.peer, PORT))
        there = keep(server.accept()[0])
    assert there.getpeername()[0] == HOME
    data = pattern(200_000)
    roaming.mobile.spawn(here.sendall, data[:100_000])
    assert read_exactly(there, 100_000) == data[:100_000]
    net.run_for(SECOND)
    roaming.mobile.links[0].down()
    roaming.bind(1)
    capture = roaming.capture(tmp_path, 1)
    roaming.mobile.spawn(here.sendall, data[100_000:])
    assert read_exactly(there, 100_000) == data[100_000:]
    net.run_for(SECOND)
    assert here.tcp_info().bytes_acked == 200_001
    assert {item[0] for item in headers(capture, sent=True)} == {roaming.care_of[1]}
    assert {item[1] for item in headers(capture, sent=False)} == {roaming.care_of[1]}


def test_option_takes_room_from_segments(net):
    roaming = Roaming(net)
    with roaming.correspondent.create_server(("::", PORT), family=socket.AF_INET6) as server:
        here = keep(roaming.mobile.socket(socket.AF_INET6))
        here.bind((HOME, 0))
        here.connect((roaming.peer, PORT))
        keep(server.accept()[0])
    # 40 bytes of IPv6, 32 of TCP, 24 of the option.
    assert here.tcp_info().snd_mss_bytes == 1500 - 40 - 32 - 24


def test_unknown_care_of_address_is_not_believed(net):
    roaming = Roaming(net)
    # The mobile node moves, and the correspondent does not know.
    xfrm.add_state(
        roaming.mobile,
        HOME,
        roaming.peer,
        0,
        b"",
        mode=xfrm.ROUTE_OPTIMIZATION,
        protocol=xfrm.DESTINATION_OPTIONS,
        care_of=roaming.care_of[1],
        update=True,
    )
    here = roaming.socket(roaming.mobile, HOME)
    there = roaming.socket(roaming.correspondent, "::")
    here.sendto(b"hello", (roaming.peer, PORT))
    with pytest.raises(TimeoutError):
        there.recv(100)
    assert roaming.correspondent.counters()["XfrmInNoStates"] == 1


def test_routing_header_to_an_address_that_is_no_home_address_is_dropped(net):
    roaming = Roaming(net, home_address=False)
    here = roaming.socket(roaming.mobile, HOME)
    there = roaming.socket(roaming.correspondent, "::")
    there.sendto(b"hello", (HOME, PORT))
    with pytest.raises(TimeoutError):
        here.recv(100)
    assert roaming.mobile.counters()["Ip6InAddrErrors"] == 1


def mobility_message(kind, body, length=None):
    """A mobility header (RFC 6275, 6.1.1); the kernel fills in the checksum."""
    size = 6 + len(body)
    return struct.pack(">BBBBH", 59, size // 8 - 1 if length is None else length, kind, 0, 0) + body


@pytest.mark.parametrize("home_address", [True, False])
def test_home_address_is_preferred_as_a_source(net, home_address):
    # RFC 6724, rule 4; without its flag it is an address of another interface, rule 5.
    roaming = Roaming(net, home_address=home_address, states=False)
    with roaming.mobile.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((roaming.peer, PORT))
        assert sock.getsockname()[0] == (HOME if home_address else roaming.care_of[0])


def test_binding_update_reaches_a_daemon(net):
    roaming = Roaming(net, states=False)
    here, there = (
        keep(node.socket(socket.AF_INET6, socket.SOCK_RAW, MOBILITY_HEADER))
        for node in (roaming.mobile, roaming.correspondent)
    )
    there.settimeout(5)
    here.bind((roaming.care_of[0], 0))
    # Sequence number 7, flags A and H, a lifetime of 4 * 100 s (6.1.7), padding to 16 bytes.
    message = mobility_message(BINDING_UPDATE, struct.pack(">HHH", 7, 0xC000, 100) + bytes(4))
    start_ns = net.now_ns
    here.sendto(message, (roaming.peer, 0))
    data, address = there.recvfrom(100)
    assert address[0] == roaming.care_of[0]
    assert data[:4] == message[:4]
    assert data[4:6] != b"\0\0"
    assert data[6:] == message[6:]
    assert net.now_ns - start_ns > 10 * MS


def test_mobility_header_that_is_too_short_is_answered_by_a_parameter_problem(net):
    roaming = Roaming(net, states=False)
    here = keep(roaming.mobile.socket(socket.AF_INET6, socket.SOCK_RAW, MOBILITY_HEADER))
    there = keep(roaming.correspondent.socket(socket.AF_INET6, socket.SOCK_RAW, MOBILITY_HEADER))
    problems = keep(roaming.mobile.socket(socket.AF_INET6, socket.SOCK_RAW, IPPROTO_ICMPV6))
    only = bytearray(b"\xff" * 32)
    only[0] &= ~(1 << 4)  # parameter problem, RFC 4443, 3.4
    problems.setsockopt(IPPROTO_ICMPV6, 1, bytes(only))
    for sock in (there, problems):
        sock.settimeout(5)
    here.bind((roaming.care_of[0], 0))
    # A binding update of 8 bytes: mip6_mh_len() wants 16.
    here.sendto(mobility_message(BINDING_UPDATE, bytes(2)), (roaming.peer, 0))
    answer = problems.recv(200)
    assert answer[:2] == bytes([4, 0])
    # The pointer: behind the IPv6 header, at the length.
    assert struct.unpack(">I", answer[4:8]) == (40 + 1,)
    with pytest.raises(TimeoutError):
        there.recv(100)


def test_states_of_mobile_ipv6_have_no_spi(net):
    node = net.node("a")
    for spi, mode in ((5, xfrm.ROUTE_OPTIMIZATION), (0, xfrm.TRANSPORT)):
        with pytest.raises(OSError, match="Invalid argument"):
            xfrm.add_state(
                node,
                HOME,
                "2001:db8::1",
                spi,
                b"",
                mode=mode,
                protocol=xfrm.ROUTING,
                care_of="2001:db8::2",
            )
