// SPDX-License-Identifier: GPL-2.0-only
/* draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng, as far as packets go. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pcap_file.h"

#define MAGIC_US	  0xa1b2c3d4u
#define MAGIC_NS	  0xa1b23c4du
#define MAGIC_BYTE_ORDER  0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define FILE_HEADER_BYTES 24
#define RECORD_BYTES	  16
#define MAX_BLOCK_BYTES	  (PCAP_BUFFER_BYTES / 2)
#define NS_PER_S	  1000000000ull

enum block {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_SIMPLE_PACKET = 3,
	BLOCK_PACKET = 6,
};
enum option {
	OPTION_END = 0,
	OPTION_TSRESOL = 9,
	OPTION_TSOFFSET = 14,
};

__attribute__((format(printf, 2, 3))) static int wrong(struct pcap_file *file, const char *format,
						       ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(file->error, sizeof(file->error), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static uint32_t get32(const struct pcap_file *file, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap32(value) : value;
}

static uint16_t get16(const struct pcap_file *file, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap16(value) : value;
}

/* --- Bytes of the file --- */

/* How many there are now, up to so many; or -errno. */
static int64_t want(struct pcap_file *file, uint32_t bytes)
{
	if (file->end - file->start >= bytes)
		return bytes;
	memmove(file->buffer, file->buffer + file->start, file->end - file->start);
	file->end -= file->start;
	file->start = 0;
	while (file->end < bytes) {
		ssize_t n = read(file->fd, file->buffer + file->end, PCAP_BUFFER_BYTES - file->end);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		file->end += (uint32_t)n;
		file->read += (uint64_t)n;
	}
	return file->end < bytes ? file->end : bytes;
}

/* The next bytes, all of them: 1, 0 at the end of the file, or -errno. */
static int need(struct pcap_file *file, uint32_t bytes, bool may_end)
{
	int64_t got = want(file, bytes);

	if (got < 0)
		return wrong(file, "it cannot be read (%s)", strerrordesc_np((int)-got));
	if (got == bytes)
		return 1;
	if (!got && may_end)
		return 0;
	return wrong(file, "it ends in the middle of a packet, at byte %llu",
		     (unsigned long long)file->read);
}

/* --- Times --- */

static uint64_t to_ns(const struct pcap_interface *interface, uint64_t units)
{
	unsigned __int128 value = units;
	uint64_t offset_ns = (uint64_t)interface->offset_s * NS_PER_S;

	if (interface->binary)
		return (uint64_t)(value * NS_PER_S >> interface->resolution) + offset_ns;
	for (uint32_t digits = interface->resolution; digits < 9; digits++)
		value *= 10;
	for (uint32_t digits = 9; digits < interface->resolution; digits++)
		value /= 10;
	return (uint64_t)value + offset_ns;
}

/* --- pcap --- */

static int classic_header(struct pcap_file *file)
{
	const uint8_t *at = file->buffer + file->start;
	uint32_t magic, linktype;
	int status = need(file, FILE_HEADER_BYTES, false);

	if (status < 0)
		return status;
	at = file->buffer + file->start;
	memcpy(&magic, at, sizeof(magic));
	file->swapped = magic != MAGIC_US && magic != MAGIC_NS;
	magic = get32(file, at);
	linktype = get32(file, at + 20) & 0xffff;
	if (linktype != LINKTYPE_ETHERNET)
		return wrong(file, "its packets are of link type %u, not Ethernet", linktype);
	file->interfaces = 1;
	file->interface[0] = (struct pcap_interface){
		.ethernet = true,
		.resolution = magic == MAGIC_NS ? 9 : 6,
	};
	file->start += FILE_HEADER_BYTES;
	return 0;
}

static int classic_next(struct pcap_file *file, struct pcap_packet *packet)
{
	const uint8_t *at;
	uint32_t seconds, fraction;
	int status = need(file, RECORD_BYTES, true);

	if (status <= 0)
		return status;
	at = file->buffer + file->start;
	seconds = get32(file, at);
	fraction = get32(file, at + 4);
	packet->kept = get32(file, at + 8);
	packet->length = get32(file, at + 12);
	if (packet->kept > MAX_BLOCK_BYTES)
		return wrong(file, "a packet of it has %u bytes, which cannot be", packet->kept);
	status = need(file, RECORD_BYTES + packet->kept, false);
	if (status < 0)
		return status;
	packet->bytes = file->buffer + file->start + RECORD_BYTES;
	packet->time_ns = seconds * NS_PER_S +
			  (file->interface[0].resolution == 9 ? fraction : fraction * 1000ull);
	packet->ethernet = true;
	file->start += RECORD_BYTES + packet->kept;
	return 1;
}

/* --- pcapng --- */

static int section(struct pcap_file *file, const uint8_t *at)
{
	if (get32(file, at + 8) != MAGIC_BYTE_ORDER)
		return wrong(file, "a section of it has no byte order");
	if (get16(file, at + 12) != 1)
		return wrong(file, "it is of version %u of pcapng", get16(file, at + 12));
	file->interfaces = 0;
	return 0;
}

