# SPDX-License-Identifier: GPL-2.0-only
"""The methods of a kernel that add devices, one for each kind of backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pylibos import _device, _device_dpdk, _device_raw, _device_spec, _device_tap, _device_xdp
from pylibos._device import CallbackDevice, Device, DeviceBackend, netdev_config
from pylibos._device_dpdk import DpdkDevice
from pylibos._device_raw import Fanout, RawDevice
from pylibos._device_spec import DeviceSpec
from pylibos._device_tap import TapDevice
from pylibos._device_xdp import Copy, Mode, XdpDevice
from pylibos._kernel_peer_devices import KernelPeerDevices


class KernelDevices(KernelPeerDevices):
    """The part of Kernel that adds devices."""

    def open_device(
        self,
        spec: str | DeviceSpec,
        *,
        name: str = "eth%d",
        mtu: int | None = None,
        mac: str | bytes | None = None,
        wrappers: Mapping[str, Any] | None = None,
        arriving: Mapping[str, Any] | None = None,
    ) -> Device:
        """Add the network device that a spec names, such as "tap:tap0".

        Args:
            spec: ``kind:key=value,...``; a first bare word is the host's name or path. Which
                kinds and keys there are stands in docs/devices.md.
            wrappers: chance, delay and rate that lie round it, as of link_to(); a spec may
                name them, too: "tap:tap0,loss_pct=1,delay_ms=5".
            arriving: of these what differs for frames that arrive at the kernel.
            name: of the interface; may hold a %d.
            mtu: in bytes; None for the kind's own default.
            mac: its address; None for the kind's own default.

        Raises:
            DeviceSpecError: the spec does not say what it should.
            OSError, PylibosError, ValueError: as from the method of that kind.
        """
        return _device_spec.open_spec(
            self._kernel, spec, wrappers, arriving, name=name, mtu=mtu, mac=mac
        )

    def add_device(
        self,
        device: DeviceBackend | Callable[[memoryview], None],
        *,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> CallbackDevice:
        """Add a network device whose frames Python takes.

        Args:
            device: a callable that takes each frame the kernel sends as a read-only
                memoryview, valid during the call; or an object whose transmit() does.
            name: of the interface; may hold a %d.
            mtu: in bytes.
            mac: its address; None for a random one.

        Returns:
            The device; its inject() lets frames arrive.
        """
        return _device.add_callback(self._kernel, device, netdev_config(name, mtu, mac))

    def add_tap(
        self,
        host_name: str = "tap%d",
        *,
        fd: int | None = None,
        vnet_hdr: bool = True,
        queues: int = 1,
        host_up: bool = False,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> TapDevice:
        """Add a network device joined to a tap of the host (tun(4)); needs the real clock.

        Args:
            host_name: of the host's interface; may hold a %d.
            fd: a tap that is open already, instead.
            vnet_hdr: leave checksums and segmentation to the host.
            queues: of the kernel's device, each with a descriptor of the tap
                (IFF_MULTI_QUEUE); flows are shared out to them by either side.
            host_up: bring the host's interface up.
            name, mtu, mac: of the kernel's device.

        Raises:
            PylibosError: no right to make a tap, no /dev/net/tun, or an interface of another
                kind has the name.
            ValueError: a value out of range, or a virtual clock.
        """
        config = netdev_config(name, mtu, mac, queues)
        return _device_tap.add_tap(self._kernel, host_name, fd, vnet_hdr, host_up, config)

    def add_raw(
        self,
        host_name: str,
        *,
        promiscuous: bool | None = None,
        offload: bool = True,
        qdisc: bool = False,
        queues: int = 1,
        fanout: Fanout = "hash",
        ring_frames: int = 2048,
        take_mac: bool = False,
        name: str = "eth%d",
        mtu: int | None = None,
        mac: str | bytes | None = None,
    ) -> RawDevice:
        """Add a network device that shares an Ethernet interface of the host (packet(7)).

        The host's own stack sees the frames, too: take an interface without addresses, or it
        answers TCP segments for our kernel with resets. Needs the real clock.

        Args:
            host_name: of the host's interface, in the network namespace of the caller.
            promiscuous: receive frames to other addresses than the interface's; None: unless
                take_mac.
            offload: leave checksums and segmentation to the host.
            qdisc: send through the interface's queueing discipline, not past it.
            queues: packet sockets, and queue pairs of the kernel's device.
            fanout: which of several queues gets a frame: "hash" by its flow, "lb" in turn,
                "cpu" by the processor it came on, "rollover" the first with room, "rnd" any,
                "qm" by the interface's own queue.
            ring_frames: of up to 2 KiB that can wait for the kernel, per queue; rounded up to a
                multiple of 32.
            take_mac: take the interface's own address.
            name, mac: of the kernel's device.
            mtu: in bytes; None for the interface's.

        Raises:
            PylibosError: there is no such interface, it carries no Ethernet frames, or
                CAP_NET_RAW is missing.
            ValueError: a value out of range, or a virtual clock.
        """
        config = netdev_config(name, 1500 if mtu is None else mtu, mac, queues)
        if take_mac and mac is not None:
            raise ValueError("take_mac and mac both say which address: give one of them.")
        parameters = _device_raw.parameters(
            host_name,
            promiscuous=not take_mac if promiscuous is None else promiscuous,
            offload=offload,
            qdisc=qdisc,
            fanout=fanout,
            ring_frames=ring_frames,
            take_mtu=mtu is None,
            take_mac=take_mac,
        )
        return _device_raw.add_raw(self._kernel, parameters, config)

    def add_dpdk(
        self,
        devargs: str,
        *,
        queues: int = 1,
        descriptors: int = 512,
        mbufs: int | None = None,
        promiscuous: bool = True,
        poll_us: int = 1000,
        name: str = "eth%d",
        mtu: int = 1500,
        mac: str | bytes | None = None,
    ) -> DpdkDevice:
        """Add a network device that is a port of DPDK; needs the real clock.

        DPDK is initialised by the first such device, unless ``pylibos.dpdk_init()`` has been
        called.

        Args:
            devargs: name of a port that is there, or what DPDK probes:
                "net_memif0,role=client,socket=/run/x", "0000:01:00.0".
            queues: receive and transmit queues.
            descriptors: of each queue of the port.
            mbufs: size of the device's own pool; None for 4096 a queue, or what the driver needs.
            promiscuous: take frames for any address.
            poll_us: the longest time between two looks at an idle port.
            name, mtu, mac: of the kernel's device; without mac it has the port's address.

        Raises:
            LibraryNotFound: the DPDK device is not built, or DPDK is not there.
            PylibosError: there is no such port, it is in use, or cannot do what is asked.
        """
        return _device_dpdk.add_dpdk(
            self._kernel,
            devargs,
            netdev_config(name, mtu, mac, queues),
            descriptors=descriptors,
            mbufs=mbufs or 0,
            promiscuous=promiscuous,
            poll_us=poll_us,
        )

    def add_xdp(
        self,
        host_name: str,
        *,
        mode: Mode = "any",
        copy: Copy = "any",
        queues: int = 1,
        first_queue: int = 0,
        finish_checksums: bool | None = None,
        ring_frames: int = 2048,
        busy_poll_us: int = 0,
        take_mac: bool = False,
        name: str = "eth%d",
        mtu: int | None = None,
        mac: str | bytes | None = None,
    ) -> XdpDevice:
        """Add a network device that takes the frames of an Ethernet interface (AF_XDP).

        The host's own stack does not see what comes on the queues taken. Needs the real clock.

        Args:
            host_name: of the host's interface, in the network namespace of the caller.
            mode: "native" in the driver, "generic" in the host's stack, "any" the better one
                that works.
            copy: "zero" for drivers that work in our memory, "copy", "any" the better one that
                works.
            queues: how many queues of the interface, each a queue pair of the kernel's device.
            first_queue: the first of them.
            finish_checksums: whether frames come with TCP and UDP checksums that their sender
                left to hardware; None: if the interface is a veth.
            ring_frames: that can wait, per queue and direction; rounded up to a power of two.
            busy_poll_us: let our calls poll the driver, for so long; 0: interrupts do.
            take_mac: take the interface's own address.
            name, mac: of the kernel's device.
            mtu: in bytes, at most 3822; None for the interface's.

        Raises:
            PylibosError: there is no such interface or queue, it cannot what is asked for, a
                capability or libxdp is missing, or another XDP program is there.
            ValueError: a value out of range, or a virtual clock.
        """
        config = netdev_config(name, 1500 if mtu is None else mtu, mac, queues)
        if take_mac and mac is not None:
            raise ValueError("take_mac and mac both say which address: give one of them.")
        parameters = _device_xdp.parameters(
            host_name,
            first_queue=first_queue,
            mode=mode,
            copy=copy,
            finish_checksums=finish_checksums,
            ring_frames=ring_frames,
            busy_poll_us=busy_poll_us,
            take_mtu=mtu is None,
            take_mac=take_mac,
        )
        return _device_xdp.add_xdp(self._kernel, parameters, config)
