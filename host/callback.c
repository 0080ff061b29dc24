// SPDX-License-Identifier: GPL-2.0-only
/* A device whose other side is functions of the caller: Python, a simulator. */
#include <errno.h>

#include "device.h"
#include "error.h"
#include "fork.h"

#define ETHERNET_HEADER_BYTES 14
#define VLAN_TAGS_BYTES	      8
#define MAX_FRAME_BYTES	      (65535 + ETHERNET_HEADER_BYTES + VLAN_TAGS_BYTES)

struct callback_state {
	struct plh_callback_parameters parameters;
	uint8_t frame[MAX_FRAME_BYTES]; /* for one that lies in several pieces */
};

static int callback_open(struct plh_device *device, const void *parameters,
			 struct ll_netdev_config *config)
{
	struct callback_state *state = plh_device_state(device);

	if (parameters)
		state->parameters = *(const struct plh_callback_parameters *)parameters;
	/* The caller gets complete frames: nothing is left to the device. */
	config->features = 0;
	return 0;
}

static void hand_over(struct plh_device *device, const struct ring_span *frame)
{
	struct callback_state *state = plh_device_state(device);
	const uint8_t *bytes = (const uint8_t *)ring_meta(frame)->addr;

	if (frame->pieces > 1) {
		ring_gather(frame, state->frame, frame->bytes);
		bytes = state->frame;
	}
	device->kernel->world->callbacks++;
	state->parameters.transmit(state->parameters.opaque, bytes, frame->bytes);
	device->kernel->world->callbacks--;
}

static void callback_transmit(struct plh_device *device)
{
	const struct callback_state *state = plh_device_state(device);
	struct ring_span frame;

	for (uint32_t queue = 0; queue < device->netdev->queues; queue++) {
		while (device_next(device, queue, &frame)) {
			bool taken = state->parameters.transmit && frame.bytes <= MAX_FRAME_BYTES;

			if (taken)
				hand_over(device, &frame);
			device_sent(device, &frame, !taken);
		}
	}
	device_notify_sent(device);
}

static void callback_receive(struct plh_device *device)
{
	(void)device; /* nothing waits here: plh_callback_inject() answers -ENOBUFS */
}

const struct plh_backend plh_callback = {
	.name = "callback",
	.state_bytes = sizeof(struct callback_state),
	.open = callback_open,
	.transmit = callback_transmit,
	.receive = callback_receive,
};

static int inject(struct plh_device *device, const uint8_t *frame, uint32_t bytes)
{
	struct ring_span room;

	switch (device_claim(device, 0, bytes, &room)) {
	case DELIVER_OK:
		ring_scatter(&room, frame, bytes);
		device_commit(device, &room);
		return 0;
	case DELIVER_WAIT:
		device_set_stalled(device, false);
		return -ENOBUFS;
	default:
		return -ENOBUFS;
	}
}

int plh_callback_inject(struct plh_device *device, const uint8_t *frame, uint64_t bytes)
{
	struct plh_world *world = device->kernel->world;
	int error;

	if (device->backend != &plh_callback || bytes < ETHERNET_HEADER_BYTES)
		return -EINVAL;
	if (bytes > device->config.mtu + ETHERNET_HEADER_BYTES + VLAN_TAGS_BYTES)
		return -EMSGSIZE;
	if (world->generation != fork_generation)
		return -EINVAL;
	world_lock(world);
	error = inject(device, frame, (uint32_t)bytes);
	/* The kernel has room again once it has run, which a callback cannot wait for. */
	if (error == -ENOBUFS && !world->callbacks && !world->leader) {
		world_settle(world);
		error = inject(device, frame, (uint32_t)bytes);
	}
	world_end(world);
	return error;
}
