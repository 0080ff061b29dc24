/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boundary between liblinux.so (the kernel) and its host.
 *
 * The library is passive.  It starts no thread, reads no clock, touches no
 * device and never blocks: the host enters it, it runs everything that can
 * run, and it leaves again with a reason (enum ll_exit), as a virtual machine
 * does.  Whatever the kernel wants from its host (a log line written, random
 * bytes, a stack) is such an exit, so host code always runs on the host's own
 * stack.  The one exception is a clock function, see ll_machine.clock_ns.
 *
 * Context rules
 *  - One image mapping is one kernel.  All entries take no lock: the host lets
 *    one thread in at a time, with the memory order that a mutex gives.
 *  - After LL_EXIT_IDLE and LL_EXIT_DONE the host may enter by call() or
 *    enter().  After any other exit ("hypercall") the host fills the reply and
 *    enters by enter() at once; nothing else may come between.
 *  - After LL_EXIT_PANIC and LL_EXIT_HALT the kernel must never be entered
 *    again.
 *  - Addresses are host virtual addresses, times are nanoseconds of the host's
 *    clock, errors are negative errno values of Linux.
 *
 * Every structure is laid out with natural alignment and no implicit holes;
 * tools/abi_mirror.py generates pylibos/_abi.py from this file and a test
 * compares each offset with the compiler's.
 */
#ifndef LIBLINUX_H
#define LIBLINUX_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define LL_MAGIC       0x4c4f534fu /* "OSOL" */
#define LL_ABI_VERSION 1u /* any change of layout or meaning counts up */
#define LL_NEVER       (~(uint64_t)0) /* a deadline that does not come */

/* Why the kernel left, and what the host does before it enters again. */
enum ll_exit {
	/* Nothing can run before ll_machine.deadline_ns or a new request. */
	LL_EXIT_IDLE = 0,
	/* The call of ll_machine.done has ended; its result is in ret. */
	LL_EXIT_DONE = 1,
	/* Kernel log: exit_args = {address, bytes, level 0-7}. */
	LL_EXIT_LOG = 2,
	/* Fill exit_args = {address, bytes} with random bytes. */
	LL_EXIT_RANDOM = 3,
	/* Put the clock's value into exit_ret; only with LL_CLOCK_BY_EXIT. */
	LL_EXIT_CLOCK = 4,
	/* Make stack number exit_args[0] usable; exit_ret = 0 or -ENOMEM. */
	LL_EXIT_STACK = 5,
	/*
	 * The memory of a task that lives elsewhere (LL_TASK_REMOTE):
	 * exit_args = {task, kernel address, task's address, bytes, direction
	 * (0: from the task, 1: to the task)}; exit_ret = bytes NOT copied.
	 */
	LL_EXIT_COPY = 6,
	/*
	 * The kernel has run for long without becoming idle, or spins on its
	 * clock.  A virtual clock moves on to exit_args[0] (at the latest), a
	 * host that has other work may do it now; then enter again.
	 */
	LL_EXIT_BUSY = 7,
	/* The kernel is dead; exit_args = {address, bytes} of the message. */
	LL_EXIT_PANIC = 8,
	/* reboot(2): exit_args[0] is 0 for halt, 1 power off, 2 restart. */
	LL_EXIT_HALT = 9,
};

/* ll_machine.flags */
#define LL_CLOCK_VIRTUAL 1u /* the clock stands still while the kernel runs */
#define LL_CLOCK_BY_EXIT 2u /* read the clock by LL_EXIT_CLOCK */
#define LL_LOG_DISABLE	 4u /* no LL_EXIT_LOG; the log stays in dmesg */

struct ll_task;
struct ll_netdev;

/*
 * What both sides share about one kernel.  The host allocates it, zeroed, and
 * keeps it until after the last exit.
 */
