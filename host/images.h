/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where images are loaded, for debuggers: a script reads plh_loaded_images and
 * gives each entry to add-symbol-file; plh_images_changed() is the place for its
 * breakpoint.
 */
#ifndef PLH_IMAGES_H
#define PLH_IMAGES_H

#include "loader.h"

struct plh_loaded_image {
	struct plh_loaded_image *next;
	const char *path;
	uint64_t bias; /* add it to the symbols' values */
	uint64_t text_start, text_end;
};

extern struct plh_loaded_image *plh_loaded_images;
void plh_images_changed(void);

#pragma GCC visibility push(hidden)
void images_add(const struct loaded *loaded, const char *path);
void images_remove(const struct loaded *loaded);
#pragma GCC visibility pop

#endif
