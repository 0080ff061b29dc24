# SPDX-License-Identifier: GPL-2.0-only
"""The methods of a kernel that add devices whose other end is a process or a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, cast

from pylibos import _device_pcap, _device_pipe, _device_shm, _device_unix
from pylibos._device import Device, netdev_config

if TYPE_CHECKING:
    from pylibos._kernel import Kernel


class KernelPeerDevices:
    """The part of Kernel that adds devices between processes."""

    @property
    def _kernel(self) -> Kernel:
        return cast("Kernel", self)

    def add_unix(
        self,
        path: str | os.PathLike[str] = "",
        *,
        type: Literal["seqpacket", "stream", "dgram"] = "seqpacket",  # noqa: A002
        listen: bool = False,
        peer: str | os.PathLike[str] = "",
        fd: int | None = None,
        vnet_hdr: bool = False,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> Device:
        """Add a network device joined to another process by a UNIX socket; needs the real clock.

        The carrier is up while both ends are there.  Either may come first, and come back.

        Args:
            path: of the socket, "@" first for an abstract name.  With "dgram" this end's own.
            type: "seqpacket" or "dgram": a packet is a frame.  "stream": frames behind their
                length, 4 bytes in network order, as passt and qemu's ``-netdev stream`` want it.
            listen: wait for the other end to connect, instead of connecting to it.
            peer: the other end's own path, with "dgram".
            fd: a connected socket of that type instead; it is duplicated.
            vnet_hdr: put a virtio_net header before each frame, so that large segments and
                unfinished checksums cross as they are; both ends must want it.
            name, mtu, mac: of the kernel's device.

        Raises:
            ValueError: the arguments do not fit together, or the clock is not real.
            PylibosError: the socket cannot be made; a peer that is not there yet is no error.
        """
        config = netdev_config(name, mtu, mac)
        return _device_unix.add(
            self._kernel, os.fspath(path), type, listen, os.fspath(peer), fd, vnet_hdr, config
        )

    def add_shm(
        self,
        path: str | os.PathLike[str] = "",
        *,
        listen: bool = False,
        fd: int | None = None,
        offload: bool = True,
        ring_kib: int = 1024,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> Device:
        """Add a network device whose frames cross a memory shared with another process.

        The fastest way between two processes of one host; needs the real clock.  A system
        call is made only to wake the other end up when it sleeps, so with
        ``World(wait="busy")`` at both ends none is.  The carrier is up while both ends are
        there.  Either may come first, and come back.

        Args:
            path: of the UNIX socket that finds the other end, "@" first for an abstract name.
            listen: make the memory and wait for the other end, instead of connecting to it.
            fd: a connected SOCK_SEQPACKET socket instead; it is duplicated.
            offload: send large segments and unfinished checksums as they are.
            ring_kib: KiB of frames that can be on their way in each direction, a power of two;
                the end that listens decides.
            name, mtu, mac: of the kernel's device.

        Raises:
            ValueError: the arguments do not fit together, or the clock is not real.
            PylibosError: the socket cannot be made; a peer that is not there yet is no error.
        """
        config = netdev_config(name, mtu, mac)
        return _device_shm.add(
            self._kernel, os.fspath(path), listen, fd, offload, ring_kib * 1024, config
        )

    def add_pipe(
        self,
        in_path: str | os.PathLike[str] = "",
        out_path: str | os.PathLike[str] = "",
        *,
        in_fd: int | None = None,
        out_fd: int | None = None,
        vnet_hdr: bool = False,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> Device:
        """Add a network device joined to another process by two pipes; needs the real clock.

        Frames go behind their length, 4 bytes in network order.  The carrier is up while the
        other end reads.  With FIFOs either end may come first, and come back.

        Args:
            in_path, out_path: FIFOs that this end reads and writes, made if they are not
                there; the other end names them the other way round.
            in_fd, out_fd: ends of pipes instead; they are duplicated, and become non-blocking.
            vnet_hdr: as in add_unix(); both ends must want it.
            name, mtu, mac: of the kernel's device.

        Raises:
            ValueError: the arguments do not fit together, or the clock is not real.
            PylibosError: a FIFO cannot be used; a peer that is not there yet is no error.
        """
        config = netdev_config(name, mtu, mac)
        paths = (os.fspath(in_path), os.fspath(out_path))
        return _device_pipe.add(self._kernel, paths, (in_fd, out_fd), vnet_hdr, config)

    def add_pcap(
        self,
        path: str | os.PathLike[str] = "",
        *,
        record: str | os.PathLike[str] = "",
        speed: float = 1,
        loop: int = 1,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> Device:
        """Add a network device on which the packets of a file arrive, as they once did.

        The replay begins when the interface comes up, with the first packet; the others
        follow at their distances, exact to the ns in a virtual world.  Packets of which the
        file does not hold all bytes, and those of no Ethernet, count in rx_dropped.

        Args:
            path: a pcap or pcapng file; "" for none.
            record: a pcapng file for what the kernel sends; replaced.
            speed: 2 for twice as fast; 0 for as fast as the kernel takes them.
            loop: how often; the next round begins with the last packet of the one before.
            name, mtu, mac: of the kernel's device.

        Raises:
            ValueError: an argument is senseless.
            PylibosError: a file is not there, empty, damaged, of another kind, or cannot be
                written.
        """
        config = netdev_config(name, mtu, mac)
        files = (os.fspath(path), os.fspath(record))
        return _device_pcap.add(self._kernel, files, speed, loop, config)
