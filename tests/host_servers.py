# SPDX-License-Identifier: GPL-2.0-only
"""Servers that tests of unmodified libraries share: they run as programs of a kernel."""

from __future__ import annotations

import contextlib
import http.server
import threading

MS = 10**6


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers in capitals; a path of digits waits for so many seconds before."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path[1:].isdigit():
            threading.Event().wait(int(self.path[1:]))
        self.answer(self.path.upper().encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).upper())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(kernel, make, *args):
    """A server of socketserver that runs as a program of a kernel."""
    with kernel.as_host():
        server = make(*args)
        program = kernel.spawn(server.serve_forever)
    kernel.world.run_for(0)
    yield server
    kernel.sleep(1)  # until its threads have seen that their clients are gone
    with kernel.as_host():
        server.shutdown()
        server.server_close()
    program.result()


class Stopwatch:
    """Virtual time since it was last asked."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.before = kernel.now_ns

    def ms(self):
        now, before = self.kernel.now_ns, self.before
        self.before = now
        return (now - before) / MS


def started(function, *args):
    """A thread that has been started."""
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread
