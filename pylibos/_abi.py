# SPDX-License-Identifier: GPL-2.0-only
"""The boundary as ctypes; made by tools/abi_mirror.py from the headers, do not edit."""

# Sources: abi/liblinux.h, host/pylibos_host.h, host/nuse/pylibos_nuse.h
# ruff: noqa: N801

from ctypes import (
    CFUNCTYPE,
    Structure,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any, Final

LL_MAGIC: Final = 0x4C4F534F
LL_ABI_VERSION: Final = 1
LL_NEVER: Final = 0xFFFFFFFFFFFFFFFF
LL_CLOCK_VIRTUAL: Final = 1
LL_CLOCK_BY_EXIT: Final = 2
LL_LOG_DISABLE: Final = 4
LL_TASK_REMOTE: Final = 1
LL_TASK_INTERRUPT: Final = 2
LL_TASK_QUEUED: Final = 4
LL_TASK_RESTART: Final = 8
LL_TASK_RELEASE: Final = 16
LL_DESC_NEXT: Final = 1
LL_CSUM_NEEDED: Final = 1
LL_CSUM_VALID: Final = 2
LL_GSO_NONE: Final = 0
LL_GSO_TCPV4: Final = 1
LL_GSO_TCPV6: Final = 4
LL_GSO_UDP_L4: Final = 5
LL_GSO_ECN: Final = 0x80
LL_MAX_QUEUES: Final = 16
LL_NETDEV_CSUM: Final = 1
LL_NETDEV_TSO: Final = 2
LL_NETDEV_USO: Final = 4
LL_NETDEV_SG: Final = 8
PLH_UNFINISHED: Final = -0x8000000000000000

# enum ll_exit
LL_EXIT_IDLE: Final = 0
LL_EXIT_DONE: Final = 1
LL_EXIT_LOG: Final = 2
LL_EXIT_RANDOM: Final = 3
LL_EXIT_CLOCK: Final = 4
LL_EXIT_STACK: Final = 5
LL_EXIT_COPY: Final = 6
LL_EXIT_BUSY: Final = 7
LL_EXIT_PANIC: Final = 8
LL_EXIT_HALT: Final = 9

# enum ll_task_state
LL_TASK_USER: Final = 0
LL_TASK_SUBMITTED: Final = 1
LL_TASK_CALL: Final = 2
LL_TASK_DEAD: Final = 3

# enum ll_sys
LL_SYS_TASK_CREATE: Final = 65536
LL_SYS_TASK_EXIT: Final = 65537
LL_SYS_NETDEV_ADD: Final = 65538
LL_SYS_NETDEV_DEL: Final = 65539
LL_SYS_TASKS: Final = 65540
LL_SYS_FAIL: Final = 65541
LL_SYS_END: Final = 65542

# enum plh_status
PLH_OK: Final = 0
PLH_PENDING: Final = 1
PLH_TIMEOUT: Final = 2
PLH_DEADLOCK: Final = 3
PLH_SIGNAL: Final = 4
PLH_DEAD: Final = 5
PLH_BUSY: Final = 6
PLH_FORKED: Final = 7
PLH_ERROR: Final = 8

# enum plh_clock_kind
PLH_CLOCK_VIRTUAL: Final = 0
PLH_CLOCK_REAL: Final = 1
PLH_CLOCK_CALLBACK: Final = 2

# enum plh_wait_kind
PLH_WAIT_EPOLL: Final = 0
PLH_WAIT_BUSY: Final = 1
PLH_WAIT_ADAPTIVE: Final = 2

# enum plh_kernel_state
PLH_KERNEL_RUNNING: Final = 0
PLH_KERNEL_PANICKED: Final = 1
PLH_KERNEL_HALTED: Final = 2
PLH_KERNEL_FORKED: Final = 3

# enum plh_xdp_mode
PLH_XDP_ANY_MODE: Final = 0
PLH_XDP_NATIVE: Final = 1
PLH_XDP_GENERIC: Final = 2

# enum plh_xdp_copy
PLH_XDP_ANY_COPY: Final = 0
PLH_XDP_COPY: Final = 1
PLH_XDP_ZERO_COPY: Final = 2

# enum plh_xdp_finish
PLH_XDP_FINISH_AUTO: Final = 0
PLH_XDP_FINISH: Final = 1
PLH_XDP_FINISH_NOT: Final = 2

# enum plh_unix_type
PLH_UNIX_DGRAM: Final = 0
PLH_UNIX_SEQPACKET: Final = 1
PLH_UNIX_STREAM: Final = 2

# enum plh_loss_model
PLH_LOSS_BERNOULLI: Final = 0
PLH_LOSS_GILBERT_ELLIOTT: Final = 1

# enum plh_offload
PLH_OFFLOAD_OFF: Final = 0
PLH_OFFLOAD_ON: Final = 1
PLH_OFFLOAD_AUTO: Final = 2


class ll_machine(Structure):
    """struct ll_machine."""

    _fields_ = (
        ("abi_version", c_uint32),
        ("machine_bytes", c_uint32),
        ("flags", c_uint32),
        ("stack_bytes", c_uint32),
        ("memory", c_uint64),
        ("memory_bytes", c_uint64),
        ("stacks", c_uint64),
        ("stack_count", c_uint64),
        ("cmdline", c_char_p),
        ("realtime_ns", c_uint64),
        ("clock_word", c_void_p),
        ("clock_ns", CFUNCTYPE(c_uint64, c_void_p)),
        ("clock_opaque", c_void_p),
        ("deadline_ns", c_uint64),
        ("exit_args", c_uint64 * 5),
        ("done", c_void_p),
        ("tx_kicks", c_void_p),
        ("work_pending", c_uint32),
        ("reserved1", c_uint32),
        ("reserved0", c_uint64),
        ("exit_ret", c_uint64),
        ("submitted", c_void_p),
        ("rx_kicks", c_void_p),
        ("host_sp", c_uint64),
        ("kernel_sp", c_uint64),
        ("entries", c_uint64),
        ("current_task", c_uint64),
    )


class ll_task(Structure):
    """struct ll_task."""

    _fields_ = (
        ("nr", c_uint64),
        ("args", c_uint64 * 6),
        ("ret", c_int64),
        ("state", c_uint32),
        ("flags", c_uint32),
        ("pid", c_int32),
        ("tgid", c_int32),
        ("signals", c_uint64),
        ("next", c_void_p),
        ("kernel_task", c_uint64),
        ("stack_top", c_uint64),
        ("opaque", c_uint64),
    )


class ll_desc(Structure):
    """struct ll_desc."""

    _fields_ = (
        ("addr", c_uint64),
        ("len", c_uint32),
        ("flags", c_uint16),
        ("csum_flags", c_uint8),
        ("gso_type", c_uint8),
        ("hdr_len", c_uint16),
        ("gso_size", c_uint16),
        ("csum_start", c_uint16),
        ("csum_offset", c_uint16),
        ("cookie", c_uint64),
    )


class ll_ring(Structure):
    """struct ll_ring."""

    _fields_ = (
        ("entries", c_uint32),
        ("reserved0", c_uint32),
        ("descs", c_uint64),
        ("reserved1", c_uint64 * 6),
        ("head", c_uint32),
        ("notify", c_uint32),
        ("reserved2", c_uint32 * 14),
        ("tail", c_uint32),
        ("reserved3", c_uint32 * 15),
    )


class ll_netdev(Structure):
    """struct ll_netdev."""

    _fields_ = (
        ("next_tx", c_void_p),
        ("next_rx", c_void_p),
        ("tx_kicked", c_uint32),
        ("rx_kicked", c_uint32),
        ("ifindex", c_uint32),
        ("queues", c_uint32),
        ("carrier", c_uint32),
        ("reserved0", c_uint32),
        ("opaque", c_uint64),
        ("tx", c_void_p * LL_MAX_QUEUES),
        ("rx", c_void_p * LL_MAX_QUEUES),
    )


class ll_netdev_config(Structure):
    """struct ll_netdev_config."""

    _fields_ = (
        ("name", c_char * 16),
        ("mac", c_uint8 * 6),
        ("queues", c_uint16),
        ("mtu", c_uint32),
        ("features", c_uint32),
        ("ring_entries", c_uint32),
        ("rx_buffer_bytes", c_uint32),
        ("netdev", c_void_p),
    )


class ll_fault(Structure):
    """struct ll_fault."""

    _fields_ = (
        ("pc", c_uint64),
        ("sp", c_uint64),
        ("fp", c_uint64),
        ("address", c_uint64),
        ("signal", c_uint32),
        ("code", c_uint32),
        ("frame", c_uint64 * 2),
    )


class ll_image(Structure):
    """struct ll_image."""

    _fields_ = (
        ("magic", c_uint32),
        ("abi_version", c_uint32),
        ("image_bytes", c_uint32),
        ("machine_bytes", c_uint32),
        ("task_bytes", c_uint32),
        ("netdev_bytes", c_uint32),
        ("desc_bytes", c_uint32),
        ("syscalls", c_uint32),
        ("release", c_char_p),
        ("profile", c_char_p),
        ("banner", c_char_p),
        ("text_start", c_uint64),
        ("text_end", c_uint64),
        ("memory_min_bytes", c_uint64),
        ("boot", CFUNCTYPE(c_int, c_void_p)),
        ("enter", CFUNCTYPE(c_int)),
        ("call", CFUNCTYPE(c_int, c_void_p)),
        ("fixup", CFUNCTYPE(c_uint64, c_uint64)),
        ("fault", CFUNCTYPE(c_int, c_void_p)),
        ("shadow_offset", c_uint64),
        ("reserved", c_uint64 * 3),
    )


class plh_world_config(Structure):
    """struct plh_world_config."""

    _fields_ = (
        ("clock_kind", c_uint32),
        ("wait_kind", c_uint32),
        ("start_ns", c_uint64),
        ("realtime_offset_ns", c_uint64),
        ("seed", c_uint64),
        ("seeded", c_uint32),
        ("reserved1", c_uint32),
        ("deadlock_ns", c_uint64),
        ("clock", CFUNCTYPE(c_uint64, c_void_p)),
        ("wait", CFUNCTYPE(None, c_void_p, c_uint64)),
        ("opaque", c_void_p),
        ("spin_ns", c_uint64),
    )


class plh_step(Structure):
    """struct plh_step."""

    _fields_ = (
        ("world", c_void_p),
        ("until_ns", c_uint64),
        ("budget_ns", c_uint64),
        ("task", c_void_p),
        ("ret", c_int64),
        ("now_ns", c_uint64),
        ("status", c_uint32),
        ("more", c_uint32),
        ("progress_ns", c_uint64),
    )


class plh_kernel_config(Structure):
    """struct plh_kernel_config."""

    _fields_ = (
        ("memory_bytes", c_uint64),
        ("fixed_address", c_uint64),
        ("cmdline", c_char_p),
        ("stack_bytes", c_uint32),
        ("stack_count", c_uint32),
        ("huge_pages", c_uint32),
        ("boot_log", c_uint32),
        ("memory", CFUNCTYPE(c_void_p, c_void_p, c_uint64)),
        ("memory_free", CFUNCTYPE(None, c_void_p, c_void_p, c_uint64)),
        ("log", CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_uint64)),
        ("random", CFUNCTYPE(None, c_void_p, c_void_p, c_uint64)),
        ("opaque", c_void_p),
    )


