/* SPDX-License-Identifier: GPL-2.0-only */
/* Mapping an image into memory: the text from the file, shared by all kernels. */
#ifndef PLH_LOADER_H
#define PLH_LOADER_H

#include "image.h"

#pragma GCC visibility push(hidden)

/* One mapping of an image, which is one kernel. */
struct loaded {
	uint64_t base; /* lowest address */
	uint64_t bytes;
	uint64_t bias; /* add it to an address of the image */
	uint64_t private_bytes; /* writable memory of its own */
	const struct ll_image *table;
};

/*
 * Map the image over the reservation at base, which holds high_address -
 * low_address bytes; false and an error.  The caller unmaps the reservation in
 * either case.
 */
bool loader_map(const struct plh_image *image, void *base, struct loaded *loaded);
/* Make it run where it is mapped: false and an error. */
bool loader_relocate(const struct plh_image *image, struct loaded *loaded);

#pragma GCC visibility pop

#endif
