// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "error.h"
#include "fork.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: a guard that needs no mapping of its own */
#endif

#define DEFAULT_MEMORY_BYTES (64ull << 20)
#define DEFAULT_STACK_BYTES  (64u << 10)
#define MEMORY_PER_STACK     (16u << 10) /* of the arena; what a sleeping task costs in it */
#define MIN_STACKS	     64
#define ALIGNMENT	     (2ull << 20) /* huge pages need it, and numbers are easier to read */

/* Where kernels of repeatable runs go: far from what mmap() hands out by itself. */
#define SLOTS_BASE 0x110000000000ull /* above KASAN's shadow, see arch_lib/Kconfig */
#define SLOT_BYTES (16ull << 30)
#define SLOT_COUNT 6080u /* ends below 0x7000'0000'0000 */

static uint64_t slots_used[SLOT_COUNT / 64];

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

/* --- Fixed addresses --- */

static bool slot_used(uint32_t slot)
{
	return slots_used[slot / 64] >> slot % 64 & 1;
}

static void mark_slots(uint32_t first, uint32_t count, bool used)
{
	for (uint32_t slot = first; slot < first + count; slot++) {
		if (used)
			slots_used[slot / 64] |= 1ull << slot % 64;
		else
			slots_used[slot / 64] &= ~(1ull << slot % 64);
	}
}

