// SPDX-License-Identifier: GPL-2.0-only
/* The life of a kernel: boot, death, halt. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "clock.h"
#include "device.h"
#include "error.h"
#include "fork.h"
#include "images.h"
#include "prefault.h"
#include "shadow.h"

static const char default_cmdline[] = "";

/* --- Death --- */

void kernel_die(struct plh_kernel *kernel, enum plh_kernel_state state, const char *words,
		uint64_t bytes)
{
	struct plh_world *world = kernel->world;

	if (kernel->state != PLH_KERNEL_RUNNING)
		return;
	kernel->state = state;
	kernel->ready = false;
	if (words && bytes) {
		if (bytes > sizeof(kernel->last_words) - 1)
			bytes = sizeof(kernel->last_words) - 1;
		memcpy(kernel->last_words, words, bytes);
		kernel->last_words[bytes] = 0;
		kernel->last_words[strcspn(kernel->last_words, "\n")] = 0;
	}
	world_forget_runnable(world, kernel);
	heap_set(&world->heap, &kernel->event, LL_NEVER);
	calls_abandon(kernel);
	wait_wake_kernel(world, kernel);
}

/* --- Boot --- */

static void fill_machine(struct plh_kernel *kernel)
{
	struct plh_world *world = kernel->world;
	struct ll_machine *machine = kernel->machine;
	const struct arena *arena = &kernel->arena;

	machine->abi_version = LL_ABI_VERSION;
	machine->machine_bytes = sizeof(*machine);
	machine->memory = arena->memory;
	machine->memory_bytes = arena->memory_bytes;
	machine->stacks = arena->stacks;
	machine->stack_count = arena->stack_count;
	machine->stack_bytes = arena->stack_bytes;
	machine->cmdline = kernel->cmdline;
	machine->deadline_ns = LL_NEVER;
	world->clock->machine(world, machine);
	machine->realtime_ns = world_now(world) + world->config.realtime_offset_ns;
}

static bool prepare(struct plh_kernel *kernel)
{
	struct plh_world *world = kernel->world;
	const struct plh_kernel_config *config = &kernel->config;
	const char *more = config->cmdline ? config->cmdline : "";
	bool placed = world->config.seeded && world->config.clock_kind == PLH_CLOCK_VIRTUAL;

	if (asprintf(&kernel->cmdline, "%s%s%s", default_cmdline,
		     *default_cmdline && *more ? " " : "", more) < 0) {
		kernel->cmdline = NULL;
		plh_set_error("There is no memory for another kernel.");
		return false;
	}
	/* The memory callback must not run kernels of this world. */
	world->callbacks++;
	if (!arena_create(&kernel->arena, kernel->image, config, placed)) {
		world->callbacks--;
		return false;
	}
	world->callbacks--;
	if (!loader_map(kernel->image, (void *)kernel->arena.image, &kernel->loaded))
		return false;
	if (!config->memory)
		prefault_apply(kernel->image, &kernel->arena);
	if (!loader_relocate(kernel->image, &kernel->loaded))
		return false;
	kernel->table = kernel->loaded.table;
	if (kernel->table->shadow_offset && !shadow_map(kernel->table->shadow_offset))
		return false;
	kernel->boot = kernel->table->boot;
	kernel->enter = kernel->table->enter;
	kernel->call = kernel->table->call;
	kernel->machine = kernel->arena.machine;
	kernel->log.buffer = kernel->arena.log;
	random_init(&kernel->random, world->config.seeded, world->config.seed, RANDOM_KERNEL,
		    kernel->number);
	fill_machine(kernel);
	images_add(&kernel->loaded, kernel->image->path);
	return true;
}

static bool run_boot(struct plh_kernel *kernel)
{
	struct plh_world *world = kernel->world;
	struct wait wait = { .kernel = kernel, .until_ns = LL_NEVER };
	int status;

	world_progress(world);
	world_make_runnable(world, kernel);
	kernel->waits++;
	/* Half a kernel is of no use, and booting takes milliseconds: no signal ends it. */
	do {
		status = world_wait(world, &wait);
	} while (status == PLH_SIGNAL);
	kernel->waits--;
	switch (status) {
	case PLH_OK:
		return true;
	case PLH_DEAD:
		plh_set_error("The kernel did not boot: %s. Its log, and booting with boot_log = "
			      "1, "
			      "may tell more.",
			      *kernel->last_words ? kernel->last_words : "it was halted");
		return false;
	case PLH_DEADLOCK:
	case PLH_PENDING:
		plh_set_error("The kernel waits for something while it boots that this world's "
			      "clock "
			      "does not bring.");
		return false;
	default: /* PLH_BUSY: the sentence is there */
		return false;
	}
}

