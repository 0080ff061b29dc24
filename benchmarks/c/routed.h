/* SPDX-License-Identifier: GPL-2.0-only */
/* A router's networks, 10.0.1.0/24 and 10.0.2.0/24, and the frame that crosses it. */
#ifndef ROUTED_H
#define ROUTED_H

#include <netinet/ip.h>
#include <netinet/udp.h>

#include "network.h"

#define PAYLOAD 64

struct frame {
	uint8_t destination[6], source[6];
	uint16_t type;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[PAYLOAD];
} __attribute__((packed));

static const uint8_t router_mac[6] = { 2, 0, 0, 0, 0, 1 }, next_mac[6] = { 2, 0, 0, 0, 0, 2 };

static inline void neighbour(const struct node *node, const char *name, const char *address,
			     const uint8_t *mac)
{
	struct sockaddr_in who = address_of(address, 0);
	uint64_t fd = node_socket(node, SOCK_DGRAM);
	struct arpreq request = { .arp_flags = ATF_COM | ATF_PERM };

	memcpy(&request.arp_pa, &who, sizeof(who));
	memcpy(request.arp_ha.sa_data, mac, 6);
	strcpy(request.arp_dev, name);
	node_call(node, SYS_ioctl, fd, SIOCSARP, (uint64_t)&request, 0, 0, 0);
	node_close(node, fd);
}

/* The router has its devices eth0 and eth1. */
static inline void set_up_router(const struct node *router)
{
	configure(router, "eth0", "10.0.1.2");
	configure(router, "eth1", "10.0.2.1");
	set_sysctl(router, "/proc/sys/net/ipv4/ip_forward", "1");
	neighbour(router, "eth0", "10.0.1.1", next_mac);
	neighbour(router, "eth1", "10.0.2.2", next_mac);
}

static inline uint16_t checksum(const void *bytes, size_t count)
{
	const uint16_t *words = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i < count / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

static inline struct frame make_frame(void)
{
	struct frame frame = {
		.type = htons(0x0800),
		.ip = { .version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = IPPROTO_UDP,
			.tot_len = htons(sizeof(frame) - 14),
			.saddr = inet_addr("10.0.1.1"),
			.daddr = inet_addr("10.0.2.2") },
		.udp = { .source = htons(1000), .dest = htons(2000), .len = htons(8 + PAYLOAD) },
	};

	memcpy(frame.destination, router_mac, 6);
	memcpy(frame.source, next_mac, 6);
	frame.ip.check = checksum(&frame.ip, sizeof(frame.ip));
	return frame;
}

#endif
