// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "unfinished.h"

#define VLAN_TAG_BYTES 4u
#define IPV4_BYTES     20u
#define IPV6_BYTES     40u
#define TCP_CHECK      16u /* RFC 9293: offset of the checksum */
#define UDP_CHECK      6u /* RFC 768 */
#define IPV4_FRAGMENT  0x3fff /* more fragments, or an offset */
#define IPV6_ADDRESSES 8u /* offsets in the headers */
#define IPV4_ADDRESSES 12u

static uint16_t load16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return ntohs(value);
}

static uint32_t sum(const uint8_t *at, uint32_t bytes)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < bytes; i += 2)
		total += load16(at + i);
	return total;
}

static uint16_t fold(uint32_t total)
{
	total = (total & 0xffff) + (total >> 16);
	return (uint16_t)((total & 0xffff) + (total >> 16));
}

void unfinished_checksum(const uint8_t *frame, uint32_t bytes, struct ll_desc *meta)
{
	uint32_t ip = ETH_HLEN, header, payload, total, offset;
	uint16_t type = load16(frame + 2 * ETH_ALEN);
	uint8_t protocol;

	if (type == ETH_P_8021Q && bytes >= ip + VLAN_TAG_BYTES) {
		type = load16(frame + ip + 2);
		ip += VLAN_TAG_BYTES;
	}
	if (type == ETH_P_IP && bytes >= ip + IPV4_BYTES) {
		header = (frame[ip] & 15u) * 4;
		payload = load16(frame + ip + 2) - header;
		protocol = frame[ip + 9];
		if (load16(frame + ip + 6) & IPV4_FRAGMENT)
			return;
		total = sum(frame + ip + IPV4_ADDRESSES, 8);
	} else if (type == ETH_P_IPV6 && bytes >= ip + IPV6_BYTES) {
		header = IPV6_BYTES;
		payload = load16(frame + ip + 4);
		protocol = frame[ip + 6];
		total = sum(frame + ip + IPV6_ADDRESSES, 32);
	} else {
		return;
	}
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return;
	offset = protocol == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
	if (bytes < ip + header + offset + 2)
		return;
	if (load16(frame + ip + header + offset) != fold(total + protocol + payload))
		return;
	meta->csum_flags = LL_CSUM_NEEDED;
	meta->csum_start = (uint16_t)(ip + header);
	meta->csum_offset = (uint16_t)offset;
}
