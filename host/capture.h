/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Captures: files, and the points at which they watch.  A device and each end of
 * a link have a list of points, which is empty unless somebody captures.
 */
#ifndef PLH_CAPTURE_H
#define PLH_CAPTURE_H

#include <stdbool.h>

#include "ring.h"

#pragma GCC visibility push(hidden)

/* What befell a frame; each bit is a comment in the file. */
enum capture_note {
	NOTE_CORRUPTED = 1u << 0,
	NOTE_DUPLICATE = 1u << 1,
	NOTE_LOSS = 1u << 2,
	NOTE_QUEUE_FULL = 1u << 3,
	NOTE_NO_BUFFER = 1u << 4,
	NOTE_LINK_DOWN = 1u << 5,
	NOTE_TRUNCATED = 1u << 6,
};

/* One interface of one file. */
struct capture_point {
	struct plh_capture *capture;
	struct capture_point *next, **link; /* of what it watches */
	struct capture_point *next_of_capture, **link_of_capture;
	uint32_t interface;
	uint64_t frames, drops;
};

/* A frame that lies in a ring, or in one piece.  notes: enum capture_note. */
void capture_span(struct capture_point *points, uint64_t now_ns, const struct ring_span *frame,
		  bool inbound, uint32_t notes);
void capture_bytes(struct capture_point *points, uint64_t now_ns, const uint8_t *frame,
		   uint32_t bytes, const struct ll_desc *meta, bool inbound, uint32_t notes);
/* What they watch goes: write all that is known about it. */
void capture_end_points(struct capture_point **points);
/* A world ends. */
void captures_close(struct plh_world *world);

#pragma GCC visibility pop

#endif
