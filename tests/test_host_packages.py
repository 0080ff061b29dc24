# SPDX-License-Identifier: GPL-2.0-only
"""Packages of others, unmodified, on kernels 10 ms apart: requests, dnspython, aiosmtpd, TLS."""

from __future__ import annotations

import asyncio
import http.server
import smtplib
import socket
import socketserver
import ssl
import struct
import time
import urllib.request
from typing import ClassVar

import dns.exception
import dns.message
import dns.query
import dns.resolver
import dns.reversename
import dns.rrset
import pytest
import requests
from aiosmtpd.controller import Controller
from host_servers import Handler, Stopwatch, serving


@pytest.fixture
def session(monkeypatch):
    """A session that the environment's proxies do not touch."""
    with requests.Session() as made:
        made.trust_env = False
        yield made


def https_server(authority, family=socket.AF_INET):
    class Server(http.server.ThreadingHTTPServer):
        address_family = family

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("b", "fd00::2").configure_cert(context)

    def make(address, handler):
        server = Server(address, handler)
        # Each thread shakes hands with its own client.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        return server

    return make


def test_requests_keeps_its_connection(nodes, session):
    a, b = nodes
    with serving(b, http.server.ThreadingHTTPServer, ("", 80), Handler):
        watch = Stopwatch(a)
        with a.as_host():
            answer = session.get("http://b/hello")
            assert (answer.status_code, answer.text) == (200, "/HELLO")
            assert watch.ms() == 40
            answer = session.post("http://b/", data="again")
            assert answer.text == "AGAIN"
            assert answer.elapsed.total_seconds() == 0.02
            assert watch.ms() == 20
            del answer  # it holds the pool, whose end closes the connection
            session.close()


def test_requests_times_out_in_virtual_time(nodes, session):
    a, b = nodes
    with serving(b, http.server.ThreadingHTTPServer, ("", 80), Handler), a.as_host():
        watch = Stopwatch(a)
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get("http://b/100", timeout=5)
        assert watch.ms() == 5020
        with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
            session.get("http://b:81/")
        assert watch.ms() == 40  # it tries both addresses
        with pytest.raises(requests.exceptions.ConnectionError, match="is not known here"):
            session.get("http://nowhere/")
        session.close()
        a.sleep(100)  # the server's thread ends


def test_requests_speaks_https(nodes, session, authority, tmp_path):
    a, b = nodes
    # urllib3 warns of clocks that are far off, as a kernel's is in virtual time.
    a.syscall("clock_settime", time.CLOCK_REALTIME, struct.pack("qq", 1_800_000_000, 0))
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving(b, https_server(authority), ("", 443), Handler), a.as_host():
        watch = Stopwatch(a)
        answer = session.get("https://b/secret", verify=str(bundle))
        assert answer.text == "/SECRET"
        # TCP, TLS 1.3, HTTP.
        assert watch.ms() == 60
        del answer
        session.close()


def test_requests_refuses_unknown_authorities(nodes, session, authority, capsys):
    a, b = nodes
    a.syscall("clock_settime", time.CLOCK_REALTIME, struct.pack("qq", 1_800_000_000, 0))
    with serving(b, https_server(authority), ("", 443), Handler), a.as_host():
        with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
            session.get("https://b/")
    assert "TLSV1_ALERT_UNKNOWN_CA" in capsys.readouterr().err  # the server's thread tells


def test_urlopen_speaks_https_over_ipv6(nodes, authority):
    a, b = nodes
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(b, https_server(authority, socket.AF_INET6), ("::", 443), Handler), a.as_host():
        watch = Stopwatch(a)
        with urllib.request.urlopen("https://[fd00::2]/x", context=context) as answer:
            assert answer.read() == b"/X"
        assert watch.ms() == 60


