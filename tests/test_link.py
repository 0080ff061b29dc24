# SPDX-License-Identifier: GPL-2.0-only
"""Links between kernels: addresses, delay, routing, refusals."""

from __future__ import annotations

import hashlib
import socket

import pytest

import pylibos
from pylibos import _netlink

MS = 1_000_000


def ping_ms(client, kernel):
    """Round trip of one datagram to an echo service, in ms of virtual time."""
    before = kernel.now_ns
    client.send(b"ping")
    client.recv(100)
    return (kernel.now_ns - before) / MS


def echo(kernel, address, family=socket.AF_INET):
    sock = kernel.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 7))

    def serve():
        with sock:
            while True:
                data, source = sock.recvfrom(2000)
                sock.sendto(data, source)

    return kernel.spawn(serve)


@pytest.fixture
def client(pair):
    a, b, _ = pair
    program = echo(b, "")
    with a.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("10.0.0.2", 7))
        sock.settimeout(10)
        sock.send(b"warm up")
        sock.recv(100)
        yield sock
    program.kill()


def test_round_trip_is_twice_the_delay(pair, client):
    assert ping_ms(client, pair[0]) == 20


def test_round_trip_over_ipv6_is_the_same(pair):
    a, b, _ = pair
    program = echo(b, "", socket.AF_INET6)
    with a.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect(("fd00::2", 7))
        ping_ms(sock, a)
        assert ping_ms(sock, a) == 20
    program.kill()


def test_addresses_are_the_first_two_of_each_subnet(pair):
    link = pair[2]
    first, second = link.ends
    assert first.addresses == ("10.0.0.1", "fd00::1")
    assert second.addresses == ("10.0.0.2", "fd00::2")
    assert [end.device.name for end in link.ends] == ["eth0", "eth0"]


def test_delay_changes_while_it_runs(pair, client):
    a, _, link = pair
    link.set(delay_ms=50)
    assert ping_ms(client, a) == 100
    link.set(delay_ms=1, direction=1)
    assert ping_ms(client, a) == 51


def test_delay_per_direction(boot):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        a.link_to(b, subnet="10.0.0.0/24", delay_ms=5, back={"delay_ms": 30})
        program = echo(b, "")
        with a.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(("10.0.0.2", 7))
            ping_ms(sock, a)
            assert ping_ms(sock, a) == 35
        program.kill()


def test_router_forwards_between_links(boot):
    import ipaddress

    with pylibos.World() as world:
        a, r, b = (boot(world=world, name=name) for name in "arb")
        a.link_to(r, subnet=["10.0.1.0/24", "fd01::/64"], delay_ms=1)
        r.link_to(b, subnet=["10.0.2.0/24", "fd02::/64"], delay_ms=2)
        r.sysctl["net.ipv4.ip_forward"] = 1
        r.sysctl["net.ipv6.conf.all.forwarding"] = 1
        for kernel, gateways in ((a, ("10.0.1.2", "fd01::2")), (b, ("10.0.2.1", "fd02::1"))):
            for everywhere, gateway in zip(("0.0.0.0/0", "::/0"), gateways, strict=True):
                _netlink.add_route(
                    kernel,
                    ipaddress.ip_network(everywhere),
                    gateway=ipaddress.ip_address(gateway),
                )
        for family, address in ((socket.AF_INET, "10.0.2.2"), (socket.AF_INET6, "fd02::2")):
            program = echo(b, "", family)
            with a.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((address, 7))
                ping_ms(sock, a)
                assert ping_ms(sock, a) == 6
            program.kill()


def test_large_transfer_through_loss_arrives_whole(pair):
    a, b, link = pair
    link.set(loss_pct=1)
    data = bytes(range(256)) * 4096 * 4

    def receive():
        digest = hashlib.sha256()
        with b.create_server(("", 80)) as server:
            peer, _ = server.accept()
            with peer:
                while chunk := peer.recv(1 << 16):
                    digest.update(chunk)
        return digest.hexdigest()

    program = b.spawn(receive)
    a.world.run_for(1)
    with a.create_connection(("10.0.0.2", 80)) as conn:
        conn.sendall(data)
    assert program.result() == hashlib.sha256(data).hexdigest()
    assert link.stats(0).lost > 0


def test_kernels_of_two_worlds_cannot_be_linked(boot):
    with pytest.raises(ValueError, match="Linked kernels share a world"):
        boot().link_to(boot())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"delay_ms": -1}, ValueError, "delay_ms is 0 or more"),
        ({"loss_pct": 101}, ValueError, "loss_pct is 0 to 100"),
        ({"subnet": "10.0.0.0/32"}, ValueError, "no room for the two ends"),
        ({"subnet": "nonsense"}, ValueError, "does not appear to be"),
        ({"names": ("", "b")}, ValueError, "1 to 15 bytes"),
        ({"names": ("x" * 16, "b")}, ValueError, "1 to 15 bytes"),
        ({"mtu": 20}, ValueError, "68 to 65535"),
        ({"back": {"speed": 1}}, TypeError, "A link has no setting 'speed'"),
        ({"offload": True, "loss_pct": 1}, ValueError, "leave offload at None"),
        ({"offload": True, "back": {"corrupt_pct": 1}}, ValueError, "leave offload at None"),
    ],
)
def test_senseless_settings_are_refused(boot, options, error, message):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        with pytest.raises(error, match=message):
            a.link_to(b, **options)


def test_repr_names_both_ends(pair):
    assert repr(pair[2]) == "<pylibos.Link a.eth0 - b.eth0>"
