// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chance, delay and rate round any backend.  Between the kernel and the backend
 * lies a link (link_queue.c, link_chance.c, link_rate.c) whose far end is a netdev
 * of our own: what the link delivers there the backend sends, and what the backend
 * receives the link carries to the kernel.
 *
 *	kernel == device -- link -- near ~~ far == backend
 *
 * near and far share their descriptors: a ring that the one fills is the ring that
 * the other empties, so nothing is copied between them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "link.h"
#include "wrapped.h"

#define ENTRIES	     256
#define BUFFER_BYTES 4096
/* Rounds of wrapped_pump(), then others have their turn. */
#define MAX_ROUNDS 256

/* Frames in one direction: the ring where they are put and the one where they are taken. */
struct passage {
	struct ll_ring put, take;
	struct ll_desc descs[ENTRIES];
	uint8_t *buffers;
};

struct wrapped_state {
	struct link_end end; /* first: what link.c finds in a device of a link */
	struct plh_link *link;
	struct plh_device *near, *far;
	struct plh_device *chain[2]; /* where they are linked */
	struct ll_netdev near_netdev, far_netdev;
	struct passage out, in;
	struct device_timer timer; /* of the next pump */
	bool pending;
	bool started; /* the backend knows that it has been added */
	bool posted; /* the backend has buffers: the interface has been up */
	uint32_t carrier; /* of far, as the kernel was told */
	uint64_t counted_rx, counted_tx; /* drops of far that are in the device's counters */
};

/* --- Passages --- */

static int make_passage(struct passage *passage)
{
	passage->buffers = malloc((size_t)ENTRIES * BUFFER_BYTES);
	if (!passage->buffers)
		return -ENOMEM;
	passage->put.entries = passage->take.entries = ENTRIES;
	passage->put.descs = passage->take.descs = (uint64_t)passage->descs;
	passage->take.notify = 1; /* always: what is taken is room */
	for (uint32_t i = 0; i < ENTRIES; i++)
		passage->descs[i].addr = (uint64_t)passage->buffers + (uint64_t)i * BUFFER_BYTES;
	return 0;
}

/* Empty buffers where frames were taken; how many. */
static uint32_t recycle(struct passage *passage)
{
	uint32_t end = passage->take.tail + ENTRIES, count = end - passage->put.head;

	for (; passage->put.head != end; passage->put.head++) {
		struct ll_desc *desc = ring_desc(&passage->put, passage->put.head);

		desc->len = BUFFER_BYTES;
		desc->flags = 0;
	}
	return count;
}

static bool has_frames(const struct passage *passage)
{
	return passage->take.head != passage->put.tail;
}

static bool has_room(const struct passage *passage)
{
	return passage->put.head != passage->take.tail + ENTRIES;
}

/* --- Moving on --- */

static bool pump_out(struct plh_device *device)
{
	struct wrapped_state *state = plh_device_state(device);
	bool moved = has_frames(&state->out);

	if (moved) {
		state->out.take.head = state->out.put.tail;
		state->far->backend->transmit(state->far);
	}
	if (recycle(&state->out)) {
		moved = true;
		if (state->near->rx_stalled) {
			device_set_stalled(state->near, false);
			link_receive(state->near);
			if (device->netdev)
				device_kick(device);
		}
	}
	return moved;
}

static bool pump_in(struct wrapped_state *state)
{
	bool moved = has_frames(&state->in);

	if (moved) {
		state->in.take.head = state->in.put.tail;
		link_transmit(state->near);
	}
	if (state->posted && recycle(&state->in)) {
		moved = true;
		if (state->far->rx_stalled) {
			device_set_stalled(state->far, false);
			state->far->backend->receive(state->far);
		}
	}
	return moved;
}

static void follow_carrier(struct plh_device *device)
{
	struct wrapped_state *state = plh_device_state(device);

	if (state->carrier == state->far_netdev.carrier || !device->netdev)
		return;
	state->carrier = state->far_netdev.carrier;
	device_set_carrier(device, state->carrier != 0);
}

static void pump(struct plh_device *device, uint64_t now_ns)
{
	struct wrapped_state *state = plh_device_state(device);
	int rounds = 0;

	state->pending = true; /* what is done here need not be told */
	while (rounds < MAX_ROUNDS && (pump_out(device) | pump_in(state)))
		rounds++;
	follow_carrier(device);
	state->pending = rounds == MAX_ROUNDS;
	if (state->pending)
		device_timer_set(&state->timer, now_ns);
}

void wrapped_kick(struct plh_device *inner)
{
	struct plh_device *device = inner->wrapper;
	struct wrapped_state *state = plh_device_state(device);

	if (state->pending || !(has_frames(&state->out) || has_room(&state->out) ||
				has_frames(&state->in) || (state->posted && has_room(&state->in)) ||
				state->carrier != state->far_netdev.carrier))
		return;
	/* Soon, so that frames go on together. */
	state->pending = true;
	device_timer_set(&state->timer, world_now(device->kernel->world));
}

/* --- The backend --- */

static void post(struct plh_device *device)
{
	struct wrapped_state *state = plh_device_state(device);

	state->posted = true;
	state->far_netdev.rx_kicked = 1; /* there will be more */
	recycle(&state->in);
	state->far->backend->transmit(state->far);
	if (state->far->rx_stalled) {
		device_set_stalled(state->far, false);
		state->far->backend->receive(state->far);
	}
}

