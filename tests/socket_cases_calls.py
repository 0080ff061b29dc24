# SPDX-License-Identifier: GPL-2.0-only
"""Socket scripts about names, options, refusals and timeouts; see socket_cases.py."""

from __future__ import annotations

import socket
import struct

from socket_cases import case, outcome, tcp_pair


@case
def defaults(net):
    with net.socket() as sock:
        return (
            sock.family,
            sock.type,
            sock.proto,
            sock.gettimeout(),
            sock.getblocking(),
            sock.get_inheritable(),
            sock.fileno() >= 0,
            sock.getsockname(),
            outcome(sock.getpeername),
        )


@case
def enum_types(net):
    with net.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        return repr(sock.family), repr(sock.type), sock.proto


@case
def closed_socket(net):
    sock = net.socket()
    sock.close()
    sock.close()
    return (
        sock.fileno(),
        outcome(sock.send, b"x"),
        outcome(sock.recv, 1),
        outcome(sock.bind, ("127.0.0.1", 0)),
        outcome(sock.getsockname),
        outcome(sock.accept),
        outcome(sock.listen),
        outcome(sock.settimeout, 1),
    )


@case
def refused_arguments_of_socket(net):
    return [
        outcome(net.socket, 12345),
        outcome(net.socket, socket.AF_INET, 77),
        outcome(net.socket, socket.AF_INET, socket.SOCK_STREAM, 999),
        outcome(net.socket, fileno=-1),
        outcome(net.socket, fileno=10_000),
    ]


@case
def refused_addresses(net):
    with net.socket() as four, net.socket(socket.AF_INET6) as six, net.socket(socket.AF_UNIX) as un:
        results = []
        for method in ("bind", "connect", "connect_ex"):
            for address in (
                "127.0.0.1",
                None,
                (),
                ("127.0.0.1",),
                ("127.0.0.1", 1, 2),
                ("127.0.0.1", "http"),
                ("127.0.0.1", 65536),
                ("127.0.0.1", -1),
                (7, 7),
                (None, 7),
                ("a\0b", 7),
                ("::1", 7),
                ("127.0.0.1", 1.5),
            ):
                kind, text = outcome(getattr(four, method), address)
                results.append((method, address, kind, text if kind != "gaierror" else ""))
            for address in (
                ("::1",),
                ("::1", 1, 2, 3, 4),
                ("::1", 70000),
                ("::1", 1, 2**20),
                ("::1", 1, -1),
                ("::1", 1, 0, "lo"),
                "::1",
            ):
                results.append((method, address, outcome(getattr(six, method), address)))
            for address in (7, None, ("x",), "x" * 108, b"\0" * 109, "x" * 200):
                results.append((method, address, outcome(getattr(un, method), address)))
        return results


@case
def refused_sizes_and_flags(net):
    with tcp_pair(net) as (client, _):
        return [
            outcome(client.recv, -1),
            outcome(client.recv_into, bytearray(4), -1),
            outcome(client.recv_into, bytearray(4), 5),
            outcome(client.recv_into, b"frozen"),
            outcome(client.recvfrom, -1),
            outcome(client.recvfrom_into, bytearray(4), -1),
            outcome(client.recvfrom_into, bytearray(4), 5),
            outcome(client.recvmsg, -1),
            outcome(client.recvmsg, 1, -1),
            outcome(client.send, "text"),
            outcome(client.sendall, "text"),
            outcome(client.sendto, b"x"),
            outcome(client.sendto, b"x", 1, 2, 3),
            outcome(client.sendto, "text", ("127.0.0.1", 1)),
            outcome(client.getsockopt, 1, 2, -1),
            outcome(client.getsockopt, 1, 2, 1025),
            outcome(client.setsockopt, 1, 2, None),
            outcome(client.setsockopt, 1, 2, "text"),
            outcome(client.settimeout, -1),
            outcome(client.settimeout, float("nan")),
            outcome(client.settimeout, "1"),
            outcome(client.shutdown, 77),
            outcome(client.recv, 10, 1 << 40)[0],
        ]


@case
def options_round_trip(net):
    with net.socket() as sock:
        results = []
        for level, name, value in (
            (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.SOL_SOCKET, socket.SO_SNDBUF, 20000),
            (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 44),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234),
            (socket.IPPROTO_TCP, socket.TCP_LINGER2, 7),
            (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 3),
            (socket.IPPROTO_IP, socket.IP_TTL, 9),
            (socket.IPPROTO_IP, socket.IP_TOS, 0x10),
        ):
            results.append(outcome(sock.setsockopt, level, name, value))
            results.append(sock.getsockopt(level, name))
            results.append(sock.getsockopt(level, name, 4))
        linger = struct.pack("ii", 1, 5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        results.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        results.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16))
        results.append(outcome(sock.getsockopt, 77, 77))
        results.append(outcome(sock.setsockopt, 77, 77, 1))
        results.append(outcome(sock.setsockopt, socket.SOL_SOCKET, socket.SO_TYPE, 1))
        results.append(outcome(sock.setsockopt, socket.SOL_SOCKET, 1, None, 0))
        return results


