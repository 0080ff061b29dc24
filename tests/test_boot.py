# SPDX-License-Identifier: GPL-2.0-only
"""Boot and halt: what boot() takes, and what it refuses."""

from __future__ import annotations

import gc
import io
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pylibos


def test_kernel_boots_and_tells_its_release(any_build):
    with pylibos.boot(**any_build.options) as kernel:
        assert kernel.release.startswith(any_build.kernel + ".")
        assert kernel.image.profile == any_build.profile
        assert kernel.release in kernel.image.banner


def test_boot_takes_less_than_a_second(build):
    with pylibos.boot(**build.options) as kernel:
        assert kernel.stats().boot_wall_ns < 1e9


def test_loopback_is_up(kernel):
    assert kernel.if_nameindex()[0] == (1, "lo")
    assert int(kernel.read_text("/sys/class/net/lo/flags"), 16) & 1


def test_proc_and_sys_are_mounted(kernel):
    assert "net" in kernel.listdir("/proc/sys")
    assert "class" in kernel.listdir("/sys")
    assert kernel.read_text("/proc/version").strip() == kernel.image.banner


def test_command_line_reaches_the_kernel(boot):
    kernel = boot(cmdline="pylibos.test=7 quiet")
    assert "pylibos.test=7 quiet" in kernel.read_text("/proc/cmdline")


def test_memory_size_is_what_was_asked_for(boot):
    assert boot(memory=32 << 20).stats().arena_bytes == 32 << 20


def test_memory_may_be_a_buffer(boot_one):
    buffer = mmap.mmap(-1, 32 << 20)
    kernel = boot_one(memory=buffer)
    assert kernel.stats().arena_bytes == 32 << 20
    kernel.halt()
    assert any(buffer[:65536])
    buffer.close()


def test_memory_may_come_from_an_allocator(boot_one):
    class Allocator:
        size = 16 << 20
        freed = 0

        def allocate(self, size):
            self.buffer = mmap.mmap(-1, size)
            return self.buffer

        def free(self, memory):
            assert memory is self.buffer
            self.freed += 1

    allocator = Allocator()
    kernel = boot_one(memory=allocator)
    assert kernel.stats().arena_bytes == Allocator.size
    assert allocator.freed == 0
    kernel.halt()
    assert allocator.freed == 1


def test_memory_may_come_from_a_callable(boot_one):
    sizes = []

    def allocate(size):
        sizes.append(size)
        return mmap.mmap(-1, size)

    boot_one(memory=allocate)
    assert sizes == [64 << 20]


def test_allocator_without_memory_makes_boot_fail(boot_one):
    with pytest.raises(pylibos.BootError):
        boot_one(memory=lambda _size: None)


def test_error_of_an_allocator_comes_out_of_boot(boot_one):
    def allocate(_size):
        raise MemoryError("none left")

    with pytest.raises(MemoryError, match="none left"):
        boot_one(memory=allocate)


def test_too_little_memory_is_refused(boot_one):
    with pytest.raises(pylibos.BootError, match="memory|MiB|bytes"):
        boot_one(memory=256 << 10)


def test_misaligned_memory_is_refused(boot_one):
    buffer = mmap.mmap(-1, 17 << 20)
    with pytest.raises(ValueError, match="must begin at a multiple of 4096"):
        boot_one(memory=memoryview(buffer)[100 : 16 << 20])


@pytest.mark.parametrize("memory", [0, -1])
def test_senseless_memory_sizes_are_refused(boot_one, memory):
    with pytest.raises(ValueError, match="memory is a size in bytes"):
        boot_one(memory=memory)


def test_memory_of_a_wrong_type_is_refused(boot_one):
    with pytest.raises(TypeError, match="memory is a size in bytes, a writable buffer"):
        boot_one(memory="64M")


def test_log_goes_to_a_callable(boot_one):
    lines = []
    boot_one(log=lambda level, text: lines.append((level, text)))
    text = "".join(text for _, text in lines)
    assert "Linux version" in text
    assert "Run /init as init process" in text
    assert {level for level, _ in lines} <= set(range(8))


def test_log_goes_to_a_text_file(boot_one):
    file = io.StringIO()
    boot_one(log=file)
    assert "Linux version" in file.getvalue()


def test_log_of_a_wrong_type_is_refused(boot_one):
    with pytest.raises(TypeError, match="log is a callable of level and text"):
        boot_one(log=7)


def test_error_of_a_log_callable_comes_out(boot_one):
    def log(_level, _text):
        raise RuntimeError("the log is full")

    with pytest.raises(RuntimeError, match="the log is full"):
        boot_one(log=log)


def test_random_bytes_come_from_a_callable(boot_one):
    kernel = boot_one(random=lambda size: b"\x5a" * size)
    assert kernel.read_text("/proc/sys/kernel/random/uuid")


def test_random_callable_with_too_few_bytes_is_refused(boot_one):
    with pytest.raises(ValueError, match=r"random\(\) was asked for \d+ bytes"):
        boot_one(random=lambda size: b"")


def test_same_seed_gives_the_same_random_bytes(boot_one):
    def draw(seed):
        kernel = boot_one(seed=seed)
        room = bytearray(64)
        assert kernel.syscall("getrandom", room, 64, 0) == 64
        kernel.halt()
        return bytes(room)

    first = draw(1)
    assert draw(1) == first
    assert draw(2) != first