static void wrapped_transmit(struct plh_device *device)
{
	struct wrapped_state *state = plh_device_state(device);

	if (!state->started) {
		state->started = true;
		/* By now the kernel has chosen its name. */
		memcpy(state->far->config.name, device->config.name, sizeof(device->config.name));
		device_watch(state->far);
		device_add_poller(state->far);
		state->far->backend->transmit(state->far);
		follow_carrier(device);
	}
	if (!state->posted && ring_has_any(device->netdev->rx[0]))
		post(device);
	link_transmit(device);
}

static void wrapped_count(struct plh_device *device)
{
	struct wrapped_state *state = plh_device_state(device);
	const struct plh_device_stats *far = &state->far->stats;

	if (state->far->backend->count)
		state->far->backend->count(state->far);
	device->stats.rx_dropped += far->rx_dropped - state->counted_rx;
	device->stats.tx_dropped += far->tx_dropped - state->counted_tx;
	state->counted_rx = far->rx_dropped;
	state->counted_tx = far->tx_dropped;
}

static struct plh_device *make_inner(struct plh_device *device, struct plh_device **slot,
				     const struct plh_backend *backend, struct ll_netdev *netdev,
				     struct ll_ring *tx, struct ll_ring *rx)
{
	struct plh_device *inner = calloc(1, sizeof(*inner));

	if (inner)
		inner->state = calloc(1, backend->state_bytes + 1);
	if (!inner || !inner->state) {
		free(inner);
		return NULL;
	}
	netdev->queues = 1;
	netdev->carrier = 1;
	netdev->tx[0] = tx;
	netdev->rx[0] = rx;
	inner->backend = backend;
	inner->kernel = device->kernel;
	inner->config = device->config;
	inner->config.queues = 1;
	inner->wrapper = device;
	inner->fd = -1;
	inner->link = slot;
	*slot = inner;
	return inner;
}

static int make_parts(struct plh_device *device, const struct plh_wrapped_parameters *wrapped)
{
	struct wrapped_state *state = plh_device_state(device);

	state->carrier = 1;
	if (make_passage(&state->out) || make_passage(&state->in))
		return -ENOMEM;
	recycle(&state->out);
	state->near_netdev.rx_kicked = 1; /* there is always more room later */
	state->near = make_inner(device, &state->chain[0], &link_backend, &state->near_netdev,
				 &state->in.take, &state->out.put);
	state->far = make_inner(device, &state->chain[1], wrapped->backend, &state->far_netdev,
				&state->out.take, &state->in.put);
	if (!state->near || !state->far)
		return -ENOMEM;
	state->link = link_make(device->kernel->world, wrapped->config);
	if (!state->link)
		return -ENOMEM;
	state->link->device[0] = device;
	state->link->device[1] = state->near;
	state->near->netdev = &state->near_netdev;
	state->end = (struct link_end){ state->link, 0 };
	*(struct link_end *)state->near->state = (struct link_end){ state->link, 1 };
	return 0;
}

static void wrapped_close(struct plh_device *device)
{
	struct wrapped_state *state = plh_device_state(device);

	device_timer_close(&state->timer);
	if (state->far)
		device_free(state->far);
	if (state->link) {
		state->link->device[0] = state->link->device[1] = NULL;
		link_free(state->link);
	}
	if (state->near)
		device_free(state->near);
	free(state->out.buffers);
	free(state->in.buffers);
}

static int wrapped_open(struct plh_device *device, const void *parameters,
			struct ll_netdev_config *config)
{
	const struct plh_wrapped_parameters *wrapped = parameters;
	struct wrapped_state *state = plh_device_state(device);
	int error = link_check_config(PLH_OFFLOAD_AUTO, wrapped->config) ? -EINVAL : 0;

	if (!error) {
		error = make_parts(device, wrapped);
		if (error)
			plh_set_error("There is no memory for what is round a device.");
	}
	if (!error)
		error = device_timer_open(&state->timer, device, pump);
	if (!error)
		error = device_open(state->far, wrapped->parameters) ? 0 : -EINVAL;
	if (error) {
		wrapped_close(device);
		return error;
	}
	state->far->netdev = &state->far_netdev; /* not before, as it is with any device */
	*config = state->far->config;
	config->queues = 1;
	/* Chance acts on packets. */
	if (link_needs_packets(wrapped->config))
		config->features &= ~(LL_NETDEV_TSO | LL_NETDEV_USO);
	return 0;
}

const struct plh_backend plh_wrapped = {
	.name = "wrapped",
	.state_bytes = sizeof(struct wrapped_state),
	.open = wrapped_open,
	.close = wrapped_close,
	.transmit = wrapped_transmit,
	.receive = link_receive,
	.count = wrapped_count,
};

int plh_wrapped_stats(struct plh_device *device, int direction, struct plh_link_stats *stats)
{
	const struct wrapped_state *state = plh_device_state(device);

	if (device->backend != &plh_wrapped) {
		plh_set_error("Nothing is round the device %.16s.", device->config.name);
		return PLH_ERROR;
	}
	return plh_link_stats(state->link, direction, stats);
}