static bool make_host_task(struct plh_kernel *kernel)
{
	int64_t ret = 0;
	int status;
	plh_task *task = NULL;

	/* It serves its maker until it exists itself. */
	kernel->host_task = kernel->init_task;
	status = call_by_host(kernel, LL_SYS_TASK_CREATE, 0, (uint64_t)&task, &ret);
	if (status == PLH_OK && ret >= 0 && task) {
		kernel->host_task = task;
		return true;
	}
	if (status == PLH_OK)
		plh_set_error("The kernel booted but cannot make a task (%s): give it more "
			      "memory_bytes.",
			      plh_errno_text((int)ret));
	return false;
}

struct plh_kernel *plh_kernel_boot(struct plh_world *world, struct plh_image *image,
				   const struct plh_kernel_config *config)
{
	uint64_t started_ns = clock_monotonic_ns(NULL);
	struct plh_kernel *kernel;

	if (world_begin(world))
		return NULL;
	kernel = calloc(1, sizeof(*kernel));
	if (!kernel || heap_add_source(&world->heap)) {
		plh_set_error("There is no memory for another kernel.");
		free(kernel);
		world_unlock(world);
		return NULL;
	}
	faults_install();
	kernel->world = world;
	kernel->image = image;
	image_get(image);
	kernel->number = world->kernel_number++;
	if (config)
		kernel->config = *config;
	event_init(&kernel->event, EVENT_KERNEL, kernel->number);
	kernel->link = world->kernels_end;
	*world->kernels_end = kernel;
	world->kernels_end = &kernel->next;
	if (!prepare(kernel) || !run_boot(kernel) || !make_host_task(kernel)) {
		kernel_free(kernel);
		kernel = NULL;
	} else {
		if (!kernel->config.memory)
			prefault_learn(image, &kernel->arena);
		kernel->boot_wall_ns = clock_monotonic_ns(NULL) - started_ns;
	}
	world_end(world);
	return kernel;
}

/* --- Halt --- */

void kernel_free(struct plh_kernel *kernel)
{
	struct plh_world *world = kernel->world;
	bool forked = world->generation != fork_generation;

	if (!forked)
		kernel_die(kernel, PLH_KERNEL_HALTED, "", 0);
	/* Threads that wait for it hold on to it until they have noticed. */
	while (!forked && kernel->waits) {
		uint32_t depth = lock_release_all(&world->lock);

		sched_yield();
		lock_restore(&world->lock, depth);
	}
	while (kernel->devices)
		device_free(kernel->devices);
	calls_free(kernel);
	heap_remove_source(&world->heap, &kernel->event);
	*kernel->link = kernel->next;
	if (kernel->next)
		kernel->next->link = kernel->link;
	else
		world->kernels_end = kernel->link;
	images_remove(&kernel->loaded);
	if (kernel->table && !forked)
		shadow_clear(kernel->table->shadow_offset, &kernel->arena);
	arena_destroy(&kernel->arena, &kernel->config);
	image_put(kernel->image);
	free(kernel->cmdline);
	free(kernel);
}

void plh_kernel_halt(struct plh_kernel *kernel)
{
	struct plh_world *world;

	if (!kernel)
		return;
	world = kernel->world;
	if (world->generation != fork_generation) {
		kernel_free(kernel);
		return;
	}
	if (world_begin(world))
		return;
	kernel_free(kernel);
	world_end(world);
}

/* --- Questions --- */

int plh_kernel_state(const struct plh_kernel *kernel)
{
	if (kernel->world->generation != fork_generation)
		return PLH_KERNEL_FORKED;
	return (int)__atomic_load_n(&kernel->state, __ATOMIC_ACQUIRE);
}

struct plh_world *plh_kernel_world(const struct plh_kernel *kernel)
{
	return kernel->world;
}

const char *plh_kernel_last_words(const struct plh_kernel *kernel)
{
	return kernel->last_words;
}

uint64_t plh_kernel_log(const struct plh_kernel *kernel, char *buffer, uint64_t bytes)
{
	world_lock(kernel->world);
	bytes = log_read(&kernel->log, buffer, bytes);
	world_unlock(kernel->world);
	return bytes;
}

plh_task *plh_kernel_init_task(struct plh_kernel *kernel)
{
	return kernel->init_task;
}

const struct ll_machine *plh_kernel_machine(const struct plh_kernel *kernel)
{
	return kernel->machine;
}

int plh_kernel_stats(struct plh_kernel *kernel, struct plh_kernel_stats *stats)
{
	world_lock(kernel->world);
	*stats = (struct plh_kernel_stats){
		.boot_wall_ns = kernel->boot_wall_ns,
		.entries = kernel->machine->entries,
		.calls = kernel->calls,
		.arena_bytes = kernel->arena.memory_bytes,
		.arena_resident_bytes = arena_resident_bytes(&kernel->arena),
		.image_private_bytes = kernel->loaded.private_bytes,
		.stacks_used = kernel->stacks_used,
		.deadline_ns = kernel->event.time_ns,
		.load_bias = kernel->loaded.bias,
	};
	world_unlock(kernel->world);
	return PLH_OK;
}
