/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What backends do with descriptor rings.  A frame is looked at where it lies in
 * a transmit ring; receive buffers are claimed for a whole frame and filled in
 * place.  The rules of order (acquire, release) are kept in here.
 */
#ifndef PLH_RING_H
#define PLH_RING_H

#include <stdbool.h>
#include <sys/uio.h>

#include "pylibos_host.h"

/* The most pieces that a frame has in either direction. */
#define RING_MAX_PIECES 64

/* Consecutive descriptors: a frame to send, or empty buffers for one. */
struct ring_span {
	struct ll_ring *ring;
	uint32_t first; /* counts freely, as head and tail do */
	uint32_t pieces;
	uint32_t bytes; /* of all pieces */
};

static inline struct ll_desc *ring_desc(const struct ll_ring *ring, uint32_t index)
{
	return (struct ll_desc *)ring->descs + (index & (ring->entries - 1));
}

static inline uint32_t ring_head(const struct ll_ring *ring)
{
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
}

/* Is there something between tail and head: frames, or empty buffers? */
static inline bool ring_has_any(const struct ll_ring *ring)
{
	return ring_head(ring) != ring->tail;
}

/* The first descriptor, which holds the frame's metadata. */
static inline struct ll_desc *ring_meta(const struct ring_span *span)
{
	return ring_desc(span->ring, span->first);
}

/* Give the descriptors of the span back to the kernel. */
static inline void ring_finish(const struct ring_span *span)
{
	__atomic_store_n(&span->ring->tail, span->first + span->pieces, __ATOMIC_RELEASE);
}

/* The next frame of a transmit ring; false if there is none. */
static inline bool ring_peek(struct ll_ring *ring, struct ring_span *frame)
{
	uint32_t head = ring_head(ring);
	uint32_t at = ring->tail;
	const struct ll_desc *desc;

	if (at == head)
		return false;
	frame->ring = ring;
	frame->first = at;
	frame->bytes = 0;
	do {
		desc = ring_desc(ring, at++);
		frame->bytes += desc->len;
	} while (desc->flags & LL_DESC_NEXT && at != head);
	frame->pieces = at - frame->first;
	return true;
}

/*
 * Empty buffers of a receive ring for a frame of so many bytes; false if there
 * are not enough.
 */
static inline bool ring_claim(struct ll_ring *ring, uint32_t bytes, struct ring_span *room)
{
	uint32_t head = ring_head(ring);

	room->ring = ring;
	room->first = ring->tail;
	room->bytes = 0;
	room->pieces = 0;
	do {
		if (room->first + room->pieces == head || room->pieces == RING_MAX_PIECES)
			return false;
		room->bytes += ring_desc(ring, room->first + room->pieces)->len;
		room->pieces++;
	} while (room->bytes < bytes);
	return true;
}

#pragma GCC visibility push(hidden)

/* Could the ring ever take such a frame, when all its buffers are empty? */
bool ring_fits(const struct ll_ring *ring, uint32_t bytes);

/* The span as an array for readv(2) and writev(2); returns how many. */
int ring_iovec(const struct ring_span *span, struct iovec *iov);
/* Copy out of a frame, or to another ring's buffers. */
void ring_gather(const struct ring_span *frame, void *buffer, uint32_t bytes);
void ring_copy(const struct ring_span *frame, struct ring_span *room);
void ring_scatter(struct ring_span *room, const void *buffer, uint32_t bytes);
/*
 * Set lengths and flags of buffers that hold so many bytes now, and the span to
 * those in use; the metadata says nothing yet.
 */
void ring_fill(struct ring_span *room, uint32_t bytes);

/* Copy the metadata (checksum, segmentation) of a frame. */
static inline void ring_copy_meta(struct ll_desc *to, const struct ll_desc *from)
{
	to->csum_flags = from->csum_flags;
	to->gso_type = from->gso_type;
	to->hdr_len = from->hdr_len;
	to->gso_size = from->gso_size;
	to->csum_start = from->csum_start;
	to->csum_offset = from->csum_offset;
}

#pragma GCC visibility pop

#endif
