// SPDX-License-Identifier: GPL-2.0-only
/*
 * AF_XDP sockets on an interface of the host.  Frames are copied once between the
 * kernel's memory and the memory that is shared with the host's driver; why, stands in
 * docs/adr/0012-how-frames-reach-an-interface.md.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "xdp.h"

#define DEFAULT_RING_FRAMES 2048u
#define MAX_RING_FRAMES	    32768u
#define SMALL_CHUNK	    2048u
#define LARGE_CHUNK	    4096u /* a page, which the host's kernel allows at most */
#define ETHERNET_BYTES	    18u /* header and a VLAN tag */
/* Under full load the interface is looked at now and then, too. */
#define TURNS_PER_LOOK 256u

/* --- The interface --- */

static void settle(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);
	bool up = state->host.up && state->queue[0].fd >= 0;

	state->settled = true;
	if (device->netdev->carrier != up)
		device_set_carrier(device, up);
}

static void count(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);

	for (uint32_t i = 0; i < state->queues; i++)
		device->stats.rx_dropped += xdp_lost(&state->queue[i]);
}

/* Frames are counted as sent when they are copied: this one was not. */
static void uncount(struct plh_device *device, const struct xdp_queue *queue, uint32_t at)
{
	/* The host only reads descriptors. */
	struct xsk_ring_prod ring = queue->tx;

	device->stats.tx_frames--;
	device->stats.tx_bytes -= xsk_ring_prod__tx_desc(&ring, at)->len;
	device->stats.tx_dropped++;
}

/* What waits on either way must not cross when the interface is there again. */
static void lose_all(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);

	count(device);
	for (uint32_t i = 0; i < state->queues; i++) {
		struct xdp_queue *queue = &state->queue[i];

		if (queue->fd < 0)
			continue;
		device->stats.rx_dropped += xsk_cons_nb_avail(&queue->rx, UINT32_MAX);
		for (uint32_t at = *queue->tx.consumer + queue->unpublished;
		     at != *queue->tx.producer; at++)
			uncount(device, queue, at);
	}
	xdp_close_sockets(state);
}

/* It went down, came up, was deleted, or made again. */
static void look(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);
	int index = state->host.index;

	interface_look(&state->host);
	if (state->host.index != index)
		lose_all(device);
	if (state->host.enabled && state->queue[0].fd < 0 && xdp_open_sockets(state, false))
		interface_look_later(&state->host);
	settle(device);
}

/* --- Opening --- */

static int configure(struct xdp_state *state, struct ll_netdev_config *config)
{
	const struct plh_xdp_parameters *given = &state->parameters;
	uint32_t wanted = given->ring_frames ? given->ring_frames : DEFAULT_RING_FRAMES;

	if (wanted > MAX_RING_FRAMES) {
		plh_set_error("ring_frames is %u: give 1 to %u.", wanted, MAX_RING_FRAMES);
		return -EINVAL;
	}
	for (state->frames = 1; state->frames < wanted;)
		state->frames *= 2;
	/* What else there is, the sockets of today's hosts have no room to tell of. */
	config->features = 0;
	if (given->take_mtu)
		config->mtu = state->host.mtu;
	if (given->take_mac)
		memcpy(config->mac, state->host.mac, sizeof(config->mac));
	state->chunk_bytes = SMALL_CHUNK;
	if (config->mtu + ETHERNET_BYTES > xdp_room(state))
		state->chunk_bytes = LARGE_CHUNK;
	if (config->mtu + ETHERNET_BYTES > xdp_room(state)) {
		plh_set_error("An xdp device has an MTU of at most %u bytes, and %u is too much: "
			      "give a smaller mtu, or use a raw device.",
			      xdp_room(state) - ETHERNET_BYTES, config->mtu);
		return -EINVAL;
	}
	state->finish_checksums = given->finish_checksums == PLH_XDP_FINISH_AUTO ?
					  interface_has_driver(&state->host, "veth") :
					  given->finish_checksums == PLH_XDP_FINISH;
	return 0;
}

static int xdp_open(struct plh_device *device, const void *parameters,
		    struct ll_netdev_config *config)
{
	struct xdp_state *state = plh_device_state(device);
	int error;

	state->parameters = *(const struct plh_xdp_parameters *)parameters;
	state->queues = config->queues;
	state->map_fd = state->program_fd = state->link_fd = -1;
	for (uint32_t i = 0; i < LL_MAX_QUEUES; i++)
		state->queue[i].fd = -1;
	if (!xdp_library())
		return -ENOSYS;
	error = interface_open(&state->host, state->parameters.name);
	if (error)
		return error;
	state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	error = configure(state, config);
	if (!error && (state->epoll_fd < 0 || interface_watch(&state->host, state->epoll_fd)))
		error = xdp_fail(state, errno, "wait; raise 'ulimit -n'");
	if (!error)
		error = xdp_open_sockets(state, true);
	if (error) {
		if (state->epoll_fd >= 0)
			close(state->epoll_fd);
		interface_close(&state->host);
	}
	return error;
}

static void xdp_close(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);

	xdp_close_sockets(state);
	interface_close(&state->host);
	close(state->epoll_fd);
}

static int xdp_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return ((struct xdp_state *)plh_device_state(device))->epoll_fd;
}

/* --- Frames that leave --- */

