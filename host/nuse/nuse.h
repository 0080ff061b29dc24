/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of a server and what they know of each other.
 *
 *   hash.c        tables
 *   server.c      the loop: notifications, calls that end, descriptors, time
 *   request.c     one call of a program, from its notification to its answer
 *   calls.c       which system call goes where
 *   program.c     processes and threads of programs, and their tasks in the kernel
 *   object.c      descriptors of the stack and their placeholders in programs
 *   memory.c      the memory of programs
 *   path.c        which paths lead into the stack;  tree.c  its folders
 *   filter.c      the seccomp filter;  gate.c  how to go round it;  exec.c  both at work
 *   epoll*.c      epolls of programs and their part on the stack
 *   waiting.c     waiting for descriptors of host and stack, time and signals
 *   call_*.c      what is special about groups of system calls
 */
#ifndef NUSE_H
#define NUSE_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "pylibos_nuse.h"

#pragma GCC visibility push(hidden)

/* --- Small tables --- */

struct node {
	struct node *next;
	uint64_t key;
};
struct table {
	struct node **heads;
	uint32_t size, used; /* size is a power of two */
};
int table_init(struct table *table);
void table_free(struct table *table);
struct node *table_find(const struct table *table, uint64_t key);
void table_add(struct table *table, struct node *node, uint64_t key);
void table_remove(struct table *table, struct node *node);
/* Calls fn for each node, which it may remove. */
void table_each(struct table *table, void (*fn)(struct node *node, void *opaque), void *opaque);

/* --- What the loop waits for: the first member of what it belongs to --- */

struct watch {
	void (*ready)(struct plh_nuse *nuse, struct watch *watch, uint32_t events);
	int fd; /* -1: not watched */
	struct watch *next_dead; /* to be freed after the events at hand */
};
int watch_add(struct plh_nuse *nuse, struct watch *watch, int fd, uint32_t events);
void watch_remove(struct plh_nuse *nuse, struct watch *watch);
/* free() it when no event at hand can name it. */
void watch_free(struct plh_nuse *nuse, struct watch *watch);

/* --- Programs --- */

struct listener {
	struct watch watch;
	struct listener *next, **link;
};

/* A task of the kernel that makes calls for programs. */
struct worker {
	struct worker *next; /* free ones of a program */
	plh_task *task;
	struct program *program; /* NULL: of the server's own, with local memory */
	struct request *request; /* whose call it makes, or NULL */
};

struct program {
	struct watch watch; /* a pidfd */
	struct node node; /* nuse->programs, by tgid */
	struct nuse_thread *threads;
	struct worker *leader; /* whose thread group the others are in */
	struct worker *idle;
	pid_t tgid;
	uint32_t uid, gid; /* effective, on the host */
	uint32_t workers;
	bool stale; /* it may have changed its user: look before the next call */
	bool gone;
	bool noticed; /* it was told that 32-bit calls are refused */
	bool own_network; /* it, or who started it, left the namespace of the stack */
};

struct nuse_thread {
	struct watch watch; /* a pidfd of the thread, where the host can */
	struct node node; /* nuse->threads, by tid */
	struct nuse_thread *next; /* of the program */
	struct program *program;
	struct request *request; /* its call that has not been answered */
	struct request *parked; /* one that keeps, while a handler may run */
	uint32_t parked_calls; /* made since */
	/* A result that could not be delivered, since a signal came first. */
	struct seccomp_data unheard;
	int64_t unheard_ret;
	uint32_t unheard_calls; /* made since */
	bool has_unheard;
	pid_t tid;
	int fd_folder; /* /proc/TID/fd */
};

