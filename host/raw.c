// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packet sockets on an interface of the host.  Frames leave by sendmmsg(2), straight from
 * the kernel's memory; they come through a ring that is shared with the host.  Both carry
 * a virtio-net header, so checksums and segments need not be finished.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "device.h"
#include "error.h"
#include "raw.h"
#include "raw_receive.h"

#define DEFAULT_RING_FRAMES 2048u
#define MAX_RING_FRAMES	    65536u
/* Under full load the interface is looked at now and then, too. */
#define TURNS_PER_LOOK 256u

/* --- The interface --- */

static void settle(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);
	bool up = state->host.up && state->queue[0].fd >= 0;

	state->settled = true;
	if (device->netdev->carrier != up)
		device_set_carrier(device, up);
}

static void count(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);

	for (uint32_t i = 0; i < state->queues; i++)
		device->stats.rx_dropped += raw_drops(&state->queue[i]);
}

/* The interface is gone, and what has come and was not taken goes with it. */
static void lose_all(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);

	count(device);
	for (uint32_t i = 0; i < state->queues; i++) {
		struct raw_queue *queue = &state->queue[i];

		for (; queue->fd >= 0 && raw_next(queue); raw_release(queue))
			device->stats.rx_dropped++;
	}
	raw_close_sockets(state);
}

/* It went down, came up, was deleted, or made again. */
static void look(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);
	int index = state->host.index;

	interface_look(&state->host);
	if (state->host.index != index)
		lose_all(device);
	if (state->host.index && state->queue[0].fd < 0 &&
	    (state->queues == 1 || state->host.enabled) && raw_open_sockets(state))
		interface_look_later(&state->host);
	settle(device);
}

/* --- Opening --- */

/* Segments of UDP; nothing but its version tells whether the host knows them. */
static bool host_cuts_udp(void)
{
	struct utsname host;
	int major = 0, minor = 0;

	uname(&host);
	if (sscanf(host.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 2);
}

static void configure(struct raw_state *state, struct ll_netdev_config *config)
{
	const struct plh_raw_parameters *given = &state->parameters;

	config->features = LL_NETDEV_SG;
	if (given->offload)
		config->features |= LL_NETDEV_CSUM | LL_NETDEV_TSO;
	if (given->offload && host_cuts_udp())
		config->features |= LL_NETDEV_USO;
	if (given->take_mtu)
		config->mtu = state->host.mtu;
	if (given->take_mac)
		memcpy(config->mac, state->host.mac, sizeof(config->mac));
	/*
	 * Segments that the interface does not take as they are must be cut on the way to
	 * it, which packets that pass the queueing discipline by are not.
	 */
	state->bypass = !given->qdisc &&
			(!given->offload || interface_takes_segments(&state->host));
}

static int raw_open(struct plh_device *device, const void *parameters,
		    struct ll_netdev_config *config)
{
	struct raw_state *state = plh_device_state(device);
	int error;

	state->parameters = *(const struct plh_raw_parameters *)parameters;
	state->queues = config->queues;
	raw_forget_sockets(state);
	if (!state->parameters.ring_frames)
		state->parameters.ring_frames = DEFAULT_RING_FRAMES;
	if (state->parameters.ring_frames > MAX_RING_FRAMES) {
		plh_set_error("ring_frames is %u: give 1 to %u.", state->parameters.ring_frames,
			      MAX_RING_FRAMES);
		return -EINVAL;
	}
	error = interface_open(&state->host, state->parameters.name);
	if (error)
		return error;
	configure(state, config);
	state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	error = state->epoll_fd < 0 ? -errno : interface_watch(&state->host, state->epoll_fd);
	if (error) {
		plh_set_error("The raw device on %s cannot wait (%s): raise 'ulimit -n'.",
			      state->host.name, plh_errno_text(error));
	} else {
		error = raw_open_sockets(state);
	}
	if (error) {
		if (state->epoll_fd >= 0)
			close(state->epoll_fd);
		interface_close(&state->host);
	}
	return error;
}

static void raw_close(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);

	raw_close_sockets(state);
	interface_close(&state->host);
	close(state->epoll_fd);
}

static int raw_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return ((struct raw_state *)plh_device_state(device))->epoll_fd;
}

/* --- Frames that leave --- */

static void set_header(struct virtio_net_hdr *header, const struct ll_desc *meta)
{
	/* Our numbers are those of virtio. */
	header->flags = meta->csum_flags & LL_CSUM_NEEDED;
	header->gso_type = meta->gso_type;
	header->hdr_len = meta->hdr_len;
	header->gso_size = meta->gso_size;
	header->csum_start = meta->csum_start;
	header->csum_offset = meta->csum_offset;
}

