# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: each channel with our stack, with a relay without a stack, and native."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.paper import programs
from benchmarks.paper.topology import Namespace, Topology, UnfitMachineError
from benchmarks.paper.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
PRIORITY = -15  # so that what else runs on the machine disturbs less
START_S = 60


@dataclass(frozen=True)
class Cores:
    """Who runs where.

    Attributes:
        tester: sender and receiver, in one thread.
        box: router, relay, or sending application.
    """

    tester: int
    box: int

    def __str__(self) -> str:
        return f"sender and receiver share core {self.tester}, the box has core {self.box}"


def choose_cores() -> Cores:
    """The first for sender and receiver, the second for the box.

    Raises:
        UnfitMachineError: there is only one.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise UnfitMachineError("it takes two cores: one for sender and receiver, one for the box")
    return Cores(cores[0], cores[1])


@dataclass(frozen=True)
class Ends:
    """Names of a channel's ends.

    Attributes:
        tester: ports of sender and receiver.
        relay: ports in the middle; None: there is no relay.
        devices: device specs for our stack; None: it cannot.
        fds: descriptors that the names speak of.
        library: which the relay's ports need.
        polled: there is nothing to sleep on, so our stack polls as the relay does.
    """

    tester: tuple[str, str]
    relay: tuple[str, str] | None = None
    devices: tuple[str, str] | None = None
    fds: tuple[int, ...] = ()
    library: str = ""
    polled: bool = False


# --- Channels ---


def _packet_ports(topology: Topology, names: tuple[str, str]) -> tuple[str, str]:
    return (
        f"packet:{topology.sender.fd}:{names[0]}",
        f"packet:{topology.receiver.fd}:{names[1]}",
    )


def _tap(topology: Topology, _who: str) -> Ends:
    fds = topology.taps()
    return Ends(
        _packet_ports(topology, ("t0", "t1")),
        (f"tap:{fds[0]}", f"tap:{fds[1]}"),
        (f"tap:fd={fds[0]},vnet_hdr=0", f"tap:fd={fds[1]},vnet_hdr=0"),
        fds,
    )


def _as_host(topology: Topology, name: str) -> None:
    """Make the sender's end of a channel a host's, with the box as its gateway."""
    topology.sender.ip(
        f"link set {name} address 02:00:00:00:00:a1",
        f"address add 10.0.1.1/24 dev {name}",
        f"neighbour add 10.0.1.2 lladdr 02:00:00:00:00:a2 dev {name}",
    )


def _bulk_over_tap(topology: Topology, offload: bool) -> Ends:
    fds = topology.taps(vnet_hdr=offload)
    _as_host(topology, "t0")
    devices = f"tap:fd={fds[0]},vnet_hdr={offload:d}", f"tap:fd={fds[1]},vnet_hdr={offload:d}"
    return Ends(_packet_ports(topology, ("t0", "t1")), None, devices, fds)


def _bulk_over_veth(topology: Topology, offload: bool) -> Ends:
    topology.cables()
    topology.route()
    _as_host(topology, "s0")
    if not offload:
        topology.sender.segment_in_software("s0")
        topology.router.segment_in_software("r0")
    return Ends(_packet_ports(topology, ("s0", "d0")))


def _tap_between_programs(topology: Topology, who: str) -> Ends:
    """As tap, but sender and receiver are programs with UDP sockets of the host's own stack."""
    ends = _tap(topology, who)
    # A relay leaves addresses as they are: with it each end is the other's next hop.
    gateways = ("b2", "a1") if who == "relay" else ("a2", "b1")
    for namespace, name, mac, own, gateway in (
        (topology.sender, "t0", "a1", "10.0.1.1/24", ("10.0.1.2", gateways[0])),
        (topology.receiver, "t1", "b2", "10.0.2.2/24", ("10.0.2.1", gateways[1])),
    ):
        namespace.ip(
            f"link set {name} address 02:00:00:00:00:{mac}",
            f"address add {own} dev {name}",
            f"neighbour add {gateway[0]} lladdr 02:00:00:00:00:{gateway[1]} dev {name}",
            f"route add default via {gateway[0]}",
        )
    sender, receiver = topology.sender.fd, topology.receiver.fd
    ports = f"udp:{sender}:10.0.1.1:10.0.2.2", f"udp:{receiver}:10.0.2.2:10.0.1.1"
    return dataclasses.replace(ends, tester=ports)


