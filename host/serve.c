// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread that does nothing but run a real-time world.  It leads whenever it can,
 * so that the world stays on its processor; whoever else waits follows.
 */
#include "clock.h"
#include "error.h"

int plh_world_serve(struct plh_world *world)
{
	int status = world_begin(world);

	if (status)
		return status;
	if (!world->clock->shared_wait) {
		plh_set_error("Only a world with a real-time clock can be served by a thread: the "
			      "time of another is moved by whoever waits in it.");
		status = PLH_ERROR;
	} else if (world->server) {
		plh_set_error("Another thread serves this world already.");
		status = PLH_BUSY;
	}
	if (status) {
		world_unlock(world);
		return status;
	}
	do {
		struct wait wait = { .until_ns = LL_NEVER };

		world->server = &wait;
		if (world->leader_sleeps)
			world->clock->interrupt(world);
		status = world_wait(world, &wait);
	} while (status == PLH_SIGNAL);
	__atomic_store_n(&world->serve_stop, 0, __ATOMIC_RELAXED);
	world_end(world);
	return status;
}

void plh_world_serve_stop(struct plh_world *world)
{
	__atomic_store_n(&world->serve_stop, 1, __ATOMIC_RELEASE);
	world->clock->interrupt(world);
}
