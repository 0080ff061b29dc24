// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run loop: kernels that can run do so, in the order in which they became
 * able to, until none can; then those whose timers are not known yet; then time
 * passes.
 */
#include <sched.h>

#include "call.h"
#include "clock.h"
#include "error.h"
#include "fork.h"
#include "kernel.h"
#include "link.h"

/* Kernel entries between two looks at the wall clock and at other threads. */
#define TURNS_PER_LOOK 32
/* world_settle() gives up on kernels that never become idle. */
#define MAX_SETTLE_TURNS 1024

#define GO_ON (-1) /* no status: the wait is not over */

uint64_t world_now(struct plh_world *world)
{
	return world->clock->now(world);
}

void world_progress(struct plh_world *world)
{
	if (!world->clock->shared_wait)
		world->progress_ns = world->clock_word;
}

/* --- Kernels that can run --- */

static void append(struct plh_kernel ***end, struct plh_kernel *kernel, enum queued queued)
{
	kernel->queued = (uint8_t)queued;
	kernel->next_queued = NULL;
	kernel->queued_link = *end;
	**end = kernel;
	*end = &kernel->next_queued;
}

void world_make_runnable(struct plh_world *world, struct plh_kernel *kernel)
{
	if (kernel->queued == QUEUED_NOW || kernel->state != PLH_KERNEL_RUNNING)
		return;
	world_forget_runnable(world, kernel);
	append(&world->runnable_end, kernel, QUEUED_NOW);
}

void world_settle_later(struct plh_world *world, struct plh_kernel *kernel)
{
	if (kernel->queued == QUEUED_NOT && kernel->state == PLH_KERNEL_RUNNING)
		append(&world->unsettled_end, kernel, QUEUED_LAST);
}

void world_forget_runnable(struct plh_world *world, struct plh_kernel *kernel)
{
	if (kernel->queued == QUEUED_NOT)
		return;
	*kernel->queued_link = kernel->next_queued;
	if (kernel->next_queued)
		kernel->next_queued->queued_link = kernel->queued_link;
	else if (kernel->queued == QUEUED_NOW)
		world->runnable_end = kernel->queued_link;
	else
		world->unsettled_end = kernel->queued_link;
	kernel->queued = QUEUED_NOT;
}

/* The kernel whose turn it is; NULL if all are idle. */
static struct plh_kernel *next_kernel(struct plh_world *world)
{
	/* Those that are never idle must not keep the others waiting for ever. */
	if (world->unsettled && (!world->runnable || world->turns % TURNS_PER_LOOK == 0))
		return world->unsettled;
	return world->runnable;
}

/* --- Is it over? --- */

static int wait_status(struct plh_world *world, const struct wait *wait)
{
	const struct plh_kernel *kernel = wait->kernel;

	if (wait == world->server && __atomic_load_n(&world->serve_stop, __ATOMIC_RELAXED))
		return PLH_OK;
	if (wait->call && call_ended(wait->call))
		return PLH_OK;
	if (kernel && kernel->state != PLH_KERNEL_RUNNING)
		return PLH_DEAD;
	if (kernel && !wait->call && kernel->booted)
		return PLH_OK;
	if (wait->stop_on_done && world->done)
		return PLH_OK;
	return wait->interrupted ? PLH_SIGNAL : GO_ON;
}

/* Let a kernel run until it is idle or what we wait for has happened. */
static void run(struct plh_world *world, struct plh_kernel *kernel, const struct wait *wait)
{
	int exit;

	world->turns++;
	world->worked = true;
	world_forget_runnable(world, kernel);
	do {
		exit = kernel_enter(kernel, NULL);
		if (exit == LL_EXIT_DONE)
			call_done(kernel, kernel->machine->done);
	} while (exit == LL_EXIT_DONE && (!wait || wait_status(world, wait) == GO_ON));
	kernel_left(kernel, exit);
	/* Not idle yet: timers may have been set that only idling shows. */
	if (exit == LL_EXIT_DONE)
		world_settle_later(world, kernel);
}

/* --- Events --- */

static bool fire_due(struct plh_world *world)
{
	uint64_t next_ns = heap_first_ns(&world->heap);
	uint64_t now_ns;
	bool fired = false;

	if (next_ns == LL_NEVER)
		return false;
	now_ns = world_now(world);
	for (; next_ns <= now_ns; next_ns = heap_first_ns(&world->heap)) {
		struct event *event = heap_first(&world->heap);

		/* A call may end at the very moment of its deadline: let it. */
		if (event->kind == EVENT_CALL && fired)
			break;
		heap_set(&world->heap, event, LL_NEVER);
		if (event->kind == EVENT_LINK)
			link_due(event, now_ns);
		else if (event->kind == EVENT_DEVICE)
			device_timer_due(event, now_ns);
		else if (event->kind == EVENT_CALL)
			call_deadline(event);
		else
			world_make_runnable(world, kernel_of_event(event));
		fired = true;
	}
	return fired;
}

