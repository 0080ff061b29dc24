// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>

#include "raw_receive.h"

#define ADDRESS_BYTES  (2 * ETH_ALEN)
#define VLAN_TAG_BYTES 4

#ifndef TP_STATUS_VLAN_TPID_VALID
#define TP_STATUS_VLAN_TPID_VALID (1 << 6)
#endif

/* The tag that the host took out of the frame: what it was, and where it was. */
static uint32_t tag_bytes(const struct tpacket2_hdr *slot)
{
	return slot->tp_status & TP_STATUS_VLAN_VALID ? VLAN_TAG_BYTES : 0;
}

static void write_tag(uint8_t *at, const struct tpacket2_hdr *slot)
{
	uint16_t tag[2] = {
		htons(slot->tp_status & TP_STATUS_VLAN_TPID_VALID ? slot->tp_vlan_tpid :
								    ETH_P_8021Q),
		htons(slot->tp_vlan_tci),
	};

	memcpy(at, tag, sizeof(tag));
}

static void set_meta(struct ll_desc *meta, const struct virtio_net_hdr *header, uint32_t tag)
{
	meta->csum_flags = header->flags & (LL_CSUM_NEEDED | LL_CSUM_VALID);
	meta->gso_type = header->gso_type;
	meta->gso_size = header->gso_size;
	if (header->gso_type != LL_GSO_NONE)
		meta->hdr_len = (uint16_t)(header->hdr_len + tag);
	if (header->flags & LL_CSUM_NEEDED) {
		meta->csum_start = (uint16_t)(header->csum_start + tag);
		meta->csum_offset = header->csum_offset;
	}
}

/* A frame that lies in its slot as a whole. */
static void take_slot(struct tpacket2_hdr *slot, struct ring_span *room)
{
	uint8_t *frame = (uint8_t *)slot + slot->tp_mac;
	uint32_t tag = tag_bytes(slot);
	struct virtio_net_hdr header;

	memcpy(&header, frame - sizeof(header), sizeof(header));
	if (tag) {
		/* There is room in front, where the header was. */
		memmove(frame - tag, frame, ADDRESS_BYTES);
		frame -= tag;
		write_tag(frame + ADDRESS_BYTES, slot);
	}
	ring_scatter(room, frame, slot->tp_len + tag);
	set_meta(ring_meta(room), &header, tag);
}

/* Buffers for recvmsg(2), with a gap for the tag; how many. */
static size_t describe(const struct ring_span *room, uint32_t tag, struct iovec *iov)
{
	size_t pieces = (size_t)ring_iovec(room, iov);

	if (!tag)
		return pieces;
	memmove(iov + 1, iov, pieces * sizeof(*iov));
	iov[0].iov_len = ADDRESS_BYTES;
	iov[1].iov_base = (uint8_t *)iov[1].iov_base + ADDRESS_BYTES + tag;
	iov[1].iov_len -= ADDRESS_BYTES + tag;
	return pieces + 1;
}

/* A longer one, of which a copy waits in the socket. */
static bool take_copy(const struct raw_queue *queue, const struct tpacket2_hdr *slot,
		      struct ring_span *room)
{
	struct virtio_net_hdr header;
	struct iovec iov[RING_MAX_PIECES + 2] = { { &header, sizeof(header) } };
	uint32_t tag = tag_bytes(slot);
	struct msghdr message = { .msg_iov = iov };
	ssize_t bytes;

	message.msg_iovlen = describe(room, tag, iov + 1) + 1;
	bytes = recvmsg(queue->fd, &message, MSG_DONTWAIT | MSG_TRUNC);
	if (bytes != (ssize_t)(sizeof(header) + slot->tp_len))
		return false;
	if (tag)
		write_tag((uint8_t *)iov[1].iov_base + ADDRESS_BYTES, slot);
	ring_fill(room, slot->tp_len + tag);
	set_meta(ring_meta(room), &header, tag);
	return true;
}

/* Throw away the copy that belongs to a slot. */
static void drop_copy(const struct raw_queue *queue)
{
	char byte;

	recv(queue->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC);
}

uint32_t raw_receive_queue(struct plh_device *device, uint32_t number)
{
	struct raw_state *state = plh_device_state(device);
	struct raw_queue *queue = &state->queue[number];
	uint32_t frames = 0;

	for (; frames < RAW_BATCH; frames++) {
		struct tpacket2_hdr *slot = raw_next(queue);
		enum deliver found;
		struct ring_span room;
		bool whole, good = true;

		if (!slot)
			break;
		whole = slot->tp_snaplen == slot->tp_len;
		found = device_claim(device, number, slot->tp_len + tag_bytes(slot), &room);
		if (found == DELIVER_WAIT)
			return frames + 1; /* it is still there */
		if (found == DELIVER_OK && whole)
			take_slot(slot, &room);
		else if (slot->tp_status & TP_STATUS_COPY && found == DELIVER_OK)
			good = take_copy(queue, slot, &room);
		else if (slot->tp_status & TP_STATUS_COPY)
			drop_copy(queue);
		else
			good = whole; /* cut off: the socket had no room for the copy */
		raw_release(queue);
		if (found == DELIVER_OK && good)
			device_commit(device, &room);
		else if (found == DELIVER_OK)
			device->stats.rx_dropped++;
	}
	return frames;
}

void raw_clear_errors(const struct raw_state *state)
{
	for (uint32_t i = 0; i < state->queues; i++) {
		int error;
		socklen_t bytes = sizeof(error);

		if (state->queue[i].fd >= 0)
			getsockopt(state->queue[i].fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	}
}
