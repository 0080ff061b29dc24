// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>

#include "heap.h"
#include "liblinux.h"

#define ORDER_KIND_SHIFT 56

void event_init(struct event *event, enum event_kind kind, uint64_t number)
{
	event->time_ns = LL_NEVER;
	event->order = (uint64_t)kind << ORDER_KIND_SHIFT | number;
	event->slot = 0;
	event->kind = kind;
}

int heap_add_source(struct heap *heap)
{
	if (heap->sources == heap->room) {
		uint32_t room = heap->room ? heap->room * 2 : 16;
		struct heap_entry *entries = realloc(heap->entries, room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		heap->entries = entries;
		heap->room = room;
	}
	heap->sources++;
	return 0;
}

static bool earlier(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->order < b->order);
}

static void place(struct heap *heap, uint32_t index, const struct heap_entry *entry)
{
	heap->entries[index] = *entry;
	entry->event->slot = index + 1;
}

static void sift_up(struct heap *heap, uint32_t index, struct heap_entry entry)
{
	while (index) {
		uint32_t parent = (index - 1) / 2;

		if (!earlier(&entry, &heap->entries[parent]))
			break;
		place(heap, index, &heap->entries[parent]);
		index = parent;
	}
	place(heap, index, &entry);
}

static void sift_down(struct heap *heap, uint32_t index, struct heap_entry entry)
{
	for (;;) {
		uint32_t child = 2 * index + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
		    earlier(&heap->entries[child + 1], &heap->entries[child]))
			child++;
		if (!earlier(&heap->entries[child], &entry))
			break;
		place(heap, index, &heap->entries[child]);
		index = child;
	}
	place(heap, index, &entry);
}

static void put(struct heap *heap, uint32_t index, struct heap_entry entry)
{
	if (index && earlier(&entry, &heap->entries[(index - 1) / 2]))
		sift_up(heap, index, entry);
	else
		sift_down(heap, index, entry);
}

void heap_set(struct heap *heap, struct event *event, uint64_t time_ns)
{
	struct heap_entry entry = { time_ns, event->order, event };

	if (event->time_ns == time_ns)
		return;
	event->time_ns = time_ns;
	if (time_ns == LL_NEVER) {
		uint32_t index = event->slot - 1;
		struct heap_entry last = heap->entries[--heap->count];

		event->slot = 0;
		if (index != heap->count)
			put(heap, index, last);
	} else if (event->slot) {
		put(heap, event->slot - 1, entry);
	} else {
		sift_up(heap, heap->count++, entry);
	}
}

void heap_remove_source(struct heap *heap, struct event *event)
{
	heap_set(heap, event, LL_NEVER);
	heap->sources--;
}

void heap_free(struct heap *heap)
{
	free(heap->entries);
	*heap = (struct heap){ 0 };
}
