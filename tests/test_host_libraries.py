# SPDX-License-Identifier: GPL-2.0-only
"""Unmodified libraries on kernels, in virtual time: what they do, and how long it takes.

One way takes 10 ms, so a TCP handshake 20 ms, and computing nothing.
"""

from __future__ import annotations

import email
import ftplib
import http.client
import http.server
import smtplib
import socket
import socketserver
import urllib.error
import urllib.request
import xmlrpc.client
import xmlrpc.server

import pytest
from host_servers import MS, Handler, Stopwatch, serving

import pylibos


@pytest.mark.parametrize("kind", [http.server.HTTPServer, http.server.ThreadingHTTPServer])
def test_http_request_takes_two_round_trips_and_the_next_one_more(nodes, kind):
    a, b = nodes
    with serving(b, kind, ("", 80), Handler):
        watch = Stopwatch(a)
        with a.as_host():
            connection = http.client.HTTPConnection("b")
            connection.request("GET", "/hello")
            assert connection.getresponse().read() == b"/HELLO"
            assert watch.ms() == 40
            connection.request("POST", "/", body=b"again")
            assert connection.getresponse().read() == b"AGAIN"
            assert watch.ms() == 20
            connection.close()


def test_http_works_over_ipv6(nodes):
    class Server6(http.server.HTTPServer):
        address_family = socket.AF_INET6

    a, b = nodes
    with serving(b, Server6, ("::", 80), Handler), a.as_host():
        watch = Stopwatch(a)
        with urllib.request.urlopen("http://[fd00::2]/six") as answer:
            assert answer.read() == b"/SIX"
        assert watch.ms() == 40


def test_urlopen_reaches_names_of_the_world(nodes):
    a, b = nodes
    with serving(b, http.server.HTTPServer, ("", 8080), Handler), a.as_host():
        with urllib.request.urlopen("http://b:8080/x", timeout=5) as answer:
            assert answer.status == 200
            assert answer.read() == b"/X"
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen("http://b:81/")
        with pytest.raises(urllib.error.URLError, match="'nowhere' is not known here"):
            urllib.request.urlopen("http://nowhere/")


def test_urlopen_times_out_in_virtual_time(nodes):
    a, b = nodes
    with serving(b, http.server.ThreadingHTTPServer, ("", 80), Handler), a.as_host():
        watch = Stopwatch(a)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen("http://b/100", timeout=5)
        assert watch.ms() == 20 + 5000
        a.sleep(100)  # the server's thread ends


def test_threading_server_serves_clients_at_once(nodes):
    a, b = nodes

    def fetch(seconds):
        with urllib.request.urlopen(f"http://b/{seconds}") as answer:
            answer.read()
        return a.now_ns

    with serving(b, http.server.ThreadingHTTPServer, ("", 80), Handler):
        before = a.now_ns
        with a.as_host():
            programs = [a.spawn(fetch, seconds) for seconds in (3, 1, 2)]
        ends = [program.result() - before for program in programs]
    assert ends == [3040 * MS, 1040 * MS, 2040 * MS]


def test_plain_server_serves_one_after_the_other(nodes):
    a, b = nodes

    def fetch(seconds):
        with urllib.request.urlopen(f"http://b/{seconds}") as answer:
            answer.read()
        return a.now_ns

    class Old(Handler):
        protocol_version = "HTTP/1.0"

    with serving(b, http.server.HTTPServer, ("", 80), Old):
        before = a.now_ns
        with a.as_host():
            programs = [a.spawn(fetch, seconds) for seconds in (1, 2)]
        ends = [program.result() - before for program in programs]
    assert ends == [1040 * MS, 3040 * MS]


def test_loopback_of_one_kernel_serves_itself_in_no_time(kernel):
    with serving(kernel, http.server.ThreadingHTTPServer, ("127.0.0.1", 80), Handler):
        before = kernel.now_ns
        with kernel.as_host(), urllib.request.urlopen("http://localhost/self") as answer:
            assert answer.read() == b"/SELF"
        assert kernel.now_ns == before


