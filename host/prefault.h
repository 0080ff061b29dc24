/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kernel writes the same pages each time it boots.  Taking a page fault for each
 * of them is a good part of that; asking for all of them at once is not.
 */
#ifndef PLH_PREFAULT_H
#define PLH_PREFAULT_H

#include "arena.h"

#pragma GCC visibility push(hidden)

/* A kernel has just booted: note what it has written, unless that is known. */
void prefault_learn(struct plh_image *image, const struct arena *arena);
/* The image is mapped: make the pages that one like it has written. */
void prefault_apply(struct plh_image *image, const struct arena *arena);
/* The image goes. */
void prefault_forget(struct plh_image *image);

#pragma GCC visibility pop

#endif
