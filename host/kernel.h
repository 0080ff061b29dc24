/* SPDX-License-Identifier: GPL-2.0-only */
/* One running kernel, as the host side sees it. */
#ifndef PLH_KERNEL_H
#define PLH_KERNEL_H

#include <stddef.h>

#include "arena.h"
#include "heap.h"
#include "loader.h"
#include "log.h"
#include "random.h"
#include "world.h"

#pragma GCC visibility push(hidden)

/* Which list of the world a kernel is on, waiting for its turn. */
enum queued {
	QUEUED_NOT,
	QUEUED_LAST, /* world->unsettled */
	QUEUED_NOW, /* world->runnable */
};

struct plh_kernel {
	/* --- What a call on the fast path reads --- */
	struct ll_machine *machine;
	struct plh_world *world;
	int (*call)(struct ll_task *task);
	bool ready; /* running, booted and not busy: call() is allowed */
	bool busy; /* left by LL_EXIT_BUSY: only enter() is allowed */
	uint8_t queued; /* enum queued */
	bool booted;
	uint64_t calls; /* statistics */
	void *escape[5]; /* __builtin_setjmp(): where a fault leaves to */

	int (*enter)(void);
	int (*boot)(struct ll_machine *machine);
	const struct ll_image *table;
	uint32_t state; /* enum plh_kernel_state */
	bool entered; /* boot() was called */
	bool reporting; /* fault() was called */
	uint32_t spins; /* idle exits in a row with a deadline that has passed */
	uint32_t waits; /* threads that hold on to it, see plh_kernel_halt() */
	uint64_t stacks_used;

	struct plh_kernel *next_queued, **queued_link; /* see queued */
	struct plh_kernel *next, **link; /* world->kernels */
	uint64_t number;
	struct event event; /* its own deadline */

	struct plh_image *image;
	struct loaded loaded;
	struct arena arena;
	struct plh_kernel_config config;
	char *cmdline;
	uint64_t boot_wall_ns;

	struct log_ring log;
	struct random random;
	struct ll_fault fault;
	char last_words[512];

	plh_task *init_task;
	plh_task *host_task; /* makes the host's own calls, such as adding a netdev */
	struct call *calls_known; /* each task that has a struct call */
	struct plh_device *devices;
	uint32_t devices_stalled; /* of them wait for receive buffers */
};

static inline struct plh_kernel *kernel_of_event(struct event *event)
{
	return (struct plh_kernel *)((char *)event - offsetof(struct plh_kernel, event));
}

/* --- entry.c: going in, and serving what the kernel asks for --- */
/*
 * Enter until the kernel leaves with LL_EXIT_IDLE, DONE, BUSY, or dies
 * (LL_EXIT_PANIC, HALT).  task: start its call, or NULL.
 */
int kernel_enter(struct plh_kernel *kernel, struct ll_task *task);
/* The bare call, whose exit may be any: kernel_serve() handles it. */
int entry_call(struct plh_kernel *kernel, struct ll_task *task);
int kernel_serve(struct plh_kernel *kernel, int exit);
/* Hand frames to the devices that the kernel named, and note its deadline. */
void kernel_left(struct plh_kernel *kernel, int exit);

/* --- kernel.c --- */
/* It must not be entered any more: end every wait for it. */
void kernel_die(struct plh_kernel *kernel, enum plh_kernel_state state, const char *words,
		uint64_t bytes);
/* plh_kernel_halt() without the lock's protocol, for a world that ends. */
void kernel_free(struct plh_kernel *kernel);

/* --- call.c --- */
/* LL_EXIT_DONE: find out who waited for the call. */
void call_done(struct plh_kernel *kernel, struct ll_task *task);
/* EVENT_CALL: its deadline has come. */
void call_deadline(struct event *event);
bool call_ended(const struct call *call);
/* The kernel died or goes away. */
void calls_abandon(struct plh_kernel *kernel);
void calls_free(struct plh_kernel *kernel);
/* plh_call() by the host's own task, without a deadline; with the lock. */
int call_by_host(struct plh_kernel *kernel, uint64_t nr, uint64_t a0, uint64_t a1, int64_t *ret);
int call_by_host3(struct plh_kernel *kernel, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		  int64_t *ret);

/* --- faults.c --- */
void faults_install(void);
/* The kernel that this thread is inside of; what the handler looks at. */
extern __thread struct plh_kernel *faults_inside __attribute__((tls_model("initial-exec")));
extern __thread bool faults_stack_ready __attribute__((tls_model("initial-exec")));
/* A handler needs a stack when a kernel stack has overflowed. */
void faults_make_stack(void);

#pragma GCC visibility pop

#endif