class MailHandler(socketserver.StreamRequestHandler):
    """SMTP with STARTTLS (RFC 3207)."""

    disable_nagle_algorithm = True

    def handle(self):
        self.say("220 b ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self.say("250-b", "250 STARTTLS")
            elif verb == "STARTTLS":
                self.say("220 go ahead")
                self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
                self.request = self.connection
                self.setup()
            elif verb == "QUIT":
                self.say(f"221 bye over {self.connection.version()}")
                self.connection.close()
                return
            else:
                self.say("250 ok")

    def say(self, *lines):
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


def test_smtp_starts_tls(nodes, authority):
    a, b = nodes
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("b").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    with serving(b, socketserver.ThreadingTCPServer, ("", 25), MailHandler) as server, a.as_host():
        server.context = server_context
        client = smtplib.SMTP("b")
        watch = Stopwatch(a)
        client.starttls(context=client_context)
        assert watch.ms() == 20 + 20 + 20  # EHLO, STARTTLS, the handshake
        assert isinstance(client.sock, ssl.SSLSocket)
        client.noop()
        assert client.quit() == (221, b"bye over TLSv1.3")


class Mailbox:
    """A handler of aiosmtpd, whose server is an asyncio loop in a thread."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        await asyncio.sleep(1)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 taken"


def test_aiosmtpd_serves_from_its_thread(nodes):
    a, b = nodes
    mailbox = Mailbox()
    with b.as_host():
        controller = Controller(mailbox, hostname="10.0.0.2", port=25)
        controller.start()
    with a.as_host():
        watch = Stopwatch(a)
        with smtplib.SMTP("b") as client:
            assert watch.ms() == 20 + 20
            client.sendmail("me@a", ["you@b"], "Subject: x\n\nhello")
            # EHLO, MAIL, RCPT, DATA and the text, which is taken after a second.
            assert watch.ms() == 5 * 20 + 1000
    with b.as_host():
        controller.stop()
    assert mailbox.mails == [("me@a", ["you@b"], b"Subject: x\r\n\r\nhello\r\n")]


class DnsHandler(socketserver.BaseRequestHandler):
    """A name server for two records; says nothing about names that begin with "lost"."""

    records: ClassVar = {
        ("www.example.", "A"): "192.0.2.80",
        ("www.example.", "AAAA"): "2001:db8::80",
        ("80.2.0.192.in-addr.arpa.", "PTR"): "www.example.",
    }

    def handle(self):
        data, sock = self.request
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        if name.startswith("lost"):
            return
        answer = dns.message.make_response(query)
        if (name, kind) in self.records:
            answer.answer.append(
                dns.rrset.from_text(name, 300, "IN", kind, self.records[name, kind])
            )
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        sock.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def resolver():
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = ["10.0.0.2"]
    return made


def test_dns_lookup_takes_one_round_trip(nodes, resolver):
    a, b = nodes
    with serving(b, socketserver.ThreadingUDPServer, ("", 53), DnsHandler), a.as_host():
        watch = Stopwatch(a)
        assert [item.to_text() for item in resolver.resolve("www.example", "A")] == ["192.0.2.80"]
        assert watch.ms() == 20
        assert [item.address for item in resolver.resolve("www.example", "AAAA")] == [
            "2001:db8::80"
        ]
        assert resolver.resolve_address("192.0.2.80")[0].to_text() == "www.example."
        watch.ms()
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolver.resolve("nothing.example", "A")
        assert watch.ms() == 20


def test_dns_gives_up_after_its_lifetime_of_virtual_time(nodes, resolver):
    a, b = nodes
    with serving(b, socketserver.UDPServer, ("", 53), DnsHandler), a.as_host():
        resolver.lifetime = resolver.timeout = 5
        watch = Stopwatch(a)
        with pytest.raises(dns.resolver.LifetimeTimeout, match="5.1.. seconds"):
            resolver.resolve("lost.example", "A")
        assert watch.ms() == 5100  # it pauses for 0.1 s before it looks at the time


def test_dns_answers_expire_in_virtual_time(nodes, resolver):
    a, b = nodes
    with serving(b, socketserver.UDPServer, ("", 53), DnsHandler), a.as_host():
        resolver.cache = dns.resolver.Cache()
        watch, times = Stopwatch(a), []
        for pause in (0, 299, 1):
            a.sleep(pause)
            watch.ms()
            resolver.resolve("www.example", "A")
            times.append(watch.ms())
    assert times == [20, 0, 20]