static void *reserve_at(uint64_t address, uint64_t bytes)
{
	void *base = mmap((void *)address, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	/* A kernel older than 4.17 takes the address for a hint. */
	if (base != MAP_FAILED && base != (void *)address) {
		munmap(base, bytes);
		errno = EEXIST;
		return MAP_FAILED;
	}
	return base;
}

/* The first free slot; the same one in each run that does the same before. */
static void *reserve_slot(struct arena *arena)
{
	uint32_t count = (uint32_t)((arena->bytes + SLOT_BYTES - 1) / SLOT_BYTES);
	void *base = MAP_FAILED;

	pthread_mutex_lock(&process_mutex);
	for (uint32_t first = 0; first + count <= SLOT_COUNT; first++) {
		uint32_t free = 0;

		while (free < count && !slot_used(first + free))
			free++;
		if (free < count) {
			first += free;
			continue;
		}
		base = reserve_at(SLOTS_BASE + first * SLOT_BYTES, arena->bytes);
		if (base != MAP_FAILED) {
			arena->first_slot = first;
			arena->slots = count;
			mark_slots(first, count, true);
			break;
		}
		if (errno != EEXIST)
			break; /* this host has no such addresses */
	}
	pthread_mutex_unlock(&process_mutex);
	return base;
}

static void *reserve_anywhere(uint64_t bytes)
{
	uint64_t all = bytes + ALIGNMENT;
	char *base = mmap(NULL, all, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (base == MAP_FAILED)
		return base;
	head = align_up((uint64_t)base, ALIGNMENT) - (uint64_t)base;
	if (head)
		munmap(base, head);
	if (head < ALIGNMENT)
		munmap(base + head + bytes, ALIGNMENT - head);
	return base + head;
}

static bool reserve(struct arena *arena, const struct plh_kernel_config *config, bool placed)
{
	void *base = MAP_FAILED;

	if (config->fixed_address) {
		base = reserve_at(config->fixed_address, arena->bytes);
	} else {
		if (placed)
			base = reserve_slot(arena);
		if (base == MAP_FAILED)
			base = reserve_anywhere(arena->bytes);
	}
	if (base == MAP_FAILED) {
		if (config->fixed_address)
			plh_set_error("%llu MiB at address %#llx are not free (%s): choose another "
				      "fixed_address, or 0 for any.",
				      (unsigned long long)(arena->bytes >> 20),
				      (unsigned long long)config->fixed_address,
				      plh_errno_text(-errno));
		else
			plh_set_error("There is no address space for a kernel of %llu MiB (%s): "
				      "ask for "
				      "less memory, or raise 'ulimit -v'.",
				      (unsigned long long)(arena->bytes >> 20),
				      plh_errno_text(-errno));
		return false;
	}
	arena->base = (uint64_t)base;
	return true;
}

/* --- The whole --- */

static bool check_config(const struct plh_image *image, const struct plh_kernel_config *config,
			 uint64_t page)
{
	if (config->memory_bytes % page ||
	    (config->memory_bytes && config->memory_bytes < image->memory_min_bytes)) {
		plh_set_error("A kernel of %s needs at least %llu KiB of memory in whole pages, "
			      "and "
			      "memory_bytes is %llu.",
			      image->path, (unsigned long long)(image->memory_min_bytes >> 10),
			      (unsigned long long)config->memory_bytes);
		return false;
	}
	if (config->stack_bytes & (config->stack_bytes - 1) ||
	    (config->stack_bytes && config->stack_bytes < 4 * page)) {
		plh_set_error("stack_bytes is %u: give a power of two from %llu up, or 0.",
			      config->stack_bytes, (unsigned long long)(4 * page));
		return false;
	}
	if (config->stack_count && config->stack_count < 8) {
		plh_set_error("stack_count is %u, and a kernel cannot boot with fewer than 8 "
			      "tasks.",
			      config->stack_count);
		return false;
	}
	if (config->fixed_address % page) {
		plh_set_error("fixed_address is %#llx, which is no multiple of the page size.",
			      (unsigned long long)config->fixed_address);
		return false;
	}
	return true;
}

bool arena_create(struct arena *arena, const struct plh_image *image,
		  const struct plh_kernel_config *config, bool placed)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t machine, log, memory, stacks;

	*arena = (struct arena){ 0 };
	if (!check_config(image, config, page))
		return false;
	arena->memory_bytes = config->memory_bytes ? config->memory_bytes : DEFAULT_MEMORY_BYTES;
	arena->stack_bytes = config->stack_bytes ? config->stack_bytes : DEFAULT_STACK_BYTES;
	arena->stack_count = config->stack_count ? config->stack_count :
						   arena->memory_bytes / MEMORY_PER_STACK;
	if (arena->stack_count < MIN_STACKS && !config->stack_count)
		arena->stack_count = MIN_STACKS;

	machine = align_up(image->high_address - image->low_address, page);
	log = machine + align_up(sizeof(struct ll_machine), page);
	memory = align_up(log + LOG_BYTES, ALIGNMENT);
	stacks = config->memory ? memory : memory + arena->memory_bytes;
	stacks = align_up(stacks, arena->stack_bytes > page ? arena->stack_bytes : page);
	arena->bytes = align_up(stacks + arena->stack_count * arena->stack_bytes, page);
	if (!reserve(arena, config, placed))
		return false;

	arena->image = arena->base;
	arena->machine = (struct ll_machine *)(arena->base + machine);
	arena->log = (char *)(arena->base + log);
	arena->stacks = arena->base + stacks;
	/* A huge page would hold 32 stacks, of which most are never used. */
	madvise((void *)arena->base, arena->bytes, MADV_NOHUGEPAGE);
	if (!config->memory) {
		arena->memory = arena->base + memory;
		if (config->huge_pages)
			madvise((void *)arena->memory, arena->memory_bytes, MADV_HUGEPAGE);
		return true;
	}
	arena->memory = (uint64_t)config->memory(config->opaque, arena->memory_bytes);
	if (!arena->memory || arena->memory % page) {
		plh_set_error("The memory callback returned %#llx for %llu bytes: it must return "
			      "the "
			      "address of whole, zeroed pages.",
			      (unsigned long long)arena->memory,
			      (unsigned long long)arena->memory_bytes);
		arena_destroy(arena, config);
		return false;
	}
	return true;
}

void arena_destroy(struct arena *arena, const struct plh_kernel_config *config)
{
	if (config->memory && config->memory_free && arena->memory)
		config->memory_free(config->opaque, (void *)arena->memory, arena->memory_bytes);
	if (arena->bytes)
		munmap((void *)arena->base, arena->bytes);
	if (arena->slots) {
		pthread_mutex_lock(&process_mutex);
		mark_slots(arena->first_slot, arena->slots, false);
		pthread_mutex_unlock(&process_mutex);
	}
	*arena = (struct arena){ 0 };
}

int arena_use_stack(struct arena *arena, uint64_t number)
{
	void *lowest = (void *)(arena->stacks + number * arena->stack_bytes);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (number >= arena->stack_count)
		return -ENOMEM;
	/*
	 * Each mprotect() makes two mappings more, and a process may have
	 * 65,530: thousands of stacks rather go without a guard than not at all.
	 */
	if (!arena->guards_failed && madvise(lowest, page, MADV_GUARD_INSTALL) &&
	    mprotect(lowest, page, PROT_NONE))
		arena->guards_failed = true;
	return 0;
}

uint64_t arena_resident_bytes(const struct arena *arena)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t resident = 0;
	unsigned char present[1024];

	for (uint64_t at = 0; at < arena->memory_bytes; at += sizeof(present) * page) {
		uint64_t bytes = arena->memory_bytes - at;

		if (bytes > sizeof(present) * page)
			bytes = sizeof(present) * page;
		if (mincore((void *)(arena->memory + at), bytes, present))
			return 0;
		for (uint64_t i = 0; i < bytes / page; i++)
			resident += (present[i] & 1) * page;
	}
	return resident;
}