/* plh_world_wake() was called; one who serves passes it on. */
static int take_wake(struct plh_world *world, struct wait *wait)
{
	struct wait *other = world->waits;

	if (!__atomic_load_n(&world->wake, __ATOMIC_RELAXED))
		return GO_ON;
	if (wait != world->server)
		return __atomic_exchange_n(&world->wake, 0, __ATOMIC_ACQUIRE) ? PLH_SIGNAL : GO_ON;
	if (other == wait)
		other = other->next;
	/* Nobody else: the next one that will wait finds it. */
	if (other && __atomic_exchange_n(&world->wake, 0, __ATOMIC_ACQUIRE)) {
		other->interrupted = true;
		wait_wake(other);
	}
	return GO_ON;
}

/* Wall time: a wait that is over soon never asks for it. */
static void set_wall(struct plh_world *world, struct wait *wait)
{
	bool sliced = world->slice_ns && wait != world->server;
	uint64_t now_ns;

	wait->wall_set = true;
	if (!wait->budget_ns && !sliced)
		return;
	now_ns = clock_monotonic_ns(NULL);
	if (wait->budget_ns) {
		wait->wall_ns = now_ns + wait->budget_ns;
		wait->wall_status = PLH_PENDING;
	}
	if (sliced && (!wait->budget_ns || world->slice_ns < wait->budget_ns)) {
		wait->wall_ns = now_ns + world->slice_ns;
		wait->wall_status = PLH_SIGNAL;
	}
}

static int wall_status(struct plh_world *world, struct wait *wait)
{
	if (!wait->wall_set)
		set_wall(world, wait);
	else if (wait->wall_ns != LL_NEVER && clock_monotonic_ns(NULL) >= wait->wall_ns)
		return wait->wall_status;
	return GO_ON;
}

static int look_around(struct plh_world *world, struct wait *wait)
{
	int status;

	if (world->watched || world->pollers)
		world->clock->poll(world);
	world_breathe(world);
	status = take_wake(world, wait);
	if (status != GO_ON)
		return status;
	return wall_status(world, wait);
}

static int lead(struct plh_world *world, struct wait *wait)
{
	int status;

	for (uint32_t turn = 1;; turn++) {
		struct plh_kernel *kernel;

		status = wait_status(world, wait);
		if (status != GO_ON)
			return status;
		if (world->server && world->server != wait)
			return GO_ON; /* it leads instead */
		if (turn % TURNS_PER_LOOK == 0) {
			status = look_around(world, wait);
			if (status != GO_ON)
				return status;
		}
		kernel = next_kernel(world);
		if (kernel) {
			run(world, kernel, wait);
			continue;
		}
		if (fire_due(world))
			continue;
		if (wait->until_ns != LL_NEVER && world_now(world) >= wait->until_ns)
			return PLH_OK;
		status = take_wake(world, wait);
		if (status != GO_ON)
			return status;
		status = heap_first_ns(&world->heap) < wait->until_ns ?
				 world->clock->pass(world, wait, heap_first_ns(&world->heap)) :
				 world->clock->pass(world, wait, wait->until_ns);
		if (status != PLH_OK)
			return status;
		if (!world->clock->jumps) {
			status = wall_status(world, wait);
			if (status != GO_ON)
				return status;
		}
	}
}

int world_wait(struct plh_world *world, struct wait *wait)
{
	int status = GO_ON;

	if (world->leader && !world->clock->shared_wait) {
		plh_set_error("Another thread waits in this world, whose time only one can move: "
			      "wait "
			      "with one thread, or give each its own world.");
		return PLH_BUSY;
	}
	world->fast_calls = 0;
	wait->wall_ns = LL_NEVER;
	wait->wall_set = false;
	/* Where time passes by itself the host may sleep, and must know how long. */
	if (!world->clock->jumps)
		set_wall(world, wait);
	wait_add(world, wait);
	while (status == GO_ON) {
		status = wait_status(world, wait);
		if (status != GO_ON)
			break;
		if (!world->leader && (!world->server || world->server == wait)) {
			world->leader = wait;
			status = lead(world, wait);
			if (status == GO_ON) {
				world->leader = NULL;
				wait_wake(world->server);
			}
		} else if (world->server && take_wake(world, wait) == PLH_SIGNAL) {
			status = PLH_SIGNAL;
		} else if (wait_follow(world, wait) == PLH_SIGNAL) {
			status = PLH_SIGNAL;
		} else if (wait->until_ns != LL_NEVER && world_now(world) >= wait->until_ns) {
			status = PLH_OK;
		} else {
			status = wall_status(world, wait);
		}
	}
	wait_remove(world, wait);
	return status;
}

