# SPDX-License-Identifier: GPL-2.0-only
"""Socket scripts that move data; see socket_cases.py."""

from __future__ import annotations

import array
import socket
import struct

from socket_cases import case, outcome, tcp_pair


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