/* Chunks that the host has sent. */
static void reclaim(struct xdp_queue *queue)
{
	uint32_t at, frames = xsk_ring_cons__peek(&queue->completion, UINT32_MAX, &at);

	for (uint32_t i = 0; i < frames; i++)
		queue->free[queue->free_count++] =
			*xsk_ring_cons__comp_addr(&queue->completion, at + i);
	if (frames)
		xsk_ring_cons__release(&queue->completion, frames);
}

/* Frames that the host must be called for to take them. */
static bool has_unsent(const struct xdp_queue *queue)
{
	uint32_t taken = __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);

	return taken + queue->unpublished != *queue->tx.producer &&
	       xsk_ring_prod__needs_wakeup(&queue->tx);
}

/* Let the host send what lies in the ring; it takes some frames in each call. */
static void kick(struct plh_device *device, struct xdp_queue *queue)
{
	while (has_unsent(queue)) {
		uint32_t before = __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);
		uint32_t after;
		int error;

		error = sendto(queue->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
		if (error == ENETDOWN || error == ENXIO || error == ENODEV) {
			lose_all(device);
			look(device);
			return;
		}
		after = __atomic_load_n(queue->tx.consumer, __ATOMIC_ACQUIRE);
		if (after != before)
			queue->unpublished = 0;
		/*
		 * Copied: the interface has dropped the frame that it was given last.  If that
		 * was the first of the call, the host does not say that it has taken it.
		 */
		if (error == EBUSY && !queue->zero_copy && after != before)
			uncount(device, queue, after - 1);
		else if (error == EBUSY && !queue->zero_copy)
			uncount(device, queue, before + queue->unpublished++);
		else if (after == before && error != EINTR)
			return;
	}
}

/* The longest frame that fits a chunk and the interface; nobody else looks at this. */
static uint32_t longest(const struct xdp_state *state)
{
	uint32_t most = state->host.mtu + ETHERNET_BYTES;

	return most < xdp_room(state) ? most : xdp_room(state);
}

/* Copy frames to the ring; true: it is full. */
static bool fill_ring(struct plh_device *device, uint32_t number)
{
	struct xdp_state *state = plh_device_state(device);
	struct xdp_queue *queue = &state->queue[number];
	uint32_t frames = 0, most = longest(state);
	struct ring_span frame;
	bool full = false;

	while (device_next(device, number, &frame)) {
		struct xdp_desc *desc;
		uint32_t at;

		if (frame.bytes > most) {
			device_sent(device, &frame, true);
			continue;
		}
		full = !queue->free_count || !xsk_ring_prod__reserve(&queue->tx, 1, &at);
		if (full)
			break;
		desc = xsk_ring_prod__tx_desc(&queue->tx, at);
		desc->addr = queue->free[--queue->free_count];
		desc->len = frame.bytes;
		desc->options = 0;
		ring_gather(&frame, queue->memory + desc->addr, frame.bytes);
		device_sent(device, &frame, false);
		frames++;
	}
	if (frames)
		xsk_ring_prod__submit(&queue->tx, frames);
	return full;
}

static void send_queue(struct plh_device *device, uint32_t number)
{
	struct xdp_state *state = plh_device_state(device);
	struct xdp_queue *queue = &state->queue[number];
	uint32_t before;
	bool full;

	do {
		struct ring_span frame;

		if (queue->fd < 0 || !state->host.up) { /* a cable that is not plugged in */
			while (device_next(device, number, &frame))
				device_sent(device, &frame, true);
			return;
		}
		reclaim(queue);
		full = fill_ring(device, number);
		kick(device, queue);
		before = queue->free_count;
		if (queue->fd >= 0)
			reclaim(queue);
	} while (full && (queue->fd < 0 || queue->free_count != before));
	if (queue->fd >= 0)
		xdp_watch(state, queue, full || has_unsent(queue));
}

static void xdp_transmit(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);

	if (!state->settled)
		settle(device);
	for (uint32_t number = 0; number < state->queues; number++)
		send_queue(device, number);
	device_notify_sent(device);
}

/* --- What happens --- */

/* Take the errors (ENETDOWN) that sockets hold, or they poll readable for ever. */
static void clear_errors(const struct xdp_state *state)
{
	for (uint32_t i = 0; i < state->queues; i++) {
		int error;
		socklen_t bytes = sizeof(error);

		if (state->queue[i].fd >= 0)
			getsockopt(state->queue[i].fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	}
}

/* How many frames came; in their rings, without a system call if there is none. */
static uint32_t take(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);
	bool want_room = false;
	uint32_t frames = 0;

	for (uint32_t number = 0; number < state->queues; number++) {
		if (state->queue[number].fd >= 0)
			frames += xdp_receive_queue(device, number);
		want_room |= state->queue[number].wants_room;
	}
	if (want_room)
		xdp_transmit(device);
	return frames;
}

static void xdp_poll(struct plh_device *device)
{
	take(device);
}

static void xdp_receive(struct plh_device *device)
{
	struct xdp_state *state = plh_device_state(device);

	/* Nothing came, so it was something else that woke us. */
	if (!take(device) || ++state->turns >= TURNS_PER_LOOK) {
		state->turns = 0;
		clear_errors(state);
		if (interface_changed(&state->host))
			look(device);
	}
}

const struct plh_backend plh_xdp = {
	.name = "xdp",
	.state_bytes = sizeof(struct xdp_state),
	.open = xdp_open,
	.close = xdp_close,
	.transmit = xdp_transmit,
	.receive = xdp_receive,
	.fd = xdp_fd,
	.count = count,
	.poll = xdp_poll,
};
