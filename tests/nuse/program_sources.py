# SPDX-License-Identifier: GPL-2.0-only
"""What the Python sources that run on a stack begin with."""

PRELUDE = """
import ctypes, errno, os, select, signal, socket, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
IN, OUT, PRI, HUP = select.POLLIN, select.POLLOUT, select.POLLPRI, select.POLLHUP
ERR, RDHUP, NVAL = select.POLLERR, select.POLLRDHUP, select.POLLNVAL

def connected():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return client, server

def later(function, *args, delay_s=0.05):
    timer = threading.Timer(delay_s, function, args)
    timer.start()
    return timer

def polled(timeout_ms, **descriptors):
    # name=(descriptor, events): what poll(2) says of each, by name.
    names = {}
    poller = select.poll()
    for name, (descriptor, events) in descriptors.items():
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        names[number] = name
        poller.register(number, events)
    return sorted((names[number], events) for number, events in poller.poll(timeout_ms))
"""

EPOLL_PRELUDE = (
    PRELUDE
    + """
EIN, EOUT, ERDHUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP
ET, ONESHOT, EXCLUSIVE = select.EPOLLET, select.EPOLLONESHOT, select.EPOLLEXCLUSIVE

def refused(function, *args):
    try:
        function(*args)
    except OSError as error:
        return errno.errorcode[error.errno]

class Names:
    # An epoll whose events are told by name.
    def __init__(self): self.epoll, self.names = select.epoll(), {}
    def add(self, name, descriptor, events):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        self.names[number] = name
        self.epoll.register(number, events)
    def wait(self, timeout_s=0.02, most=-1):
        return sorted((self.names[number], events)
                      for number, events in self.epoll.poll(timeout_s, most))
"""
)
