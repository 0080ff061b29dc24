// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock of a world.  It nests, because a callback of the caller's (a frame
 * that leaves, a line of log) may use the API again.
 */
#include <sched.h>

#include "error.h"
#include "fork.h"
#include "world.h"

int lock_create(struct plh_world *world)
{
	return -pthread_mutex_init(&world->mutex, NULL);
}

void lock_destroy(struct plh_world *world)
{
	pthread_mutex_destroy(&world->mutex);
}

/* Only the owner itself can find its own name here, so no order is needed. */
static bool is_mine(const struct plh_world *world)
{
	return __atomic_load_n(&world->owner, __ATOMIC_RELAXED) == pthread_self();
}

void world_lock(struct plh_world *world)
{
	if (is_mine(world)) {
		world->depth++;
		return;
	}
	if (pthread_mutex_trylock(&world->mutex)) {
		__atomic_add_fetch(&world->contenders, 1, __ATOMIC_RELAXED);
		pthread_mutex_lock(&world->mutex);
		__atomic_sub_fetch(&world->contenders, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&world->owner, pthread_self(), __ATOMIC_RELAXED);
	world->depth = 1;
}

void world_unlock(struct plh_world *world)
{
	if (--world->depth)
		return;
	__atomic_store_n(&world->owner, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&world->mutex);
}

uint32_t lock_release_all(struct plh_world *world)
{
	uint32_t depth = world->depth;

	world->depth = 1;
	world_unlock(world);
	return depth;
}

void lock_restore(struct plh_world *world, uint32_t depth)
{
	world_lock(world);
	world->depth = depth;
}

void world_breathe(struct plh_world *world)
{
	uint32_t depth;

	if (!__atomic_load_n(&world->contenders, __ATOMIC_RELAXED))
		return;
	depth = lock_release_all(world);
	/* A mutex is not fair: the thread that was woken needs time to take it. */
	for (int i = 0; i < 100 && __atomic_load_n(&world->contenders, __ATOMIC_RELAXED); i++)
		sched_yield();
	lock_restore(world, depth);
}

int world_begin(struct plh_world *world)
{
	if (world->generation != fork_generation) {
		plh_set_error("This process was forked from the one that runs this world: make a "
			      "world of its own after fork().");
		return PLH_FORKED;
	}
	if (is_mine(world) && world->callbacks) {
		plh_set_error("A callback (log, random, memory or transmit) must not run kernels: "
			      "take a note and do it after the call has returned.");
		return PLH_BUSY;
	}
	world_lock(world);
	return PLH_OK;
}