class plh_kernel_stats(Structure):
    """struct plh_kernel_stats."""

    _fields_ = (
        ("boot_wall_ns", c_uint64),
        ("entries", c_uint64),
        ("calls", c_uint64),
        ("arena_bytes", c_uint64),
        ("arena_resident_bytes", c_uint64),
        ("image_private_bytes", c_uint64),
        ("stacks_used", c_uint64),
        ("deadline_ns", c_uint64),
        ("load_bias", c_uint64),
    )


class plh_request(Structure):
    """struct plh_request."""

    _fields_ = (
        ("kernel", c_void_p),
        ("task", c_void_p),
        ("nr", c_uint64),
        ("args", c_uint64 * 6),
        ("status", c_uint64),
    )


class plh_backend(Structure):
    """struct plh_backend."""

    _fields_ = (
        ("name", c_char_p),
        ("state_bytes", c_uint64),
        ("open", CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p)),
        ("close", CFUNCTYPE(None, c_void_p)),
        ("transmit", CFUNCTYPE(None, c_void_p)),
        ("receive", CFUNCTYPE(None, c_void_p)),
        ("fd", CFUNCTYPE(c_int, c_void_p, c_void_p)),
        ("count", CFUNCTYPE(None, c_void_p)),
        ("poll", CFUNCTYPE(None, c_void_p)),
    )