static enum raw_way way_of(const struct ll_desc *meta)
{
	return meta->csum_flags & LL_CSUM_NEEDED || meta->gso_type != LL_GSO_NONE ? RAW_OFFLOAD :
										    RAW_PLAIN;
}

/* Describe frames of a queue that go the same way, from view->tail on; how many. */
static unsigned int gather(struct raw_state *state, struct ll_ring *view, enum raw_way *way)
{
	unsigned int frames = 0;
	size_t used = 0;

	while (frames < RAW_BATCH && used + 1 + RING_MAX_PIECES <= RAW_IOVECS) {
		struct ring_span *frame = &state->spans[frames];
		struct iovec *iov = &state->iovecs[used];
		size_t pieces = 0;

		if (!ring_peek(view, frame))
			break;
		if (!frames)
			*way = way_of(ring_meta(frame));
		else if (way_of(ring_meta(frame)) != *way)
			break;
		if (*way == RAW_OFFLOAD) {
			set_header(&state->headers[frames], ring_meta(frame));
			iov[pieces++] = (struct iovec){ &state->headers[frames],
							sizeof(state->headers[0]) };
		}
		pieces += (size_t)ring_iovec(frame, iov + pieces);
		state->messages[frames].msg_hdr = (struct msghdr){
			.msg_iov = iov,
			.msg_iovlen = pieces,
		};
		view->tail = frame->first + frame->pieces;
		used += pieces;
		frames++;
	}
	return frames;
}

/* What the first frame that could not be sent means; true: it will not be, by anyone. */
static bool is_lost(struct plh_device *device, struct ring_span *frame, int error)
{
	struct raw_state *state = plh_device_state(device);

	if (error == EINTR)
		return false;
	if (error == ENOBUFS && state->bypass && ring_meta(frame)->gso_type != LL_GSO_NONE) {
		/* The interface has stopped to take segments (ethtool -K). */
		raw_stop_bypass(state);
		return false;
	}
	if (error == ENETDOWN || error == ENXIO || error == ENODEV)
		look(device);
	return true;
}

static void send_queue(struct plh_device *device, uint32_t number)
{
	struct raw_state *state = plh_device_state(device);
	struct raw_queue *queue = &state->queue[number];
	struct ll_ring *ring = device->netdev->tx[number];

	for (;;) {
		struct ll_ring view = *ring;
		enum raw_way way = RAW_PLAIN;
		unsigned int frames = gather(state, &view, &way);
		int sent;

		if (!frames)
			break;
		/* Spans were taken from the copy; they belong to the ring. */
		for (unsigned int i = 0; i < frames; i++)
			state->spans[i].ring = ring;
		if (queue->fd < 0) { /* like a cable that is not plugged in */
			device_sent(device, &state->spans[0], true);
			continue;
		}
		sent = sendmmsg(queue->send_fd[way], state->messages, frames, MSG_DONTWAIT);
		for (int i = 0; i < sent; i++)
			device_sent(device, &state->spans[i], false);
		if (sent >= 0)
			continue;
		if (errno == EAGAIN) {
			raw_watch(state, queue, true);
			return;
		}
		if (is_lost(device, &state->spans[0], errno))
			device_sent(device, &state->spans[0], true);
	}
	if (queue->fd >= 0)
		raw_watch(state, queue, false);
}

static void raw_transmit(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);

	if (!state->settled)
		settle(device);
	for (uint32_t number = 0; number < state->queues; number++)
		send_queue(device, number);
	device_notify_sent(device);
}

/* --- What happens --- */

/* How many frames came; in their rings, without a system call if there is none. */
static uint32_t take(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);
	bool want_room = false;
	uint32_t frames = 0;

	for (uint32_t number = 0; number < state->queues; number++) {
		if (state->queue[number].fd >= 0)
			frames += raw_receive_queue(device, number);
		want_room |= state->queue[number].wants_room;
	}
	if (want_room)
		raw_transmit(device);
	return frames;
}

static void raw_poll(struct plh_device *device)
{
	take(device);
}

static void raw_receive(struct plh_device *device)
{
	struct raw_state *state = plh_device_state(device);

	/* Nothing came, so it was something else that woke us. */
	if (!take(device) || ++state->turns >= TURNS_PER_LOOK) {
		state->turns = 0;
		raw_clear_errors(state);
		if (interface_changed(&state->host))
			look(device);
	}
}

const struct plh_backend plh_raw = {
	.name = "raw",
	.state_bytes = sizeof(struct raw_state),
	.open = raw_open,
	.close = raw_close,
	.transmit = raw_transmit,
	.receive = raw_receive,
	.fd = raw_fd,
	.count = count,
	.poll = raw_poll,
};
