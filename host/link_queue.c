// SPDX-License-Identifier: GPL-2.0-only
/* Frames on their way: delay, jitter, rate, loss and the other ways to be unlucky. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "clock.h"
#include "error.h"
#include "link.h"

#define DEFAULT_QUEUE_PACKETS 1000
#define ETHERNET_HEADER_BYTES 14

/* --- Memory for frames: none is returned to malloc() while the link exists --- */

static const uint32_t frame_sizes[LINK_FRAME_SIZES] = { 256, 2048, 1u << 17 };

static struct link_frame *frame_get(struct plh_link *link, uint32_t bytes)
{
	struct link_frame *frame;
	uint32_t size = 0;

	while (frame_sizes[size] < bytes)
		if (++size == LINK_FRAME_SIZES)
			return NULL;
	frame = link->free[size];
	if (frame) {
		link->free[size] = frame->next;
		return frame;
	}
	frame = malloc(sizeof(*frame) + frame_sizes[size]);
	if (frame)
		frame->size = size;
	return frame;
}

static void frame_put(struct plh_link *link, struct link_frame *frame)
{
	frame->next = link->free[frame->size];
	link->free[frame->size] = frame;
}

void link_free_frames(struct plh_link *link)
{
	for (int size = 0; size < LINK_FRAME_SIZES; size++) {
		while (link->free[size]) {
			struct link_frame *frame = link->free[size];

			link->free[size] = frame->next;
			free(frame);
		}
	}
}

/* --- Configuration --- */

bool link_is_direct(const struct link_direction *direction)
{
	const struct plh_link_config *config = &direction->config;

	return !(config->delay_ns | config->jitter_ns | config->rate_bps | config->loss |
		 config->duplicate | config->reorder | config->corrupt) &&
	       !direction->first;
}

int link_set_config(struct link_direction *direction, const struct plh_link_config *config)
{
	uint32_t room = config->queue_packets ? config->queue_packets : DEFAULT_QUEUE_PACKETS;
	uint64_t *starts;

	if (room != direction->starts_room) {
		starts = calloc(room, sizeof(*starts));
		if (!starts) {
			plh_set_error("There is no memory for a queue of %u packets.", room);
			return -ENOMEM;
		}
		/* The oldest ones are kept; a shorter queue is full until they have left. */
		if (direction->starts_count > room)
			direction->starts_count = room;
		for (uint32_t i = 0; i < direction->starts_count; i++)
			starts[i] = direction->starts[(direction->starts_first + i) %
						      direction->starts_room];
		free(direction->starts);
		direction->starts = starts;
		direction->starts_room = room;
		direction->starts_first = 0;
	}
	direction->config = *config;
	direction->remainder = 0;
	return 0;
}

/* --- Rate --- */

/* When the frame will have left; false: the queue is full. */
static bool transmit_at_rate(struct link_direction *direction, uint64_t now_ns, uint32_t wire_bytes,
			     uint64_t *left_ns)
{
	const uint64_t rate = direction->config.rate_bps;
	unsigned __int128 parts;

	while (direction->starts_count && direction->starts[direction->starts_first] <= now_ns) {
		direction->starts_first = (direction->starts_first + 1) % direction->starts_room;
		direction->starts_count--;
	}
	if (direction->busy_until_ns < now_ns) {
		direction->busy_until_ns = now_ns;
		direction->remainder = 0;
	}
	if (direction->busy_until_ns > now_ns) {
		if (direction->starts_count == direction->starts_room)
			return false;
		direction->starts[(direction->starts_first + direction->starts_count++) %
				  direction->starts_room] = direction->busy_until_ns;
	}
	/* Fractions of a nanosecond add up over a burst: the rate is exact. */
	parts = (unsigned __int128)wire_bytes * 8 * NS_PER_S + direction->remainder;
	direction->busy_until_ns += (uint64_t)(parts / rate);
	direction->remainder = (uint64_t)(parts % rate);
	*left_ns = direction->busy_until_ns;
	return true;
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

static uint64_t arrival(struct link_direction *direction, uint64_t left_ns)
{
	const struct plh_link_config *config = &direction->config;
	uint64_t due_ns = left_ns + config->delay_ns;

	if (random_chance(&direction->random, config->reorder)) {
		/* As netem does it: this one overtakes those that are delayed. */
		direction->stats.reordered++;
		return left_ns;
	}
	if (config->jitter_ns) {
		uint64_t spread = random_next(&direction->random) % (2 * config->jitter_ns + 1);

		due_ns += spread;
		due_ns = due_ns > left_ns + config->jitter_ns ? due_ns - config->jitter_ns :
								left_ns;
	}
	if (due_ns < direction->last_due_ns)
		due_ns = direction->last_due_ns;
	direction->last_due_ns = due_ns;
	return due_ns;
}

/* Flip a bit behind the addresses, as a bad cable with a good checksum would. */
static bool corrupt(struct link_direction *direction, struct link_frame *frame)
{
	uint64_t random = random_next(&direction->random);
	uint32_t at;

	direction->stats.corrupted++;
	/* Which segment it was cannot be told before there are segments: lose all. */
	if (frame->meta.gso_type != LL_GSO_NONE || frame->bytes <= ETHERNET_HEADER_BYTES)
		return false;
	checksum_fill(frame->data, frame->bytes, &frame->meta);
	frame->meta.csum_flags = 0;
	at = ETHERNET_HEADER_BYTES +
	     (uint32_t)((random >> 3) % (frame->bytes - ETHERNET_HEADER_BYTES));
	frame->data[at] ^= (uint8_t)(1u << (random & 7));
	return true;
}

static void send_copy(struct link_direction *direction, const struct ring_span *span,
		      uint64_t now_ns)
{
	const struct plh_link_config *config = &direction->config;
	struct link_frame *frame = frame_get(direction->link, span->bytes);
	uint64_t left_ns = now_ns;

	if (!frame) {
		direction->stats.queue_drops++;
		return;
	}
	frame->bytes = span->bytes;
	ring_copy_meta(&frame->meta, ring_meta(span));
	ring_gather(span, frame->data, span->bytes);
	if (config->rate_bps &&
	    !transmit_at_rate(direction, now_ns,
			      segmented_bytes(frame->data, frame->bytes, &frame->meta), &left_ns)) {
		direction->stats.queue_drops++;
		frame_put(direction->link, frame);
		return;
	}
	frame->due_ns = arrival(direction, left_ns);
	if (random_chance(&direction->random, config->corrupt) && !corrupt(direction, frame)) {
		frame_put(direction->link, frame);
		return;
	}
	insert(direction, frame);
}

void link_enqueue(struct link_direction *direction, const struct ring_span *frame)
{
	struct plh_world *world = direction->link->world;
	uint64_t now_ns = world_now(world);

	if (random_chance(&direction->random, direction->config.loss)) {
		direction->stats.lost++;
		return;
	}
	send_copy(direction, frame, now_ns);
	if (random_chance(&direction->random, direction->config.duplicate)) {
		direction->stats.duplicated++;
		send_copy(direction, frame, now_ns);
	}
	if (direction->first && !direction->blocked)
		heap_set(&world->heap, &direction->event, direction->first->due_ns);
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
		}
		frame_put(link, take_first(direction));
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
		direction->stats.lost++;
		frame_put(direction->link, take_first(direction));
	}
	direction->blocked = false;
	direction->starts_count = 0;
	direction->busy_until_ns = 0;
	heap_set(&direction->link->world->heap, &direction->event, LL_NEVER);
}
