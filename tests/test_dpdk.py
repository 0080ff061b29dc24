# SPDX-License-Identifier: GPL-2.0-only
"""DPDK devices: rings, shared memory, pcap files and the host's tap behind one ethdev."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import ipaddress
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import pylibos
from pylibos import _device_dpdk, _library, _netlink

HEADERS = Path("/usr/include/dpdk")


def _absent() -> str:
    """Why this machine has no DPDK; "" if it has, and a failed build is an error then."""
    try:
        _device_dpdk.dpdk()
    except pylibos.LibraryNotFound as error:
        return "" if HEADERS.exists() else str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_absent()), reason="This machine has no DPDK.")

_numbers = itertools.count()


def new_name(stem: str) -> str:
    """A name that no other test of this machine uses."""
    return f"{stem}{os.getpid()}{next(_numbers)}"


def until(world, condition, limit_s=10):
    """Run a real world until something is so."""
    deadline_ns = time.monotonic_ns() + limit_s * 10**9
    while not condition():
        assert time.monotonic_ns() < deadline_ns, "It did not come to be so."
        world.run_for(1_000_000)


def plug(kernel, devargs, address, **options):
    """A device that is up and has an address."""
    device = kernel.add_dpdk(devargs, **options)
    device.up()
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface(address))
    return device


def carrier(kernel):
    return kernel.read_text("/sys/class/net/eth0/carrier").strip()


def script(text, *arguments, **options):
    """Run a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.fixture
def wait():
    """How the world waits; a test may say another."""
    return "epoll"


@pytest.fixture
def join():
    """dpdk_join() with a new name; what it joins is parted at the end."""
    names = []

    def make(entries=1024):
        names.append(new_name("j"))
        return pylibos.dpdk_join(names[-1], entries)

    yield make
    for name in names:
        pylibos.dpdk_part(name)


@pytest.fixture
def real_pair(join, boot, wait):
    """Two kernels of one real world."""
    with pylibos.World(clock="real", wait=wait) as world:
        yield boot(world=world, name="a"), boot(world=world, name="b")


@pytest.fixture
def joined(join, real_pair):
    """The same, joined back to back by two ports."""
    a, b = real_pair
    ends = join()
    return a, b, plug(a, ends[0], "10.0.0.1/24"), plug(b, ends[1], "10.0.0.2/24")


# --- Two ports, back to back ---


@pytest.mark.parametrize("wait", ["epoll", "adaptive", "busy"])
def test_datagrams_cross_both_ways(joined):
    a, b, device, far = joined
    with b.socket(type=socket.SOCK_DGRAM) as server, a.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("10.0.0.2", 9))
        server.settimeout(5)
        client.settimeout(5)
        for size in (0, 1, 18, 100, 1472):
            client.sendto(b"\xa5" * size, ("10.0.0.2", 9))
            data, address = server.recvfrom(2000)
            server.sendto(data, address)
            assert client.recv(2000) == b"\xa5" * size
    assert (device.port_name[-1], far.port_name[-1]) == ("a", "b")
    assert device.driver == far.driver == "net_ring"
    assert device.stats().tx_frames >= 6
    assert device.stats().tx_dropped == device.stats().rx_dropped == 0
    assert device.dpdk_stats().removed is False


def transfer(server_kernel, client_kernel, address, size):
    """Bulk over TCP; the digests at both ends."""
    block = os.urandom(1 << 20)
    seen = hashlib.sha256()

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 20):
                seen.update(data)

    with server_kernel.socket() as listener:
        listener.bind((address, 80))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with client_kernel.socket() as client:
            client.connect((address, 80))
            for _ in range(size >> 20):
                client.sendall(block)
        thread.join(30)
    return seen.digest(), hashlib.sha256(block * (size >> 20)).digest()


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_bulk_arrives_whole(join, real_pair, mtu):
    a, b = real_pair
    ends = join()
    plug(a, ends[0], "10.0.0.1/24", mtu=mtu)
    plug(b, ends[1], "10.0.0.2/24", mtu=mtu)
    seen, sent = transfer(b, a, "10.0.0.2", 16 << 20)
    assert seen == sent


def flood(kernel, count):
    """Datagrams to everybody, which need no neighbour."""
    with kernel.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(count):
            sock.sendto(struct.pack("!I", number), ("10.0.0.255", 9))