class plh_device_stats(Structure):
    """struct plh_device_stats."""

    _fields_ = (
        ("tx_frames", c_uint64),
        ("tx_bytes", c_uint64),
        ("tx_dropped", c_uint64),
        ("rx_frames", c_uint64),
        ("rx_bytes", c_uint64),
        ("rx_dropped", c_uint64),
    )


class plh_tap_parameters(Structure):
    """struct plh_tap_parameters."""

    _fields_ = (
        ("name", c_char * 16),
        ("fd", c_int32),
        ("vnet_hdr", c_uint32),
    )


class plh_raw_parameters(Structure):
    """struct plh_raw_parameters."""

    _fields_ = (
        ("name", c_char * 16),
        ("promiscuous", c_uint32),
        ("offload", c_uint32),
        ("qdisc", c_uint32),
        ("fanout", c_uint32),
        ("ring_frames", c_uint32),
        ("take_mtu", c_uint32),
        ("take_mac", c_uint32),
    )


class plh_xdp_parameters(Structure):
    """struct plh_xdp_parameters."""

    _fields_ = (
        ("name", c_char * 16),
        ("first_queue", c_uint32),
        ("mode", c_uint32),
        ("copy", c_uint32),
        ("finish_checksums", c_uint32),
        ("ring_frames", c_uint32),
        ("busy_poll_us", c_uint32),
        ("take_mtu", c_uint32),
        ("take_mac", c_uint32),
    )


