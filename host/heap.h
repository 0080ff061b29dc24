/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The events of a world, earliest first.  Events at the same time come in the
 * order of a number that was given when their source was made, so that no
 * address and no insertion order ever decides.
 */
#ifndef PLH_HEAP_H
#define PLH_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* What happens at an event; at the same time a lower kind comes first. */
enum event_kind {
	EVENT_LINK = 0, /* a frame arrives */
	EVENT_DEVICE = 1, /* the timer of a backend */
	EVENT_KERNEL = 2, /* a kernel wants to be entered */
	EVENT_CALL = 3, /* the deadline of a call */
};

struct event {
	uint64_t time_ns; /* LL_NEVER while it is not in the heap */
	uint64_t order; /* unique in the world, see event_init() */
	uint32_t slot; /* place in the heap + 1, or 0 */
	uint32_t kind;
};

/* Time and order lie in the heap itself: comparing touches no event. */
struct heap_entry {
	uint64_t time_ns;
	uint64_t order;
	struct event *event;
};

struct heap {
	struct heap_entry *entries;
	uint32_t count;
	uint32_t room; /* entries allocated */
	uint32_t sources; /* events that may have to be in it at once */
};

void event_init(struct event *event, enum event_kind kind, uint64_t number);

/* Make room for one more event: 0 or -ENOMEM; heap_set() then cannot fail. */
int heap_add_source(struct heap *heap);
void heap_remove_source(struct heap *heap, struct event *event);

/* Put the event at a time, move it there, or take it out with LL_NEVER. */
void heap_set(struct heap *heap, struct event *event, uint64_t time_ns);

static inline struct event *heap_first(const struct heap *heap)
{
	return heap->count ? heap->entries[0].event : (struct event *)0;
}

static inline uint64_t heap_first_ns(const struct heap *heap)
{
	return heap->count ? heap->entries[0].time_ns : UINT64_MAX;
}

void heap_free(struct heap *heap);

#pragma GCC visibility pop

#endif
