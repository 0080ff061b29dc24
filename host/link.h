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

/* A frame on its way; recycled when it has arrived. */
struct link_frame {
	struct link_frame *next, *previous;
	uint64_t due_ns;
	uint32_t bytes;
	uint32_t size; /* index of its free list */
	uint32_t notes; /* enum capture_note */
	struct ll_desc meta;
	uint8_t data[];
};

/* A frame that waits for the wire. */
struct link_start {
	uint64_t at_ns; /* when the wire will be free for it */
	uint32_t bytes;
};

/* Frames that wait for the rate, oldest first, as a ring. */
struct link_backlog {
	struct link_start *starts;
	uint32_t room, first, count;
	uint64_t bytes;
	uint64_t busy_until_ns; /* when the last frame will be on the wire */
	uint64_t remainder; /* of a ns, in units of 1 / rate_bps */
};

struct link_direction {
	struct plh_link *link;
	uint32_t to; /* end of the link, 0 or 1 */
	bool blocked; /* frames are due, and the receiver has no buffers yet */
	bool bad; /* state of PLH_LOSS_GILBERT_ELLIOTT */
	struct plh_link_config config;
	struct plh_link_stats stats;
	struct random random;
	struct event event; /* the arrival of the first frame */
	struct link_frame *first, *last; /* by due_ns */
	uint64_t last_due_ns; /* of those that keep their order */
	struct link_backlog backlog;
};

/* What plh_device_add() passes on to the backend, and the backend's state. */
struct link_end {
	struct plh_link *link;
	uint32_t end;
};

struct plh_link {
	struct plh_world *world;
	struct plh_link *next, **link; /* world->links */
	struct plh_device *device[2]; /* NULL: its kernel is gone */
	char name[2][16]; /* of the devices */
	struct capture_point *points[2]; /* of captures, one list per end */
	struct link_direction direction[2]; /* [0]: from end 0 to end 1 */
	bool up;
	uint32_t offload; /* enum plh_offload */
	bool segmented; /* PLH_OFFLOAD_AUTO: the devices' features are off */
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
/* EVENT_LINK */
void link_due(struct event *event, uint64_t now_ns);

/* --- link_rate.c --- */
/* Room for the queue that a new config asks for; 0 or -errno. */
int link_rate_prepare(struct link_backlog *backlog, const struct plh_link_config *config);
/* When the frame will have left; false: the queue is full. */
bool link_transmit_at_rate(struct link_direction *direction, uint64_t now_ns, uint32_t wire_bytes,
			   uint64_t *left_ns);
/* What waited is lost. */
void link_rate_reset(struct link_backlog *backlog);

/* --- link_chance.c: what befalls packets at random --- */
bool link_loses(struct link_direction *direction);
/* When a frame arrives that leaves the wire at left_ns. */
uint64_t link_arrival(struct link_direction *direction, uint64_t left_ns, bool whole);
/* Flip a bit behind the addresses, as a bad cable with a good checksum would. */
void link_corrupt(struct link_direction *direction, struct link_frame *frame);
/* Cut it off somewhere behind its Ethernet header. */
void link_truncate(struct link_direction *direction, struct link_frame *frame);

/* --- link_offload.c --- */
/* A frame that consists of packets: chance must leave it alone. */
static inline bool link_is_whole(const struct ll_desc *meta)
{
	return meta->gso_type != LL_GSO_NONE;
}
/* Can the link be like that?  PLH_OK or PLH_ERROR. */
int link_check_config(uint32_t offload, const struct plh_link_config config[2]);
/* Do these settings want packets? */
bool link_needs_packets(const struct plh_link_config config[2]);
/* PLH_OFFLOAD_AUTO: let the devices segment from now on, or leave it to the receiver. */
int link_set_segmented(struct plh_link *link, bool segmented);

/* --- link.c --- */
/* Without devices, and in no list of the world's; NULL: no memory. */
struct plh_link *link_make(struct plh_world *world, const struct plh_link_config config[2]);
/* Of link_backend, for a device whose state begins with a struct link_end. */
void link_transmit(struct plh_device *device);
void link_receive(struct plh_device *device);
/* Without removing its devices, whose kernels are gone. */
void link_free(struct plh_link *link);

#pragma GCC visibility pop

#endif