def _raw(topology: Topology, _who: str) -> Ends:
    topology.cables()
    return Ends(
        _packet_ports(topology, ("s0", "d0")),
        ("packet:-1:r0", "packet:-1:r1"),
        ("raw:r0", "raw:r1"),
    )


def _xdp(topology: Topology, _who: str) -> Ends:
    topology.cables()
    ports = _packet_ports(topology, ("s0", "d0"))
    return Ends(ports, ("xdp:r0", "xdp:r1"), ("xdp:r0", "xdp:r1"), library="libxdp")


def _dpdk(topology: Topology, _who: str) -> Ends:
    topology.cables()
    for name, mac in (("r0", "a2"), ("r1", "b1")):
        topology.router.ip(f"link set {name} address 02:00:00:00:00:{mac}")
    settings = "blocksz=4096,qdisc_bypass=1"
    ports = (
        f"dpdk:net_af_packet0,iface=r0,{settings}",
        f"dpdk:net_af_packet1,iface=r1,{settings}",
    )
    return Ends(_packet_ports(topology, ("s0", "d0")), ports, ports, library="libdpdk", polled=True)


def _unix(topology: Topology, _who: str) -> Ends:
    pairs = [topology.socketpair() for _ in range(2)]
    return Ends(
        (f"unix:{pairs[0][0]}", f"unix:{pairs[1][0]}"),
        (f"unix:{pairs[0][1]}", f"unix:{pairs[1][1]}"),
        (f"unix:fd={pairs[0][1]}", f"unix:fd={pairs[1][1]}"),
        (*pairs[0], *pairs[1]),
    )


def _shm(topology: Topology, _who: str) -> Ends:
    pairs = [topology.socketpair() for _ in range(2)]
    return Ends(
        (f"shm:{pairs[0][0]}:open", f"shm:{pairs[1][0]}:open"),
        (f"shm:{pairs[0][1]}:make", f"shm:{pairs[1][1]}:make"),
        (f"shm:fd={pairs[0][1]},listen=1,offload=0", f"shm:fd={pairs[1][1]},listen=1,offload=0"),
        (*pairs[0], *pairs[1]),
        polled=True,
    )


def _pipe(topology: Topology, _who: str) -> Ends:
    # Of each side: to the box, and back.
    sides = [(topology.pipe(), topology.pipe()) for _ in range(2)]
    outer = [f"pipe:{back[0]}:{there[1]}" for there, back in sides]
    inner = [f"pipe:{there[0]}:{back[1]}" for there, back in sides]
    devices = [f"pipe:in_fd={there[0]},out_fd={back[1]}" for there, back in sides]
    fds = tuple(fd for there, back in sides for fd in (*there, *back))
    return Ends((outer[0], outer[1]), (inner[0], inner[1]), (devices[0], devices[1]), fds)


CHANNELS: dict[str, Callable[[Topology, str], Ends]] = {
    "raw": _raw,
    "tap": _tap,
    "xdp": _xdp,
    "dpdk": _dpdk,
    "pipe": _pipe,
    "unix": _unix,
    "shm": _shm,
}
# What single figures measure beside them.
OTHERS: dict[str, Callable[[Topology, str], Ends]] = {
    "tap-programs": _tap_between_programs,
    "bulk-tap-offload": lambda topology, _: _bulk_over_tap(topology, offload=True),
    "bulk-tap-plain": lambda topology, _: _bulk_over_tap(topology, offload=False),
    "bulk-veth-offload": lambda topology, _: _bulk_over_veth(topology, offload=True),
    "bulk-veth-plain": lambda topology, _: _bulk_over_veth(topology, offload=False),
}


