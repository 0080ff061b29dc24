// SPDX-License-Identifier: GPL-2.0-only
/* sendmmsg() and recvmmsg() between the kernel's rings and a socket. */
#include <errno.h>
#include <string.h>

#include "unix_packet.h"

#define ETHERNET_HEADER_BYTES 14
#define ETHERNET_BYTES	      (ETHERNET_HEADER_BYTES + 8) /* and two VLAN tags */
#define MAX_GSO_BYTES	      (65536 + ETHERNET_BYTES)
#define RECEIVE_ROUNDS	      4 /* batches, then others have their turn */

/* The message of a span, behind those that are there; false: no room for its pieces. */
static bool add_message(struct packet_batch *batch, uint32_t index, uint32_t *pieces)
{
	struct msghdr *message = &batch->messages[index].msg_hdr;

	if (*pieces + 1 + RING_MAX_PIECES > PACKET_MAX_IOV)
		return false;
	memset(&batch->messages[index], 0, sizeof(batch->messages[index]));
	message->msg_iov = batch->iov + *pieces;
	if (batch->vnet_header)
		batch->iov[(*pieces)++] =
			(struct iovec){ &batch->headers[index], sizeof(vnet_header) };
	*pieces += (uint32_t)ring_iovec(&batch->spans[index], batch->iov + *pieces);
	message->msg_iovlen = (size_t)(batch->iov + *pieces - message->msg_iov);
	return true;
}

/* --- Sending --- */

static uint32_t gather(struct plh_device *device, struct packet_batch *batch)
{
	struct ll_ring *ring = device->netdev->tx[0];
	struct ll_ring view = *ring;
	uint32_t count = 0, pieces = 0;

	for (; count < PACKET_BATCH; count++) {
		struct ring_span *frame = &batch->spans[count];

		if (!ring_peek(&view, frame))
			break;
		view.tail = frame->first + frame->pieces;
		frame->ring = ring;
		if (batch->vnet_header)
			vnet_header_from(&batch->headers[count], ring_meta(frame));
		if (!add_message(batch, count, &pieces))
			break;
	}
	return count;
}

enum packet_result packet_transmit(struct plh_device *device, struct packet_batch *batch, int fd)
{
	enum packet_result result = PACKET_OK;

	while (result == PACKET_OK) {
		uint32_t count = gather(device, batch);
		int sent, error;

		if (!count)
			break;
		sent = sendmmsg(fd, batch->messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
		error = sent < 0 ? errno : 0;
		for (int i = 0; i < sent; i++)
			device_sent(device, &batch->spans[i], false);
		switch (error) {
		case 0:
		case EINTR:
			break;
		case EAGAIN:
			result = PACKET_FULL;
			break;
		case EMSGSIZE:
		case ENOBUFS:
		case ENOMEM:
			/* This one cannot be sent, others can. */
			device_sent(device, &batch->spans[0], true);
			break;
		default:
			result = PACKET_ENDED;
		}
	}
	device_notify_sent(device);
	return result;
}

/* --- Receiving --- */

/* Empty buffers for as many packets as there can be; a few, or 0. */
static uint32_t claim(struct plh_device *device, struct packet_batch *batch, uint32_t most)
{
	struct ll_ring *ring = device->netdev->rx[0];
	struct ll_ring view = *ring;
	uint32_t count = 0, pieces = 0;

	for (; count < PACKET_BATCH; count++) {
		struct ring_span *room = &batch->spans[count];

		view.head = ring_head(ring);
		if (!ring_claim(&view, most, room))
			break;
		view.tail = room->first + room->pieces;
		room->ring = ring;
		if (!add_message(batch, count, &pieces))
			break;
	}
	return count;
}

static void swap(struct ll_ring *ring, uint32_t a, uint32_t b)
{
	struct ll_desc kept = *ring_desc(ring, a);

	*ring_desc(ring, a) = *ring_desc(ring, b);
	*ring_desc(ring, b) = kept;
}

/*
 * Buffers that stayed empty lie between the filled ones: bring a frame's forward
 * to where the last one ended.
 */
static void move_down(struct ring_span *room, uint32_t first)
{
	if (room->first != first)
		for (uint32_t i = 0; i < room->pieces; i++)
			swap(room->ring, first + i, room->first + i);
	room->first = first;
}

static bool is_frame(const struct packet_batch *batch, uint32_t index)
{
	const struct mmsghdr *message = &batch->messages[index];
	uint32_t head = batch->vnet_header ? sizeof(vnet_header) : 0;

	return !(message->msg_hdr.msg_flags & MSG_TRUNC) &&
	       message->msg_len >= head + ETHERNET_HEADER_BYTES;
}

static void commit(struct plh_device *device, struct packet_batch *batch, uint32_t count)
{
	uint32_t first = device->netdev->rx[0]->tail;
	uint32_t head = batch->vnet_header ? sizeof(vnet_header) : 0;

	for (uint32_t i = 0; i < count; i++) {
		struct ring_span *room = &batch->spans[i];

		if (!is_frame(batch, i)) {
			device->stats.rx_dropped++;
			continue;
		}
		ring_fill(room, batch->messages[i].msg_len - head);
		move_down(room, first);
		if (batch->vnet_header)
			vnet_header_to(&batch->headers[i], ring_meta(room));
		device_commit(device, room);
		first += room->pieces;
	}
}

static bool is_end(const struct packet_batch *batch, uint32_t index)
{
	return batch->zero_is_end && !batch->messages[index].msg_len &&
	       !(batch->messages[index].msg_hdr.msg_flags & MSG_TRUNC);
}

enum packet_result packet_receive(struct plh_device *device, struct packet_batch *batch, int fd)
{
	uint32_t most = batch->vnet_header ? MAX_GSO_BYTES : device->config.mtu + ETHERNET_BYTES;

	for (int round = 0; round < RECEIVE_ROUNDS; round++) {
		uint32_t count = claim(device, batch, most), frames = 0;
		int got;

		if (!count) {
			device_set_stalled(device, true);
			return PACKET_OK;
		}
		got = recvmmsg(fd, batch->messages, count, MSG_DONTWAIT, NULL);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? PACKET_OK : PACKET_ENDED;
		while (frames < (uint32_t)got && !is_end(batch, frames))
			frames++;
		commit(device, batch, frames);
		if (frames < (uint32_t)got) {
			errno = ECONNRESET;
			return PACKET_ENDED;
		}
		if (frames < count)
			return PACKET_OK;
	}
	return PACKET_OK;
}
