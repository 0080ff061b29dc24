// SPDX-License-Identifier: GPL-2.0-only
/* Frames on their way. */
#include <stddef.h>
#include <stdlib.h>

#include "checksum.h"
#include "clock.h"
#include "link.h"

/*
 * --- Memory for frames: none is returned to malloc() while the world exists ---
 *
 * All links share it: the frame that has just arrived is in the processor's cache
 * when the receiver sends it on.
 */

static const uint32_t frame_sizes[LINK_FRAME_SIZES] = { 256, 2048, 1u << 17 };

static struct link_frame *frame_get(struct plh_world *world, uint32_t bytes)
{
	struct link_frame *frame;
	uint32_t size = 0;

	while (frame_sizes[size] < bytes)
		if (++size == LINK_FRAME_SIZES)
			return NULL;
	frame = world->frames[size];
	if (frame) {
		world->frames[size] = frame->next;
		return frame;
	}
	frame = malloc(sizeof(*frame) + frame_sizes[size]);
	if (frame)
		frame->size = size;
	return frame;
}

static void frame_put(struct plh_world *world, struct link_frame *frame)
{
	frame->next = world->frames[frame->size];
	world->frames[frame->size] = frame;
}

void world_free_frames(struct plh_world *world)
{
	for (int size = 0; size < LINK_FRAME_SIZES; size++) {
		while (world->frames[size]) {
			struct link_frame *frame = world->frames[size];

			world->frames[size] = frame->next;
			free(frame);
		}
	}
}

bool link_is_direct(const struct link_direction *direction)
{
	const struct plh_link_config *config = &direction->config;

	return !(config->delay_ns | config->jitter_ns | config->rate_bps | config->loss |
		 config->duplicate | config->reorder | config->corrupt | config->truncate |
		 config->loss_model) &&
	       !direction->first;
}

/* --- Sending --- */

static void insert(struct link_direction *direction, struct link_frame *frame)
{
	struct link_frame *before = direction->last;

	while (before && before->due_ns > frame->due_ns)
		before = before->previous;
	frame->previous = before;
	frame->next = before ? before->next : direction->first;
	if (frame->next)
		frame->next->previous = frame;
	else
		direction->last = frame;
	if (before)
		before->next = frame;
	else
		direction->first = frame;
	direction->stats.in_flight++;
}

static struct link_frame *take_first(struct link_direction *direction)
{
	struct link_frame *frame = direction->first;

	direction->first = frame->next;
	if (frame->next)
		frame->next->previous = NULL;
	else
		direction->last = NULL;
	direction->stats.in_flight--;
	return frame;
}

/* It goes another way than to its receiver; end: on whose interface a capture shows that. */
static void note_frame(struct link_direction *direction, const struct link_frame *frame,
		       uint32_t end, uint32_t notes)
{
	struct plh_link *link = direction->link;

	if (link->points[end])
		capture_bytes(link->points[end], world_now(link->world), frame->data, frame->bytes,
			      &frame->meta, end == direction->to, frame->notes | notes);
}

static void send_copy(struct link_direction *direction, const struct ring_span *span,
		      uint64_t now_ns, uint32_t notes)
{
	const struct plh_link_config *config = &direction->config;
	struct link_frame *frame = frame_get(direction->link->world, span->bytes);
	bool whole = link_is_whole(ring_meta(span));
	uint64_t left_ns = now_ns;

	if (!frame) {
		direction->stats.queue_drops++;
		return;
	}
	frame->bytes = span->bytes;
	frame->notes = notes;
	ring_copy_meta(&frame->meta, ring_meta(span));
	ring_gather(span, frame->data, span->bytes);
	if (config->rate_bps &&
	    !link_transmit_at_rate(direction, now_ns,
				   segmented_bytes(frame->data, frame->bytes, &frame->meta),
				   &left_ns)) {
		direction->stats.queue_drops++;
		note_frame(direction, frame, !direction->to, NOTE_QUEUE_FULL);
		frame_put(direction->link->world, frame);
		return;
	}
	frame->due_ns = link_arrival(direction, left_ns, whole);
	if (!whole && random_chance(&direction->random, config->corrupt)) {
		link_corrupt(direction, frame);
		frame->notes |= NOTE_CORRUPTED;
	}
	if (!whole && random_chance(&direction->random, config->truncate)) {
		link_truncate(direction, frame);
		frame->notes |= NOTE_TRUNCATED;
	}
	note_frame(direction, frame, !direction->to, 0);
	insert(direction, frame);
}

void link_enqueue(struct link_direction *direction, const struct ring_span *frame)
{
	struct plh_link *link = direction->link;
	uint64_t now_ns = world_now(link->world);
	/*
	 * A segment that was in the ring already when the link began to leave things
	 * to chance: it is still of the time before.
	 */
	bool whole = link_is_whole(ring_meta(frame));

	if (!whole && link_loses(direction)) {
		direction->stats.lost++;
		if (link->points[!direction->to])
			capture_span(link->points[!direction->to], now_ns, frame, false, NOTE_LOSS);
		return;
	}
	send_copy(direction, frame, now_ns, 0);
	if (!whole && random_chance(&direction->random, direction->config.duplicate)) {
		direction->stats.duplicated++;
		send_copy(direction, frame, now_ns, NOTE_DUPLICATE);
	}
	if (direction->first && !direction->blocked)
		heap_set(&link->world->heap, &direction->event, direction->first->due_ns);
}

/* --- Arriving --- */

void link_deliver(struct link_direction *direction, uint64_t now_ns)
{
	struct plh_link *link = direction->link;
	struct plh_device *device = link->device[direction->to];
	struct ring_span room;

	direction->blocked = false;
	while (direction->first && direction->first->due_ns <= now_ns) {
		struct link_frame *frame = direction->first;
		enum deliver result = DELIVER_DROPPED;

		if (device)
			result = device_claim(device, 0, frame->bytes, &room);
		if (result == DELIVER_WAIT) {
			direction->blocked = true; /* until link_receive() */
			break;
		}
		if (result == DELIVER_OK) {
			ring_scatter(&room, frame->data, frame->bytes);
			ring_copy_meta(ring_meta(&room), &frame->meta);
			direction->stats.frames++;
			direction->stats.bytes += frame->bytes;
			device_commit(device, &room);
		} else {
			direction->stats.rx_full++;
			note_frame(direction, frame, direction->to, NOTE_NO_BUFFER);
		}
		frame_put(link->world, take_first(direction));
	}
	heap_set(&link->world->heap, &direction->event,
		 direction->first && !direction->blocked ? direction->first->due_ns : LL_NEVER);
}

void link_due(struct event *event, uint64_t now_ns)
{
	link_deliver(
		(struct link_direction *)((char *)event - offsetof(struct link_direction, event)),
		now_ns);
}

void link_drop_all(struct link_direction *direction)
{
	while (direction->first) {
		direction->stats.down_drops++;
		note_frame(direction, direction->first, direction->to, NOTE_LINK_DOWN);
		frame_put(direction->link->world, take_first(direction));
	}
	direction->blocked = false;
	link_rate_reset(&direction->backlog);
	heap_set(&direction->link->world->heap, &direction->event, LL_NEVER);
}