class Setup:
    """A topology of its own with its processes, ready to be measured; others do not disturb it.

    Attributes:
        channel: "native", "tap" and so on.
        who: "native", "relay" or "stack".
        wait: "epoll" or "busy".
    """

    def __init__(
        self,
        channel: str,
        who: str,
        cores: Cores,
        *,
        wait: str = "epoll",
        kernel: str = "6.12",
        profile: str = "lean",
    ) -> None:
        self.channel, self.who, self.wait = channel, who, wait
        self._cores, self._image = cores, (kernel, profile)
        self._stack = ExitStack()
        self._host: Worker | None = None
        try:
            self._topology = self._stack.enter_context(Topology())
            make = (CHANNELS | OTHERS).get(channel)
            ends = self._native() if make is None else make(self._topology, who)
            self.middle = self._middle(ends)
            topology = self._topology
            fds = (topology.sender.fd, topology.receiver.fd, *ends.fds)
            self.tester = self._worker(
                "tester", [str(programs.program("tester")), str(cores.tester), *ends.tester], fds
            )
            self.middle.pause()
        except BaseException:
            self._stack.close()
            raise

    @property
    def name(self) -> str:
        """For people."""
        words = [self.channel] if self.who == "native" else [self.channel, self.who]
        return " ".join(words + [self.wait] * (self.wait != "epoll"))

    def _native(self) -> Ends:
        self._topology.cables()
        self._topology.route(self._cores.box if self.channel == "native-steered" else None)
        return Ends(_packet_ports(self._topology, ("s0", "d0")))

    def _middle(self, ends: Ends) -> Worker:
        core = str(self._cores.box)
        if self.who == "relay" and ends.relay is not None:
            command = [str(programs.program("relay", ends.library)), core, self.wait, *ends.relay]
        else:
            command = [sys.executable, "-m", "benchmarks.paper.box", "--core", core]
            command += ["--kernel", self._image[0], "--profile", self._image[1]]
            if self.wait == "busy" or ends.polled:
                command += ["--wait", "busy"]
            command += ends.devices if self.who == "stack" and ends.devices else ["host"]
        with self._topology.router.entered():
            return self._worker(f"{self.name} box", command, ends.fds)

    def _worker(self, name: str, command: list[str], fds: tuple[int, ...]) -> Worker:
        worker = Worker(name, command, fds=fds, timeout_s=START_S, folder=ROOT)
        self._stack.enter_context(worker)
        worker.prefer(PRIORITY)
        return worker

    @contextmanager
    def _running(self) -> Iterator[None]:
        """The host's own kernel routes without our process."""
        with nullcontext() if self.who == "native" else self.middle.awake():
            yield

    # --- What can be asked ---

    def load(
        self, rate_pps: int, size: int, ms: int, faults: tuple[int, int, int, int] | None = None
    ) -> dict[str, Any]:
        """Send through the box at a rate, 0 for what goes.

        Args:
            faults: frames of 1000 to lose, duplicate, truncate and corrupt on purpose.
        """
        words = [rate_pps, size, ms, *(faults or ())]
        with self._running():
            before = self.middle.processor_s()
            answer = self.tester.ask("load " + " ".join(map(str, words)), ms / 1000 + 30)
            answer["box_processor_s"] = self.middle.processor_s() - before
        return answer

    def ping(self, count: int, gap_us: int, size: int) -> dict[str, Any]:
        """There and back through the box."""
        with self._running():
            return self.tester.ask(f"ping {count} {gap_us} {size}")

    def send(self, size: int, ms: int, batch: int = 64) -> dict[str, Any]:
        """Send from the box."""
        command = f"flood {size} {ms}" if self.who == "relay" else f"send {size} {batch} {ms}"
        with self.middle.awake():
            self.tester.ask("sink")
            before = self.middle.processor_s()
            sent = self.middle.ask(command)
            sent["box_processor_s"] = self.middle.processor_s() - before
            answer = sent | self.tester.ask("stop")
        # By the sender's time: the receiver's would be short if it saw one burst only.
        answer["received_pps"] = answer["received"] / answer["seconds"]
        return answer

    def ask(self, count: int, gap_us: int, size: int) -> dict[str, Any]:
        """Send from the box to a neighbour that sends back."""
        with self.middle.awake():
            self.tester.ask("reflect")
            asked = self.middle.ask(f"ask {count} {gap_us} {size}")
            self.tester.ask("stop")
            return asked

    def bulk(self, box: str, ms: int) -> float:
        """TCP with a program of the host at the sender's end; the box is to "give" or "take".

        Returns:
            Gbit/s at the side that takes.
        """
        if self._host is None:
            command = [sys.executable, "-m", "benchmarks.paper.bulk"]
            with self._topology.sender.entered():
                self._host = self._worker("host", [*command, "--core", str(self._cores.tester)], ())
        with self.middle.awake():
            self._host.send(f"{'take' if box == 'give' else 'give'} {ms}")
            own, its = self.middle.ask(f"{box} {ms}"), self._host.read()
        return float((own if box == "take" else its)["gbit"])

    def host_side(self, name: str) -> dict[str, int]:
        """Counters of the sender's or the receiver's interface, such as "t0"."""
        ends: dict[str, Namespace] = {"0": self._topology.sender, "1": self._topology.receiver}
        return ends[name[-1]].counters(name)

    def close(self) -> None:
        """End its processes and remove its topology."""
        self._stack.close()

    def __enter__(self) -> Setup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
