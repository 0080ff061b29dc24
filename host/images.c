// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "fork.h"
#include "images.h"

struct plh_loaded_image *plh_loaded_images;

__attribute__((noinline)) void plh_images_changed(void)
{
	__asm__ volatile("");
}

/* Without memory a debugger sees one image less; that is no reason to fail. */
void images_add(const struct loaded *loaded, const char *path)
{
	struct plh_loaded_image *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return;
	entry->path = strdup(path);
	entry->bias = loaded->bias;
	entry->text_start = loaded->table->text_start;
	entry->text_end = loaded->table->text_end;
	pthread_mutex_lock(&process_mutex);
	entry->next = plh_loaded_images;
	plh_loaded_images = entry;
	plh_images_changed();
	pthread_mutex_unlock(&process_mutex);
}

void images_remove(const struct loaded *loaded)
{
	struct plh_loaded_image **at, *entry;

	pthread_mutex_lock(&process_mutex);
	for (at = &plh_loaded_images; *at && (*at)->bias != loaded->bias; at = &(*at)->next)
		;
	entry = *at;
	if (entry)
		*at = entry->next;
	plh_images_changed();
	pthread_mutex_unlock(&process_mutex);
	if (entry)
		free((char *)entry->path);
	free(entry);
}
