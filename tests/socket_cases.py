# SPDX-License-Identifier: GPL-2.0-only
"""Scripts of socket calls that run on the host's Linux and on a library kernel alike.

Each takes ``net``, which has the functions of the socket module, and returns facts that must be
equal on both.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

CASES: list[Callable[[Any], Any]] = []


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES.append(function)
    return function


def outcome(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a call gives: its value, or the error's class and text."""
    try:
        return function(*args, **options)
    except Exception as error:
        return type(error).__name__, str(error)


@contextlib.contextmanager
def tcp_pair(net, family=socket.AF_INET):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with net.create_server((host, 0), family=family) as server:
        with net.create_connection(server.getsockname()[:2]) as client:
            peer, _ = server.accept()
            with peer:
                yield client, peer


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
def stream_of_bytes(net):
    results = []
    for family in (socket.AF_INET, socket.AF_INET6):
        with tcp_pair(net, family) as (client, peer):
            client.sendall(b"hello")
            results.append(peer.recv(3))
            results.append(peer.recv(3, socket.MSG_PEEK))
            results.append(peer.recv(30))
            room = bytearray(8)
            client.send(memoryview(b"abcdefgh")[2:6])
            results.append(peer.recv_into(memoryview(room)[1:], 3))
            results.append(bytes(room))
            results.append(peer.recv(0))
            results.append(peer.recv(10))
            client.sendall(bytearray(b"end"))
            client.shutdown(socket.SHUT_WR)
            results.append(peer.recv(10, socket.MSG_WAITALL))
            results.append(peer.recv(10))
            results.append(outcome(client.send, b"more"))
            results.append(client.getpeername()[0])
    return results


@case
def out_of_band(net):
    with tcp_pair(net) as (client, peer):
        client.send(b"abc", socket.MSG_OOB)
        results = [peer.recv(1, socket.MSG_OOB), peer.recv(10)]
        results.append(outcome(peer.recv, 1, socket.MSG_OOB))
        return results


@case
def datagrams(net):
    results = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with net.socket(family, socket.SOCK_DGRAM) as a, net.socket(family, socket.SOCK_DGRAM) as b:
            a.bind((host, 0))
            b.bind((host, 0))
            to = b.getsockname()
            results.append(a.sendto(b"one", to))
            results.append(a.sendto(b"two", 0, to))
            data, source = b.recvfrom(100)
            results.append((data, source == a.getsockname()))
            room = bytearray(2)
            results.append(b.recvfrom_into(room)[0])
            results.append(bytes(room))
            results.append(a.sendto(b"", to))
            results.append(b.recv(10))
            a.connect(to)
            results.append(a.send(b"three"))
            data, _, flags, _ = b.recvmsg(2)
            results.append((data, flags & socket.MSG_TRUNC))
            results.append(outcome(b.send, b"nobody"))
            results.append(outcome(a.send, b"x" * 70000))
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
def unix_sockets(net):
    results = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        a, b = net.socketpair(socket.AF_UNIX, kind)
        with a, b:
            a.send(b"one")
            a.send(b"two")
            results.append(b.recv(100))
            results.append((a.getsockname(), b.getpeername(), a.family, a.type))
            results.append(outcome(a.sendto, b"x", "\0nobody"))
    name = "\0pylibos-oracle"
    with net.socket(socket.AF_UNIX) as server, net.socket(socket.AF_UNIX) as client:
        server.bind(name)
        results.append(server.getsockname())
        server.listen(1)
        client.connect(name)
        peer, address = server.accept()
        results.append((address, peer.getsockname(), client.getpeername()))
        peer.close()
    with net.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")
        results.append(type(sock.getsockname()))
        results.append(len(sock.getsockname()))
    return results


