# SPDX-License-Identifier: GPL-2.0-only
"""The same seed gives the same bytes, in separate processes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
    import hashlib, pylibos, socket, sys

    def main(seed, path, options):
        logs = []
        with pylibos.World(seed=seed) as world:
            log = lambda _, text: logs.append(text)
            a, b = (pylibos.boot(**options, world=world, name=name, log=log) for name in "ab")
            link = a.link_to(
                b, subnet=["10.0.0.0/24", "fd00::/64"], delay_ms=7, jitter_ms=3, loss_pct=5,
                duplicate_pct=1, reorder_pct=1, rate_mbit=50, offload=False,
            )
            link.capture(path)

            def serve(family):
                with b.create_server(("", 7), family=family) as server:
                    peer, _ = server.accept()
                    with peer:
                        while data := peer.recv(5000):
                            peer.sendall(data[::-1])

            for family, host in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
                program = b.spawn(serve, family)
                world.run_for(1)
                with a.create_connection((host, 7)) as conn:
                    for number in range(50):
                        conn.sendall(bytes([number]) * 4000)
                    conn.shutdown(socket.SHUT_WR)
                    while conn.recv(1 << 16):
                        pass
                program.join()
            room = bytearray(32)
            a.syscall("getrandom", room, 32, 0)
            end = world.now_ns
        print(end, room.hex(), hashlib.sha256("".join(logs).encode()).hexdigest())

    main(int(sys.argv[1]), sys.argv[2], eval(sys.argv[3]))
"""


def run(build, seed, path):
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(seed), str(path), repr(build.options)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    return output, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("seed", [1, 2**64 - 1])
def test_same_seed_gives_the_same_capture_log_and_time(build, tmp_path, seed):
    first = run(build, seed, tmp_path / "first.pcapng")
    assert run(build, seed, tmp_path / "second.pcapng") == first


def test_another_seed_gives_another_run(one_build, tmp_path):
    one = run(one_build, 1, tmp_path / "one.pcapng")
    assert run(one_build, 2, tmp_path / "two.pcapng") != one


def test_what_ran_before_in_the_process_does_not_matter(one_build, tmp_path):
    before = "import pylibos\nfor _ in range(3): pylibos.boot(**{}).halt()\n"
    script = textwrap.dedent(SCRIPT)
    results = []
    for number, prefix in enumerate(("", before.format(one_build.options))):
        path = tmp_path / f"{number}.pcapng"
        output = subprocess.run(
            [sys.executable, "-c", prefix + script, "3", str(path), repr(one_build.options)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        results.append((output, hashlib.sha256(path.read_bytes()).hexdigest()))
    assert results[0] == results[1]
