// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames of a device as pcapng, with the world's time in ns.  The bytes are a
 * pure function of the run: nothing about the host is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "device.h"
#include "error.h"

#define BUFFER_BYTES	(1u << 17)
#define MAX_FRAME_BYTES (1u << 17)

enum pcapng_block {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
};
enum pcapng_option {
	OPTION_END = 0,
	OPTION_PACKET_FLAGS = 2,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
};
#define PCAPNG_MAGIC	  0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define TSRESOL_NS	  9 /* ten to the minus ninth */
#define FLAGS_INBOUND	  1u
#define FLAGS_OUTBOUND	  2u

struct capture {
	int fd;
	int error; /* errno of the first write that failed */
	uint32_t snaplen; /* 0: whole frames */
	uint32_t used;
	uint8_t buffer[BUFFER_BYTES];
	uint8_t frame[MAX_FRAME_BYTES];
};

static void flush(struct capture *capture)
{
	uint32_t done = 0;

	while (done < capture->used && !capture->error) {
		ssize_t n = write(capture->fd, capture->buffer + done, capture->used - done);

		if (n > 0)
			done += (uint32_t)n;
		else if (n < 0 && errno != EINTR)
			capture->error = errno;
	}
	capture->used = 0;
}

static void put(struct capture *capture, const void *bytes, uint32_t count)
{
	while (count) {
		uint32_t piece = BUFFER_BYTES - capture->used;

		if (piece > count)
			piece = count;
		memcpy(capture->buffer + capture->used, bytes, piece);
		capture->used += piece;
		bytes = (const uint8_t *)bytes + piece;
		count -= piece;
		if (capture->used == BUFFER_BYTES)
			flush(capture);
	}
}

static void put16(struct capture *capture, uint16_t value)
{
	put(capture, &value, sizeof(value));
}

static void put32(struct capture *capture, uint32_t value)
{
	put(capture, &value, sizeof(value));
}

/* Everything in pcapng is padded to four bytes. */
static void put_padded(struct capture *capture, const void *bytes, uint32_t count)
{
	static const uint8_t zeros[4];

	put(capture, bytes, count);
	put(capture, zeros, -count & 3);
}

static void put_option(struct capture *capture, uint16_t code, const void *value, uint16_t bytes)
{
	put16(capture, code);
	put16(capture, bytes);
	put_padded(capture, value, bytes);
}

static void put_header(struct capture *capture, const char *name)
{
	const uint32_t section_bytes = 28;
	const uint16_t name_bytes = (uint16_t)strnlen(name, 16);
	const uint32_t interface_bytes = 20 + 4 + ((name_bytes + 3u) & ~3u) + 8 + 4;
	const uint8_t resolution = TSRESOL_NS;

	put32(capture, BLOCK_SECTION);
	put32(capture, section_bytes);
	put32(capture, PCAPNG_MAGIC);
	put16(capture, 1); /* version 1.0 */
	put16(capture, 0);
	put32(capture, UINT32_MAX); /* length of the section: not told */
	put32(capture, UINT32_MAX);
	put32(capture, section_bytes);

	put32(capture, BLOCK_INTERFACE);
	put32(capture, interface_bytes);
	put16(capture, LINKTYPE_ETHERNET);
	put16(capture, 0);
	put32(capture, capture->snaplen);
	put_option(capture, OPTION_IF_NAME, name, name_bytes);
	put_option(capture, OPTION_IF_TSRESOL, &resolution, 1);
	put_option(capture, OPTION_END, NULL, 0);
	put32(capture, interface_bytes);
}

void capture_frame(struct capture *capture, uint64_t now_ns, const struct ring_span *frame,
		   bool inbound)
{
	const uint32_t flags = inbound ? FLAGS_INBOUND : FLAGS_OUTBOUND;
	uint32_t bytes = frame->bytes < MAX_FRAME_BYTES ? frame->bytes : MAX_FRAME_BYTES;
	uint32_t kept = bytes, block_bytes;

	if (capture->snaplen && kept > capture->snaplen)
		kept = capture->snaplen;
	block_bytes = 28 + ((kept + 3) & ~3u) + 8 + 4 + 4;
	ring_gather(frame, capture->frame, bytes);
	checksum_fill(capture->frame, bytes, ring_meta(frame));

	put32(capture, BLOCK_PACKET);
	put32(capture, block_bytes);
	put32(capture, 0); /* interface */
	put32(capture, (uint32_t)(now_ns >> 32));
	put32(capture, (uint32_t)now_ns);
	put32(capture, kept);
	put32(capture, frame->bytes);
	put_padded(capture, capture->frame, kept);
	put_option(capture, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	put_option(capture, OPTION_END, NULL, 0);
	put32(capture, block_bytes);
}

static struct capture *capture_open(const char *path, uint32_t snaplen, const char *name)
{
	struct capture *capture = malloc(sizeof(*capture));

	if (!capture) {
		plh_set_error("There is no memory for a capture.");
		return NULL;
	}
	capture->error = 0;
	capture->used = 0;
	capture->snaplen = snaplen;
	capture->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (capture->fd < 0) {
		plh_set_error("%s cannot be written (%s).", path, plh_errno_text(-errno));
		free(capture);
		return NULL;
	}
	put_header(capture, name);
	flush(capture);
	return capture;
}

/* discard: a forked child must not write what its parent will write, too. */
void capture_close(struct capture *capture, bool discard)
{
	if (!discard)
		flush(capture);
	close(capture->fd);
	free(capture);
}

static int stop(struct plh_device *device)
{
	struct capture *capture = device->capture;
	int error;

	if (!capture)
		return PLH_OK;
	flush(capture);
	error = capture->error;
	capture_close(capture, false);
	device->capture = NULL;
	if (!error)
		return PLH_OK;
	plh_set_error("The capture of %.16s is incomplete: its file could not be written (%s).",
		      device->config.name, plh_errno_text(-error));
	return PLH_ERROR;
}

int plh_device_capture(struct plh_device *device, const char *path, uint32_t snaplen)
{
	struct plh_world *world = device->kernel->world;
	int status = world_begin(world);

	if (status)
		return status;
	status = stop(device);
	if (path) {
		device->capture = capture_open(path, snaplen, device->config.name);
		if (!device->capture)
			status = PLH_ERROR;
		for (uint32_t queue = 0; queue < device->netdev->queues; queue++)
			device->captured[queue] = device->netdev->tx[queue]->tail;
	}
	world_unlock(world);
	return status;
}