class plh_unix_parameters(Structure):
    """struct plh_unix_parameters."""

    _fields_ = (
        ("path", c_char * 108),
        ("peer", c_char * 108),
        ("fd", c_int32),
        ("type", c_uint32),
        ("listen", c_uint32),
        ("vnet_hdr", c_uint32),
    )


class plh_shm_parameters(Structure):
    """struct plh_shm_parameters."""

    _fields_ = (
        ("path", c_char * 108),
        ("fd", c_int32),
        ("listen", c_uint32),
        ("offload", c_uint32),
        ("ring_bytes", c_uint32),
    )


class plh_pipe_parameters(Structure):
    """struct plh_pipe_parameters."""

    _fields_ = (
        ("in_path", c_char * 256),
        ("out_path", c_char * 256),
        ("in_fd", c_int32),
        ("out_fd", c_int32),
        ("vnet_hdr", c_uint32),
    )


class plh_pcap_parameters(Structure):
    """struct plh_pcap_parameters."""

    _fields_ = (
        ("path", c_char * 256),
        ("record", c_char * 256),
        ("speed_permille", c_uint32),
        ("rounds", c_uint32),
    )


class plh_callback_parameters(Structure):
    """struct plh_callback_parameters."""

    _fields_ = (
        ("transmit", CFUNCTYPE(None, c_void_p, c_void_p, c_uint64)),
        ("opaque", c_void_p),
    )


class plh_dpdk_parameters(Structure):
    """struct plh_dpdk_parameters."""

    _fields_ = (
        ("devargs", c_char_p),
        ("descriptors", c_uint32),
        ("mbufs", c_uint32),
        ("promiscuous", c_uint32),
        ("poll_us", c_uint32),
        ("port_name", c_char * 64),
        ("driver", c_char * 32),
    )


