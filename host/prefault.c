// SPDX-License-Identifier: GPL-2.0-only
/* Which pages a kernel writes while it boots, as pagemap tells after the first one. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fork.h"
#include "prefault.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; an older one says EINVAL, which is fine */
#endif

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE	(1ull << 61) /* of a file still, and not a copy of our own */

#define MAX_RUNS 256

struct run {
	uint64_t offset, bytes; /* in the arena's reservation */
};

struct prefault {
	struct prefault *next;
	uint64_t bytes, memory_bytes, stack_count; /* of the arenas that it is for */
	uint32_t boots;
	uint32_t count; /* 0: not known yet */
	struct run runs[MAX_RUNS];
};

/* With the mutex; made if there is none, NULL if there is no memory. */
static struct prefault *find(struct plh_image *image, const struct arena *arena)
{
	struct prefault *prefault = image->prefault;

	for (; prefault; prefault = prefault->next)
		if (prefault->bytes == arena->bytes &&
		    prefault->memory_bytes == arena->memory_bytes &&
		    prefault->stack_count == arena->stack_count)
			return prefault;
	prefault = calloc(1, sizeof(*prefault));
	if (!prefault)
		return NULL;
	prefault->bytes = arena->bytes;
	prefault->memory_bytes = arena->memory_bytes;
	prefault->stack_count = arena->stack_count;
	prefault->next = image->prefault;
	image->prefault = prefault;
	return prefault;
}

static void add_page(struct prefault *prefault, uint64_t offset, uint64_t page)
{
	struct run *last = prefault->count ? &prefault->runs[prefault->count - 1] : NULL;

	if (last && last->offset + last->bytes == offset)
		last->bytes += page;
	else if (prefault->count < MAX_RUNS)
		prefault->runs[prefault->count++] = (struct run){ offset, page };
}

static void look(struct prefault *prefault, const struct arena *arena)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entries[512], offset = 0;

	if (fd < 0)
		return; /* faults it is, then */
	while (offset < arena->bytes) {
		off_t at = (off_t)((arena->base + offset) / page * sizeof(*entries));
		ssize_t got = pread(fd, entries, sizeof(entries), at);

		if (got < (ssize_t)sizeof(*entries))
			break;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(*entries); i++, offset += page)
			if (offset < arena->bytes && entries[i] & PAGEMAP_PRESENT &&
			    !(entries[i] & PAGEMAP_FILE))
				add_page(prefault, offset, page);
	}
	close(fd);
}

void prefault_learn(struct plh_image *image, const struct arena *arena)
{
	struct prefault *prefault;

	pthread_mutex_lock(&process_mutex);
	prefault = find(image, arena);
	/* Looking takes longer than it saves once: wait for the second of a kind. */
	if (prefault && ++prefault->boots == 2)
		look(prefault, arena);
	pthread_mutex_unlock(&process_mutex);
}

void prefault_apply(struct plh_image *image, const struct arena *arena)
{
	struct prefault *prefault;

	pthread_mutex_lock(&process_mutex);
	prefault = find(image, arena);
	for (uint32_t i = 0; prefault && i < prefault->count; i++)
		if (madvise((void *)(arena->base + prefault->runs[i].offset),
			    prefault->runs[i].bytes, MADV_POPULATE_WRITE))
			break;
	pthread_mutex_unlock(&process_mutex);
}

void prefault_forget(struct plh_image *image)
{
	while (image->prefault) {
		struct prefault *prefault = image->prefault;

		image->prefault = prefault->next;
		free(prefault);
	}
}
