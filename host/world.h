/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A world: one clock, the kernels and links that live by it, and the lock that
 * lets one thread in at a time.
 */
#ifndef PLH_WORLD_H
#define PLH_WORLD_H

#include <stdbool.h>

#include "heap.h"
#include "lock.h"
#include "pylibos_host.h"

#pragma GCC visibility push(hidden)

struct call;
struct link_frame;

/* Lists of frames that links do not need now, by size. */
#define LINK_FRAME_SIZES 3
struct clock_kind;

/* Calls in a row that may take the fast path before the rest of the world runs. */
#define WORLD_FAST_CALLS 64

/* What a thread waits for; whichever comes first. */
struct wait {
	struct wait *next;
	struct call *call; /* its end, or NULL */
	struct plh_kernel *kernel; /* its death (or the end of its boot), or NULL */
	uint64_t until_ns; /* the world's clock */
	uint64_t budget_ns; /* of wall time, or 0: ends it with PLH_PENDING */
	uint64_t wall_ns; /* CLOCK_MONOTONIC, or LL_NEVER; once wall_set */
	int wall_status; /* what wall_ns ends the wait with */
	bool wall_set;
	bool stop_on_done;
	bool interrupted; /* plh_world_wake() meant this one, who does not lead */
	uint32_t futex; /* 1: look again, see wait.c */
};

struct plh_world {
	/* The virtual clock, which kernels read as it stands (ll_machine.clock_word). */
	uint64_t clock_word __attribute__((aligned(64)));

	struct lock lock;
	uint32_t callbacks; /* how many of the caller's functions are running now */

	uint32_t generation; /* of the process, see fork.h */
	uint32_t fast_calls; /* since the world ran last */
	const struct clock_kind *clock;
	struct plh_world_config config;

	/* --- What will run --- */
	struct heap heap;
	struct plh_kernel *runnable, **runnable_end; /* in the order they became so */
	/*
	 * Kernels that have ended a call and may have set timers, which only idling
	 * shows: they run when no other can, before time passes.
	 */
	struct plh_kernel *unsettled, **unsettled_end;
	uint32_t turns; /* entries by the run loop, counts freely */
	struct plh_kernel *kernels, **kernels_end; /* in the order of their boot */
	struct plh_link *links;
	struct link_frame *frames[LINK_FRAME_SIZES];
	struct plh_capture *captures;
	uint64_t kernel_number, link_number, call_number, timer_number; /* the next one's */
	uint64_t progress_ns; /* when a call ended or a frame moved */

	/* --- Calls that ended and were not waited for, oldest first --- */
	struct call *done, **done_end;

	/* --- Threads that wait --- */
	struct wait *waits; /* all of them */
	struct wait *leader; /* the one that runs kernels and moves the clock */
	struct wait *server; /* the one that leads whenever it can: plh_world_serve() */
	uint32_t serve_stop; /* plh_world_serve_stop() was called; atomic */
	bool leader_sleeps; /* it does not hold the lock */
	uint64_t leader_until_ns;
	uint32_t wake; /* plh_world_wake() was called; atomic */
	uint64_t slice_ns; /* see plh_world_set_slice() */

	/* --- Real time only, else -1 --- */
	int epoll_fd;
	int event_fd; /* interrupts the leader */
	int timer_fd; /* makes epoll_fd readable at the next deadline */
	uint64_t timer_ns; /* what timer_fd is set to */
	bool fd_used; /* plh_world_fd() was called: keep timer_fd right */
	uint32_t watched; /* devices in epoll_fd */
	uint32_t watched_pollers; /* of them have a poll() */
	uint32_t blind_pollers; /* devices with a poll() and without a descriptor */
	struct plh_device *pollers; /* devices with a poll() */
	bool worked; /* a kernel ran since spin_until_ns was set */
	uint64_t spin_until_ns; /* PLH_WAIT_ADAPTIVE: sleep from then on */
	uint32_t devices_removed; /* counts: what epoll reported may be gone */
};

static inline void world_lock(struct plh_world *world)
{
	lock_take(&world->lock);
}

static inline void world_unlock(struct plh_world *world)
{
	lock_put(&world->lock);
}

/* --- world.c: going in and out --- */
/* Does a thread want in? */
static inline bool world_is_wanted(const struct plh_world *world)
{
	return __atomic_load_n(&world->lock.contenders, __ATOMIC_RELAXED);
}
/* Let a thread in that wants in; for long runs. */
void world_breathe(struct plh_world *world);
/*
 * Lock in order to run kernels: PLH_OK, PLH_FORKED, or PLH_BUSY in a callback
 * that runs inside this very world.  Not locked unless PLH_OK.
 */
int world_begin(struct plh_world *world);
/* After running kernels: unlock, and tell who sleeps what has changed. */
void world_end(struct plh_world *world);

/* --- world.c: the run loop --- */
/*
 * Run kernels and let time pass until the wait is over; called with the lock,
 * which is released while the host sleeps.
 */
int world_wait(struct plh_world *world, struct wait *wait);
/* Run everything that can run now; time does not pass. */
void world_settle(struct plh_world *world);
/* The same after WORLD_FAST_CALLS calls of a kernel, which is likely to be alone. */
void world_after_fast_calls(struct plh_world *world, struct plh_kernel *kernel);
void world_make_runnable(struct plh_world *world, struct plh_kernel *kernel);
/* It has nothing to do but to tell when it has. */
void world_settle_later(struct plh_world *world, struct plh_kernel *kernel);
void world_forget_runnable(struct plh_world *world, struct plh_kernel *kernel);
/* Something happened that shows that the world is not deadlocked. */
void world_progress(struct plh_world *world);
uint64_t world_now(struct plh_world *world);

/* --- link_queue.c --- */
void world_free_frames(struct plh_world *world);

/* --- wait.c: threads that wait for the one that leads --- */
int wait_follow(struct plh_world *world, struct wait *wait);
void wait_add(struct plh_world *world, struct wait *wait);
void wait_remove(struct plh_world *world, struct wait *wait);
void wait_wake(struct wait *wait);
/* Wake those that wait for this kernel, or for any call if it is NULL. */
void wait_wake_kernel(struct plh_world *world, const struct plh_kernel *kernel);

#pragma GCC visibility pop

#endif
