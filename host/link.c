// SPDX-License-Identifier: GPL-2.0-only
/* The two ends of a link, and its life. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "fork.h"
#include "link.h"

static int link_open(struct plh_device *device, const void *parameters,
		     struct ll_netdev_config *config)
{
	struct link_end *end = plh_device_state(device);

	*end = *(const struct link_end *)parameters;
	config->features = 0;
	if (end->link->offload != PLH_OFFLOAD_OFF)
		config->features = LL_NETDEV_CSUM | LL_NETDEV_TSO | LL_NETDEV_USO | LL_NETDEV_SG;
	return 0;
}

/* Its kernel goes away, or the link does: frames to here are lost from now on. */
static void link_close(struct plh_device *device)
{
	const struct link_end *end = plh_device_state(device);
	struct plh_link *link = end->link;
	struct plh_device *other;

	link->device[end->end] = NULL;
	if (link->world->generation != fork_generation)
		return;
	link_drop_all(&link->direction[0]);
	link_drop_all(&link->direction[1]);
	other = link->device[!end->end];
	if (other && other->netdev)
		device_set_carrier(other, false);
}

static void note_span(struct plh_link *link, uint32_t end, const struct ring_span *frame,
		      uint32_t notes)
{
	if (link->points[end])
		capture_span(link->points[end], world_now(link->world), frame, false, notes);
}

/* From ring to ring; false: the receiver needs to run first. */
static bool send_directly(struct link_direction *direction, struct plh_device *from, uint32_t queue,
			  const struct ring_span *frame)
{
	struct plh_device *device = direction->link->device[direction->to];
	struct ring_span room;

	switch (device_claim(device, queue % device->netdev->queues, frame->bytes, &room)) {
	case DELIVER_WAIT:
		return false;
	case DELIVER_DROPPED:
		direction->stats.rx_full++;
		note_span(direction->link, !direction->to, frame, NOTE_NO_BUFFER);
		break;
	case DELIVER_OK:
		note_span(direction->link, !direction->to, frame, 0);
		ring_copy(frame, &room);
		ring_copy_meta(ring_meta(&room), ring_meta(frame));
		direction->stats.frames++;
		direction->stats.bytes += frame->bytes;
		device_commit(device, &room);
		break;
	}
	device_sent(from, frame, false);
	return true;
}

void link_transmit(struct plh_device *device)
{
	const struct link_end *end = plh_device_state(device);
	struct plh_link *link = end->link;
	struct link_direction *direction = &link->direction[end->end];
	bool lost = !link->up || !link->device[!end->end] || !link->device[!end->end]->netdev;
	bool direct = link_is_direct(direction);
	struct ring_span frame;

	for (uint32_t queue = 0; queue < device->netdev->queues; queue++) {
		while (device_next(device, queue, &frame)) {
			if (lost) {
				direction->stats.down_drops++;
				note_span(link, end->end, &frame, NOTE_LINK_DOWN);
				device_sent(device, &frame, true);
			} else if (direct) {
				if (!send_directly(direction, device, queue, &frame))
					break;
			} else {
				link_enqueue(direction, &frame);
				device_sent(device, &frame, false);
			}
		}
	}
	device_notify_sent(device);
}

/* The receiver has buffers again: what waits on the way, and at the sender. */
void link_receive(struct plh_device *device)
{
	const struct link_end *end = plh_device_state(device);
	struct plh_link *link = end->link;
	struct plh_device *sender = link->device[!end->end];

	link_deliver(&link->direction[!end->end], world_now(link->world));
	if (sender && sender->netdev && !device->rx_stalled)
		link_transmit(sender);
}

const struct plh_backend link_backend = {
	.name = "link",
	.state_bytes = sizeof(struct link_end),
	.open = link_open,
	.close = link_close,
	.transmit = link_transmit,
	.receive = link_receive,
};

/* --- Life --- */

static int set_config(struct link_direction *direction, const struct plh_link_config *config)
{
	const struct plh_link_config *old = &direction->config;

	if (link_rate_prepare(&direction->backlog, config))
		return PLH_ERROR;
	if (config->loss_model != old->loss_model || config->good_to_bad != old->good_to_bad ||
	    config->bad_to_good != old->bad_to_good || config->loss_in_bad != old->loss_in_bad ||
	    config->loss_in_good != old->loss_in_good)
		direction->bad = false;
	direction->config = *config;
	return PLH_OK;
}

static bool prepare_direction(struct plh_link *link, uint32_t from,
			      const struct plh_link_config *config)
{
	struct link_direction *direction = &link->direction[from];
	uint64_t number = link->world->link_number++;

	direction->link = link;
	direction->to = !from;
	event_init(&direction->event, EVENT_LINK, number);
	random_init(&direction->random, link->world->config.seeded, link->world->config.seed,
		    RANDOM_LINK, number);
	return !set_config(direction, config) && !heap_add_source(&link->world->heap);
}