class plh_dpdk_stats(Structure):
    """struct plh_dpdk_stats."""

    _fields_ = (
        ("polls", c_uint64),
        ("rx_too_long", c_uint64),
        ("rx_too_short", c_uint64),
        ("rx_missed", c_uint64),
        ("tx_too_long", c_uint64),
        ("tx_full", c_uint64),
        ("tx_no_mbuf", c_uint64),
        ("tx_gave_up", c_uint64),
        ("removed", c_uint64),
    )


class plh_dpdk_library(Structure):
    """struct plh_dpdk_library."""

    _fields_ = (
        ("bytes", c_uint32),
        ("reserved", c_uint32),
        ("backend", c_void_p),
        ("version", c_char_p),
        ("init", CFUNCTYPE(c_int, c_void_p, c_uint32)),
        ("initialised", CFUNCTYPE(c_int)),
        ("join", CFUNCTYPE(c_int, c_void_p, c_uint32)),
        ("part", CFUNCTYPE(c_int, c_void_p)),
        ("stats", CFUNCTYPE(c_int, c_void_p, c_void_p)),
    )


class plh_link_config(Structure):
    """struct plh_link_config."""

    _fields_ = (
        ("delay_ns", c_uint64),
        ("jitter_ns", c_uint64),
        ("rate_bps", c_uint64),
        ("queue_bytes", c_uint64),
        ("queue_packets", c_uint32),
        ("loss_model", c_uint32),
        ("loss", c_uint32),
        ("duplicate", c_uint32),
        ("reorder", c_uint32),
        ("corrupt", c_uint32),
        ("good_to_bad", c_uint32),
        ("bad_to_good", c_uint32),
        ("loss_in_bad", c_uint32),
        ("loss_in_good", c_uint32),
        ("truncate", c_uint32),
        ("reserved", c_uint32),
    )


class plh_link_stats(Structure):
    """struct plh_link_stats."""

    _fields_ = (
        ("frames", c_uint64),
        ("bytes", c_uint64),
        ("lost", c_uint64),
        ("down_drops", c_uint64),
        ("queue_drops", c_uint64),
        ("duplicated", c_uint64),
        ("reordered", c_uint64),
        ("corrupted", c_uint64),
        ("truncated", c_uint64),
        ("rx_full", c_uint64),
        ("in_flight", c_uint64),
    )


class plh_wrapped_parameters(Structure):
    """struct plh_wrapped_parameters."""

    _fields_ = (
        ("backend", c_void_p),
        ("parameters", c_void_p),
        ("config", plh_link_config * 2),
    )


class plh_link_parameters(Structure):
    """struct plh_link_parameters."""

    _fields_ = (
        ("kernel", c_void_p * 2),
        ("netdev", ll_netdev_config * 2),
        ("config", plh_link_config * 2),
        ("offload", c_uint32),
        ("reserved", c_uint32),
    )


class plh_nuse_config(Structure):
    """struct plh_nuse_config."""

    _fields_ = (
        ("owner_uid", c_uint32),
        ("reserved", c_uint32),
        ("log_fd", c_int32),
        ("trace_fd", c_int32),
        ("spin_ns", c_uint64),
    )


class plh_nuse_stats(Structure):
    """struct plh_nuse_stats."""

    _fields_ = (
        ("calls", c_uint64),
        ("passed", c_uint64),
        ("refused", c_uint64),
        ("undelivered", c_uint64),
        ("programs", c_uint32),
        ("sockets", c_uint32),
        ("blocked", c_uint32),
        ("listeners", c_uint32),
    )


class plh_nuse_program(Structure):
    """struct plh_nuse_program."""

    _fields_ = (
        ("pid", c_int32),
        ("stack_pid", c_int32),
        ("uid", c_uint32),
        ("threads", c_uint32),
    )


