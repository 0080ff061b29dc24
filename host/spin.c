// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real-time worlds that poll.  A look at a device goes into its own ring, if its
 * backend has one; the descriptors of the others cost a system call for all.  The
 * lock is held meanwhile, but handed over as soon as another thread wants it.
 */
#include <sched.h>

#include "spin.h"

#include "clock.h"
#include "device.h"
#include "isa.h"

/* Looks between two at descriptors that only tell of room and of mishaps. */
#define ROUNDS_PER_EPOLL 64
/* How long a world sleeps that has devices which nothing but a look tells about. */
#define BLIND_SLEEP_NS 100000

void spin_look(struct plh_world *world)
{
	for (struct plh_device *device = world->pollers; device; device = device->next_poller)
		if (!device->rx_stalled)
			device->backend->poll(device);
}

static void look(struct plh_world *world, uint32_t round)
{
	spin_look(world);
	if (world->watched > world->watched_pollers || round % ROUNDS_PER_EPOLL == 0)
		real_look_at_descriptors(world);
}

static bool asked_for(const struct plh_world *world)
{
	return __atomic_load_n(&world->wake, __ATOMIC_RELAXED) ||
	       (world->server && __atomic_load_n(&world->serve_stop, __ATOMIC_RELAXED));
}

static bool spin(struct plh_world *world, uint64_t next_ns, uint64_t until_ns)
{
	for (uint32_t round = 0;; round++) {
		uint64_t now_ns;

		look(world, round);
		if (world->runnable || asked_for(world))
			return true;
		if (world_is_wanted(world)) {
			world_breathe(world);
			return true; /* who knows what the other thread has done */
		}
		now_ns = clock_monotonic_ns(NULL);
		if (now_ns >= next_ns)
			return true;
		if (now_ns >= until_ns)
			return false;
		/* Where threads are more than processors, whoever we wait for may need ours. */
		if (round % ROUNDS_PER_EPOLL == ROUNDS_PER_EPOLL - 1)
			sched_yield();
		else
			isa_relax();
	}
}

bool spin_until_work(struct plh_world *world, uint64_t *next_ns)
{
	uint64_t now_ns;

	if (world->config.wait_kind == PLH_WAIT_BUSY)
		return spin(world, *next_ns, LL_NEVER);
	if (world->config.wait_kind == PLH_WAIT_EPOLL && !world->blind_pollers)
		return false;
	now_ns = clock_monotonic_ns(NULL);
	if (world->worked) {
		world->worked = false;
		world->spin_until_ns = now_ns + world->config.spin_ns;
	}
	if (spin(world, *next_ns, world->spin_until_ns))
		return true;
	if (world->blind_pollers && *next_ns > now_ns + BLIND_SLEEP_NS)
		*next_ns = now_ns + BLIND_SLEEP_NS;
	return false;
}
