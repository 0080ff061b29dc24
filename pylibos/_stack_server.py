# SPDX-License-Identifier: GPL-2.0-only
"""The process of a stack: it boots the kernel and serves programs and commands.

Programs come as listeners of their seccomp filters (host/nuse/), commands as lines of JSON;
both through UNIX sockets.  Everything that a program calls is served in C.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pylibos import _abi
from pylibos._errors import PylibosError, StackError
from pylibos._library import host, last_error

if TYPE_CHECKING:
    from pylibos._stack_config import StackConfig
    from pylibos._stack_kernel import StackKernel

MAX_REQUEST_BYTES = 4096
MAX_PROGRAMS = 4096
_BUSY_US = 1e6  # as good as for ever, and commands come in between


class StackServer:
    """Serves programs on a kernel until it is told to stop.

    Args:
        kernel: of a real-time world of its own.
        name: of the stack; "" for one that lives as long as its programs.
        log_fd: gets a line for each call that is refused; -1 for none.
        trace_fd: gets a line for each call; -1 for none.
        spin_us: how long it looks for work before it sleeps.
    """

    def __init__(
        self,
        kernel: StackKernel,
        *,
        name: str = "",
        log_fd: int = 2,
        trace_fd: int = -1,
        spin_us: float = 0,
    ) -> None:
        self.kernel = kernel
        self.name = name
        self._library = host()
        config = _abi.plh_nuse_config(
            owner_uid=os.geteuid(),
            log_fd=log_fd,
            trace_fd=trace_fd,
            spin_ns=round(spin_us * 1000),
        )
        self._nuse = self._library.plh_nuse_create(kernel.handle, ctypes.byref(config))
        if not self._nuse:
            raise StackError(last_error())
        self._started_s = time.time()
        self._epoll = select.epoll()
        self._served: dict[int, Callable[[], None]] = {}
        self._buffers: dict[int, bytes] = {}
        self._stop = False

    def redirect(self, path: str, text: str) -> None:
        """Show programs a file of this text instead of the host's at an absolute path."""
        data = text.encode()
        if self._library.plh_nuse_redirect(self._nuse, os.fsencode(path), data, len(data)):
            raise StackError(last_error())

    # --- What comes in ---

    def listen(self, server: socket.socket) -> None:
        """Take connections of programs and commands."""
        server.setblocking(False)

        def accept() -> None:
            with contextlib.suppress(OSError):
                self.serve(server.accept()[0])

        self._watch(server.fileno(), accept)

    def serve(self, connection: socket.socket) -> None:
        """Take one program, or commands, from a connection, which is the server's from now on."""
        connection.setblocking(False)
        number = connection.fileno()
        self._buffers[number] = b""
        self._watch(number, lambda: self._read(connection))

    def _watch(self, number: int, function: Callable[[], None]) -> None:
        self._served[number] = function
        self._epoll.register(number, select.EPOLLIN)

    def _drop(self, connection: socket.socket) -> None:
        number = connection.fileno()
        with contextlib.suppress(OSError):
            self._epoll.unregister(number)
        self._served.pop(number, None)
        self._buffers.pop(number, None)
        connection.close()

    def _read(self, connection: socket.socket) -> None:
        try:
            data, descriptors, *_ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 4)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            for descriptor in descriptors:
                os.close(descriptor)
            self._drop(connection)
            return
        if data == b"L" and len(descriptors) == 1:
            self._take_program(connection, descriptors[0])
            return
        for descriptor in descriptors:
            os.close(descriptor)
        buffer = self._buffers[connection.fileno()] + data
        line, found, rest = buffer.partition(b"\n")
        if found:
            self._buffers[connection.fileno()] = rest
            self._reply(connection, self._answer(line))
        elif len(buffer) > MAX_REQUEST_BYTES:
            self._reply(connection, {"error": "the request is too long"})
            self._drop(connection)
        else:
            self._buffers[connection.fileno()] = buffer

    def _take_program(self, connection: socket.socket, listener: int) -> None:
        # Whatever else was sent as a listener: it is watched, and no notification comes.
        if self._library.plh_nuse_add(self._nuse, listener) == 0:
            with contextlib.suppress(OSError):
                connection.send(b"\1")
        self._drop(connection)

    @staticmethod
    def _reply(connection: socket.socket, answer: dict[str, Any]) -> None:
        import json

        with contextlib.suppress(OSError):
            connection.send(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        import json

        try:
            request = json.loads(line)
            wish = request["do"]
        except (ValueError, TypeError, KeyError):
            return {"error": 'a request is a line of JSON such as {"do": "status"}'}
        if wish == "stop":
            self._stop = True
            return {"stopped": True}
        if wish == "status":
            return self.status()
        return {"error": f"unknown request {wish!r}; known are status and stop"}

    def status(self) -> dict[str, Any]:
        """What the stack is and has done, for ``pylibos stack list``."""
        stats = _abi.plh_nuse_stats()
        self._library.plh_nuse_stats(self._nuse, ctypes.byref(stats))
        programs = (_abi.plh_nuse_program * MAX_PROGRAMS)()
        count = self._library.plh_nuse_programs(self._nuse, programs, MAX_PROGRAMS)
        return {
            "name": self.name,
            "pid": os.getpid(),
            "release": self.kernel.release,
            "up_s": round(time.time() - self._started_s, 3),
            "devices": self.kernel.device_names(),
            "stats": {field[0]: getattr(stats, field[0]) for field in stats._fields_},
            "programs": [
                {"pid": item.pid, "uid": item.uid, "threads": item.threads}
                for item in programs[: min(count, MAX_PROGRAMS)]
            ],
        }

    # --- Serving ---

    def run(self) -> None:
        """Serve until a request, SIGTERM or SIGINT, or, without a name, the last program's end.

        Raises:
            KernelDead: the kernel has panicked.
        """
        for wish in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(wish, self._signalled)
        # Also one that arrives while nobody sleeps.
        bell, ringer = socket.socketpair()
        for end in (bell, ringer):
            end.setblocking(False)
        signal.set_wakeup_fd(ringer.fileno())
        self._epoll.register(bell, select.EPOLLIN | select.EPOLLET)
        forever = bool(self.name)
        while not self._stop:
            until_empty = not forever and not self._served
            status = self._library.plh_nuse_run(self._nuse, self._epoll.fileno(), until_empty)
            if status == _abi.PLH_OK:
                for number, _events in self._epoll.poll(0):
                    if number in self._served:
                        self._served[number]()
            elif status == _abi.PLH_TIMEOUT:
                return
            elif status != _abi.PLH_SIGNAL:
                self.kernel.fail(status)

    def _signalled(self, _number: int, _frame: object) -> None:
        self._stop = True

    def close(self) -> None:
        """Close what programs left open, and halt the kernel."""
        if self._nuse:
            self._library.plh_nuse_destroy(self._nuse)
            self._nuse = None
        self._epoll.close()
        self.kernel.halt()


def boot_server(
    config: StackConfig, *, name: str = "", nat: bool = False, log_fd: int = 2, trace_fd: int = -1
) -> StackServer:
    """Boot a configured stack with a server for programs.

    Args:
        config: what it is.
        name, log_fd, trace_fd: see StackServer.
        nat: whether it reaches what the host reaches, through passt.

    Raises:
        PylibosError: it cannot be booted or configured.
    """
    from pylibos._stack_config import boot_configured
    from pylibos._stack_kernel import BootedKernel

    if nat:
        from pylibos._stack_nat import with_nat

        config = with_nat(config)
    kernel = BootedKernel(boot_configured(config))
    try:
        server = StackServer(
            kernel, name=name, log_fd=log_fd, trace_fd=trace_fd, spin_us=_spin_us(config)
        )
        if config.names.nameservers or config.names.search:
            server.redirect("/etc/resolv.conf", config.names.resolv_conf())
        if config.names.hosts:
            server.redirect("/etc/hosts", config.names.hosts_file())
    except PylibosError:
        kernel.halt()
        raise
    return server


def _spin_us(config: StackConfig) -> float:
    """How long the server spins: it waits as its world does."""
    if config.wait == "epoll":
        return 0
    return config.spin_us if config.wait == "adaptive" else _BUSY_US


def boot_plain_server(*, trace_fd: int = -1) -> StackServer:
    """Boot a stack with loopback only, sooner than boot_server() does.

    Raises:
        PylibosError: it cannot be booted.
    """
    from pylibos._stack_kernel import PlainKernel

    return StackServer(PlainKernel(), trace_fd=trace_fd)