# Function: (type of the result, types of the parameters)
PROTOTYPES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "plh_error": (c_char_p, ()),
    "plh_image_open": (c_void_p, (c_char_p,)),
    "plh_image_release": (c_char_p, (c_void_p,)),
    "plh_image_profile": (c_char_p, (c_void_p,)),
    "plh_image_banner": (c_char_p, (c_void_p,)),
    "plh_image_close": (None, (c_void_p,)),
    "plh_world_create": (c_void_p, (c_void_p,)),
    "plh_world_destroy": (None, (c_void_p,)),
    "plh_world_now_ns": (c_uint64, (c_void_p,)),
    "plh_world_next_ns": (c_uint64, (c_void_p,)),
    "plh_world_run": (c_int, (c_void_p, c_uint64, c_uint64, c_int)),
    "plh_world_next_done": (c_void_p, (c_void_p,)),
    "plh_world_step": (c_void_p, (c_void_p,)),
    "plh_world_fd": (c_int, (c_void_p,)),
    "plh_world_device_fd": (c_int, (c_void_p,)),
    "plh_world_wake": (None, (c_void_p,)),
    "plh_world_serve": (c_int, (c_void_p,)),
    "plh_world_serve_stop": (None, (c_void_p,)),
    "plh_world_set_slice": (None, (c_void_p, c_uint64)),
    "plh_kernel_boot": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "plh_kernel_halt": (None, (c_void_p,)),
    "plh_kernel_state": (c_int, (c_void_p,)),
    "plh_kernel_world": (c_void_p, (c_void_p,)),
    "plh_kernel_last_words": (c_char_p, (c_void_p,)),
    "plh_kernel_log": (c_uint64, (c_void_p, c_void_p, c_uint64)),
    "plh_kernel_init_task": (c_void_p, (c_void_p,)),
    "plh_kernel_machine": (c_void_p, (c_void_p,)),
    "plh_kernel_stats": (c_int, (c_void_p, c_void_p)),
    "plh_call": (c_int, (c_void_p, c_void_p, c_uint64, c_void_p, c_uint64, c_void_p)),
    "plh_submit": (c_int, (c_void_p, c_void_p, c_uint64, c_void_p, c_void_p)),
    "plh_wait": (c_int, (c_void_p, c_void_p, c_uint64, c_void_p)),
    "plh_poll": (c_int, (c_void_p, c_void_p, c_void_p)),
    "plh_interrupt": (c_int, (c_void_p, c_void_p, c_void_p)),
    "plh_call6": (
        c_int64,
        (
            c_void_p,  # kernel
            c_void_p,  # task
            c_void_p,  # status
            c_uint64,  # nr
            c_uint64,  # a0
            c_uint64,  # a1
            c_uint64,  # a2
            c_uint64,  # a3
            c_uint64,  # a4
            c_uint64,  # a5
        ),
    ),
    "plh_request_submit": (c_int64, (c_void_p,)),
    "plh_task_create": (c_void_p, (c_void_p, c_void_p, c_uint64, c_void_p)),
    "plh_task_exit": (c_int, (c_void_p, c_void_p, c_int)),
    "plh_task_attach": (
        c_int,
        (
            c_void_p,  # kernel
            c_void_p,  # task
            c_void_p,  # opaque
            CFUNCTYPE(c_uint64, c_void_p, c_void_p, c_uint64, c_uint64, c_int),  # copy
        ),
    ),
    "plh_task_opaque": (c_void_p, (c_void_p,)),
    "plh_device_add": (c_void_p, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "plh_device_remove": (c_int, (c_void_p,)),
    "plh_device_ifindex": (c_int, (c_void_p,)),
    "plh_device_name": (c_char_p, (c_void_p,)),
    "plh_device_carrier": (c_int, (c_void_p, c_int)),
    "plh_device_has_carrier": (c_int, (c_void_p,)),
    "plh_device_stats": (c_int, (c_void_p, c_void_p)),
    "plh_device_problem": (c_int, (c_void_p, c_void_p, c_uint64)),
    "plh_callback_inject": (c_int, (c_void_p, c_void_p, c_uint64)),
    "plh_wrapped_stats": (c_int, (c_void_p, c_int, c_void_p)),
    "plh_link_create": (c_void_p, (c_void_p, c_void_p)),
    "plh_link_configure": (c_int, (c_void_p, c_void_p)),
    "plh_link_up": (c_int, (c_void_p, c_int)),
    "plh_link_stats": (c_int, (c_void_p, c_int, c_void_p)),
    "plh_link_device": (c_void_p, (c_void_p, c_int)),
    "plh_link_destroy": (None, (c_void_p,)),
    "plh_capture_create": (c_void_p, (c_void_p, c_char_p, c_uint32)),
    "plh_capture_add_device": (c_int, (c_void_p, c_void_p, c_char_p)),
    "plh_capture_add_link": (c_int, (c_void_p, c_void_p, c_void_p)),
    "plh_capture_flush": (c_int, (c_void_p,)),
    "plh_capture_close": (c_int, (c_void_p,)),
    "plh_nuse_create": (c_void_p, (c_void_p, c_void_p)),
    "plh_nuse_destroy": (None, (c_void_p,)),
    "plh_nuse_add": (c_int, (c_void_p, c_int)),
    "plh_nuse_run": (c_int, (c_void_p, c_int, c_int)),
    "plh_nuse_redirect": (c_int, (c_void_p, c_char_p, c_void_p, c_uint64)),
    "plh_nuse_stats": (None, (c_void_p, c_void_p)),
    "plh_nuse_programs": (c_uint32, (c_void_p, c_void_p, c_uint32)),
    "plh_nuse_exec": (c_int, (c_int, c_char_p, c_void_p, c_void_p)),
}

