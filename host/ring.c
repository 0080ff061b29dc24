// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "ring.h"

bool ring_fits(const struct ll_ring *ring, uint32_t bytes)
{
	uint32_t pieces = ring->entries < RING_MAX_PIECES ? ring->entries : RING_MAX_PIECES;

	/* All buffers of a ring are of one size; without any we cannot tell. */
	if (!ring_has_any(ring))
		return true;
	return bytes <= (uint64_t)pieces * ring_desc(ring, ring->tail)->len;
}

int ring_iovec(const struct ring_span *span, struct iovec *iov)
{
	uint32_t pieces = span->pieces < RING_MAX_PIECES ? span->pieces : RING_MAX_PIECES;

	for (uint32_t i = 0; i < pieces; i++) {
		const struct ll_desc *desc = ring_desc(span->ring, span->first + i);

		iov[i] = (struct iovec){ (void *)desc->addr, desc->len };
	}
	return (int)pieces;
}

void ring_gather(const struct ring_span *frame, void *buffer, uint32_t bytes)
{
	char *to = buffer;

	for (uint32_t i = 0; i < frame->pieces && bytes; i++) {
		const struct ll_desc *desc = ring_desc(frame->ring, frame->first + i);
		uint32_t piece = desc->len < bytes ? desc->len : bytes;

		memcpy(to, (const void *)desc->addr, piece);
		to += piece;
		bytes -= piece;
	}
}

void ring_scatter(struct ring_span *room, const void *buffer, uint32_t bytes)
{
	const char *from = buffer;
	uint32_t left = bytes;

	for (uint32_t i = 0; left; i++) {
		const struct ll_desc *desc = ring_desc(room->ring, room->first + i);
		uint32_t piece = desc->len < left ? desc->len : left;

		memcpy((void *)desc->addr, from, piece);
		from += piece;
		left -= piece;
	}
	ring_fill(room, bytes);
}

void ring_copy(const struct ring_span *frame, struct ring_span *room)
{
	const struct ll_desc *to = ring_meta(room);
	uint32_t to_index = room->first, used = 0;

	/* Most frames: one piece into one buffer. */
	if (frame->pieces == 1 && room->pieces == 1) {
		memcpy((void *)to->addr, (const void *)ring_meta(frame)->addr, frame->bytes);
		ring_fill(room, frame->bytes);
		return;
	}

	for (uint32_t i = 0; i < frame->pieces; i++) {
		const struct ll_desc *from = ring_desc(frame->ring, frame->first + i);
		const char *bytes = (const char *)from->addr;
		uint32_t left = from->len;

		while (left) {
			uint32_t piece = to->len - used < left ? to->len - used : left;

			memcpy((char *)to->addr + used, bytes, piece);
			bytes += piece;
			left -= piece;
			used += piece;
			if (used == to->len && left) {
				to = ring_desc(room->ring, ++to_index);
				used = 0;
			}
		}
		/* A piece may have ended just where a buffer does. */
		if (used == to->len && i + 1 < frame->pieces) {
			to = ring_desc(room->ring, ++to_index);
			used = 0;
		}
	}
	ring_fill(room, frame->bytes);
}

void ring_fill(struct ring_span *room, uint32_t bytes)
{
	struct ll_desc *first = ring_meta(room);
	uint32_t pieces = 0;

	room->bytes = bytes;
	for (;;) {
		struct ll_desc *desc = ring_desc(room->ring, room->first + pieces++);

		if (desc->len >= bytes) {
			desc->len = bytes;
			desc->flags = 0;
			break;
		}
		bytes -= desc->len;
		desc->flags = LL_DESC_NEXT;
	}
	room->pieces = pieces;
	first->csum_flags = 0;
	first->gso_type = LL_GSO_NONE;
	first->hdr_len = first->gso_size = first->csum_start = first->csum_offset = 0;
}
