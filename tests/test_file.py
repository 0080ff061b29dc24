# SPDX-License-Identifier: GPL-2.0-only
"""Files of the kernel's file system through Python's io stack."""

from __future__ import annotations

import io
import os

import pytest


def test_text_round_trip(kernel):
    with kernel.open("/tmp/text", "w") as file:
        assert file.write("eins\nzwei ä\n") == 12
    with kernel.open("/tmp/text") as file:
        assert list(file) == ["eins\n", "zwei ä\n"]
    assert kernel.read_bytes("/tmp/text") == "eins\nzwei ä\n".encode()


def test_binary_modes(kernel):
    with kernel.open("/tmp/data", "wb") as file:
        file.write(bytes(range(256)) * 100)
    with kernel.open("/tmp/data", "rb+") as file:
        assert file.read(4) == b"\0\1\2\3"
        file.seek(-2, os.SEEK_END)
        assert file.read() == b"\xfe\xff"
        file.seek(0)
        file.write(b"new")
        file.truncate(5)
    assert kernel.read_bytes("/tmp/data") == b"new\3\4"
    with kernel.open("/tmp/data", "ab") as file:
        file.write(b"!")
    assert kernel.read_bytes("/tmp/data") == b"new\3\4!"
    with pytest.raises(FileExistsError):
        kernel.open("/tmp/data", "x")


def test_streams_are_pythons_own(kernel):
    with kernel.open("/tmp/s", "w") as text, kernel.open("/tmp/s", "rb") as binary:
        assert isinstance(text, io.TextIOWrapper)
        assert isinstance(binary, io.BufferedReader)
        assert isinstance(binary.raw, io.RawIOBase)
        assert binary.raw.name == "/tmp/s"
        assert not binary.isatty()
    with kernel.open("/tmp/s", "rb", buffering=0) as raw:
        assert isinstance(raw, io.RawIOBase)
        assert (raw.readable(), raw.writable(), raw.seekable()) == (True, False, True)


@pytest.mark.parametrize("mode", ["", "q", "rw", "rr", "tb", "+", "rbt"])
def test_senseless_modes_are_refused(kernel, mode):
    with pytest.raises(ValueError, match="mode"):
        kernel.open("/tmp/x", mode)


def test_refusals_are_those_of_open(kernel):
    with pytest.raises(ValueError, match="binary mode doesn't take an encoding"):
        kernel.open("/tmp/x", "rb", encoding="utf-8")
    with pytest.raises(ValueError, match="can't have unbuffered text"):
        kernel.open("/proc/version", "r", buffering=0)
    with pytest.raises(FileNotFoundError, match="/tmp/nothing"):
        kernel.open("/tmp/nothing")
    with pytest.raises(IsADirectoryError):
        kernel.open("/tmp", "w")
    with kernel.open("/proc/version", "rb", buffering=0) as raw:
        with pytest.raises(io.UnsupportedOperation):
            raw.write(b"x")
    with pytest.raises(ValueError, match="closed file"):
        raw.read(1)


def test_folders(kernel):
    kernel.mkdir("/tmp/a")
    for name in ("c", "b", "a"):
        kernel.write_text(f"/tmp/a/{name}", name)
    assert kernel.listdir("/tmp/a") == ["a", "b", "c"]
    assert kernel.exists("/tmp/a/b")
    kernel.unlink("/tmp/a/b")
    assert not kernel.exists("/tmp/a/b")
    assert not kernel.exists("/proc/version/x")
    with pytest.raises(OSError, match="Directory not empty"):
        kernel.rmdir("/tmp/a")
    with pytest.raises(NotADirectoryError):
        kernel.listdir("/proc/version")
    kernel.unlink("/tmp/a/a")
    kernel.unlink("/tmp/a/c")
    kernel.rmdir("/tmp/a")
    assert "a" not in kernel.listdir("/tmp")


def test_large_folder_is_listed_whole(kernel):
    kernel.mkdir("/tmp/many")
    names = [f"file-with-a-long-name-{number:05}" for number in range(3000)]
    for name in names:
        kernel.write_bytes(f"/tmp/many/{name}", b"")
    assert kernel.listdir("/tmp/many") == names


def test_large_file_round_trip(kernel):
    data = os.urandom(5_000_000)
    kernel.write_bytes("/tmp/large", data)
    assert kernel.read_bytes("/tmp/large") == data


def test_file_of_the_kernel_goes_out_by_sendfile(kernel):
    data = os.urandom(300_000)
    kernel.write_bytes("/tmp/out", data)

    def receive(server):
        peer, _ = server.accept()
        with peer, peer.makefile("rb") as stream:
            return stream.read()

    with kernel.create_server(("127.0.0.1", 7)) as server:
        program = kernel.spawn(receive, server)
        with kernel.create_connection(("127.0.0.1", 7)) as conn:
            with kernel.open("/tmp/out", "rb") as file:
                assert conn.sendfile(file, offset=1000, count=200_000) == 200_000
                assert file.tell() == 201_000
        assert program.result() == data[1000:201_000]


def test_file_of_the_host_goes_out_by_sendfile(kernel, tmp_path):
    data = os.urandom(300_000)
    path = tmp_path / "file"
    path.write_bytes(data)

    def receive(server):
        peer, _ = server.accept()
        with peer, peer.makefile("rb") as stream:
            return stream.read()

    with kernel.create_server(("127.0.0.1", 7)) as server:
        program = kernel.spawn(receive, server)
        with kernel.create_connection(("127.0.0.1", 7)) as conn, path.open("rb") as file:
            assert conn.sendfile(file) == len(data)
            assert file.tell() == len(data)
            with pytest.raises(ValueError, match="count must be a positive integer"):
                conn.sendfile(file, count=-1)
            conn.setblocking(False)
            with pytest.raises(ValueError, match="non-blocking sockets are not supported"):
                conn.sendfile(file)
        assert program.result() == data