def test_unknown_kernel_is_refused():
    with pytest.raises(pylibos.LibraryNotFound, match=r"make KERNEL=2\.4 .*liblinux\.so"):
        pylibos.boot(kernel="2.4")


def test_unknown_profile_is_refused(one_build):
    with pytest.raises(pylibos.LibraryNotFound, match="PROFILE=tiny"):
        pylibos.boot(kernel=one_build.kernel, profile="tiny")


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(pylibos.LibraryNotFound, match="There is no kernel image at"):
        pylibos.boot(kernel=tmp_path / "liblinux.so")


@pytest.mark.parametrize("content", [b"", b"no library at all" * 1000])
def test_file_that_is_no_library_is_refused(tmp_path, content, one_build):
    path = tmp_path / "liblinux.so"
    path.write_bytes(content)
    with pytest.raises(pylibos.LibraryNotFound, match=re.escape(str(path))):
        pylibos.boot(kernel=path)


def test_foreign_library_is_refused(one_build):
    import ctypes.util

    name = ctypes.util.find_library("c")
    paths = [Path(folder) / name for folder in ("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        pytest.skip("There is no libc.so of the host in the usual places.")
    with pytest.raises(pylibos.LibraryNotFound, match="is no liblinux.so"):
        pylibos.boot(kernel=path)


def test_image_of_another_abi_is_refused(tmp_path, one_build):
    image = pylibos.boot(**one_build.options)
    path = image.image.path
    image.halt()
    data = bytearray(path.read_bytes())
    magic = (0x4C4F534F).to_bytes(4, sys.byteorder) + (1).to_bytes(4, sys.byteorder)
    place = data.find(magic)
    assert place > 0
    data[place + 4] = 99
    copy = tmp_path / "liblinux.so"
    copy.write_bytes(data)
    with pytest.raises(pylibos.AbiMismatch, match="99"):
        pylibos.boot(kernel=copy)


def test_missing_host_library_is_refused(tmp_path):
    script = (
        "import pylibos._library as library, pathlib\n"
        f"library._folders = lambda: [pathlib.Path({str(tmp_path)!r})]\n"
        "try:\n    library.host()\n"
        "except library.LibraryNotFound as error:\n    print(error)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert "libpylibos_host.so is not built; run 'make liblinux.so'" in output


def test_clock_and_world_together_are_refused(one_build):
    with pylibos.World() as world, pytest.raises(ValueError, match="belong to the world"):
        pylibos.boot(**one_build.options, world=world, clock="real")


def test_unknown_clock_is_refused():
    with pytest.raises(ValueError, match="A clock is 'virtual', 'real' or an object"):
        pylibos.World("sundial")
    with pytest.raises(TypeError, match="int is none of these"):
        pylibos.World(7)


def test_halting_twice_is_fine(boot_one):
    kernel = boot_one()
    kernel.halt()
    kernel.halt()


def test_use_after_halt_is_refused(boot_one):
    kernel = boot_one(name="gone")
    sock = kernel.socket()
    file = kernel.open("/proc/version")
    kernel.halt()
    message = "The kernel gone was halted; boot another one."
    for use in (
        lambda: kernel.syscall("getpid"),
        kernel.socket,
        lambda: kernel.read_text("/proc/version"),
        lambda: sock.bind(("", 1)),
        lambda: kernel.add_device(lambda frame: None),
        kernel.stats,
    ):
        with pytest.raises(pylibos.KernelHalted, match=re.escape(message)):
            use()
    sock.close()
    file.close()
    assert repr(kernel).endswith("halted>")


def test_reboot_halts_the_kernel(boot_one):
    kernel = boot_one()
    with pytest.raises(pylibos.KernelHalted):
        kernel.syscall("reboot", 0xFEE1DEAD, 672274793, 0x4321FEDC, None)
    with pytest.raises(pylibos.KernelHalted, match=r"halted itself by reboot\(2\)"):
        kernel.syscall("getpid")


def test_kernel_that_is_not_halted_warns(one_build):
    def forget():
        pylibos.boot(**one_build.options)
        gc.collect()

    with pytest.warns(ResourceWarning, match="was never halted"):
        forget()


def test_many_kernels_share_a_world(one_build):
    with pylibos.World() as world:
        kernels = [pylibos.boot(**one_build.options, world=world) for _ in range(20)]
        places = {kernel.stats().load_bias for kernel in kernels}
        assert len(places) == 20
        for kernel in kernels:
            assert kernel.syscall("getpid") > 0


def test_dmesg_has_levels_and_times(kernel):
    records = kernel.dmesg()
    assert records[0].text.startswith("Linux version " + kernel.release)
    assert all(0 <= record.level <= 7 for record in records)
    times = [record.time_ns for record in records]
    assert times == sorted(times)


def test_boot_leaves_no_warning_in_the_log(kernel):
    log = kernel.dmesg()
    assert [record for record in log if record.level <= 3] == []
    assert [record for record in log if "WARNING:" in record.text or "BUG" in record.text] == []


def test_stats_count_calls(kernel):
    before = kernel.stats()
    for _ in range(10):
        kernel.syscall("getpid")
    after = kernel.stats()
    assert after.calls - before.calls == 10
    assert after.arena_resident_bytes <= after.arena_bytes


def test_environment_variable_names_the_library_folder(one_build):
    folder = pylibos.images()[0].path.parent.parent
    environment = {**os.environ, "PYLIBOS_LIB_DIR": str(folder)}
    script = "import pylibos; print(pylibos.images()[0].path)"
    output = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.startswith(str(folder))
