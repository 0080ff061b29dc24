# SPDX-License-Identifier: GPL-2.0-only
"""Links between kernels: addresses, delay, rate, loss, changes, captures, refusals."""

from __future__ import annotations

import contextlib
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


def test_rate_limits_a_flow(boot):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        link = a.link_to(b, subnet="10.0.0.0/24", rate_mbit=10, offload=False)

        def receive():
            with b.create_server(("", 80)) as server:
                peer, _ = server.accept()
                with peer:
                    while peer.recv(1 << 16):
                        pass

        program = b.spawn(receive)
        world.run_for(1)
        before = world.now_ns
        with a.create_connection(("10.0.0.2", 80)) as conn:
            conn.sendall(bytes(1_250_000))
        program.result()
        seconds = (world.now_ns - before) / 1e9
        # 10 Mbit of payload, and about 4.5 % of headers, at 10 Mbit/s.
        assert 1.04 < seconds < 1.2
        assert link.stats(0).bytes > 1_250_000


def test_lost_frames_are_counted(pair, client):
    a, _, link = pair
    link.set(loss_pct=100, direction=0)
    client.settimeout(1)
    with pytest.raises(TimeoutError):
        ping_ms(client, a)
    # The datagram, and what IPv6 says to the group of all routers.
    assert 1 <= link.stats(0).lost <= 3
    assert link.stats(1).lost == 0


def test_duplicates_arrive_twice(pair, client):
    a, _, link = pair
    link.set(duplicate_pct=100, direction=0)
    ping_ms(client, a)
    assert client.recv(100) == b"ping"
    assert link.stats(0).duplicated == 1


def test_corrupted_frames_do_not_arrive(pair, client):
    _, _, link = pair
    link.set(corrupt_pct=100, direction=0)
    client.settimeout(1)
    for _ in range(10):
        client.send(b"x" * 1400)
    echoes = []
    with contextlib.suppress(TimeoutError):
        while True:
            echoes.append(client.recv(2000))
    assert b"x" * 1400 not in echoes
    assert link.stats(0).corrupted >= 10


def test_cable_can_be_pulled_and_plugged(pair, client):
    a, _, link = pair
    link.down()
    assert a.read_text("/sys/class/net/eth0/carrier").strip() == "0"
    client.settimeout(1)
    with pytest.raises((TimeoutError, OSError)):
        ping_ms(client, a)
    link.up()
    a.sleep(1)
    assert a.read_text("/sys/class/net/eth0/carrier").strip() == "1"
    client.settimeout(5)
    ping_ms(client, a)
    assert ping_ms(client, a) == 20


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


@pytest.mark.parametrize("offload", [True, False])
def test_frames_fit_the_mtu_unless_segmentation_is_left_to_the_receiver(boot, offload):
    sizes = []
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        link = a.link_to(b, subnet="10.0.0.0/24", offload=offload, mtu=1500)
        with b.create_server(("", 80)) as server, a.create_connection(("10.0.0.2", 80)) as conn:
            peer, _ = server.accept()
            conn.sendall(bytes(100_000))
            total = 0
            while total < 100_000:
                total += len(peer.recv(1 << 17))
            peer.close()
        stats = link.stats(0)
        sizes.append(stats.bytes / stats.frames)
    assert (sizes[0] > 1514) is offload


def test_capture_is_pcapng_with_ns(pair, client, tmp_path):
    dpkt = pytest.importorskip("dpkt")
    a, _, link = pair
    path = tmp_path / "link.pcapng"
    link.capture(path)
    start = a.now_ns
    client.send(b"captured")
    client.recv(100)
    link.capture(None)
    client.send(b"not captured")
    client.recv(100)
    with path.open("rb") as file:
        frames = [(float(when), frame) for when, frame in dpkt.pcapng.Reader(file)]
    packets = [
        (when, dpkt.ethernet.Ethernet(frame).data.data.data)
        for when, frame in frames
        if b"captured" in frame
    ]
    assert [data for _, data in packets] == [b"captured", b"captured"]
    assert packets[1][0] - packets[0][0] == pytest.approx(0.02, abs=1e-6)
    assert path.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert start


def test_capture_of_a_kernel_takes_a_link(pair, client, tmp_path):
    a, _, link = pair
    path = tmp_path / "a.pcapng"
    a.capture(link, path)
    client.send(b"x")
    client.recv(1)
    a.capture(link, None)
    assert path.stat().st_size > 100


def test_capture_into_a_missing_folder_is_refused(pair, tmp_path):
    with pytest.raises((OSError, pylibos.PylibosError), match="missing"):
        pair[2].capture(tmp_path / "missing" / "x.pcapng")


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
    ],
)
def test_senseless_settings_are_refused(boot, options, error, message):
    with pylibos.World() as world:
        a, b = boot(world=world), boot(world=world)
        with pytest.raises(error, match=message):
            a.link_to(b, **options)


def test_closed_link_takes_its_devices_along(pair):
    a, _, link = pair
    link.close()
    link.close()
    assert "eth0" not in [name for _, name in a.if_nameindex()]
    with pytest.raises(pylibos.PylibosError, match="This link is gone"):
        link.stats()


def test_link_outlives_the_halt_of_one_end(pair):
    a, b, link = pair
    b.halt()
    with pytest.raises(pylibos.PylibosError, match="This link is gone"):
        link.stats()
    a.sleep(10)
    assert a.syscall("getpid") > 0


def test_repr_names_both_ends(pair):
    assert repr(pair[2]) == "<pylibos.Link a.eth0 - b.eth0>"