void world_settle(struct plh_world *world)
{
	world->fast_calls = 0;
	if (world->watched || world->pollers)
		world->clock->poll(world);
	/* Not for ever: a kernel that never idles must not keep its caller. */
	for (uint32_t turn = 0; turn < MAX_SETTLE_TURNS; turn++) {
		struct plh_kernel *kernel = next_kernel(world);

		if (kernel)
			run(world, kernel, NULL);
		else if (!fire_due(world))
			break;
	}
}

void world_after_fast_calls(struct plh_world *world, struct plh_kernel *kernel)
{
	const struct ll_machine *machine = kernel->machine;
	uint64_t next_ns = heap_first_ns(&world->heap);

	/*
	 * A kernel lets its own timers in now and then.  If it is the only one
	 * that waits for its turn, and only to tell its deadline, it can wait on.
	 */
	world->fast_calls = 0;
	kernel->waits++; /* it must not be halted under our feet */
	world_breathe(world);
	kernel->waits--;
	if (kernel->state != PLH_KERNEL_RUNNING)
		return;
	if (!world->watched && !world->pollers && !world->runnable &&
	    (!world->unsettled || (world->unsettled == kernel && !kernel->next_queued)) &&
	    kernel->ready && !machine->work_pending && !machine->submitted && !machine->rx_kicks &&
	    (next_ns == LL_NEVER || next_ns > world_now(world)))
		return;
	world_settle(world);
}

/* --- Going in and out --- */

int world_begin(struct plh_world *world)
{
	if (world->generation != fork_generation) {
		plh_set_error("This process was forked from the one that runs this world: make a "
			      "world of its own after fork().");
		return PLH_FORKED;
	}
	if (world->callbacks && lock_is_mine(&world->lock)) {
		plh_set_error("A callback (log, random, memory or transmit) must not run kernels: "
			      "take a note and do it after the call has returned.");
		return PLH_BUSY;
	}
	world_lock(world);
	return PLH_OK;
}

void world_breathe(struct plh_world *world)
{
	uint32_t depth;

	if (!__atomic_load_n(&world->lock.contenders, __ATOMIC_RELAXED))
		return;
	depth = lock_release_all(&world->lock);
	/* A mutex is not fair: the thread that was woken needs time to take it. */
	for (int i = 0; i < 100 && __atomic_load_n(&world->lock.contenders, __ATOMIC_RELAXED); i++)
		sched_yield();
	lock_restore(&world->lock, depth);
}

void world_end(struct plh_world *world)
{
	/* Those whom the earliest event is of use to, outside of us. */
	if (world->lock.depth == 1 && (world->leader_sleeps || world->fd_used))
		world->clock->notify(world);
	world_unlock(world);
}

/* --- API --- */

uint64_t plh_world_now_ns(struct plh_world *world)
{
	uint64_t now_ns;

	world_lock(world);
	now_ns = world_now(world);
	world_unlock(world);
	return now_ns;
}

uint64_t plh_world_next_ns(struct plh_world *world)
{
	uint64_t next_ns;

	world_lock(world);
	next_ns = next_kernel(world) ? world_now(world) : heap_first_ns(&world->heap);
	world_unlock(world);
	return next_ns;
}

int plh_world_run(struct plh_world *world, uint64_t until_ns, uint64_t budget_ns, int stop_on_done)
{
	struct wait wait = {
		.until_ns = until_ns,
		.budget_ns = budget_ns,
		.stop_on_done = stop_on_done,
	};
	int status = world_begin(world);

	if (status)
		return status;
	world_progress(world);
	world->clock->poll(world);
	status = world_wait(world, &wait);
	world_end(world);
	return status;
}

void plh_world_set_slice(struct plh_world *world, uint64_t wall_ns)
{
	world_lock(world);
	world->slice_ns = wall_ns;
	world_unlock(world);
}

void plh_world_wake(struct plh_world *world)
{
	__atomic_store_n(&world->wake, 1, __ATOMIC_RELEASE);
	world->clock->interrupt(world);
}
