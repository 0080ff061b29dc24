// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames of a tap.  They go between the kernel's rings and the descriptor without a
 * copy of ours, one in a system call: tun(4) has no other.  A read offers few buffers
 * while frames are small, since each piece of an iovec costs the host as much as the
 * frame's bytes do; what does not fit goes through a bounce buffer, and the next ones
 * are offered buffers for 64 KiB.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tap.h"

#define READ_BATCH	      64 /* frames of a queue, then others have their turn */
#define SMALL_FRAMES	      8 /* in a row, and few buffers will do */
#define ETHERNET_HEADER_BYTES 14

/* --- Frames that leave --- */

static ssize_t send_frame(const struct tap_state *state, int fd, const struct ring_span *frame)
{
	const struct ll_desc *meta = ring_meta(frame);
	tap_header header = { 0 };
	struct iovec iov[RING_MAX_PIECES + 1];
	int pieces = ring_iovec(frame, iov + 1);

	/* An array of one costs the host 25 ns. */
	if (!state->vnet_header)
		return pieces == 1 ? write(fd, iov[1].iov_base, iov[1].iov_len) :
				     writev(fd, iov + 1, pieces);
	/* Our numbers are those of virtio. */
	header.hdr.flags = meta->csum_flags & LL_CSUM_NEEDED;
	header.hdr.gso_type = meta->gso_type;
	header.hdr.hdr_len = meta->hdr_len;
	header.hdr.gso_size = meta->gso_size;
	header.hdr.csum_start = meta->csum_start;
	header.hdr.csum_offset = meta->csum_offset;
	iov[0] = (struct iovec){ &header, sizeof(header) };
	return writev(fd, iov, pieces + 1);
}

static void send_queue(struct plh_device *device, uint32_t queue)
{
	struct tap_state *state = plh_device_state(device);
	struct ring_span frame;

	while (device_next(device, queue, &frame)) {
		int fd = state->queue_fd[queue];
		ssize_t sent;

		if (fd < 0) { /* like a cable that is not plugged in */
			device_sent(device, &frame, true);
			continue;
		}
		sent = send_frame(state, fd, &frame);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			tap_watch(state, queue, true);
			return;
		}
		if (sent < 0 && errno == EBADFD)
			tap_lose(device);
		/* EIO: the interface is down. */
		device_sent(device, &frame, sent < 0);
	}
	if (state->wants_room[queue])
		tap_watch(state, queue, false);
}

void tap_transmit(struct plh_device *device)
{
	for (uint32_t queue = 0; queue < device->netdev->queues; queue++)
		send_queue(device, queue);
	device_notify_sent(device);
}

/* --- Frames that arrive --- */

static void set_meta(struct ll_desc *meta, const tap_header *header)
{
	meta->csum_flags = header->hdr.flags & (LL_CSUM_NEEDED | LL_CSUM_VALID);
	meta->gso_type = header->hdr.gso_type;
	meta->hdr_len = header->hdr.hdr_len;
	meta->gso_size = header->hdr.gso_size;
	meta->csum_start = header->hdr.csum_start;
	meta->csum_offset = header->hdr.csum_offset;
}

static void deliver(struct plh_device *device, struct ring_span *room, uint32_t bytes,
		    const tap_header *header)
{
	const struct tap_state *state = plh_device_state(device);

	ring_fill(room, bytes);
	if (state->vnet_header)
		set_meta(ring_meta(room), header);
	device_commit(device, room);
}

/* The first buffers of the room are filled; the rest of the frame comes after them. */
static void fill_rest(const struct ring_span *room, uint32_t start_bytes, const uint8_t *rest,
		      uint32_t rest_bytes)
{
	uint32_t passed = 0;

	for (uint32_t i = 0; rest_bytes; i++) {
		const struct ll_desc *desc = ring_desc(room->ring, room->first + i);
		uint32_t piece = desc->len < rest_bytes ? desc->len : rest_bytes;

		if (passed < start_bytes) {
			passed += desc->len;
			continue;
		}
		memcpy((void *)desc->addr, rest, piece);
		rest += piece;
		rest_bytes -= piece;
	}
}

/* False: it waits for room still. */
static bool deliver_held(struct plh_device *device)
{
	struct tap_state *state = plh_device_state(device);
	struct tap_held *held = &state->held;
	struct ring_span room;

	if (!held->any)
		return true;
	switch (device_claim(device, held->queue, held->bytes, &room)) {
	case DELIVER_WAIT:
		return false;
	case DELIVER_OK:
		fill_rest(&room, held->start_bytes, state->bounce, held->bytes - held->start_bytes);
		deliver(device, &room, held->bytes, &held->header);
		break;
	case DELIVER_DROPPED:
		break;
	}
	held->any = false;
	return true;
}

