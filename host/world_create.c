// SPDX-License-Identifier: GPL-2.0-only
/* The life of a world. */
#include <stdlib.h>
#include <unistd.h>

#include "capture.h"
#include "clock.h"
#include "error.h"
#include "fork.h"
#include "kernel.h"
#include "link.h"

static const struct clock_kind *const clock_kinds[] = {
	[PLH_CLOCK_VIRTUAL] = &clock_virtual,
	[PLH_CLOCK_REAL] = &clock_real,
	[PLH_CLOCK_CALLBACK] = &clock_callback,
};
#define CLOCK_KINDS (sizeof(clock_kinds) / sizeof(clock_kinds[0]))

static void free_world(struct plh_world *world)
{
	world->clock->close(world);
	heap_free(&world->heap);
	lock_destroy(&world->lock);
	free(world);
}

struct plh_world *plh_world_create(const struct plh_world_config *config)
{
	struct plh_world *world;

	if (config && config->clock_kind >= CLOCK_KINDS) {
		plh_set_error("There is no clock of kind %u: see enum plh_clock_kind.",
			      config->clock_kind);
		return NULL;
	}
	if (config && config->wait_kind > PLH_WAIT_ADAPTIVE) {
		plh_set_error("There is no way to wait of kind %u: see enum plh_wait_kind.",
			      config->wait_kind);
		return NULL;
	}
	if (config && config->wait_kind && config->clock_kind != PLH_CLOCK_REAL) {
		plh_set_error("Only a world with a real-time clock can poll: nothing comes from "
			      "outside while another clock stands still.");
		return NULL;
	}
	/* The clock word has a cache line of its own. */
	world = aligned_alloc(_Alignof(struct plh_world), sizeof(*world));
	if (!world) {
		plh_set_error("There is no memory for another world.");
		return NULL;
	}
	fork_watch();
	*world = (struct plh_world){
		.generation = fork_generation,
		.epoll_fd = -1,
		.event_fd = -1,
		.timer_fd = -1,
	};
	if (config)
		world->config = *config;
	world->clock = clock_kinds[world->config.clock_kind];
	world->runnable_end = &world->runnable;
	world->unsettled_end = &world->unsettled;
	world->kernels_end = &world->kernels;
	world->done_end = &world->done;
	lock_create(&world->lock);
	if (world->clock->open(world)) {
		free_world(world);
		return NULL;
	}
	return world;
}

/* A forked child: the lock may be held for ever, and nothing is to be told. */
void plh_world_destroy(struct plh_world *world)
{
	bool forked;

	if (!world)
		return;
	forked = world->generation != fork_generation;
	if (!forked && world_begin(world))
		return;
	while (world->kernels)
		kernel_free(world->kernels);
	while (world->links)
		link_free(world->links);
	world_free_frames(world);
	captures_close(world);
	if (!forked)
		world_unlock(world);
	free_world(world);
}

int plh_world_device_fd(struct plh_world *world)
{
	return world->epoll_fd;
}

int plh_world_fd(struct plh_world *world)
{
	if (world->epoll_fd < 0)
		return -1;
	world_lock(world);
	world->fd_used = true;
	world_end(world);
	return world->epoll_fd;
}