static bool add_ends(struct plh_link *link, const struct plh_link_parameters *parameters)
{
	for (uint32_t end = 0; end < 2; end++) {
		struct link_end parameter = { link, end };

		link->device[end] = plh_device_add(parameters->kernel[end], &link_backend,
						   &parameter, &parameters->netdev[end]);
		if (!link->device[end])
			return false;
		memcpy(link->name[end], link->device[end]->config.name, sizeof(link->name[end]));
	}
	return true;
}

/* Switch offloads if settings want the other way. */
static int follow_config(struct plh_link *link, const struct plh_link_config config[2])
{
	bool segmented = link_needs_packets(config);

	if (link->offload != PLH_OFFLOAD_AUTO || link->segmented == segmented)
		return PLH_OK;
	return link_set_segmented(link, segmented);
}

void link_free(struct plh_link *link)
{
	for (uint32_t from = 0; from < 2; from++) {
		struct link_direction *direction = &link->direction[from];

		if (!direction->link)
			continue;
		link_drop_all(direction);
		heap_remove_source(&link->world->heap, &direction->event);
		free(direction->backlog.starts);
	}
	for (uint32_t end = 0; end < 2; end++)
		capture_end_points(&link->points[end]);
	if (link->link)
		*link->link = link->next;
	if (link->next)
		link->next->link = link->link;
	free(link);
}

static void destroy(struct plh_link *link)
{
	for (uint32_t end = 0; end < 2; end++)
		if (link->device[end])
			device_remove(link->device[end]);
	link_free(link);
}

struct plh_link *link_make(struct plh_world *world, const struct plh_link_config config[2])
{
	struct plh_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->world = world;
	link->offload = PLH_OFFLOAD_AUTO;
	link->up = true;
	if (!prepare_direction(link, 0, &config[0]) || !prepare_direction(link, 1, &config[1])) {
		link_free(link);
		return NULL;
	}
	return link;
}

struct plh_link *plh_link_create(struct plh_world *world,
				 const struct plh_link_parameters *parameters)
{
	struct plh_link *link;

	if (parameters->kernel[0]->world != world || parameters->kernel[1]->world != world) {
		plh_set_error("Both kernels of a link must live in the world that it is made in.");
		return NULL;
	}
	if (link_check_config(parameters->offload, parameters->config))
		return NULL;
	if (world_begin(world))
		return NULL;
	link = calloc(1, sizeof(*link));
	if (!link) {
		plh_set_error("There is no memory for another link.");
		world_unlock(world);
		return NULL;
	}
	link->world = world;
	link->offload = parameters->offload;
	link->up = true;
	link->link = &world->links;
	link->next = world->links;
	if (link->next)
		link->next->link = &link->next;
	world->links = link;
	if (!prepare_direction(link, 0, &parameters->config[0]) ||
	    !prepare_direction(link, 1, &parameters->config[1]) || !add_ends(link, parameters) ||
	    follow_config(link, parameters->config)) {
		destroy(link);
		link = NULL;
	}
	world_end(world);
	return link;
}

void plh_link_destroy(struct plh_link *link)
{
	struct plh_world *world;

	if (!link)
		return;
	world = link->world;
	if (world_begin(world))
		return;
	destroy(link);
	world_end(world);
}

/* --- Changing and asking --- */

int plh_link_configure(struct plh_link *link, const struct plh_link_config config[2])
{
	int status = link_check_config(link->offload, config);

	if (!status)
		status = world_begin(link->world);
	if (status)
		return status;
	/* Chance begins after the last whole segment, and ends before the first. */
	if (link_needs_packets(config))
		status = follow_config(link, config);
	for (uint32_t from = 0; from < 2 && !status; from++)
		status = set_config(&link->direction[from], &config[from]);
	if (!status)
		status = follow_config(link, config);
	world_end(link->world);
	return status;
}

int plh_link_up(struct plh_link *link, int up)
{
	int status = world_begin(link->world);

	if (status)
		return status;
	link->up = up;
	for (uint32_t end = 0; end < 2; end++) {
		/* A cut cable takes what was in it along. */
		if (!up)
			link_drop_all(&link->direction[end]);
		if (link->device[end])
			device_set_carrier(link->device[end], up && link->device[!end]);
	}
	world_settle(link->world);
	world_end(link->world);
	return PLH_OK;
}

int plh_link_stats(struct plh_link *link, int direction, struct plh_link_stats *stats)
{
	if (direction != 0 && direction != 1) {
		plh_set_error("A link has the directions 0 (from its first kernel) and 1, not %d.",
			      direction);
		return PLH_ERROR;
	}
	world_lock(link->world);
	*stats = link->direction[direction].stats;
	world_unlock(link->world);
	return PLH_OK;
}

struct plh_device *plh_link_device(struct plh_link *link, int end)
{
	return end == 0 || end == 1 ? link->device[end] : NULL;
}
