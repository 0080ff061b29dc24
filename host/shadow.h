/* SPDX-License-Identifier: GPL-2.0-only */
/* Shadow memory for images that check their accesses (KASAN), see struct ll_image. */
#ifndef PLH_SHADOW_H
#define PLH_SHADOW_H

#include <stdbool.h>

#include "arena.h"

#pragma GCC visibility push(hidden)

/*
 * Map the shadow of the whole address space, once for all kernels of the
 * process; its pages cost memory when they are touched.  false and an error.
 */
bool shadow_map(uint64_t offset);

/* A kernel's memory has been given back: nothing in it is forbidden any more. */
void shadow_clear(uint64_t offset, const struct arena *arena);

#pragma GCC visibility pop

#endif
