// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "fork.h"
#include "shadow.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* One byte for eight of the 47 bits that a program's addresses have. */
#define SHADOW_BYTES (1ull << (47 - 3))

static uint64_t mapped_offset;

bool shadow_map(uint64_t offset)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	/* The first page may be shared with something else, and is nobody's shadow. */
	void *start = (void *)((offset + page - 1) & ~(page - 1));
	bool done = true;
	void *got;

	pthread_mutex_lock(&process_mutex);
	if (mapped_offset != offset) {
		got = mmap(start, SHADOW_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			   0);
		if (got == start) {
			madvise(start, SHADOW_BYTES, MADV_DONTDUMP);
			madvise(start, SHADOW_BYTES, MADV_NOHUGEPAGE);
			mapped_offset = offset;
		} else {
			plh_set_error("There is no address space for the shadow memory that this "
				      "image needs, 16 TiB from %p (%s): raise 'ulimit -v', or "
				      "use a profile without KASAN.",
				      start, plh_errno_text(got == MAP_FAILED ? -errno : -EEXIST));
			if (got != MAP_FAILED)
				munmap(got, SHADOW_BYTES);
			done = false;
		}
	}
	pthread_mutex_unlock(&process_mutex);
	return done;
}

static void clear(uint64_t offset, uint64_t start, uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t from = (start >> 3) + offset;
	uint64_t to = ((start + bytes) >> 3) + offset;

	/* Both ends may lie in pages that others have a part in; pages between go. */
	for (; from < to && from % page; from++)
		*(unsigned char *)from = 0;
	for (; from < to && to % page; to--)
		*(unsigned char *)(to - 1) = 0;
	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void shadow_clear(uint64_t offset, const struct arena *arena)
{
	if (!offset)
		return;
	clear(offset, arena->base, arena->bytes);
	clear(offset, arena->memory, arena->memory_bytes);
}
