/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A link between two kernels of a world.  Each direction is a queue of its own
 * (link_queue.c) with random numbers of its own, so that what happens on one
 * link never changes what happens on another.
 */
#ifndef PLH_LINK_H
#define PLH_LINK_H

#include "device.h"
#include "random.h"

#pragma GCC visibility push(hidden)

#define LINK_FRAME_SIZES 3

/* A frame on its way; recycled when it has arrived. */
struct link_frame {
	struct link_frame *next, *previous;
	uint64_t due_ns;
	uint32_t bytes;
	uint32_t size; /* index of its free list */
	struct ll_desc meta;
	uint8_t data[];
};

struct link_direction {
	struct plh_link *link;
	uint32_t to; /* end of the link, 0 or 1 */
	bool blocked; /* frames are due, and the receiver has no buffers yet */
	struct plh_link_config config;
	struct plh_link_stats stats;
	struct random random;
	struct event event; /* the arrival of the first frame */
	struct link_frame *first, *last; /* by due_ns */
	uint64_t last_due_ns; /* of those that keep their order */

	/* The rate: when the last frame will be on the wire. */
	uint64_t busy_until_ns;
	uint64_t remainder; /* of a ns, in units of 1 / rate_bps */
	/* When frames that wait for the wire will start, oldest first. */
	uint64_t *starts;
	uint32_t starts_room, starts_first, starts_count;
};

struct plh_link {
	struct plh_world *world;
	struct plh_link *next, **link; /* world->links */
	struct plh_device *device[2];
	struct link_direction direction[2]; /* [0]: from end 0 to end 1 */
	struct link_frame *free[LINK_FRAME_SIZES];
	bool up;
	bool offload;
};

/* --- link_queue.c --- */
/* Nothing delays or harms frames: they go from ring to ring. */
bool link_is_direct(const struct link_direction *direction);
/* Copy a frame and put it on its way, or lose it. */
void link_enqueue(struct link_direction *direction, const struct ring_span *frame);
/* Hand over what is due; sets the event for the rest. */
void link_deliver(struct link_direction *direction, uint64_t now_ns);
/* Lose all frames that are on their way. */
void link_drop_all(struct link_direction *direction);
void link_free_frames(struct plh_link *link);
int link_set_config(struct link_direction *direction, const struct plh_link_config *config);
/* EVENT_LINK */
void link_due(struct event *event, uint64_t now_ns);

/* --- link.c --- */
/* Without removing its devices, whose kernels are gone. */
void link_free(struct plh_link *link);

#pragma GCC visibility pop

#endif