class MailHandler(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as smtplib speaks."""

    disable_nagle_algorithm = True

    def handle(self):
        mails = self.server.mails
        self.say("220 b ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self.say("250-b", "250 SIZE 10000000")
            elif verb == "DATA":
                self.say("354 go ahead")
                lines = iter(self.rfile.readline, b".\r\n")
                mails.append(b"".join(lines))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def say(self, *lines):
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


def test_smtp_takes_a_round_trip_for_each_command(nodes):
    a, b = nodes
    mail = email.message_from_string("Subject: greetings\n\nFrom a kernel.\n")
    with serving(b, socketserver.ThreadingTCPServer, ("", 25), MailHandler) as server:
        server.mails = []
        watch = Stopwatch(a)
        with a.as_host():
            client = smtplib.SMTP("b")
            assert watch.ms() == 20 + 20  # the handshake; its last segment and the greeting
            client.send_message(mail, "me@a", ["you@b"])
            # EHLO, MAIL, RCPT, DATA, and the text.
            assert watch.ms() == 5 * 20
            client.quit()
            assert watch.ms() == 20
    assert email.message_from_bytes(server.mails[0])["Subject"] == "greetings"


class Calculator(xmlrpc.server.SimpleXMLRPCServer):
    def __init__(self, address):
        super().__init__(address, logRequests=False)
        self.register_function(lambda x, y: x + y, "add")


def test_xmlrpc_calls_functions_of_another_node(nodes):
    a, b = nodes
    with serving(b, Calculator, ("", 8000)), a.as_host():
        watch = Stopwatch(a)
        with xmlrpc.client.ServerProxy("http://b:8000") as proxy:
            assert proxy.add(2, 3) == 5
            assert watch.ms() == 40
            with pytest.raises(xmlrpc.client.Fault, match="TypeError"):
                proxy.add(2)


class FtpHandler(socketserver.StreamRequestHandler):
    """As much of FTP (RFC 959, 2428) as ftplib needs to fetch a file."""

    disable_nagle_algorithm = True

    def handle(self):
        self.say("220 ready")
        listener = None
        for line in self.rfile:
            verb, _, argument = line.decode().strip().partition(" ")
            if verb in ("USER", "TYPE"):
                self.say("230 in" if verb == "USER" else "200 ok")
            elif verb in ("EPSV", "PASV"):
                listener = socket.create_server(("", 0))
                port = listener.getsockname()[1]
                if verb == "EPSV":
                    self.say(f"229 extended passive (|||{port}|)")
                else:
                    self.say(f"227 passive (10,0,0,2,{port >> 8},{port & 255})")
            elif verb == "RETR":
                self.say("150 here it comes")
                data, _ = listener.accept()
                data.sendall(argument.encode() * 1000)
                data.close()
                listener.close()
                self.say("226 done")
            elif verb == "QUIT":
                self.say("221 bye")
                return

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())


def test_ftp_fetches_over_a_second_connection(nodes):
    a, b = nodes
    received = []
    with serving(b, socketserver.ThreadingTCPServer, ("", 21), FtpHandler), a.as_host():
        watch = Stopwatch(a)
        with ftplib.FTP("b", "anonymous") as client:
            assert watch.ms() == 60
            client.retrbinary("RETR abc", received.append)
            # TYPE, PASV, the connection, RETR with the data and the reply behind it.
            assert watch.ms() == 80
    assert b"".join(received) == b"abc" * 1000


def test_udp_server_of_socketserver_answers(nodes):
    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(data.upper(), self.client_address)

    a, b = nodes
    with serving(b, socketserver.UDPServer, ("", 7), Echo), a.as_host():
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            watch = Stopwatch(a)
            client.sendto(b"x", ("b", 7))
            assert client.recv(10) == b"X"
            assert watch.ms() == 20


def test_handle_request_times_out_in_virtual_time(kernel):
    with kernel.as_host(), socketserver.TCPServer(("", 7), Handler) as server:
        timeouts = []
        server.timeout = 30
        server.handle_timeout = lambda: timeouts.append(kernel.now_ns)
        before = kernel.now_ns
        server.handle_request()
    # It looks at the clock until the time limit is over, not just reached.
    assert timeouts[0] - before == 30_000 * MS + 1


def run_and_capture(build, path):
    """Clients of a server with threads, on a link that loses frames; what crossed the link."""

    def fetch(kernel, number):
        kernel.sleep(number / 1000)
        with urllib.request.urlopen(f"http://b/{number % 3}") as answer:
            return answer.read(), answer.headers["Date"]

    with pylibos.World(seed=5) as world:
        a, b = (pylibos.boot(**build.options, world=world, name=name) for name in "ab")
        link = a.link_to(b, subnet="10.0.0.0/24", delay_ms=10, jitter_ms=3, loss_pct=5)
        world.hosts["b"] = ["10.0.0.2"]
        link.capture(path)
        with serving(b, http.server.ThreadingHTTPServer, ("", 80), Handler):
            with a.as_host():
                programs = [a.spawn(fetch, a, number) for number in range(20)]
            answers = [program.result() for program in programs]
        return answers, world.now_ns


def test_same_seed_gives_the_same_bytes(build, tmp_path):
    paths = [tmp_path / "first.pcapng", tmp_path / "second.pcapng"]
    first, second = (run_and_capture(build, path) for path in paths)
    assert first == second
    assert first[0][4][0] == b"/1"
    assert first[0][4][1].startswith("Sat, 01 Jan 2000 00:00:")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"GET /2 HTTP/1.1" in paths[0].read_bytes()
