/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames that the tester sends and knows again: Ethernet, IPv4, UDP, and a
 * payload with a number and a time stamp; and what arrived of them.
 *
 *   sender 10.0.1.1 -- 10.0.1.2 router 10.0.2.1 -- 10.0.2.2 receiver
 *   02:..:a1           02:..:a2        02:..:b1    02:..:b2
 */
#ifndef PAPER_TRAFFIC_H
#define PAPER_TRAFFIC_H

#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>

#include "port.h"

#define ETHERNET_BYTES	14
#define TRAFFIC_MAGIC	0x70617065722d3521u
#define SMALLEST_PACKET 52 /* of IPv4: headers, magic, number, time */

struct traffic_frame {
	uint8_t destination[6], source[6];
	uint16_t type;
	struct iphdr ip;
	struct udphdr udp;
	uint64_t magic, number, sent_ns;
	uint8_t rest[1500 - SMALLEST_PACKET];
} __attribute__((packed));

enum direction { FORTH, BACK };

/* Everything but number and time; packet_bytes are those of the IPv4 packet. */
void traffic_fill(struct traffic_frame *frame, enum direction direction, uint32_t packet_bytes);
/* One of ours; else NULL. */
const struct traffic_frame *traffic_of(const struct frame *frame);
uint16_t traffic_checksum(const void *bytes, size_t count);

/* Delays, to 0.8 percent: 128 steps in each power of two. */
#define DELAY_BITS  8
#define DELAY_STEPS (1 << DELAY_BITS)

struct arrivals {
	uint64_t received;
	uint64_t reordered; /* came after a higher number, or a second time */
	uint64_t last_ns;
	uint64_t next_number; /* one above the highest that arrived */
	uint32_t delays[64 * DELAY_STEPS];
};

void arrivals_add_delay(struct arrivals *arrivals, uint64_t delay_ns);
void arrivals_add(struct arrivals *arrivals, const struct traffic_frame *frame, uint64_t now_ns);
/* The delay in ns that such a part (0..1) of the frames did not exceed. */
uint64_t arrivals_delay(const struct arrivals *arrivals, double part);
/* As further members of a JSON object: min_us, p50_us and so on. */
void print_delays(const struct arrivals *arrivals);

#endif