@case
def passing_descriptors(net):
    a, b = net.socketpair()
    with a, b, net.socket(type=socket.SOCK_DGRAM) as sent:
        sent.bind(("127.0.0.1", 0))
        fds = array.array("i", [sent.fileno(), sent.fileno()])
        a.sendmsg([b"take", b" these"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        data, control, flags, address = b.recvmsg(100, socket.CMSG_SPACE(8))
        ((level, kind, body),) = control
        numbers = array.array("i", body)
        names = []
        for number in numbers:
            with net.socket(fileno=number) as copy:
                names.append((copy.family, copy.type, copy.getsockname() == sent.getsockname()))
        return data, level, kind, flags & ~socket.MSG_CMSG_CLOEXEC, address, names


@case
def truncated_control_data(net):
    a, b = net.socketpair()
    with a, b:
        b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        a.send(b"x")
        _, control, flags, _ = b.recvmsg(10, socket.CMSG_LEN(4))
        a.send(b"x")
        _, none, lost, _ = b.recvmsg(10)
        return [(item[0], item[1], len(item[2])) for item in control], flags, none, lost


@case
def packet_info(net):
    with net.socket(type=socket.SOCK_DGRAM) as a, net.socket(type=socket.SOCK_DGRAM) as b:
        b.bind(("127.0.0.1", 0))
        b.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 5)
        b.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        b.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        a.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 8)
        a.sendto(b"x", b.getsockname())
        _, control, flags, _ = b.recvmsg(10, 200)
        return sorted(control), flags


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
def scatter_and_gather(net):
    a, b = net.socketpair()
    with a, b:
        a.sendmsg([b"ab", bytearray(b"cd"), memoryview(b"ef"), b""])
        rooms = [bytearray(1), bytearray(2), bytearray(10)]
        count, control, flags, address = b.recvmsg_into(rooms)
        return count, control, flags, address, [bytes(room) for room in rooms]


@case
def files_of_sockets(net):
    results = []
    with tcp_pair(net) as (client, peer):
        with client.makefile("rw", newline="\n") as text, peer.makefile("rwb") as binary:
            text.write("line one\nline two\n")
            text.flush()
            results.append(binary.readline())
            results.append(binary.read1(100))
            binary.write(b"answer\nrest")
            binary.flush()
            results.append(text.readline())
            results.append(text.read(4))
        raw = client.makefile("rb", buffering=0)
        results.append((raw.readable(), raw.writable(), raw.seekable(), raw.mode))
        client.close()
        peer.send(b"still open")
        results.append(raw.read(100))
        raw.close()
        results.append(client.fileno())
        results.append(outcome(peer.makefile, "z"))
        results.append(outcome(peer.makefile, "r", 0))
    return results


@case
def file_of_a_socket_times_out(net):
    with tcp_pair(net) as (client, _):
        client.settimeout(0.01)
        with client.makefile("rb") as file:
            return outcome(file.read, 1), outcome(file.read, 1)


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
def reset_connection(net):
    with tcp_pair(net) as (client, peer):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        first = outcome(peer.recv, 1)
        return first, outcome(peer.send, b"x"), outcome(peer.send, b"x")


@case
def dual_stack_server(net):
    with net.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with net.create_connection(("127.0.0.1", port)):
            peer, address = server.accept()
            peer.close()
            return address[0]


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


@case
def udp_error_comes_back(net):
    with net.socket(type=socket.SOCK_DGRAM) as a, net.socket(type=socket.SOCK_DGRAM) as b:
        b.bind(("127.0.0.1", 0))
        address = b.getsockname()
        b.close()
        a.connect(address)
        a.send(b"x")
        a.settimeout(1)
        return outcome(a.recv, 10)


@case
def error_queue(net):
    with net.socket(type=socket.SOCK_DGRAM) as a, net.socket(type=socket.SOCK_DGRAM) as b:
        b.bind(("127.0.0.1", 0))
        address = b.getsockname()
        b.close()
        a.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        a.sendto(b"probe", address)
        data, control, flags, name = a.recvmsg(100, 512, 0x2000)  # MSG_ERRQUEUE
        level, kind, body = control[0]
        return data, level, kind, body[:8], flags, name == address


@case
def raw_sockets(net):
    with net.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(1)
        echo = struct.pack("!BBHHH", 8, 0, 0xF7FD, 1, 1)
        sock.sendto(echo, ("127.0.0.1", 0))
        seen = sorted(sock.recv(100)[20:22] for _ in range(2))
        return seen, sock.proto
