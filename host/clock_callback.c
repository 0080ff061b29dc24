// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time of the caller's own: an event loop or a simulator says what time it is
 * and lets it pass.
 */
#include <errno.h>

#include "clock.h"
#include "error.h"
#include "kernel.h"

static int callback_open(struct plh_world *world)
{
	if (!world->config.clock) {
		plh_set_error("A world with PLH_CLOCK_CALLBACK needs the function 'clock'.");
		return -EINVAL;
	}
	return 0;
}

static void callback_close(struct plh_world *world)
{
	(void)world;
}

/* Host code must not run on a kernel stack, so each look at the clock is an exit. */
static void callback_machine(struct plh_world *world, struct ll_machine *machine)
{
	(void)world;
	machine->flags |= LL_CLOCK_BY_EXIT;
}

/* A clock that went back would hang timers: hold on to the latest value. */
static uint64_t callback_now(struct plh_world *world)
{
	uint64_t now_ns;

	world->callbacks++;
	now_ns = world->config.clock(world->config.opaque);
	world->callbacks--;
	if (now_ns > world->clock_word)
		world->clock_word = now_ns;
	return world->clock_word;
}

static int callback_pass(struct plh_world *world, struct wait *wait, uint64_t next_ns)
{
	uint32_t depth;

	(void)wait;
	if (!world->config.wait)
		return PLH_PENDING;
	depth = lock_release_all(&world->lock);
	world->config.wait(world->config.opaque, next_ns);
	lock_restore(&world->lock, depth);
	return PLH_OK;
}

static void callback_poll(struct plh_world *world)
{
	(void)world;
}

static void callback_busy(struct plh_world *world, struct plh_kernel *kernel, uint64_t until_ns)
{
	(void)until_ns;
	world_make_runnable(world, kernel);
}

static void callback_notify(struct plh_world *world)
{
	(void)world;
}

const struct clock_kind clock_callback = {
	.shared_wait = false,
	.open = callback_open,
	.close = callback_close,
	.machine = callback_machine,
	.now = callback_now,
	.pass = callback_pass,
	.poll = callback_poll,
	.busy = callback_busy,
	.notify = callback_notify,
	.interrupt = callback_notify,
};
