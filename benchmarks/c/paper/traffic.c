// SPDX-License-Identifier: GPL-2.0-only
/* Frames with number and time stamp, and the statistics of those that arrived. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "traffic.h"

uint16_t traffic_checksum(const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < count; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

void traffic_fill(struct traffic_frame *frame, enum direction direction, uint32_t packet_bytes)
{
	static const uint8_t ends[2][2][6] = {
		[FORTH] = { { 2, 0, 0, 0, 0, 0xa2 }, { 2, 0, 0, 0, 0, 0xa1 } },
		[BACK] = { { 2, 0, 0, 0, 0, 0xb1 }, { 2, 0, 0, 0, 0, 0xb2 } },
	};
	const char *sender = "10.0.1.1", *receiver = "10.0.2.2";

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->destination, ends[direction][0], 6);
	memcpy(frame->source, ends[direction][1], 6);
	frame->type = htons(0x0800);
	frame->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.tot_len = htons((uint16_t)packet_bytes),
		.saddr = inet_addr(direction == FORTH ? sender : receiver),
		.daddr = inet_addr(direction == FORTH ? receiver : sender),
	};
	frame->ip.check = traffic_checksum(&frame->ip, sizeof(frame->ip));
	/* No checksum (RFC 768), so that number and time may change. */
	frame->udp = (struct udphdr){
		.source = htons(9000),
		.dest = htons(9001),
		.len = htons((uint16_t)(packet_bytes - sizeof(struct iphdr))),
	};
	frame->magic = TRAFFIC_MAGIC;
}

const struct traffic_frame *traffic_of(const struct frame *frame)
{
	const struct traffic_frame *traffic = (const struct traffic_frame *)frame->data;

	if (frame->bytes < ETHERNET_BYTES + SMALLEST_PACKET || traffic->magic != TRAFFIC_MAGIC)
		return NULL;
	return traffic;
}

void arrivals_add_delay(struct arrivals *arrivals, uint64_t delay_ns)
{
	uint32_t power = 0;

	if (delay_ns >= DELAY_STEPS)
		power = 63 - (uint32_t)__builtin_clzll(delay_ns) - (DELAY_BITS - 1);
	/* From the second power on the highest bit is always set: half of the steps. */
	arrivals->delays[power * DELAY_STEPS + ((delay_ns >> power) & (DELAY_STEPS - 1))]++;
}

void arrivals_add(struct arrivals *arrivals, const struct traffic_frame *frame, uint64_t now_ns)
{
	arrivals->received++;
	arrivals->last_ns = now_ns;
	if (frame->number >= arrivals->next_number)
		arrivals->next_number = frame->number + 1;
	else
		arrivals->reordered++;
	arrivals_add_delay(arrivals, now_ns - frame->sent_ns);
}

uint64_t arrivals_delay(const struct arrivals *arrivals, double part)
{
	uint64_t total = 0, seen = 0;

	for (uint32_t i = 0; i < 64 * DELAY_STEPS; i++)
		total += arrivals->delays[i];
	for (uint32_t i = 0; i < 64 * DELAY_STEPS; i++) {
		seen += arrivals->delays[i];
		if (seen && (double)seen >= part * (double)total)
			return (uint64_t)(i % DELAY_STEPS) << (i / DELAY_STEPS);
	}
	return 0;
}

void print_delays(const struct arrivals *arrivals)
{
	static const double parts[] = { 0.0, 0.5, 0.9, 0.99, 1.0 };
	static const char *const names[] = { "min", "p50", "p90", "p99", "max" };

	for (int i = 0; i < 5; i++)
		printf(", \"%s_us\": %.3f", names[i],
		       (double)arrivals_delay(arrivals, parts[i]) / 1e3);
}
