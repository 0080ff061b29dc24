/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of one kernel: image, what it shares with the host, arena, stacks.
 * They lie in one reservation, in this order, so that one number says where a
 * kernel is, and halting it is one unmapping.
 */
#ifndef PLH_ARENA_H
#define PLH_ARENA_H

#include <stdbool.h>

#include "image.h"

#pragma GCC visibility push(hidden)

struct arena {
	uint64_t base, bytes; /* the reservation */
	uint64_t image; /* where the image goes */
	struct ll_machine *machine;
	char *log; /* of LOG_BYTES */
	uint64_t memory, memory_bytes; /* may come from a callback instead */
	uint64_t stacks, stack_count;
	uint32_t stack_bytes;
	uint32_t first_slot, slots; /* of fixed addresses; slots 0: none */
	bool guards_failed; /* no more mappings to be had: go on without */
};

#define LOG_BYTES (256u << 10)

/*
 * Reserve it all.  placed: at a fixed address, config->fixed_address or else
 * the first free slot, so that runs repeat.  false and an error.
 */
bool arena_create(struct arena *arena, const struct plh_image *image,
		  const struct plh_kernel_config *config, bool placed);
void arena_destroy(struct arena *arena, const struct plh_kernel_config *config);

/* LL_EXIT_STACK: 0 or -ENOMEM. */
int arena_use_stack(struct arena *arena, uint64_t number);

uint64_t arena_resident_bytes(const struct arena *arena);

#pragma GCC visibility pop

#endif
