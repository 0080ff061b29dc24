# SPDX-License-Identifier: GPL-2.0-only
"""Processes killed at any moment of any call leave nothing, and hurt nobody else."""

from __future__ import annotations

import pytest
from program_sources import EPOLL_PRELUDE
from stack_programs import EMPTY, Stack, lines_of

pytestmark = pytest.mark.kernel

STEADY = """
client, server = connected()
data = bytes(range(251)) * 4000
def send():
    for _ in range(30): client.sendall(data)
    client.close()
thread = threading.Thread(target=send)
thread.start()
poller, whole, count = select.epoll(), data * 2, 0
poller.register(server, EIN)
while True:
    poller.poll(30)
    part = server.recv(65536)
    if not part: break
    at = count % len(data)
    if part != whole[at:at + len(part)]: print("wrong at", count); break
    count += len(part)
thread.join()
print(count == 30 * len(data))
"""

KILLED = """
import random, tempfile
random.seed(SEED)
file = tempfile.TemporaryFile()
file.write(bytes(1 << 20)); file.flush()
listener = socket.create_server(("127.0.0.1", 0), backlog=64)

def work(number):
    client, server = connected()
    r, w = os.pipe()
    epoll = select.epoll()
    for descriptor in (client, server, r): epoll.register(descriptor, EIN)
    def send():
        while True: os.sendfile(client.fileno(), file.fileno(), 0, 1 << 20)
    def relay():
        while True: os.splice(server.fileno(), w, 65536); os.read(r, 65536)
    kinds = [
        lambda: [client.send(b"x"), epoll.poll(1), server.recv(1)],
        lambda: [os.write(w, b"x"), polled(1000, s=(server, IN), pipe=(r, IN)), os.read(r, 1)],
        lambda: [threading.Thread(target=send, daemon=True).start(), relay()],
        lambda: [socket.create_connection(listener.getsockname()), listener.accept()[0].close()],
        lambda: select.select([server, r, listener], [], [], 1),
        lambda: server.recv(1),
        lambda: epoll.poll(10),
    ]
    while True: kinds[number % len(kinds)]()

for number in range(COUNT):
    pid = os.fork()
    if not pid:
        try: work(number)
        finally: os._exit(1)
    select.select([], [], [], random.random() * 0.01)
    os.kill(pid, signal.SIGKILL)
    if os.waitpid(pid, 0)[1] != signal.SIGKILL: print("ended", number)
print("killed")
"""


def test_processes_killed_at_random_leave_nothing_and_hurt_nobody(stack: Stack) -> None:
    words = ["python3", "-S", "-c"]
    killed = KILLED.replace("SEED", "7").replace("COUNT", "105")
    programs = [
        stack.start([*words, EPOLL_PRELUDE + killed]),
        stack.start([*words, EPOLL_PRELUDE + STEADY]),
    ]
    assert [lines_of(program) for program in programs] == [["killed"], ["True"]]
    assert stack.await_empty() == EMPTY
