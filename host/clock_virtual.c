// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual time: the clock stands still while kernels run and then jumps to the
 * earliest event.  So a run is a pure function of its inputs, and an hour of
 * sleep costs nothing.
 */
#include "clock.h"
#include "error.h"
#include "kernel.h"

#define DEFAULT_DEADLOCK_NS (24 * 3600 * NS_PER_S)
#define YEAR_2000_NS	    (946684800 * NS_PER_S)
/* Busy exits in a row that do not ask for time before it passes all the same. */
#define MAX_SPINS 1000

static int virtual_open(struct plh_world *world)
{
	/* TCP takes a time stamp of 0 for none, and complains of connections made then. */
	if (!world->config.start_ns)
		world->config.start_ns = NS_PER_S;
	world->clock_word = world->config.start_ns;
	if (!world->config.realtime_offset_ns)
		world->config.realtime_offset_ns = YEAR_2000_NS - world->config.start_ns;
	if (!world->config.deadlock_ns)
		world->config.deadlock_ns = DEFAULT_DEADLOCK_NS;
	return 0;
}

static void virtual_close(struct plh_world *world)
{
	(void)world;
}

static void virtual_machine(struct plh_world *world, struct ll_machine *machine)
{
	machine->flags |= LL_CLOCK_VIRTUAL;
	machine->clock_word = &world->clock_word;
}

static uint64_t virtual_now(struct plh_world *world)
{
	return world->clock_word;
}

/* The earliest event that is more than a kernel's own timer. */
static uint64_t next_outside_ns(const struct plh_world *world)
{
	uint64_t next_ns = LL_NEVER;

	for (uint32_t i = 0; i < world->heap.count; i++) {
		const struct heap_entry *entry = &world->heap.entries[i];

		if (entry->event->kind != EVENT_KERNEL && entry->time_ns < next_ns)
			next_ns = entry->time_ns;
	}
	return next_ns;
}

static int virtual_pass(struct plh_world *world, struct wait *wait, uint64_t next_ns)
{
	const struct event *first = heap_first(&world->heap);

	if (first && first->kind == EVENT_KERNEL && first->time_ns <= wait->until_ns &&
	    first->time_ns - world->progress_ns > world->config.deadlock_ns) {
		/* Only housekeeping for long: go on with what is more than that. */
		next_ns = next_outside_ns(world);
		if (next_ns > wait->until_ns)
			next_ns = wait->until_ns;
	}
	if (next_ns == LL_NEVER) {
		plh_set_error("Nothing can happen any more at %llu ns: every task waits for "
			      "something that no timer, link or device will bring.",
			      (unsigned long long)world->clock_word);
		return PLH_DEADLOCK;
	}
	if (next_ns > world->clock_word)
		world->clock_word = next_ns;
	return PLH_OK;
}

static void virtual_poll(struct plh_world *world)
{
	(void)world;
}

static void virtual_busy(struct plh_world *world, struct plh_kernel *kernel, uint64_t until_ns)
{
	if (until_ns > world->clock_word) {
		kernel->spins = 0;
		heap_set(&world->heap, &kernel->event, until_ns);
		return;
	}
	/* It has much to do; but one that waits for its clock must get there. */
	if (++kernel->spins < MAX_SPINS) {
		world_make_runnable(world, kernel);
		return;
	}
	kernel->spins = 0;
	heap_set(&world->heap, &kernel->event, world->clock_word + 1);
}

static void virtual_notify(struct plh_world *world)
{
	(void)world;
}

const struct clock_kind clock_virtual = {
	.shared_wait = false,
	.jumps = true,
	.open = virtual_open,
	.close = virtual_close,
	.machine = virtual_machine,
	.now = virtual_now,
	.pass = virtual_pass,
	.poll = virtual_poll,
	.busy = virtual_busy,
	.notify = virtual_notify,
	.interrupt = virtual_notify,
};