@case
def timeouts_and_blocking(net):
    with net.socket() as sock:
        results = []
        for value in (None, 0, 0.0, 1, 2.5, 1e-9):
            sock.settimeout(value)
            results.append((sock.gettimeout(), sock.timeout, sock.getblocking()))
        sock.setblocking(True)
        results.append(sock.gettimeout())
        sock.setblocking(False)
        results.append(sock.gettimeout())
        return results


@case
def timeout_of_each_call(net):
    results = []
    with net.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        results.append(outcome(server.accept))
    with tcp_pair(net) as (client, _peer):
        client.settimeout(0.01)
        results.append(outcome(client.recv, 10))
        results.append(outcome(client.recv_into, bytearray(10)))
        results.append(outcome(client.recvfrom, 10))
        results.append(outcome(client.recvmsg, 10))
        results.append(outcome(client.sendall, b"x" * 50_000_000))
        client.setblocking(False)
        results.append(outcome(client.recv, 10))
    return results


@case
def refused_connection(net):
    with net.socket() as sock, net.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
        return (
            outcome(sock.connect, address),
            sock.connect_ex(address),
            outcome(net.create_connection, address),
        )


@case
def address_in_use(net):
    with net.create_server(("127.0.0.1", 0)) as server, net.socket() as sock:
        address = server.getsockname()
        kind, text = outcome(net.create_server, address)
        return outcome(sock.bind, address), kind, text.replace(str(address[1]), "PORT")


@case
def nonblocking_connect(net):
    with net.create_server(("127.0.0.1", 0)) as server, net.socket() as sock:
        sock.setblocking(False)
        first = sock.connect_ex(server.getsockname())
        net.select([], [sock], [], 5)
        return (
            first in (0, 115),
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
            sock.connect_ex(server.getsockname()),
        )


@case
def refused_messages(net):
    a, b = net.socketpair()
    with a, b:
        return [
            outcome(a.sendmsg, 7)[0],
            outcome(a.sendmsg, [7])[0],
            outcome(a.sendmsg, [b"x"], 7)[0],
            outcome(a.sendmsg, [b"x"], [7])[0],
            outcome(a.sendmsg, [b"x"], [(1, 1)])[0],
            outcome(a.recvmsg_into, 7)[0],
            outcome(a.recvmsg_into, [b"frozen"])[0],
            outcome(a.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\xff" * 4)]),
        ]


@case
def detaching_and_duplicating(net):
    with tcp_pair(net) as (client, peer):
        copy = client.dup()
        same = copy.getsockname() == client.getsockname()
        client.close()
        peer.send(b"for the copy")
        data = copy.recv(100)
        number = copy.detach()
        facts = same, data, copy.fileno(), number >= 0, outcome(copy.recv, 1)
        with net.socket(fileno=number) as again:
            again.send(b"back")
            return (*facts, peer.recv(10), again.family, again.type, again.proto)


@case
def inheritance(net):
    with net.socket() as sock:
        before = sock.get_inheritable()
        sock.set_inheritable(True)
        return before, sock.get_inheritable()


@case
def socket_type_flags(net):
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    with net.socket(type=kind) as sock:
        return sock.type, sock.gettimeout(), outcome(sock.recv, 1)


@case
def accepted_socket_blocks(net):
    with net.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        with net.create_connection(server.getsockname()):
            peer, _ = server.accept()
            with peer:
                return peer.gettimeout(), peer.get_inheritable()


@case
def packet_and_netlink_families(net):
    with net.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.bind((0, 0))
        netlink = sock.getsockname()
        kernel_side = outcome(sock.getpeername)
        bad = outcome(sock.bind, (0,))[0], outcome(sock.bind, "x")
    return netlink[1], kernel_side[1:], bad


@case
def names_of_interfaces(net):
    return (
        net.if_nametoindex("lo"),
        net.if_indextoname(1),
        outcome(net.if_nametoindex, "nothere0")[0],
        outcome(net.if_indextoname, 9999)[0],
    )


@case
def resolving(net):
    return [
        net.getaddrinfo("127.0.0.1", 80, 0, socket.SOCK_STREAM),
        net.getaddrinfo("::1", 80, 0, socket.SOCK_DGRAM),
        net.getaddrinfo("10.1", 5, 0, socket.SOCK_STREAM),
        net.getaddrinfo("127.0.0.1", None),
        net.getaddrinfo(None, 80, socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
        net.getaddrinfo("127.0.0.1", "80", socket.AF_INET, socket.SOCK_STREAM),
        outcome(net.getaddrinfo, "::1", 80, socket.AF_INET)[0],
        outcome(net.getaddrinfo, "no such host.", 80)[0],
        outcome(net.getaddrinfo, "localhost", 80, 0, 0, 0, socket.AI_NUMERICHOST)[0],
        outcome(net.getaddrinfo, None, None)[0],
    ]


@case
def wildcard_and_broadcast(net):
    with net.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        refused = outcome(sock.sendto, b"x", ("127.255.255.255", 9))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return sock.getsockname()[0], refused, sock.sendto(b"x", ("127.255.255.255", 9))