static ssize_t read_pieces(int fd, const struct iovec *iov, int pieces)
{
	ssize_t bytes;

	do
		bytes = pieces == 1 ? read(fd, iov->iov_base, iov->iov_len) :
				      readv(fd, iov, pieces);
	while (bytes < 0 && errno == EINTR);
	return bytes < 0 ? -errno : bytes;
}

/* Read into the room, and behind it into the bounce buffer; bytes without the header. */
static ssize_t read_frame(struct tap_state *state, int fd, const struct ring_span *room,
			  bool bounce, tap_header *header)
{
	struct iovec iov[RING_MAX_PIECES + 2];
	int pieces = ring_iovec(room, iov + 1);
	ssize_t bytes;

	if (!state->vnet_header)
		return read_pieces(fd, iov + 1, pieces);
	iov[0] = (struct iovec){ header, sizeof(*header) };
	if (bounce)
		iov[++pieces] = (struct iovec){ state->bounce, sizeof(state->bounce) };
	bytes = read_pieces(fd, iov, pieces + 1);
	return bytes < 0 ? bytes : bytes - (ssize_t)sizeof(*header);
}

/* The host has written more than there is room for, or the kernel would not take it. */
static bool is_misfit(const struct tap_state *state, const struct ring_span *room, ssize_t bytes)
{
	return bytes < ETHERNET_HEADER_BYTES || (!state->vnet_header && bytes >= room->bytes);
}

/* Take a frame of which only the beginning is in the room; false: it has to wait. */
static bool hold(struct plh_device *device, uint32_t queue, const struct ring_span *room,
		 uint32_t bytes, const tap_header *header)
{
	struct tap_state *state = plh_device_state(device);

	state->small_frames = 0;
	state->held = (struct tap_held){
		.any = true,
		.queue = queue,
		.start_bytes = room->bytes,
		.bytes = bytes,
		.header = *header,
	};
	return deliver_held(device);
}

/* One frame: false if there is none, or no room for one. */
static bool read_one(struct plh_device *device, uint32_t queue)
{
	struct tap_state *state = plh_device_state(device);
	uint32_t small_bytes = device->config.mtu + TAP_ETHERNET_BYTES;
	bool bounce = state->vnet_header && state->small_frames >= SMALL_FRAMES;
	/* Without a header one byte more shows that a frame is too long. */
	uint32_t most = !state->vnet_header ? small_bytes + 1 :
			bounce		    ? small_bytes :
					      TAP_MAX_BYTES;
	tap_header header = { 0 };
	struct ring_span room;
	ssize_t bytes;

	if (!device_claim_or_stall(device, queue, most, &room))
		return false;
	bytes = read_frame(state, state->queue_fd[queue], &room, bounce, &header);
	if (bytes == -EBADFD)
		tap_lose(device);
	if (bytes < 0)
		return false;
	if (is_misfit(state, &room, bytes)) {
		device->stats.rx_dropped++;
		return true;
	}
	if (bytes > room.bytes)
		return hold(device, queue, &room, (uint32_t)bytes, &header);
	state->small_frames = bytes <= small_bytes ? state->small_frames + 1 : 0;
	deliver(device, &room, (uint32_t)bytes, &header);
	return true;
}

static uint32_t read_queue(struct plh_device *device, uint32_t queue)
{
	const struct tap_state *state = plh_device_state(device);
	uint32_t frames = 0;

	while (frames < READ_BATCH && state->queue_fd[queue] >= 0 && !device->rx_stalled &&
	       read_one(device, queue))
		frames++;
	return frames;
}

uint32_t tap_read(struct plh_device *device)
{
	struct tap_state *state = plh_device_state(device);
	struct epoll_event events[LL_MAX_QUEUES + 2];
	uint32_t frames = 0;
	int count;

	if (state->gone || !deliver_held(device))
		return 0;
	if (state->queues == 1)
		return read_queue(device, 0);
	/* Which of them have something costs one system call, not one each. */
	count = epoll_wait(state->epoll_fd, events, LL_MAX_QUEUES + 2, 0);
	for (int i = 0; i < count; i++)
		if (events[i].data.u32 < state->queues && events[i].events & ~(uint32_t)EPOLLOUT)
			frames += read_queue(device, events[i].data.u32);
	return frames;
}