struct ll_machine {
	/* --- Set by the host before boot(), constant afterwards --- */
	uint32_t abi_version; /* LL_ABI_VERSION of the host's header */
	uint32_t machine_bytes; /* sizeof(struct ll_machine) of the host */
	uint32_t flags; /* LL_CLOCK_VIRTUAL ... */
	uint32_t stack_bytes; /* distance of two stacks, a power of two */
	uint64_t memory; /* the arena: page-aligned, zeroed, read-write */
	uint64_t memory_bytes; /* a multiple of 4096 */
	uint64_t stacks; /* stack n is [stacks + n * stack_bytes, + stack_bytes) */
	uint64_t stack_count; /* at least 8; a stack's lowest page may be a guard */
	const char *cmdline; /* kernel command line, NUL-terminated */
	uint64_t realtime_ns; /* CLOCK_REALTIME when the kernel boots */
	/*
	 * The clock, in this order: the word if it is not NULL; LL_EXIT_CLOCK
	 * if LL_CLOCK_BY_EXIT; else the function.  The function runs on a
	 * kernel stack: it must be C, not block, not enter the kernel, and use
	 * less than 4 KiB of stack.  The clock never goes back.
	 */
	const uint64_t *clock_word;
	uint64_t (*clock_ns)(void *opaque);
	void *clock_opaque;

	/* --- Written by the kernel, read by the host after an exit --- */
	uint64_t deadline_ns; /* when it wants to be entered; LL_NEVER */
	uint64_t exit_args[5];
	struct ll_task *done; /* with LL_EXIT_DONE */
	/* Netdevs with frames to take or room again (next_tx); the host takes all. */
	struct ll_netdev *tx_kicks;
	/*
	 * Not 0 after LL_EXIT_DONE: other tasks could run; enter() soon, at the
	 * latest before waiting for anything.
	 */
	uint32_t work_pending;
	uint32_t reserved1;
	uint64_t reserved0;

	/* --- Written by the host before an entry, taken by the kernel --- */
	uint64_t exit_ret; /* reply to a hypercall */
	struct ll_task *submitted; /* calls to start or interrupt (next) */
	struct ll_netdev *rx_kicks; /* netdevs with new frames or state (next_rx) */

	/* --- The kernel's own, for debuggers to read --- */
	uint64_t host_sp; /* where the host's registers are saved while inside */
	uint64_t kernel_sp; /* where the kernel's are while outside, or 0 */
	uint64_t entries; /* how often the kernel was entered */
	uint64_t current_task; /* struct task_struct * */
};

/* ll_task.state; the kernel writes all but LL_TASK_SUBMITTED. */
enum ll_task_state {
	LL_TASK_USER = 0, /* outside: a call may be submitted */
	LL_TASK_SUBMITTED = 1, /* written by the host, with nr and args */
	LL_TASK_CALL = 2, /* inside a call, running or blocked */
	LL_TASK_DEAD = 3, /* ended; submitted with LL_TASK_RELEASE it is freed */
};

/* ll_task.flags */
#define LL_TASK_REMOTE	  1u /* host: pointers are reached by LL_EXIT_COPY */
#define LL_TASK_INTERRUPT 2u /* host: end the call in flight with -EINTR */
#define LL_TASK_QUEUED	  4u /* host: is on ll_machine.submitted */
#define LL_TASK_RESTART	  8u /* kernel: -EINTR is a signal's that has SA_RESTART */
#define LL_TASK_RELEASE	  16u /* host: it is dead and no longer looked at */

/*
 * One Linux task, lent to the host.  Allocated by the kernel when the task is
 * created (LL_SYS_TASK_CREATE).  When the task has ended, by itself or by a
 * signal, an LL_EXIT_DONE says so with state LL_TASK_DEAD; the host gives the
 * structure back by submitting it with LL_TASK_RELEASE.  A call: set nr and
 * args, then call(), or state = LL_TASK_SUBMITTED, put it on
 * ll_machine.submitted, and enter().  One call at a time.
 */
struct ll_task {
	uint64_t nr; /* system call number of the ISA, or LL_SYS_* */
	uint64_t args[6];
	int64_t ret; /* result or -errno, valid in LL_TASK_USER */
	uint32_t state; /* enum ll_task_state */
	uint32_t flags;
	int32_t pid; /* thread id in the initial pid namespace */
	int32_t tgid;
	uint64_t signals; /* bit n-1: signal n arrived for the host's handler; the host
			   * clears what it took */
	struct ll_task *next; /* the host's list of submissions */
	uint64_t kernel_task; /* struct task_struct *, for debuggers */
	uint64_t stack_top; /* highest address of its kernel stack */
	uint64_t opaque; /* the host's own */
};