/* The thread's, made if it is new; NULL if it is gone already or memory is short. */
struct nuse_thread *thread_of(struct plh_nuse *nuse, pid_t tid);
/* A free task of the program's; NULL and errno. */
struct worker *worker_of(struct plh_nuse *nuse, struct program *program);
/* Process id in the kernel; 0 if it cannot be made a process there. */
int program_stack_pid(struct plh_nuse *nuse, struct program *program);
/* One with the server's own memory. */
struct worker *worker_local(struct plh_nuse *nuse);
/* It makes no call any more. */
void worker_put(struct plh_nuse *nuse, struct worker *worker);
void programs_free(struct plh_nuse *nuse);
/* A call by the program's leader, with the server's memory, that does not block. */
int64_t program_call(struct plh_nuse *nuse, struct program *program, uint64_t nr, uint64_t a0,
		     uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
/* Its leader enters a network namespace by this call; the others follow. */
int64_t program_change_network(struct plh_nuse *nuse, struct program *program, uint64_t nr,
			       uint64_t a0, uint64_t a1);
/* A call by the server itself that does not block; result or -errno. */
int64_t stack_call(struct plh_nuse *nuse, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		   uint64_t a3, uint64_t a4, uint64_t a5);

/* --- Descriptors of the stack --- */

enum object_kind {
	OBJECT_SOCKET,
	OBJECT_FILE, /* of /proc and /sys, or a device */
	OBJECT_EPOLL,
};

/*
 * An open file of the stack.  In programs a placeholder stands for it: one end of a
 * pair of UNIX sockets, whose inode says which object it is, however it was
 * duplicated, inherited or passed on.  The other end hangs up when the last is closed.
 */
struct object {
	struct watch watch; /* the server's end of the pair */
	struct node node; /* nuse->objects, by the inode of the program's end */
	enum object_kind kind;
	int stack_fd;
	bool nonblock; /* as its programs see it */
	bool listening; /* the stack's own is non-blocking then */
	bool silent; /* the placeholder polls neither readable nor writable */
	struct object *accepted; /* connections whose program was interrupted */
	struct object *next_accepted;
	int spare; /* program's end, while no program has it; else -1 */
	uint32_t holders; /* requests in flight */
	bool closed; /* by all programs; it lasts as long as it is held */
	struct epoll_entry *registered; /* in epolls */
};

/*
 * What a program's descriptor stands for: NULL if it is one of the host's, or none
 * (then it is the host's kernel that says so).
 */
struct object *object_of(struct plh_nuse *nuse, struct nuse_thread *thread, int fd);
enum fd_kind {
	FD_HOST, /* or none */
	FD_OBJECT, /* which goes to *object */
	FD_EPOLL, /* of the host, that may have a part on the stack */
};
enum fd_kind fd_kind(struct plh_nuse *nuse, struct nuse_thread *thread, int fd,
		     struct object **object);
/* For an open descriptor of the kernel, closed if that fails; NULL and errno. */
struct object *object_create(struct plh_nuse *nuse, enum object_kind kind, int stack_fd,
			     bool nonblock);
void object_free(struct plh_nuse *nuse, struct object *object);
/* A request that held it goes. */
void object_release(struct plh_nuse *nuse, struct object *object);
/* Notice placeholders whose last copy was closed before now. */
void objects_reap(struct plh_nuse *nuse);
void objects_free(struct plh_nuse *nuse);

/* --- Requests --- */

struct request {
	struct listener *listener;
	struct nuse_thread *thread;
	struct seccomp_data data; /* number and arguments */
	uint64_t id; /* of the notification */
	struct worker *worker; /* that makes a call for it, or NULL */
	/* Goes on when the worker's call has ended; calls one of the functions below. */
	void (*done)(struct plh_nuse *nuse, struct request *request, int64_t ret);
	/* Called once when the request goes, answered or not; may be NULL. */
	void (*cleanup)(struct plh_nuse *nuse, struct request *request);
	void *state; /* of the handler; freed with the request */
	struct object *object; /* of its first argument, see request_hold(); may be NULL */
	uint64_t args[6]; /* for the stack, as far as they were translated */
	uint32_t rounds; /* waits that ended without what was waited for */
	uint64_t deadline_ns; /* on CLOCK_MONOTONIC; LL_NEVER */
	bool abandoned; /* its program is gone or does something else */
	/* As poll(2): a signal always ends it; the same call again learns that with EINTR. */
	bool eintr;
	/*
	 * As write(2): what it has begun goes on when a signal takes its program away.  The
	 * handler may make calls before the program makes this one again.
	 */
	bool keeps;
};

/* So many of them, each inside of the one before, are one too many. */
#define WAIT_ROUNDS 16

typedef void (*handler_fn)(struct plh_nuse *nuse, struct request *request);

/* Make a call on a task of the program; done() is called at once or later. */
void request_call(struct plh_nuse *nuse, struct request *request, uint64_t nr,
		  const uint64_t args[6],
		  void (*done)(struct plh_nuse *nuse, struct request *request, int64_t ret));
/* The same with the server's own memory. */
void request_call_local(struct plh_nuse *nuse, struct request *request, uint64_t nr,
			const uint64_t args[6],
			void (*done)(struct plh_nuse *nuse, struct request *request, int64_t ret));
/* Its object (or NULL), which stays open on the stack until the request goes. */
void request_hold(struct request *request, struct object *object);
/* Is its program still waiting for the answer? */
bool request_valid(struct plh_nuse *nuse, const struct request *request);
/* The answers; each frees the request. */
void request_answer(struct plh_nuse *nuse, struct request *request, int64_t ret);
/* Like that, but never for the same call again; was it there to hear it? */
bool request_answer_once(struct plh_nuse *nuse, struct request *request, int64_t ret);
/* The host's kernel makes the call. */
void request_pass(struct plh_nuse *nuse, struct request *request);
/* Neither can: said by name. */
void request_refuse(struct plh_nuse *nuse, struct request *request, int error, const char *why);
/*
 * A new descriptor for the program (of the host, closed here) as the answer; the
 * request is gone afterwards.  0 or -errno: ENOENT if nobody waits for it any more.
 */
int request_answer_fd(struct plh_nuse *nuse, struct request *request, int fd, bool cloexec);
/* A new object of the stack as the answer; it is freed if nobody takes it. */
void request_answer_object(struct plh_nuse *nuse, struct request *request, struct object *object,
			   bool cloexec);
/* End the call that its worker makes; done() is not called. */
void request_stop(struct plh_nuse *nuse, struct request *request);
/* Nobody waits for it: end its call, and forget it. */
void request_abandon(struct plh_nuse *nuse, struct request *request);
void serve_notification(struct plh_nuse *nuse, struct listener *listener,
			const struct seccomp_notif *notif);
/* The worker's call has ended. */
void request_ended(struct plh_nuse *nuse, struct worker *worker, int64_t ret);

/* --- The memory of programs --- */

/* Bytes not copied, as LL_EXIT_COPY; opaque is the worker. */
uint64_t memory_copy(void *opaque, void *local, uint64_t remote, uint64_t bytes, int to_program);
/* 0 or -EFAULT */
int memory_read(const struct request *request, void *local, uint64_t remote, uint64_t bytes);
int memory_write(const struct request *request, uint64_t remote, const void *local, uint64_t bytes);
/* A string with its NUL: its length, -EFAULT, -ENAMETOOLONG. */
ssize_t memory_read_text(const struct request *request, char *text, uint64_t remote, size_t bytes);

/* --- Paths --- */

enum place {
	PLACE_HOST,
	PLACE_STACK, /* path is the one to open there */
	PLACE_REDIRECT, /* plh_nuse_redirect(): see redirect_text() */
};
/* What a path of the program means; only text is looked at. */
enum place path_of(struct plh_nuse *nuse, struct request *request, int dirfd, uint64_t remote,
		   char *path);
const char *redirect_text(const struct plh_nuse *nuse, const char *path, size_t *bytes);
void redirects_free(struct plh_nuse *nuse);
/* A descriptor of a folder that shows the stack's names; -errno. */
int tree_open(struct plh_nuse *nuse, struct program *program, int stack_fd, const char *path);
void tree_free(struct plh_nuse *nuse);

/* --- System calls --- */

struct nuse_call {
	const char *name;
	handler_fn serve;
	uint32_t number;
	uint32_t flags; /* not 0: only with one of these in the first argument */
};
/* Never NULL: what is none of ours is refused. */
const struct nuse_call *call_of(const struct seccomp_data *data);
/* All of them, for the filter; those used most first. */
extern const struct nuse_call nuse_calls[];
extern const uint32_t nuse_call_count;

void call_socket(struct plh_nuse *nuse, struct request *request);
void call_socketpair(struct plh_nuse *nuse, struct request *request);
void call_accept(struct plh_nuse *nuse, struct request *request);
void call_listen(struct plh_nuse *nuse, struct request *request);
/* The first argument is a descriptor: made on the stack if it is the stack's. */
void call_on_object(struct plh_nuse *nuse, struct request *request);
/* Like that, but waits as recv(2) does without taking anything from the stack. */
void call_receive(struct plh_nuse *nuse, struct request *request);
void call_send(struct plh_nuse *nuse, struct request *request);
/* The answer of a call that sends: with -EPIPE comes SIGPIPE, unless it was not wanted. */
void answer_sent(struct plh_nuse *nuse, struct request *request, int64_t ret);
void call_sendfile(struct plh_nuse *nuse, struct request *request);
void call_splice(struct plh_nuse *nuse, struct request *request);
/* SO_RCVTIMEO or SO_SNDTIMEO of a socket; -1: for ever. */
int object_timeout_ms(struct plh_nuse *nuse, const struct object *object, int option);
/*
 * Wait until the request's object has events (poll(2)), at most as long as its option
 * (SO_RCVTIMEO, SO_SNDTIMEO) says, then go on if the program still waits.
 */
void wait_for_object(struct plh_nuse *nuse, struct request *request, short events, int option,
		     void (*again)(struct plh_nuse *nuse, struct request *request));
/* poll, ppoll, select, pselect6 */
void call_poll(struct plh_nuse *nuse, struct request *request);
void call_select(struct plh_nuse *nuse, struct request *request);
void call_epoll_ctl(struct plh_nuse *nuse, struct request *request);
/* epoll_wait, epoll_pwait, epoll_pwait2 */
void call_epoll_wait(struct plh_nuse *nuse, struct request *request);
void call_fcntl(struct plh_nuse *nuse, struct request *request);
void call_ioctl(struct plh_nuse *nuse, struct request *request);
void call_open(struct plh_nuse *nuse, struct request *request);
/* stat, access, readlink and their relatives. */
void call_path(struct plh_nuse *nuse, struct request *request);
/* mkdir, unlink, rmdir: of the names of network namespaces. */
void call_change_path(struct plh_nuse *nuse, struct request *request);
void call_mount(struct plh_nuse *nuse, struct request *request);
void call_unshare(struct plh_nuse *nuse, struct request *request);
void call_setns(struct plh_nuse *nuse, struct request *request);
void call_clone(struct plh_nuse *nuse, struct request *request);
void call_identity(struct plh_nuse *nuse, struct request *request);
void call_io_uring(struct plh_nuse *nuse, struct request *request);
void call_foreign(struct plh_nuse *nuse, struct request *request);

/* --- The gate: system calls of ours that no filter sees --- */

#define GATE_ADDRESS 0x6e757365000ull
#define GATE_BYTES   4096ull
/* 0 or -errno */
int gate_open(void);
/* Result or -errno of the host's kernel; after gate_open(). */
int64_t gate_call(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		  uint64_t a5);
/* Install the filter for this thread: the listener, or -errno. */
int filter_install(void);

/* --- The server --- */

struct plh_nuse {
	struct plh_kernel *kernel;
	struct plh_world *world;
	struct plh_nuse_config config;
	int epoll_fd;
	int hangup_fd; /* epoll of the placeholders' other ends */
	struct watch world_watch, hangup_watch, wake_watch;
	struct watch *dead;
	struct listener *listeners;
	struct table programs, threads, objects;
	struct table epolls, epoll_names;
	int scratch[2]; /* a pipe, of call_transfer.c */
	int epolls_fd; /* an epoll of the epolls: those that programs still have open */
	uint32_t epolls_kept; /* of them when it was last looked */
	bool epolls_stale; /* some may have been closed */
	struct worker root; /* the task that all others are made from */
	struct worker *idle_local;
	struct seccomp_notif *notif; /* as large as the host's kernel wants */
	size_t notif_bytes;
	struct redirect *redirects;
	char tree[32]; /* the folder of tree.c, or "" */
	struct plh_nuse_stats stats;
	bool woken;
};

void log_refused(struct plh_nuse *nuse, const struct request *request, const char *why);
void trace_answer(struct plh_nuse *nuse, const struct request *request, const char *target,
		  int64_t ret);

#pragma GCC visibility pop

#endif
