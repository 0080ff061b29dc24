// SPDX-License-Identifier: GPL-2.0-only
/* Frames through a stream of bytes; one system call moves many. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "frame_stream.h"

#define LENGTH_BYTES	      sizeof(uint32_t)
#define ETHERNET_HEADER_BYTES 14

static uint32_t vnet_bytes(const struct frame_stream *stream)
{
	return stream->vnet_header ? sizeof(vnet_header) : 0;
}

static uint32_t head_bytes(const struct frame_stream *stream)
{
	return LENGTH_BYTES + vnet_bytes(stream);
}

void stream_reset(struct frame_stream *stream)
{
	stream->sent = 0;
	stream->start = stream->end = 0;
}

/* --- Sending --- */

static void write_head(const struct frame_stream *stream, uint8_t *head,
		       const struct ring_span *frame)
{
	uint32_t length = htonl(frame->bytes + vnet_bytes(stream));
	vnet_header header;

	memcpy(head, &length, sizeof(length));
	if (!stream->vnet_header)
		return;
	vnet_header_from(&header, ring_meta(frame));
	memcpy(head + sizeof(length), &header, sizeof(header));
}

/* Leave out what is written already. */
static int skip_sent(struct iovec *iov, uint32_t sent)
{
	int gone = 0;

	for (; sent >= iov[gone].iov_len; gone++)
		sent -= (uint32_t)iov[gone].iov_len;
	iov[gone].iov_base = (uint8_t *)iov[gone].iov_base + sent;
	iov[gone].iov_len -= sent;
	return gone;
}

/* Frames of the ring for one write; returns how many, and *pieces of stream->iov. */
static uint32_t gather(struct plh_device *device, struct frame_stream *stream, int *pieces)
{
	struct ll_ring *ring = device->netdev->tx[0];
	struct ll_ring view = *ring;
	uint32_t count = 0;

	*pieces = 0;
	while (count < STREAM_BATCH && *pieces + 1 + RING_MAX_PIECES <= STREAM_MAX_IOV) {
		struct ring_span *frame = &stream->frames[count];

		view.head = ring_head(ring);
		if (!ring_peek(&view, frame))
			break;
		view.tail = frame->first + frame->pieces;
		frame->ring = ring;
		write_head(stream, stream->heads[count], frame);
		stream->iov[(*pieces)++] =
			(struct iovec){ stream->heads[count], head_bytes(stream) };
		*pieces += ring_iovec(frame, stream->iov + *pieces);
		count++;
	}
	return count;
}

/* So many bytes were written; returns how many frames are sent whole. */
static uint32_t account(struct plh_device *device, struct frame_stream *stream, uint32_t count,
			uint64_t bytes)
{
	uint32_t done = 0;

	bytes += stream->sent;
	for (; done < count; done++) {
		const struct ring_span *frame = &stream->frames[done];

		if (bytes < frame->bytes + head_bytes(stream))
			break;
		bytes -= frame->bytes + head_bytes(stream);
		device_sent(device, frame, false);
	}
	stream->sent = (uint32_t)bytes;
	return done;
}

enum stream_result stream_transmit(struct plh_device *device, struct frame_stream *stream, int fd)
{
	enum stream_result result = STREAM_OK;

	while (result == STREAM_OK) {
		int pieces, gone = 0;
		uint32_t count = gather(device, stream, &pieces);
		ssize_t bytes;

		if (!count)
			break;
		if (stream->sent)
			gone = skip_sent(stream->iov, stream->sent);
		bytes = stream->write(fd, stream->iov + gone, pieces - gone);
		if (bytes >= 0) {
			if (account(device, stream, count, (uint64_t)bytes) < count)
				result = STREAM_FULL;
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			result = STREAM_FULL;
		} else if (errno != EINTR) {
			result = STREAM_ENDED;
		}
	}
	device_notify_sent(device);
	return result;
}

/* --- Receiving --- */

static bool deliver(struct plh_device *device, const struct frame_stream *stream,
		    const uint8_t *bytes, uint32_t length)
{
	uint32_t head = vnet_bytes(stream);
	struct ring_span room;
	vnet_header header;

	if (length - head < ETHERNET_HEADER_BYTES ||
	    !ring_fits(device->netdev->rx[0], length - head)) {
		device->stats.rx_dropped++;
		return true;
	}
	if (!device_claim_or_stall(device, 0, length - head, &room))
		return false;
	ring_scatter(&room, bytes + head, length - head);
	if (head) {
		memcpy(&header, bytes, sizeof(header));
		vnet_header_to(&header, ring_meta(&room));
	}
	device_commit(device, &room);
	return true;
}

/* Deliver all frames that are whole; false: nonsense. */
static bool deliver_all(struct plh_device *device, struct frame_stream *stream)
{
	while (stream->end - stream->start >= LENGTH_BYTES) {
		const uint8_t *at = stream->buffer + stream->start;
		uint32_t length;

		memcpy(&length, at, sizeof(length));
		length = ntohl(length);
		if (length < vnet_bytes(stream) ||
		    length > STREAM_MAX_FRAME_BYTES + vnet_bytes(stream)) {
			device->stats.rx_dropped++;
			device_report(device,
				      "The peer sent a frame of %u bytes, which can be none: it "
				      "speaks another protocol.",
				      length);
			return false;
		}
		if (stream->end - stream->start < LENGTH_BYTES + length ||
		    !deliver(device, stream, at + LENGTH_BYTES, length))
			break;
		stream->start += LENGTH_BYTES + length;
	}
	/* The largest frame finds room behind what is left. */
	memmove(stream->buffer, stream->buffer + stream->start, stream->end - stream->start);
	stream->end -= stream->start;
	stream->start = 0;
	return true;
}

enum stream_result stream_receive(struct plh_device *device, struct frame_stream *stream, int fd)
{
	ssize_t bytes;

	if (stream->end && !deliver_all(device, stream))
		return STREAM_NONSENSE;
	if (stream->end == STREAM_BUFFER_BYTES)
		return STREAM_OK; /* stalled */
	do
		bytes = read(fd, stream->buffer + stream->end, STREAM_BUFFER_BYTES - stream->end);
	while (bytes < 0 && errno == EINTR);
	if (bytes < 0)
		return errno == EAGAIN ? STREAM_OK : STREAM_ENDED;
	if (!bytes)
		return STREAM_ENDED;
	stream->end += (uint32_t)bytes;
	return deliver_all(device, stream) ? STREAM_OK : STREAM_NONSENSE;
}