/*
 * Calls of the library itself, submitted like system calls (they may sleep).
 * Numbers are far from those of any ISA.
 */
enum ll_sys {
	/*
	 * (flags, &task): a new host task, child of the caller, sharing what
	 * the CLONE_* flags say (CLONE_FILES | CLONE_FS share descriptors,
	 * CLONE_NEWNET ... make namespaces; CLONE_VM is implied).  Returns the
	 * new thread id and stores its struct ll_task at the address.
	 */
	LL_SYS_TASK_CREATE = 0x10000,
	/* (wait status): end the calling task, as exit_group(2). */
	LL_SYS_TASK_EXIT = 0x10001,
	/* (struct ll_netdev_config *): returns the interface index. */
	LL_SYS_NETDEV_ADD = 0x10002,
	/* (struct ll_netdev *): unregister; the rings are gone afterwards. */
	LL_SYS_NETDEV_DEL = 0x10003,
	/*
	 * (buffer, bytes): a text that names each task that sleeps: thread id,
	 * name, state, call number and where it waits.  Returns its length.
	 */
	LL_SYS_TASKS = 0x10004,
	/*
	 * (what, argument): make the kernel fail on purpose, for tests.
	 * 0 panic, 1 BUG(), 2 null dereference, 3 stack overflow, 4 WARN(),
	 * 5 spin with the clock, 6 take all memory, 7 write one byte behind an
	 * allocation of so many bytes.  Needs CAP_SYS_BOOT.
	 */
	LL_SYS_FAIL = 0x10005,
	LL_SYS_END,
};

/* --- Network devices --- */

/* ll_desc.flags */
#define LL_DESC_NEXT 1u /* the frame goes on in the next descriptor */
/* ll_desc.csum_flags, as virtio_net_hdr.flags */
#define LL_CSUM_NEEDED 1u /* fill in the checksum from csum_start */
#define LL_CSUM_VALID  2u /* the checksum has been verified */
/* ll_desc.gso_type, as virtio_net_hdr.gso_type */
#define LL_GSO_NONE   0u
#define LL_GSO_TCPV4  1u
#define LL_GSO_TCPV6  4u
#define LL_GSO_UDP_L4 5u
#define LL_GSO_ECN    0x80u

/* One piece of a frame.  The fields from csum_flags on count in the first piece. */
struct ll_desc {
	uint64_t addr; /* where the bytes are; the kernel's memory */
	uint32_t len; /* posted: room; filled or sent: bytes used */
	uint16_t flags;
	uint8_t csum_flags;
	uint8_t gso_type;
	uint16_t hdr_len; /* bytes of headers before the payload, a hint */
	uint16_t gso_size; /* payload of each segment */
	uint16_t csum_start; /* from the start of the frame */
	uint16_t csum_offset; /* from csum_start */
	uint64_t cookie; /* the kernel's own */
};

/*
 * A ring of descriptors.  In both directions the kernel offers descriptors
 * (head) and the host finishes them in order (tail); both counters run freely
 * and are taken modulo entries, a power of two.
 *  - transmit: [tail, head) are frames.  The host reads them where they lie
 *    and moves tail when it no longer needs the bytes.
 *  - receive: [tail, head) are empty buffers.  The host writes a frame into as
 *    many as it needs, sets len, LL_DESC_NEXT and the metadata, and moves tail
 *    past the whole frame at once.
 * Writes to head and tail are releases, reads acquires: a device may be served
 * by a host thread that is not inside the kernel.
 */
struct ll_ring {
	uint32_t entries;
	uint32_t reserved0;
	uint64_t descs; /* struct ll_desc[entries] */
	uint64_t reserved1[6];
	uint32_t head; /* the kernel's */
	/*
	 * The kernel's: not 0 while someone waits for tail to move; the host then
	 * puts the netdev on rx_kicks after it has moved it.
	 */
	uint32_t notify;
	uint32_t reserved2[14];
	uint32_t tail; /* the host's */
	uint32_t reserved3[15];
};

#define LL_MAX_QUEUES 16

/* ll_netdev_config.features */
#define LL_NETDEV_CSUM 1u /* host takes LL_CSUM_NEEDED frames */
#define LL_NETDEV_TSO  2u /* host takes LL_GSO_TCPV4/6 frames */
#define LL_NETDEV_USO  4u /* host takes LL_GSO_UDP_L4 frames */
#define LL_NETDEV_SG   8u /* host takes frames of several pieces */