def _all_left(stats):
    return stats.tx_frames + stats.tx_dropped


@pytest.mark.parametrize(
    ("entries", "mbufs", "counter"), [(64, None, "tx_full"), (1024, 128, "tx_no_mbuf")]
)
def test_frames_that_nobody_takes_are_lost_and_the_next_ones_cross(
    join, real_pair, entries, mbufs, counter
):
    a, b = real_pair
    ends = join(entries)
    device = plug(a, ends[0], "10.0.0.1/24", mbufs=mbufs)
    flood(a, 500)
    # What lies in the ring has been sent, and nothing else.
    room = entries - 1 if mbufs is None else mbufs
    until(a.world, lambda: device.stats().tx_frames <= room and _all_left(device.stats()) >= 500)
    stats, dpdk = device.stats(), device.dpdk_stats()
    assert stats.tx_dropped == dpdk.tx_gave_up
    assert getattr(dpdk, counter) > 0

    far = plug(b, ends[1], "10.0.0.2/24")
    until(a.world, lambda: far.stats().rx_frames + far.stats().rx_dropped >= stats.tx_frames)
    with b.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("", 9))
        server.settimeout(5)
        flood(a, 1)
        assert server.recv(100) == bytes(4)


def test_port_serves_again_after_its_device_is_closed(joined):
    a, b, device, _ = joined
    device.close()
    again = plug(a, device.port_name, "10.0.0.1/24")
    assert again.port_name == device.port_name
    with b.socket(type=socket.SOCK_DGRAM) as server, a.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("10.0.0.2", 9))
        server.settimeout(5)
        client.sendto(b"again", ("10.0.0.2", 9))
        assert server.recv(100) == b"again"


def test_memory_of_closed_devices_is_used_again(boot_one):
    kernel = boot_one(clock="real")
    for _ in range(40):  # 10 MB each, more than DPDK was given
        kernel.add_dpdk(new_name("net_null")).close()


# --- pcap files ---


def pcap_file(path, frames):
    """A file of libpcap, Ethernet."""
    data = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for frame in frames:
        data += struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame
    path.write_bytes(data)


def pcap_frames(path):
    data, at, frames = path.read_bytes(), 24, []
    while at < len(data):
        size = struct.unpack_from("=I", data, at + 8)[0]
        frames.append(data[at + 16 : at + 16 + size])
        at += 16 + size
    return frames


def udp_frame(payload):
    udp = struct.pack("!HHHH", 99, 9, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    ip += socket.inet_aton("10.0.0.2") + socket.inet_aton("10.0.0.1")
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    return b"\x02\0\0\0\0\1" + b"\x02\0\0\0\0\2" + b"\x08\0" + ip + udp


def replay(kernel, tmp_path, frames):
    """A device that these frames come from, once it is up; and what leaves it."""
    source, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    pcap_file(source, frames)
    devargs = f"{new_name('net_pcap')},rx_pcap={source},tx_pcap={sink}"
    device = kernel.add_dpdk(devargs, mac="02:00:00:00:00:01")
    return device, sink


def test_capture_is_replayed_and_answers_are_recorded(boot, tmp_path):
    kernel = boot(clock="real")
    request = b"\xff" * 6 + b"\x02\0\0\0\0\2" + b"\x08\x06"
    request += struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + b"\x02\0\0\0\0\2"
    request += socket.inet_aton("10.0.0.2") + bytes(6) + socket.inet_aton("10.0.0.1")
    device, sink = replay(kernel, tmp_path, [request])
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface("10.0.0.1/24"))
    device.up()
    until(kernel.world, lambda: device.stats().tx_frames >= 1 and device.stats().rx_frames == 1)
    kernel.world.run_for(20_000_000)
    device.close()  # writes the file
    answers = [frame for frame in pcap_frames(sink) if frame[12:14] == b"\x08\x06"]
    assert answers
    assert answers[0][:12] == b"\x02\0\0\0\0\2" + b"\x02\0\0\0\0\1"
    assert answers[0][20:22] == b"\0\2"


