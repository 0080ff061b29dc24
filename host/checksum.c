// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "checksum.h"

#define TCP_DATA_OFFSET	 12 /* the byte with the header's length in words */
#define UDP_HEADER_BYTES 8

/* The Internet checksum does not care for byte order: RFC 1071. */
static uint16_t ones_complement_sum(const uint8_t *bytes, uint32_t count)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half = 0;

	for (; count >= 4; count -= 4, bytes += 4) {
		memcpy(&word, bytes, 4);
		sum += word;
	}
	if (count >= 2) {
		memcpy(&half, bytes, 2);
		sum += half;
		bytes += 2;
		count -= 2;
	}
	if (count) {
		half = 0;
		memcpy(&half, bytes, 1);
		sum += half;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void checksum_fill(uint8_t *frame, uint32_t bytes, const struct ll_desc *meta)
{
	uint32_t field = (uint32_t)meta->csum_start + meta->csum_offset;
	uint16_t sum;

	if (!(meta->csum_flags & LL_CSUM_NEEDED) || field + sizeof(sum) > bytes)
		return;
	/* The field holds the sum of the pseudo header already. */
	sum = (uint16_t)~ones_complement_sum(frame + meta->csum_start, bytes - meta->csum_start);
	if (!sum)
		sum = 0xffff; /* 0 would say that there is none, in UDP */
	memcpy(frame + field, &sum, sizeof(sum));
}

uint32_t segmented_bytes(const uint8_t *frame, uint32_t bytes, const struct ll_desc *meta)
{
	uint32_t headers = meta->csum_start, payload, segments;

	if (meta->gso_type == LL_GSO_NONE || !meta->gso_size)
		return bytes;
	/* hdr_len is only a hint; the transport header says it exactly. */
	if ((meta->gso_type & ~LL_GSO_ECN) == LL_GSO_UDP_L4)
		headers += UDP_HEADER_BYTES;
	else if (headers + TCP_DATA_OFFSET < bytes)
		headers += frame[headers + TCP_DATA_OFFSET] >> 4 << 2;
	if (headers >= bytes)
		return bytes;
	payload = bytes - headers;
	segments = (payload + meta->gso_size - 1) / meta->gso_size;
	return payload + segments * headers;
}