# Constant objects that the library exports
VARIABLES: Final[dict[str, Any]] = {
    "plh_tap": plh_backend,
    "plh_raw": plh_backend,
    "plh_xdp": plh_backend,
    "plh_unix": plh_backend,
    "plh_shm": plh_backend,
    "plh_pipe": plh_backend,
    "plh_pcap": plh_backend,
    "plh_callback": plh_backend,
    "plh_dpdk": plh_dpdk_library,
    "plh_wrapped": plh_backend,
}

STRUCTURES: Final[dict[str, Any]] = {
    "ll_machine": ll_machine,
    "ll_task": ll_task,
    "ll_desc": ll_desc,
    "ll_ring": ll_ring,
    "ll_netdev": ll_netdev,
    "ll_netdev_config": ll_netdev_config,
    "ll_fault": ll_fault,
    "ll_image": ll_image,
    "plh_world_config": plh_world_config,
    "plh_step": plh_step,
    "plh_kernel_config": plh_kernel_config,
    "plh_kernel_stats": plh_kernel_stats,
    "plh_request": plh_request,
    "plh_backend": plh_backend,
    "plh_device_stats": plh_device_stats,
    "plh_tap_parameters": plh_tap_parameters,
    "plh_raw_parameters": plh_raw_parameters,
    "plh_xdp_parameters": plh_xdp_parameters,
    "plh_unix_parameters": plh_unix_parameters,
    "plh_shm_parameters": plh_shm_parameters,
    "plh_pipe_parameters": plh_pipe_parameters,
    "plh_pcap_parameters": plh_pcap_parameters,
    "plh_callback_parameters": plh_callback_parameters,
    "plh_dpdk_parameters": plh_dpdk_parameters,
    "plh_dpdk_stats": plh_dpdk_stats,
    "plh_dpdk_library": plh_dpdk_library,
    "plh_link_config": plh_link_config,
    "plh_link_stats": plh_link_stats,
    "plh_wrapped_parameters": plh_wrapped_parameters,
    "plh_link_parameters": plh_link_parameters,
    "plh_nuse_config": plh_nuse_config,
    "plh_nuse_stats": plh_nuse_stats,
    "plh_nuse_program": plh_nuse_program,
}
