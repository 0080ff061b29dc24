/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames through a stream of bytes: each behind its length, 4 bytes in network
 * order, as qemu's "-netdev stream" and passt have it.  With vnet_header the
 * length counts a virtio_net header before the frame, too.
 */
#ifndef PLH_FRAME_STREAM_H
#define PLH_FRAME_STREAM_H

#include "device.h"
#include "vnet_header.h"

#define STREAM_MAX_FRAME_BYTES (65536 + 18)
#define STREAM_BATCH	       64 /* frames of one write */
#define STREAM_MAX_IOV	       1024 /* IOV_MAX */
#define STREAM_BUFFER_BYTES    (1u << 18)

struct frame_stream {
	/* writev(2) or what does the same to a socket. */
	ssize_t (*write)(int fd, const struct iovec *iov, int count);
	bool vnet_header;
	uint32_t sent; /* bytes of the transmit ring's first frame that are written already */
	uint32_t start, end; /* of what was read and is not delivered yet */
	uint8_t heads[STREAM_BATCH][sizeof(uint32_t) + sizeof(vnet_header)];
	struct ring_span frames[STREAM_BATCH];
	struct iovec iov[STREAM_MAX_IOV];
	uint8_t buffer[STREAM_BUFFER_BYTES];
};

enum stream_result {
	STREAM_OK, /* all was done that can be done now */
	STREAM_FULL, /* the descriptor takes no more */
	STREAM_ENDED, /* the peer is gone */
	STREAM_NONSENSE, /* what it says can be no frame; device_report() was called */
};

#pragma GCC visibility push(hidden)

void stream_reset(struct frame_stream *stream);
enum stream_result stream_transmit(struct plh_device *device, struct frame_stream *stream, int fd);
/* One read of the descriptor; frames may stay behind if the device is stalled afterwards. */
enum stream_result stream_receive(struct plh_device *device, struct frame_stream *stream, int fd);

#pragma GCC visibility pop

#endif