/* Shared by both sides; allocated by the kernel with the device. */
struct ll_netdev {
	struct ll_netdev *next_tx; /* ll_machine.tx_kicks */
	struct ll_netdev *next_rx; /* ll_machine.rx_kicks */
	uint32_t tx_kicked; /* is on tx_kicks; cleared by the host */
	uint32_t rx_kicked; /* is on rx_kicks; cleared by the kernel */
	uint32_t ifindex;
	uint32_t queues;
	uint32_t carrier; /* host: 1 link up, 0 down; then put on rx_kicks */
	uint32_t reserved0;
	uint64_t opaque; /* the host's own */
	struct ll_ring *tx[LL_MAX_QUEUES];
	struct ll_ring *rx[LL_MAX_QUEUES];
};

struct ll_netdev_config {
	char name[16]; /* may hold a %d */
	uint8_t mac[6]; /* all zero: the kernel picks a random one */
	uint16_t queues; /* 1 .. LL_MAX_QUEUES */
	uint32_t mtu; /* 68 .. 65535 bytes */
	uint32_t features;
	uint32_t ring_entries; /* per queue, a power of two, 16 .. 32768 */
	uint32_t rx_buffer_bytes; /* 0: let the kernel choose */
	struct ll_netdev *netdev; /* result */
};

/* A fault caught by the host while the kernel ran. */
struct ll_fault {
	uint64_t pc, sp, fp; /* registers at the fault */
	uint64_t address; /* what was accessed */
	uint32_t signal; /* SIGSEGV, SIGBUS, SIGFPE, SIGILL */
	uint32_t code; /* si_code */
	uint64_t frame[2]; /* reserved for return addresses */
};

/*
 * What an image offers: the only exported symbol, `liblinux_image`.  A host
 * checks magic, abi_version and the sizes before it calls anything.
 */
struct ll_image {
	uint32_t magic;
	uint32_t abi_version;
	uint32_t image_bytes; /* sizeof(struct ll_image) of the kernel */
	uint32_t machine_bytes;
	uint32_t task_bytes;
	uint32_t netdev_bytes;
	uint32_t desc_bytes;
	uint32_t syscalls; /* system call numbers are below */
	const char *release; /* "6.12.117" */
	const char *profile; /* "defconfig" */
	const char *banner; /* linux_banner */
	uint64_t text_start, text_end; /* kernel code, for fault handlers */
	uint64_t memory_min_bytes; /* a smaller arena is refused */
	/*
	 * Start the kernel.  Returns -EPROTO when the machine's ABI version or
	 * size is another, -EINVAL for memory it cannot use, else an exit.
	 * The boot is over with the first LL_EXIT_DONE: ll_machine.done is
	 * then the first host task, process 1.
	 */
	int (*boot)(struct ll_machine *machine);
	/* Run everything that can run: returns an exit. */
	int (*enter)(void);
	/*
	 * Start the call of a task in LL_TASK_USER and run until some exit; the
	 * fast way for a call that does not block.  With LL_EXIT_DONE look
	 * which task is done: it may be another one.
	 */
	int (*call)(struct ll_task *task);
	/*
	 * Where execution goes on after a fault at pc, or 0 if that is no
	 * access to a caller's memory.  Async-signal-safe.
	 */
	uint64_t (*fixup)(uint64_t pc);
	/*
	 * Report a fault and die: writes the log, leaves with LL_EXIT_LOG
	 * (enter() goes on) and at last LL_EXIT_PANIC.  Called from outside
	 * the signal handler, instead of continuing the kernel; runs on stack
	 * 1, which serves nothing else.
	 */
	int (*fault)(const struct ll_fault *fault);
	/*
	 * Not 0: the kernel keeps one byte of shadow for eight of the address
	 * space below 2^47, the one of address A at (A >> 3) + shadow_offset
	 * (KASAN).  The host maps it all, zeroed, before boot(), and zeroes
	 * what belongs to a kernel's memory after its end.
	 */
	uint64_t shadow_offset;
	uint64_t reserved[3];
};

#endif /* LIBLINUX_H */
