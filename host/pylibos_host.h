/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host side of liblinux.so: what a program in C, or Python through ctypes,
 * uses to run kernels in its own process.
 *
 *  image   a liblinux.so file, opened and checked once
 *  world   one clock with everything that follows it: kernels, links, events
 *  kernel  one running kernel of an image in a world
 *  task    a Linux task that makes system calls for the caller
 *  device  a netdev of a kernel with the backend that serves it
 *  link    a cable between two kernels
 *  capture a file of the frames that cross devices and links
 *
 * Threads: every function may be called from any thread; a lock in the world
 * lets one in at a time and is not held while the host waits.  In a virtual
 * world only one thread may wait for a call at a time (PLH_BUSY else), since
 * waiting is what moves its clock.
 *
 * Errors: functions that make something return it or NULL, and store a whole
 * sentence that plh_error() returns for the calling thread.  Others return an
 * enum plh_status.
 */
#ifndef PYLIBOS_HOST_H
#define PYLIBOS_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "liblinux.h"

#ifdef __cplusplus
extern "C" {
#endif

struct plh_image;
struct plh_world;
struct plh_kernel;
struct plh_device;
/* A host task is the kernel's own shared structure. */
typedef struct ll_task plh_task;

enum plh_status {
	PLH_OK = 0, /* the call has ended (its ret is valid); or done as asked */
	PLH_PENDING = 1, /* it has not ended yet; budget or until_ns reached */
	PLH_TIMEOUT = 2, /* the call's deadline came first; it has been ended */
	PLH_DEADLOCK = 3, /* virtual clock: nothing will ever happen any more */
	PLH_SIGNAL = 4, /* a host signal handler ran while waiting (Ctrl-C) */
	PLH_DEAD = 5, /* the kernel panicked or was halted; see plh_kernel_state */
	PLH_BUSY = 6, /* another thread waits in this virtual world, the task is
		       * inside a call already, or a callback tried to run
		       * kernels; nothing was started */
	PLH_FORKED = 7, /* this is a forked child; the world belongs to its parent */
	PLH_ERROR = 8, /* see plh_error() */
};

/* The last error of the calling thread, a sentence; never NULL. */
const char *plh_error(void);

/* --- Images --- */

/*
 * Open a liblinux.so: check that it is one, of this ABI and for this
 * processor.  One image serves any number of kernels, which share its text.
 */
struct plh_image *plh_image_open(const char *path);
const char *plh_image_release(const struct plh_image *image);
const char *plh_image_profile(const struct plh_image *image);
const char *plh_image_banner(const struct plh_image *image);
void plh_image_close(struct plh_image *image); /* kernels of it may live on */

/* --- Worlds --- */

enum plh_clock_kind {
	PLH_CLOCK_VIRTUAL = 0, /* stands still while kernels run, else jumps */
	PLH_CLOCK_REAL = 1, /* CLOCK_MONOTONIC of the host */
	PLH_CLOCK_CALLBACK = 2, /* the caller's, through plh_world_config.clock */
};

/* How a real-time world waits while nothing can run. */
enum plh_wait_kind {
	PLH_WAIT_EPOLL = 0, /* sleeps until a descriptor or a deadline wakes it */
	/*
	 * Never sleeps: looks at devices and the clock over and over.  Other threads
	 * get in as they do while kernels run; a signal handler of the caller's ends
	 * the wait only by plh_world_wake(), since no system call is interrupted.
	 */
	PLH_WAIT_BUSY = 1,
	/* Looks around for spin_ns after the last work, then sleeps. */
	PLH_WAIT_ADAPTIVE = 2,
};

struct plh_world_config {
	uint32_t clock_kind; /* enum plh_clock_kind */
	uint32_t wait_kind; /* enum plh_wait_kind; only with PLH_CLOCK_REAL */
	uint64_t start_ns; /* virtual: first value of the clock; 0: one second */
	uint64_t realtime_offset_ns; /* CLOCK_REALTIME - clock; 0 and virtual:
				      * kernels start in 2000-01-01; 0 and real: the
				      * host's */
	uint64_t seed; /* of all random bytes */
	uint32_t seeded; /* 0: random bytes come from getrandom(2) */
	uint32_t reserved1;
	/*
	 * How long virtual time may run on without any call ending before that is a
	 * deadlock; 0: 24 hours.  Frames do not count: IPv6 solicits routers for ever.
	 */
	uint64_t deadlock_ns;
	/* PLH_CLOCK_CALLBACK: returns ns, never less than before. */
	uint64_t (*clock)(void *opaque);
	/* PLH_CLOCK_CALLBACK: the world is idle until deadline_ns: wait or jump. */
	void (*wait)(void *opaque, uint64_t deadline_ns);
	void *opaque;
	uint64_t spin_ns; /* of PLH_WAIT_ADAPTIVE; 0: 50 us */
};

struct plh_world *plh_world_create(const struct plh_world_config *config);
/* Halts its kernels, closes its links and devices, frees it. */
void plh_world_destroy(struct plh_world *world);
uint64_t plh_world_now_ns(struct plh_world *world);
/* The earliest event of any kernel, link or timer; LL_NEVER if none. */
uint64_t plh_world_next_ns(struct plh_world *world);
/*
 * Run kernels and links; the clock does not pass until_ns, and after about
 * budget_ns of wall time (0: no limit) it comes back with PLH_PENDING.
 * until_ns == now: run until idle, do not wait.  Returns PLH_OK once until_ns is
 * reached, PLH_DEADLOCK (virtual, until_ns LL_NEVER), PLH_SIGNAL.
 * With stop_on_done it also returns, PLH_OK, as soon as some call has ended.
 */
int plh_world_run(struct plh_world *world, uint64_t until_ns, uint64_t budget_ns, int stop_on_done);
/* Take a task whose call has ended since, oldest first; NULL if none. */
plh_task *plh_world_next_done(struct plh_world *world);
/*
 * plh_world_run() with stop_on_done, plh_world_next_done() and plh_world_now_ns() in one,
 * with what goes in and comes out in one place.
 */
struct plh_step {
	struct plh_world *world;
	uint64_t until_ns; /* as for plh_world_run() */
	uint64_t budget_ns; /* likewise */
	plh_task *task; /* out: the one whose call has ended, or NULL */
	int64_t ret; /* out: the result of its call, which stays there for plh_poll(), too */
	uint64_t now_ns; /* out: the clock */
	uint32_t status; /* out: of plh_world_run() */
	uint32_t more; /* out: there are more for plh_world_next_done() */
	uint64_t progress_ns; /* out: the clock when a task was last returned */
};
/*
 * The task of the step if its call is all that has happened: there are no more, and until_ns
 * is not reached.  Else NULL, also for calls of a kernel that has died, which are among more.
 */
plh_task *plh_world_step(struct plh_step *step);
/*
 * A descriptor that polls readable when a real-time world should be run by
 * plh_world_run(world, now, ...), for event loops; -1 if virtual.
 */
int plh_world_fd(struct plh_world *world);
/*
 * The same for a loop that minds plh_world_next_ns() by itself: it polls readable when a
 * device has something, or another thread made work.
 */
int plh_world_device_fd(struct plh_world *world);
/*
 * Wake a thread that waits in this world, or the next one that will: its wait ends
 * with PLH_SIGNAL (async-signal-safe).
 */
void plh_world_wake(struct plh_world *world);
/*
 * Run a real-time world in this thread until plh_world_serve_stop(); whoever else
 * waits in it then only sleeps until its own call has ended.  PLH_OK, PLH_FORKED;
 * PLH_BUSY: another thread serves it; PLH_ERROR: its clock is not the real one.
 */
int plh_world_serve(struct plh_world *world);
/*
 * End plh_world_serve() in another thread, or the next one that begins.  The world must not
 * be destroyed before it has come back.
 */
void plh_world_serve_stop(struct plh_world *world);
/*
 * Let each wait end with PLH_SIGNAL after so much wall time, so that an interpreter
 * can look for signals while virtual time runs; 0: never, which is the default.
 */
void plh_world_set_slice(struct plh_world *world, uint64_t wall_ns);

/* --- Kernels --- */

struct plh_kernel_config {
	uint64_t memory_bytes; /* arena; 0: 64 MiB */
	uint64_t fixed_address; /* 0: anywhere; else where image and arena go */
	const char *cmdline; /* appended to the defaults; may be NULL */
	uint32_t stack_bytes; /* 0: 64 KiB of address space each */
	uint32_t stack_count; /* 0: from memory_bytes */
	uint32_t huge_pages; /* madvise the arena */
	uint32_t boot_log; /* 0: only warnings to log(), 1: all of it */
	/*
	 * Callbacks run on the host stack of the thread that is inside.
	 * memory: returns page-aligned zeroed read-write memory or NULL, and
	 * memory_free releases it; NULL: mmap.  log: a piece of kernel log,
	 * whole lines.  random: fills buffer; NULL: the world's source.
	 * All may be NULL.
	 */
	void *(*memory)(void *opaque, uint64_t bytes);
	void (*memory_free)(void *opaque, void *address, uint64_t bytes);
	void (*log)(void *opaque, int level, const char *text, uint64_t bytes);
	void (*random)(void *opaque, void *buffer, uint64_t bytes);
	void *opaque;
};

struct plh_kernel *plh_kernel_boot(struct plh_world *world, struct plh_image *image,
				   const struct plh_kernel_config *config);
/* Stop it and free all it holds.  Works on a dead kernel too. */
void plh_kernel_halt(struct plh_kernel *kernel);

enum plh_kernel_state {
	PLH_KERNEL_RUNNING = 0,
	PLH_KERNEL_PANICKED = 1, /* panic, BUG or a fault; see plh_kernel_last_words */
	PLH_KERNEL_HALTED = 2, /* by itself, through reboot(2) */
	PLH_KERNEL_FORKED = 3, /* this process is a fork of its owner */
};
int plh_kernel_state(const struct plh_kernel *kernel);
struct plh_world *plh_kernel_world(const struct plh_kernel *kernel);
/* The panic message, or "" */
const char *plh_kernel_last_words(const struct plh_kernel *kernel);
/* The kernel's log as far as it reached the host, newest 256 KiB. Returns bytes copied. */
uint64_t plh_kernel_log(const struct plh_kernel *kernel, char *buffer, uint64_t bytes);
/* The first task, process 1. */
plh_task *plh_kernel_init_task(struct plh_kernel *kernel);
/* For debuggers and statistics. */
const struct ll_machine *plh_kernel_machine(const struct plh_kernel *kernel);

struct plh_kernel_stats {
	uint64_t boot_wall_ns; /* load and boot, wall time */
	uint64_t entries; /* how often the kernel was entered */
	uint64_t calls; /* system calls made through this library */
	uint64_t arena_bytes; /* size of the arena */
	uint64_t arena_resident_bytes; /* of it in memory (mincore) */
	uint64_t image_private_bytes; /* writable part of the image */
	uint64_t stacks_used; /* kernel stacks ever used at once */
	uint64_t deadline_ns; /* its next own event */
	uint64_t load_bias; /* where the image lies */
};
int plh_kernel_stats(struct plh_kernel *kernel, struct plh_kernel_stats *stats);

/* --- System calls --- */

/*
 * Call and wait; *ret is the result or -errno.  deadline_ns is absolute on the
 * world's clock (LL_NEVER: none).  PLH_OK, PLH_TIMEOUT (ended with -EINTR),
 * PLH_DEADLOCK, PLH_SIGNAL, PLH_DEAD, PLH_BUSY, PLH_FORKED.
 * After PLH_DEADLOCK and PLH_SIGNAL the call is still in flight: wait again with
 * plh_wait() or end it with plh_interrupt().
 */
int plh_call(struct plh_kernel *kernel, plh_task *task, uint64_t nr, const uint64_t args[6],
	     uint64_t deadline_ns, int64_t *ret);
/* Start only: PLH_OK if it ended at once, PLH_PENDING if it is in flight. */
int plh_submit(struct plh_kernel *kernel, plh_task *task, uint64_t nr, const uint64_t args[6],
	       int64_t *ret);
/*
 * Go on waiting for a call in flight, with a new deadline; PLH_ERROR if there is
 * none.
 */
int plh_wait(struct plh_kernel *kernel, plh_task *task, uint64_t deadline_ns, int64_t *ret);
/* Has it ended?  PLH_OK, PLH_PENDING, PLH_DEAD.  Runs nothing. */
int plh_poll(struct plh_kernel *kernel, plh_task *task, int64_t *ret);
/*
 * End a call in flight with -EINTR (or its partial result); PLH_OK once it has.
 * PLH_PENDING if another thread waits for it: that one gets the result.
 */
int plh_interrupt(struct plh_kernel *kernel, plh_task *task, int64_t *ret);
/*
 * The fast path: no deadline, registers only; returns the result or -errno,
 * and waits as plh_call does.  If anything but PLH_OK happens the status goes to
 * *status, which is else untouched, and the result is -EIO.
 */
int64_t plh_call6(struct plh_kernel *kernel, plh_task *task, int *status, uint64_t nr, uint64_t a0,
		  uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

/*
 * The same for callers to whom every argument of a function costs much, as it does
 * interpreters: a call with all that belongs to it.
 */
struct plh_request {
	struct plh_kernel *kernel;
	plh_task *task;
	uint64_t nr;
	uint64_t args[6];
	uint64_t status; /* enum plh_status; only valid after PLH_UNFINISHED */
};
/* No system call returns this. */
#define PLH_UNFINISHED INT64_MIN
/*
 * plh_submit() of a request: the result or -errno, or PLH_UNFINISHED: then status says
 * why, PLH_PENDING if the call is in flight.  Nothing points at the request afterwards.
 */
int64_t plh_request_submit(struct plh_request *request);

/*
 * A new host task, child of parent, or of a task of the library's own if that is
 * NULL; NULL and plh_error(), *error = -errno.
 */
plh_task *plh_task_create(struct plh_kernel *kernel, plh_task *parent, uint64_t clone_flags,
			  int64_t *error);
/*
 * End it (exit_group); also ends a call in flight.  For a task that has ended by
 * itself (state LL_TASK_DEAD: by a signal, or its own call of exit), too: only
 * afterwards is its structure gone.
 */
int plh_task_exit(struct plh_kernel *kernel, plh_task *task, int wait_status);

/*
 * Remember something with a task, for plh_task_opaque(); and, if copy is not NULL, that
 * its pointers lead into memory elsewhere, as those of another process do: copy() then
 * moves bytes (to_task 0: to local) and returns how many it could NOT, with the world's
 * lock held.  Before the task's first call.  PLH_OK or PLH_ERROR.
 */
int plh_task_attach(struct plh_kernel *kernel, plh_task *task, void *opaque,
		    uint64_t (*copy)(void *opaque, void *local, uint64_t remote, uint64_t bytes,
				     int to_task));
void *plh_task_opaque(const plh_task *task);

/* --- Devices --- */

/*
 * A device backend: a small table of functions, one file each.  All run with
 * the world's lock held, on a host stack.  A backend takes frames out of the
 * transmit rings and puts frames into receive buffers with the helpers in
 * host/ring.h.
 */
struct plh_backend {
	const char *name; /* "tap", "link", "callback" */
	uint64_t state_bytes; /* of memory for plh_device_state() */
	/* Fills features/mtu/mac of config, opens; 0 or -errno with plh_set_error. */
	int (*open)(struct plh_device *device, const void *parameters,
		    struct ll_netdev_config *config);
	void (*close)(struct plh_device *device);
	/* Frames are in a transmit ring: take what can be taken. */
	void (*transmit)(struct plh_device *device);
	/* Its descriptor is readable (or receive buffers came free). */
	void (*receive)(struct plh_device *device);
	/* Descriptor to wait for, or -1; *events as for poll(2). */
	int (*fd)(struct plh_device *device, short *events);
	/* May be NULL: bring the device's counters up to date; they are asked for. */
	void (*count)(struct plh_device *device);
	/*
	 * Optional: take in what has arrived, as receive() does, and go on with what
	 * waits for room.  Called over and over by a world that polls
	 * (PLH_WAIT_BUSY, PLH_WAIT_ADAPTIVE), so it should look into memory rather than
	 * make a system call; not while the device waits for receive buffers.  A
	 * backend that has this and no descriptor is also looked at by a world that
	 * sleeps, every 100 us.
	 */
	void (*poll)(struct plh_device *device);
};

struct plh_device_stats {
	uint64_t tx_frames, tx_bytes, tx_dropped;
	uint64_t rx_frames, rx_bytes, rx_dropped;
};

/* Add a netdev with a backend to a kernel; parameters are the backend's. */
struct plh_device *plh_device_add(struct plh_kernel *kernel, const struct plh_backend *backend,
				  const void *parameters, const struct ll_netdev_config *config);
int plh_device_remove(struct plh_device *device);
int plh_device_ifindex(const struct plh_device *device);
const char *plh_device_name(const struct plh_device *device);
int plh_device_carrier(struct plh_device *device, int up);
/* Is the cable in, as the backend or plh_device_carrier() said last? */
int plh_device_has_carrier(struct plh_device *device);
int plh_device_stats(struct plh_device *device, struct plh_device_stats *stats);
/*
 * The last thing that went wrong outside, such as a peer that is gone, as a
 * sentence; "" if nothing has.
 */
int plh_device_problem(struct plh_device *device, char *text, uint64_t bytes);

/* A tap of the host (tun(4)). */
struct plh_tap_parameters {
	char name[16]; /* of the host's interface; may hold %d; result */
	int32_t fd; /* an open tap descriptor to use instead (dup'ed), or -1 */
	uint32_t vnet_hdr; /* use checksum and segmentation offload */
};
extern const struct plh_backend plh_tap;

/* Packet sockets on an Ethernet interface of the host (packet(7)). */
struct plh_raw_parameters {
	char name[16]; /* of the host's interface */
	uint32_t promiscuous; /* also frames to other addresses than the interface's */
	uint32_t offload; /* leave checksums and segmentation to the host */
	uint32_t qdisc; /* send through the interface's queueing discipline, not past it */
	uint32_t fanout; /* PACKET_FANOUT_*: which queue, if there are several, gets a frame */
	uint32_t ring_frames; /* of up to 2 KiB that can wait, per queue; 0: 2048 */
	uint32_t take_mtu; /* the interface's, whatever the config says */
	uint32_t take_mac; /* likewise */
};
extern const struct plh_backend plh_raw;

/* AF_XDP sockets on an Ethernet interface of the host. */
enum plh_xdp_mode {
	PLH_XDP_ANY_MODE = 0, /* native, or generic where the driver cannot */
	PLH_XDP_NATIVE = 1, /* the program runs in the driver */
	PLH_XDP_GENERIC = 2, /* in the host's stack, before anything else */
};
enum plh_xdp_copy {
	PLH_XDP_ANY_COPY = 0, /* none where the driver can */
	PLH_XDP_COPY = 1,
	PLH_XDP_ZERO_COPY = 2, /* the driver works in our memory, or refuse */
};
enum plh_xdp_finish {
	PLH_XDP_FINISH_AUTO = 0, /* if the interface is a veth */
	PLH_XDP_FINISH = 1,
	PLH_XDP_FINISH_NOT = 2,
};
struct plh_xdp_parameters {
	char name[16]; /* of the host's interface */
	uint32_t first_queue; /* of the interface; further ones for further queues */
	uint32_t mode; /* enum plh_xdp_mode */
	uint32_t copy; /* enum plh_xdp_copy */
	uint32_t finish_checksums; /* enum plh_xdp_finish: of frames whose sender did not */
	uint32_t ring_frames; /* that can wait, per queue and direction; 0: 2048 */
	uint32_t busy_poll_us; /* let the driver be polled by our calls; 0: no */
	uint32_t take_mtu; /* the interface's, whatever the config says */
	uint32_t take_mac; /* likewise */
};
/* Built with libxdp, else its open() refuses. */
extern const struct plh_backend plh_xdp;
/* What a UNIX socket carries. */
enum plh_unix_type {
	PLH_UNIX_DGRAM = 0, /* a frame is a datagram */
	PLH_UNIX_SEQPACKET = 1, /* the same, and the end of a peer is noticed at once */
	PLH_UNIX_STREAM = 2, /* frames behind their length, 4 bytes in network order: passt, qemu */
};
/* A UNIX socket whose other end is another process: unix(7). */
struct plh_unix_parameters {
	/*
	 * The socket's file; '@' first: an abstract name.  DGRAM: where this end
	 * is bound to.  Else what is listened at or connected to.
	 */
	char path[108];
	char peer[108]; /* DGRAM: where the other end is bound to */
	int32_t fd; /* a connected socket to use instead (dup'ed), or -1 */
	uint32_t type; /* enum plh_unix_type */
	uint32_t listen; /* wait for the other end instead of connecting to it */
	uint32_t vnet_hdr; /* a virtio_net header of 12 bytes before each frame, for offloads */
};
extern const struct plh_backend plh_unix;

/* Memory shared with another process, which a UNIX socket finds. */
struct plh_shm_parameters {
	char path[108]; /* of the socket; '@' first: an abstract name */
	int32_t fd; /* a connected socket (SEQPACKET) to use instead (dup'ed), or -1 */
	uint32_t listen; /* make the memory, and wait for the other end to connect */
	uint32_t offload; /* send large segments and unfinished checksums as they are */
	uint32_t ring_bytes; /* in each direction, if this end listens; 0: 1 MiB */
};
extern const struct plh_backend plh_shm;

/* Two pipes, one in each direction; frames go as in PLH_UNIX_STREAM. */
struct plh_pipe_parameters {
	char in_path[256],
		out_path[256]; /* FIFOs that are read and written; made if they are not there */
	int32_t in_fd, out_fd; /* ends of pipes to use instead (dup'ed), or -1 */
	uint32_t vnet_hdr; /* as in struct plh_unix_parameters */
};
extern const struct plh_backend plh_pipe;

/* Files of packets: one that arrives, and one that takes what the kernel sends. */
struct plh_pcap_parameters {
	char path[256]; /* pcap or pcapng, to replay; "": none */
	char record[256]; /* pcapng, to write; "": none */
	uint32_t speed_permille; /* of the replay; 0: as fast as the kernel takes them */
	uint32_t rounds; /* how often the file is replayed; 0: once */
};
extern const struct plh_backend plh_pcap;

/* Frames go to and come from functions of the caller (Python). */
struct plh_callback_parameters {
	/* A frame leaves; the bytes are valid during the call. */
	void (*transmit)(void *opaque, const uint8_t *frame, uint64_t bytes);
	void *opaque;
};
extern const struct plh_backend plh_callback;
/* Put a frame into a plh_callback device: 0, -ENOBUFS, -EMSGSIZE, -EINVAL. */
int plh_callback_inject(struct plh_device *device, const uint8_t *frame, uint64_t bytes);

/*
 * An Ethernet device of DPDK.  Its backend is in a library of its own,
 * libpylibos_dpdk.so, which exports nothing but plh_dpdk.
 */
struct plh_dpdk_parameters {
	/* A port that is there ("net_ring_a"), else what is probed ("net_tap0,iface=t"). */
	const char *devargs;
	uint32_t descriptors; /* of each queue; 0: 512 */
	uint32_t mbufs; /* in the device's own pool; 0: 4096 a queue, or what the driver needs */
	uint32_t promiscuous; /* take frames for any address */
	uint32_t poll_us; /* the longest time between two looks while idle; 0: 1000 */
	char port_name[64]; /* result */
	char driver[32]; /* result */
};
/* What struct plh_device_stats does not say.  Each frame dropped is in there, too. */
struct plh_dpdk_stats {
	uint64_t polls; /* looks at the port */
	uint64_t rx_too_long, rx_too_short; /* dropped */
	uint64_t rx_missed; /* by the port itself: no descriptor, no mbuf, an error */
	uint64_t tx_too_long; /* dropped */
	uint64_t tx_full; /* times that the port began to refuse frames */
	uint64_t tx_no_mbuf; /* times that the pool became empty */
	uint64_t tx_gave_up; /* dropped, since the port took none for so long or is down */
	uint64_t removed; /* 1: the port has vanished */
};
struct plh_dpdk_library {
	uint32_t bytes; /* sizeof(struct plh_dpdk_library), to be compared */
	uint32_t reserved;
	const struct plh_backend *backend; /* with struct plh_dpdk_parameters */
	const char *version; /* of DPDK */
	/*
	 * Initialise the EAL of this process with so many arguments, which begin behind
	 * the program's name; the first device does it else, without huge pages.  Once
	 * in a process, and never in a fork of one that has.  PLH_OK or PLH_ERROR.
	 */
	int (*init)(const char *arguments, uint32_t count); /* each ends with NUL */
	int (*initialised)(void);
	/* Make the ports net_ring_NAMEa and net_ring_NAMEb, each the other's far end. */
	int (*join)(const char *name, uint32_t entries);
	/* Take them away again, with what lies in them; not while a device uses one. */
	int (*part)(const char *name);
	int (*stats)(struct plh_device *device, struct plh_dpdk_stats *stats);
};
extern const struct plh_dpdk_library plh_dpdk;

/* Which frames a link loses. */
enum plh_loss_model {
	PLH_LOSS_BERNOULLI = 0, /* each with the same chance, plh_link_config.loss */
	/*
	 * Losses come in bursts: a chain of two states, good and bad, each with a
	 * chance of loss of its own.  As netem's "loss gemodel": for each frame the
	 * state may change first, then the frame is lost by the chance of the state
	 * before.  It begins in the good state, whenever the model is changed, too.
	 */
	PLH_LOSS_GILBERT_ELLIOTT = 1,
};

/*
 * One direction of a link.  All zero: no delay, no limit, no loss.  Probabilities
 * are in units of 1 / 2^32; 2^32 - 1 is certainty.
 */
struct plh_link_config {
	uint64_t delay_ns;
	uint64_t jitter_ns; /* uniform, +- around delay_ns, keeps order */
	uint64_t rate_bps; /* bits a second of Ethernet frames; 0: no limit */
	uint64_t queue_bytes; /* waiting for the rate; 0: no limit but queue_packets */
	uint32_t queue_packets; /* waiting for the rate; 0: 1000 */
	uint32_t loss_model; /* enum plh_loss_model */
	uint32_t loss, duplicate, reorder, corrupt;
	/* PLH_LOSS_GILBERT_ELLIOTT, which leaves loss aside. */
	uint32_t good_to_bad, bad_to_good; /* p, r */
	uint32_t loss_in_bad, loss_in_good; /* 1 - h, 1 - k */
	uint32_t truncate; /* behind the Ethernet header, to any length */
	uint32_t reserved;
};
/* Counters of one direction of a link. */
struct plh_link_stats {
	uint64_t frames, bytes; /* delivered */
	uint64_t lost; /* by chance */
	uint64_t down_drops; /* the link or a kernel of it went, or was away */
	uint64_t queue_drops; /* no room in front of the rate */
	uint64_t duplicated, reordered, corrupted, truncated;
	uint64_t rx_full; /* no receive buffer */
	uint64_t in_flight;
};
struct plh_link;

/* Whether large TCP and UDP segments cross a link whole, as they cross veth. */
enum plh_offload {
	/* Never: the sender segments, and fills in checksums. */
	PLH_OFFLOAD_OFF = 0,
	/* Always; a link with loss, duplicate, reorder or corrupt refuses this. */
	PLH_OFFLOAD_ON = 1,
	/*
	 * While that makes no difference: the sender segments (its features are
	 * switched) as soon as either direction has loss, duplicate, reorder,
	 * corrupt, a rate or jitter.  So chance always acts on packets.
	 */
	PLH_OFFLOAD_AUTO = 2,
};

/*
 * Any other backend with chance, delay and rate round it.  What arrives as one
 * large segment is left alone by chance, as on a link.
 */
struct plh_wrapped_parameters {
	const struct plh_backend *backend;
	const void *parameters; /* of that backend */
	struct plh_link_config config[2]; /* [0]: of what the kernel sends */
};
extern const struct plh_backend plh_wrapped;
/* Direction 0: of what the kernel sends. */
int plh_wrapped_stats(struct plh_device *device, int direction, struct plh_link_stats *stats);

/* A link between two kernels of one world: makes a device in each. */
struct plh_link_parameters {
	struct plh_kernel *kernel[2];
	struct ll_netdev_config netdev[2];
	struct plh_link_config config[2]; /* [0]: from 0 to 1 */
	uint32_t offload; /* enum plh_offload */
	uint32_t reserved;
};
struct plh_link *plh_link_create(struct plh_world *world,
				 const struct plh_link_parameters *parameters);
/* Both directions, [0] from 0 to 1; all of it or nothing. */
int plh_link_configure(struct plh_link *link, const struct plh_link_config config[2]);
int plh_link_up(struct plh_link *link, int up);
int plh_link_stats(struct plh_link *link, int direction, struct plh_link_stats *stats);
struct plh_device *plh_link_device(struct plh_link *link, int end);
void plh_link_destroy(struct plh_link *link);

/* --- Captures --- */

/*
 * A pcapng file of what crosses any number of devices and links of one world,
 * each an interface of the file, with the world's clock in nanoseconds.  A
 * checksum left to the device is filled in; a frame with segmentation pending is
 * written whole, as tcpdump on the kernel shows it.  Nothing of the host is
 * written: the bytes are a function of the run.
 */
struct plh_capture;
/* snaplen: bytes of each frame to keep; 0: all. */
struct plh_capture *plh_capture_create(struct plh_world *world, const char *path, uint32_t snaplen);
/*
 * From now on also what this device sends and receives, until the device or the
 * capture goes.  description: of the interface, the kernel's name say, or NULL.
 */
int plh_capture_add_device(struct plh_capture *capture, struct plh_device *device,
			   const char *description);
/*
 * From now on also what crosses this link: two interfaces, one per end.  A frame
 * is written once, when it is sent, on the sender's interface; with a comment if
 * it is "corrupted", a "duplicate", or "dropped: loss", "dropped: queue full",
 * "dropped: no receive buffer" or "dropped: link down".  What is dropped only
 * later, on its way or at its end, is written once more then, on the receiver's
 * interface.  description: of each end, or NULL.
 */
int plh_capture_add_link(struct plh_capture *capture, struct plh_link *link,
			 const char *const description[2]);
/* Write what is buffered; PLH_ERROR if the file is incomplete. */
int plh_capture_flush(struct plh_capture *capture);
/*
 * Statistics of each interface, flush, free.  PLH_ERROR if the file is
 * incomplete; the capture is gone all the same.  The end of a world closes its
 * captures, and the end of the process flushes them.
 */
int plh_capture_close(struct plh_capture *capture);

#ifdef __cplusplus
}
#endif
#endif /* PYLIBOS_HOST_H */