def test_frames_of_hostile_length_are_counted_and_harm_nothing(boot, tmp_path):
    kernel = boot(clock="real")
    good = udp_frame(b"good")
    lengths = (1, 5, 13, 1523, 2000, 9000)
    device, _ = replay(kernel, tmp_path, [*(bytes(size) for size in lengths), good])
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface("10.0.0.1/24"))
    with kernel.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("10.0.0.1", 9))
        server.settimeout(5)
        device.up()
        assert server.recv(100) == b"good"
    dpdk = device.dpdk_stats()
    assert (dpdk.rx_too_short, dpdk.rx_too_long) == (3, 3)
    assert device.stats().rx_dropped == 6


# --- Between processes ---

MEMIF_PEER = """
    import ipaddress, socket, sys
    import pylibos
    from pylibos import _netlink

    kernel = pylibos.boot(kernel=sys.argv[1], profile=sys.argv[2], clock="real")
    device = kernel.add_dpdk(f"net_memif0,role=client,socket={sys.argv[3]},socket-abstract=no")
    device.up()
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface("10.0.0.2/24"))
    with kernel.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("10.0.0.2", 9))
        print("ready", flush=True)
        while True:
            data, address = server.recvfrom(2000)
            server.sendto(data[::-1], address)
"""


class Peer:
    """A process with a kernel of its own, which sends datagrams back the wrong way round."""

    def __init__(self, build, path):
        program = [sys.executable, "-c", textwrap.dedent(MEMIF_PEER)]
        options = build.options
        self.process = subprocess.Popen(
            [*program, str(options["kernel"]), options["profile"], str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self):
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_process_shares_memory_with_another_and_its_death_is_seen(boot, build, tmp_path):
    kernel = boot(clock="real")
    path = tmp_path / "memif"
    name = new_name("net_memif")
    device = plug(kernel, f"{name},role=server,socket={path},socket-abstract=no", "10.0.0.1/24")
    assert device.driver == "net_memif"
    until(kernel.world, lambda: carrier(kernel) == "0")
    for life in range(2):
        peer = Peer(build, path)
        try:
            peer.wait_until_ready()
            until(kernel.world, lambda: carrier(kernel) == "1")
            with kernel.socket(type=socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                for size in (1, 1400):
                    data = bytes([life]) + os.urandom(size)
                    sock.sendto(data, ("10.0.0.2", 9))
                    assert sock.recv(2000) == data[::-1]
        finally:
            peer.kill()
        until(kernel.world, lambda: carrier(kernel) == "0")


# --- Ports that vanish ---


def remove_port(name):
    """What DPDK does when a card is drawn out, or another part of the program removes it."""
    maps = Path("/proc/self/maps").read_text()
    path = re.search(r"/\S*/librte_eal\.so\S*", maps)[0]
    assert ctypes.CDLL(path).rte_eal_hotplug_remove(b"vdev", name.encode()) == 0


def test_port_that_vanishes_leaves_an_interface_without_carrier(boot):
    kernel = boot(clock="real")
    name = new_name("net_null")
    device = plug(kernel, name, "10.0.0.1/24")
    until(kernel.world, lambda: carrier(kernel) == "1")
    remove_port(name)
    until(kernel.world, lambda: carrier(kernel) == "0")
    assert device.dpdk_stats().removed is True
    with contextlib.suppress(OSError):
        flood(kernel, 10)
    # Its number is another one's now, which must live on.
    other = kernel.add_dpdk(new_name("net_null"))
    device.close()
    other.up()
    until(kernel.world, lambda: other.stats().rx_frames > 0)
    assert other.dpdk_stats().removed is False


# --- Interfaces of the host ---

# In a network namespace of its own, which takes everything with it.
HOST = """
    import ctypes, fcntl, ipaddress, json, socket, struct, subprocess, sys, urllib.request
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        sys.exit(77)
    import pylibos
    from pylibos import _netlink
    from pylibos._demo_tap import KernelHttpServer

    given = json.loads(sys.argv[1])
    name = given["far"]

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def leave_no_checksums():  # ethtool -K NAME tx off: these drivers would not fill them in
        value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))  # ETHTOOL_STXCSUM
        request = struct.pack("16sQ8x", name.encode(), ctypes.addressof(value))
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, 0x8946, request)  # SIOCETHTOOL

    if given["veth"]:
        ip("link", "add", "near", "type", "veth", "peer", "name", name)
        ip("link", "set", "near", "up")
        leave_no_checksums()
    kernel = pylibos.boot(kernel=given["kernel"], profile=given["profile"], clock="real")
    mac = "02:00:00:00:00:09" if given["veth"] else None
    device = kernel.add_dpdk(given["devargs"], queues=given["queues"], mac=mac)
    device.up()
    _netlink.add_address(kernel, device.index, ipaddress.ip_interface("10.0.0.2/24"))
    ip("address", "add", "10.0.0.1/24", "dev", name)
    ip("link", "set", name, "up")
    with KernelHttpServer(kernel, given["folder"]):
        pinged = subprocess.run(["ping", "-n", "-c", "3", "-i", "0.1", "10.0.0.2"],
                                capture_output=True, text=True)
        fetched = urllib.request.urlopen("http://10.0.0.2/file", timeout=20).read()
    print(pinged.stdout)
    with open(given["folder"] + "/file", "rb") as file:
        print("bytes", len(fetched), fetched == file.read())
    print("driver", device.driver, device.stats().rx_dropped)

    def wait_for(carrier):
        for _ in range(2000):
            kernel.world.run_for(5_000_000)
            if kernel.read_text("/sys/class/net/eth0/carrier").strip() == carrier:
                print("carrier", carrier)
                break

    if not given["veth"]:
        ip("link", "set", name, "down")
        wait_for("0")
        ip("link", "set", name, "up")
        wait_for("1")
        ip("link", "delete", name)
        wait_for("0")
"""


def on_the_host(build, tmp_path, devargs, far, *, veth=False, queues=1):
    """Ping and fetch a file from a kernel through an interface of the host."""
    (tmp_path / "file").write_bytes(os.urandom(1 << 20))
    given = {"devargs": devargs, "far": far, "veth": veth, "queues": queues}
    given |= {"folder": str(tmp_path), **build.options}
    done = script(HOST, json.dumps(given))
    if done.returncode == 77:
        pytest.skip("This machine lets nobody like you make a network namespace.")
    assert done.returncode == 0, done.stderr
    assert " 0% packet loss" in done.stdout
    assert "bytes 1048576 True" in done.stdout
    return done.stdout


needs_tools = pytest.mark.skipif(
    shutil.which("ping") is None or shutil.which("ip") is None, reason="The host has no ping or ip."
)


@pytest.mark.root
@needs_tools
@pytest.mark.parametrize("queues", [1, 2])
def test_host_pings_and_fetches_through_dpdks_tap(build, tmp_path, queues):
    told = on_the_host(build, tmp_path, "net_tap0,iface=plhtap", "plhtap", queues=queues)
    assert "driver net_tap 0" in told
    assert re.findall(r"carrier (\d)", told) == ["0", "1", "0"]


@pytest.mark.root
@needs_tools
@pytest.mark.parametrize("driver", ["net_af_packet", "net_af_xdp"])
def test_host_pings_and_fetches_through_an_interface_of_its_own(one_build, tmp_path, driver):
    told = on_the_host(one_build, tmp_path, f"{driver}0,iface=near", "far", veth=True)
    assert f"driver {driver} 0" in told


# --- What is refused ---


def test_port_that_does_not_exist_is_named(boot_one):
    kernel = boot_one(clock="real")
    with pytest.raises(pylibos.PylibosError, match="The DPDK device net_nothing7 cannot be probed"):
        kernel.add_dpdk("net_nothing7")
    assert kernel.syscall("getpid") > 0


def test_port_in_use_is_refused(joined):
    a, b, device, _ = joined
    with pytest.raises(pylibos.PylibosError, match="is in use already, by pylibos"):
        b.add_dpdk(device.port_name)
    assert carrier(a) == "1"


def test_virtual_clock_is_refused(kernel):
    with pytest.raises(ValueError, match="A DPDK device needs the real clock"):
        kernel.add_dpdk("net_null0")


def test_queues_that_the_port_has_not_are_refused(join, boot_one):
    kernel = boot_one(clock="real")
    ends = join()
    with pytest.raises(pylibos.PylibosError, match="has at most 1 receive and 1 transmit queues"):
        kernel.add_dpdk(ends[0], queues=2)


def test_frame_larger_than_an_mbuf_is_refused(boot_one):
    kernel = boot_one(clock="real")
    with pytest.raises(pylibos.PylibosError, match="does not fit into an mbuf: the most is 65385"):
        kernel.add_dpdk(new_name("net_null"), mtu=65535)


def test_more_mbufs_than_there_is_memory_for_are_refused(boot_one):
    kernel = boot_one(clock="real")
    with pytest.raises(pylibos.PylibosError, match="There is no memory for 4000000 mbufs"):
        kernel.add_dpdk(new_name("net_null"), mbufs=4_000_000)
    kernel.add_dpdk(new_name("net_null")).close()


@pytest.mark.parametrize(
    ("name", "entries", "error", "message"),
    [
        ("", 64, ValueError, "1 to 20 bytes"),
        ("x" * 21, 64, ValueError, "1 to 20 bytes"),
        ("odd", 100, pylibos.PylibosError, "a power of two as size"),
    ],
)
def test_pair_that_cannot_be_is_refused(name, entries, error, message):
    with pytest.raises(error, match=message):
        pylibos.dpdk_join(name, entries)


def test_name_of_a_pair_is_used_once_and_free_again_afterwards(join, boot_one):
    kernel = boot_one(clock="real")
    name = new_name("n")
    for _ in range(20):  # 32 ports are all that DPDK has
        ends = pylibos.dpdk_join(name)
        with pytest.raises(pylibos.PylibosError, match="give a name that is new"):
            pylibos.dpdk_join(name)
        device = kernel.add_dpdk(ends[0])
        with pytest.raises(pylibos.PylibosError, match="is in use, by pylibos"):
            pylibos.dpdk_part(name)
        device.close()
        pylibos.dpdk_part(name)
    with pytest.raises(pylibos.PylibosError, match=f"There are no ports net_ring_{name}a"):
        pylibos.dpdk_part(name)


def test_arguments_of_the_eal_are_taken_once(build):
    done = script(
        """
        import pylibos
        pylibos.dpdk_init("--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-l", "0",
                          "-m", "64", "--vdev=net_null7")
        kernel = pylibos.boot(clock="real")
        print(kernel.add_dpdk("net_null7").port_name)
        try:
            pylibos.dpdk_init("--no-huge")
        except pylibos.PylibosError as error:
            print(error)
        """
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "net_null7"
    assert lines[1].startswith("DPDK is initialised once in a process")


def test_wrong_arguments_of_the_eal_are_told_in_its_words():
    done = script(
        """
        import pylibos
        try:
            pylibos.dpdk_init("--no-huge", "-l", "999")
        except pylibos.PylibosError as error:
            print("told:", error)
        """
    )
    assert re.search(r"^told: DPDK cannot be initialised \(.*\): .*EAL", done.stdout, re.M)


def test_fork_of_a_process_with_dpdk_is_refused(build):
    done = script(
        """
        import os, sys
        import pylibos
        ends = pylibos.dpdk_join("f")
        kernel = pylibos.boot(clock="real")
        kernel.add_dpdk(ends[0])
        if not os.fork():
            try:
                pylibos.dpdk_join("g")
            except pylibos.PylibosError as error:
                print(error, flush=True)
            os._exit(0)
        print("child", os.wait()[1], flush=True)
        kernel.add_dpdk(ends[1])
        kernel.halt()
        """
    )
    assert done.returncode == 0, done.stderr
    assert "does not survive that" in done.stdout
    assert "child 0" in done.stdout


def test_library_that_is_not_built_is_told_with_its_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(_library.host(), "_name", str(tmp_path / "libpylibos_host.so"))
    with pytest.raises(pylibos.LibraryNotFound, match="apt-get install libdpdk-dev") as caught:
        _device_dpdk.dpdk.__wrapped__()
    assert "make dpdk" in str(caught.value)


def test_spec_hands_on_what_is_dpdks(boot_one, tmp_path):
    kernel = boot_one(clock="real")
    name = new_name("net_memif")
    device = kernel.open_device(
        f"dpdk:{name},role=server,mbufs=512,socket={tmp_path}/m,socket-abstract=no", mtu=1400
    )
    assert (device.port_name, device.driver) == (name, "net_memif")
    assert (tmp_path / "m").is_socket()
    device.close()
    assert not (tmp_path / "m").exists()


def test_memory_leaves_room_for_the_shadow_of_a_checked_kernel(boot):
    kernel = boot(clock="real")
    kernel.open_device("dpdk:net_null0")
    memory = [line for line in Path("/proc/self/maps").read_text().splitlines() if "huge" in line]
    assert memory
    assert all(int(line.partition("-")[0], 16) > 1 << 45 for line in memory)