static int interface(struct pcap_file *file, const uint8_t *at, uint32_t bytes)
{
	struct pcap_interface *made;
	const uint8_t *option = at + 16, *end = at + bytes - 4;

	if (bytes < 20 || file->interfaces == PCAP_MAX_INTERFACES)
		return wrong(file, "an interface of it cannot be");
	made = &file->interface[file->interfaces++];
	*made = (struct pcap_interface){
		.ethernet = get16(file, at + 8) == LINKTYPE_ETHERNET,
		.resolution = 6,
	};
	while (end - option >= 4) {
		uint16_t code = get16(file, option), size = get16(file, option + 2);
		const uint8_t *value = option + 4;

		if (code == OPTION_END || size > end - value)
			break;
		if (code == OPTION_TSRESOL && size == 1) {
			made->binary = *value & 0x80;
			made->resolution = *value & 0x7f;
			if (made->resolution > (made->binary ? 63 : 19))
				return wrong(file, "the clock of an interface of it cannot be");
		} else if (code == OPTION_TSOFFSET && size == 8) {
			memcpy(&made->offset_s, value, 8);
			if (file->swapped)
				made->offset_s =
					(int64_t)__builtin_bswap64((uint64_t)made->offset_s);
		}
		if (size + 3 > end - value)
			break;
		option = value + ((size + 3) & ~3);
	}
	return 0;
}

/* 1: there it is. */
static int packet_block(struct pcap_file *file, const uint8_t *at, uint32_t bytes,
			struct pcap_packet *packet)
{
	uint32_t number = get32(file, at + 8);

	if (bytes < 32 || number >= file->interfaces)
		return wrong(file, "a packet of it is of no interface");
	packet->kept = get32(file, at + 20);
	packet->length = get32(file, at + 24);
	packet->bytes = at + 28;
	if (packet->kept > bytes - 32)
		return wrong(file, "a packet of it is longer than its block");
	packet->ethernet = file->interface[number].ethernet;
	packet->time_ns = to_ns(&file->interface[number],
				(uint64_t)get32(file, at + 12) << 32 | get32(file, at + 16));
	return 1;
}

/* The byte order of a section stands behind its length. */
static int block_length(struct pcap_file *file, uint32_t *bytes)
{
	const uint8_t *at = file->buffer + file->start;
	uint32_t order;

	if (get32(file, at) == BLOCK_SECTION) {
		memcpy(&order, at + 8, sizeof(order));
		file->swapped = order != MAGIC_BYTE_ORDER;
	}
	*bytes = get32(file, at + 4);
	if (*bytes < 12 || *bytes % 4 || *bytes > MAX_BLOCK_BYTES)
		return wrong(file, "a block of it has %u bytes, which cannot be", *bytes);
	return 0;
}

static int block_next(struct pcap_file *file, struct pcap_packet *packet)
{
	for (;;) {
		int status = need(file, 12, true);
		const uint8_t *at;
		uint32_t bytes, type;

		if (status <= 0)
			return status;
		status = block_length(file, &bytes);
		if (status < 0)
			return status;
		status = need(file, bytes, false);
		if (status < 0)
			return status;
		at = file->buffer + file->start;
		type = get32(file, at);
		file->start += bytes;
		if (type == BLOCK_SECTION && bytes >= 28)
			status = section(file, at);
		else if (type == BLOCK_INTERFACE)
			status = interface(file, at, bytes);
		else if (type == BLOCK_PACKET)
			status = packet_block(file, at, bytes, packet);
		else if (type == BLOCK_SIMPLE_PACKET)
			status = wrong(file, "a packet of it has no time (Simple Packet Block)");
		else
			status = 0;
		if (status)
			return status;
	}
}

/* --- Either --- */

int pcap_file_rewind(struct pcap_file *file)
{
	uint32_t magic;
	int64_t got;

	file->start = file->end = 0;
	file->read = 0;
	file->swapped = file->next_generation = false;
	if (lseek(file->fd, 0, SEEK_SET) < 0)
		return wrong(file, "it cannot be read twice: it is no plain file");
	got = want(file, sizeof(magic));
	if (got < 0)
		return wrong(file, "it cannot be read (%s)", strerrordesc_np((int)-got));
	if (!got)
		return wrong(file, "it is empty");
	memcpy(&magic, file->buffer, sizeof(magic));
	if (got == sizeof(magic) && magic == BLOCK_SECTION) {
		file->next_generation = true;
		return 0;
	}
	if (got == sizeof(magic) &&
	    (magic == MAGIC_US || magic == MAGIC_NS || __builtin_bswap32(magic) == MAGIC_US ||
	     __builtin_bswap32(magic) == MAGIC_NS))
		return classic_header(file);
	return wrong(file, "it is neither pcap nor pcapng");
}

int pcap_file_open(struct pcap_file *file, const char *path)
{
	int error;

	file->error[0] = 0;
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return -errno;
	error = pcap_file_rewind(file);
	if (error)
		pcap_file_close(file);
	return error;
}

int pcap_file_next(struct pcap_file *file, struct pcap_packet *packet)
{
	return file->next_generation ? block_next(file, packet) : classic_next(file, packet);
}

void pcap_file_close(struct pcap_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
