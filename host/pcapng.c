// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pcapng.h"

enum block {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
};
enum option {
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_APPLICATION = 4, /* shb_userappl */
	OPTION_IF_NAME = 2,
	OPTION_IF_DESCRIPTION = 3,
	OPTION_IF_TSRESOL = 9,
	OPTION_PACKET_FLAGS = 2,
	OPTION_IF_RECEIVED = 4,
	OPTION_IF_DROPPED = 5,
};
#define BYTE_ORDER_MAGIC  0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define TSRESOL_NS	  9 /* ten to the minus ninth */
#define FLAGS_INBOUND	  1u
#define FLAGS_OUTBOUND	  2u

#define PACKET_HEADER_BYTES 28
#define MAX_OPTION_BYTES    256 /* of a name, a description or a comment */
/* Of any block beside the bytes of a frame. */
#define MAX_BLOCK_EXTRA_BYTES 2048

static const char application[] = "pylibos";

void pcapng_flush(struct pcapng *file)
{
	uint32_t done = 0;

	while (done < file->used && !file->error) {
		ssize_t n = write(file->fd, file->buffer + done, file->used - done);

		if (n > 0)
			done += (uint32_t)n;
		else if (n < 0 && errno != EINTR)
			file->error = errno;
	}
	file->used = 0;
}

/* --- Blocks: the room is there, see begin() --- */

static void put(struct pcapng *file, const void *bytes, uint32_t count)
{
	memcpy(file->buffer + file->used, bytes, count);
	file->used += count;
}

static void put16(struct pcapng *file, uint16_t value)
{
	put(file, &value, sizeof(value));
}

static void put32(struct pcapng *file, uint32_t value)
{
	put(file, &value, sizeof(value));
}

/* Everything in pcapng is padded to four bytes. */
static void pad(struct pcapng *file)
{
	static const uint8_t zeros[4];

	put(file, zeros, -file->used & 3);
}

static void put_option(struct pcapng *file, uint16_t code, const void *value, uint32_t bytes)
{
	put16(file, code);
	put16(file, (uint16_t)bytes);
	put(file, value, bytes);
	pad(file);
}

static void put_text(struct pcapng *file, uint16_t code, const char *text)
{
	if (text)
		put_option(file, code, text, (uint32_t)strnlen(text, MAX_OPTION_BYTES));
}

static void put_time(struct pcapng *file, uint64_t time_ns)
{
	put32(file, (uint32_t)(time_ns >> 32));
	put32(file, (uint32_t)time_ns);
}

/* Every block begins at a multiple of four of the buffer; returns where. */
static uint32_t begin(struct pcapng *file, uint32_t type)
{
	uint32_t start;

	if (file->used > PCAPNG_BUFFER_BYTES - MAX_BLOCK_EXTRA_BYTES)
		pcapng_flush(file);
	start = file->used;
	put32(file, type);
	put32(file, 0); /* its length, see end() */
	return start;
}

static void end(struct pcapng *file, uint32_t start)
{
	uint32_t bytes = file->used + sizeof(bytes) - start;

	put32(file, bytes);
	memcpy(file->buffer + start + sizeof(uint32_t), &bytes, sizeof(bytes));
}

int pcapng_open(struct pcapng *file, const char *path, uint32_t snaplen)
{
	uint32_t start;

	file->error = 0;
	file->used = file->interfaces = 0;
	file->snaplen = snaplen;
	file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (file->fd < 0)
		return -errno;
	start = begin(file, BLOCK_SECTION);
	put32(file, BYTE_ORDER_MAGIC);
	put16(file, 1); /* version 1.0 */
	put16(file, 0);
	put32(file, UINT32_MAX); /* length of the section: not told */
	put32(file, UINT32_MAX);
	put_text(file, OPTION_APPLICATION, application);
	put32(file, OPTION_END);
	end(file, start);
	pcapng_flush(file);
	if (file->error)
		close(file->fd);
	return -file->error;
}

uint32_t pcapng_interface(struct pcapng *file, const char *name, const char *description)
{
	const uint8_t resolution = TSRESOL_NS;
	uint32_t start = begin(file, BLOCK_INTERFACE);

	put16(file, LINKTYPE_ETHERNET);
	put16(file, 0);
	put32(file, file->snaplen);
	put_text(file, OPTION_IF_NAME, name);
	put_text(file, OPTION_IF_DESCRIPTION, description);
	put_option(file, OPTION_IF_TSRESOL, &resolution, sizeof(resolution));
	put32(file, OPTION_END);
	end(file, start);
	return file->interfaces++;
}

uint8_t *pcapng_room(struct pcapng *file)
{
	if (file->used > PCAPNG_BUFFER_BYTES - PCAPNG_MAX_FRAME_BYTES - MAX_BLOCK_EXTRA_BYTES)
		pcapng_flush(file);
	return file->buffer + file->used + PACKET_HEADER_BYTES;
}

void pcapng_packet(struct pcapng *file, const struct pcapng_packet *packet)
{
	const uint32_t flags = packet->inbound ? FLAGS_INBOUND : FLAGS_OUTBOUND;
	uint32_t kept = packet->bytes;
	uint32_t start = begin(file, BLOCK_PACKET);

	if (kept > PCAPNG_MAX_FRAME_BYTES)
		kept = PCAPNG_MAX_FRAME_BYTES;
	if (file->snaplen && kept > file->snaplen)
		kept = file->snaplen;
	put32(file, packet->interface);
	put_time(file, packet->time_ns);
	put32(file, kept);
	put32(file, packet->bytes);
	file->used += kept; /* they are there */
	pad(file);
	for (int i = 0; i < PCAPNG_MAX_COMMENTS; i++)
		put_text(file, OPTION_COMMENT, packet->comments[i]);
	put_option(file, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	put32(file, OPTION_END);
	end(file, start);
}

void pcapng_statistics(struct pcapng *file, uint32_t interface, uint64_t time_ns, uint64_t frames,
		       uint64_t drops)
{
	uint32_t start = begin(file, BLOCK_STATISTICS);

	put32(file, interface);
	put_time(file, time_ns);
	put_option(file, OPTION_IF_RECEIVED, &frames, sizeof(frames));
	put_option(file, OPTION_IF_DROPPED, &drops, sizeof(drops));
	put32(file, OPTION_END);
	end(file, start);
}
