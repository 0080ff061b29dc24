// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames between a kernel's rings and the mbufs of a port, a burst at a time.  Each is
 * copied once: an mbuf may lie for long in a queue or at a peer, and a kernel's memory
 * may be gone by then.
 */
#include <netinet/in.h>
#include <string.h>

#include "checksum.h"
#include "dpdk.h"

#define TCP_CHECK_OFFSET 16
#define UDP_CHECK_OFFSET 6
#define VLAN_BYTES	 4
#define IPV4_BYTES	 20
#define IPV6_BYTES	 40
/* A port that takes nothing for so long loses frames, as a cable would. */
#define GIVE_UP_NS 100000000ull
#define PREFETCH   4 /* frames ahead */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- Out of the kernel --- */

/*
 * The port fills the checksum in, where it can say how: TCP and UDP right behind an IP
 * header.  The field holds the sum of the pseudo header, as DPDK wants it.
 */
static bool leave_checksum(struct rte_mbuf *mbuf, const struct ll_desc *meta)
{
	const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t at = ETHERNET_HEADER_BYTES, kind;
	uint64_t flags;

	if (mbuf->data_len < ETHERNET_HEADER_BYTES + IPV4_BYTES)
		return false;
	kind = (uint32_t)frame[12] << 8 | frame[13];
	if (kind == RTE_ETHER_TYPE_VLAN) {
		kind = (uint32_t)frame[16] << 8 | frame[17];
		at += VLAN_BYTES;
	}
	if (kind == RTE_ETHER_TYPE_IPV4 && meta->csum_start == at + (frame[at] & 15u) * 4)
		flags = RTE_MBUF_F_TX_IPV4;
	else if (kind == RTE_ETHER_TYPE_IPV6 && meta->csum_start == at + IPV6_BYTES)
		flags = RTE_MBUF_F_TX_IPV6;
	else
		return false;
	if (meta->csum_offset == TCP_CHECK_OFFSET)
		flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	else if (meta->csum_offset == UDP_CHECK_OFFSET)
		flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	else
		return false;
	mbuf->ol_flags |= flags;
	mbuf->l2_len = at;
	mbuf->l3_len = meta->csum_start - at;
	return true;
}

static void fill(struct port *port, struct rte_mbuf *mbuf, const struct ring_span *frame)
{
	const struct ll_desc *meta = ring_meta(frame);
	uint8_t *to = rte_pktmbuf_mtod(mbuf, uint8_t *);

	if (frame->pieces == 1)
		memcpy(to, (const void *)meta->addr, frame->bytes);
	else
		ring_gather(frame, to, frame->bytes);
	mbuf->data_len = (uint16_t)frame->bytes;
	mbuf->pkt_len = frame->bytes;
	if (meta->csum_flags & LL_CSUM_NEEDED && !(port->checksums && leave_checksum(mbuf, meta)))
		checksum_fill(to, frame->bytes, meta);
}

static void note_blocked(struct port_queue *queue, uint64_t *counter)
{
	if (queue->blocked)
		return;
	++*counter;
	queue->blocked_ns = now_ns();
	queue->blocked = true;
}

/* Those that the port has not taken were counted as sent. */
static void give_up(struct plh_device *device, struct port_queue *queue)
{
	struct port *port = port_of(device);

	for (; queue->tx_at < queue->tx_count; queue->tx_at++) {
		device->stats.tx_frames--;
		device->stats.tx_bytes -= queue->tx[queue->tx_at]->pkt_len;
		device->stats.tx_dropped++;
		port->stats.tx_gave_up++;
		rte_pktmbuf_free(queue->tx[queue->tx_at]);
	}
	queue->tx_at = queue->tx_count = 0;
	queue->blocked = false;
}

/* True if nothing is left to be taken. */
static bool push(struct plh_device *device, uint16_t index)
{
	struct port *port = port_of(device);
	struct port_queue *queue = &port->queue[index];
	uint16_t waiting = queue->tx_count - queue->tx_at, taken;

	if (!waiting)
		return true;
	taken = rte_eth_tx_burst(port->id, index, queue->tx + queue->tx_at, waiting);
	queue->tx_at += taken;
	if (taken == waiting) {
		queue->tx_at = queue->tx_count = 0;
		queue->blocked = false;
		return true;
	}
	if (taken)
		queue->blocked = false;
	note_blocked(queue, &port->stats.tx_full);
	return false;
}

/* Another core may have used an mbuf last: ask for it before it is needed. */
static void fetch_header(struct rte_mbuf *mbuf)
{
	rte_prefetch0(mbuf);
	rte_mbuf_prefetch_part2(mbuf);
}

static void fetch_bytes(const char *bytes)
{
	rte_prefetch0(bytes);
	rte_prefetch0(bytes + RTE_CACHE_LINE_SIZE);
}

static bool have_spare(struct port *port, struct port_queue *queue)
{
	uint16_t count = BURST;

	if (queue->spares)
		return true;
	while (count && rte_pktmbuf_alloc_bulk(port->pool, queue->spare, count))
		count /= 2;
	queue->spares = count;
	for (uint16_t i = 0; i < count; i++)
		fetch_bytes(rte_pktmbuf_mtod(queue->spare[i], const char *));
	return count;
}

/* Copy frames into mbufs; false if there were none to copy, or no mbufs. */
static bool take(struct plh_device *device, uint16_t index)
{
	struct port *port = port_of(device);
	struct port_queue *queue = &port->queue[index];
	struct ring_span frame;

	while (queue->tx_count < BURST && device_next(device, index, &frame)) {
		struct rte_mbuf *mbuf;

		if (frame.bytes > port->room_bytes) {
			port->stats.tx_too_long++;
			device_sent(device, &frame, true);
			continue;
		}
		if (!have_spare(port, queue)) {
			note_blocked(queue, &port->stats.tx_no_mbuf);
			break;
		}
		mbuf = queue->spare[--queue->spares];
		fill(port, mbuf, &frame);
		queue->tx[queue->tx_count++] = mbuf;
		device_sent(device, &frame, false);
	}
	return queue->tx_count;
}

static void drop(struct plh_device *device, uint16_t index)
{
	struct port *port = port_of(device);
	struct ring_span frame;

	give_up(device, &port->queue[index]);
	while (device_next(device, index, &frame)) {
		port->stats.tx_gave_up++;
		device_sent(device, &frame, true);
	}
}

void frames_drop_all(struct plh_device *device)
{
	for (uint16_t i = 0; i < port_of(device)->queues; i++)
		drop(device, i);
	device_notify_sent(device);
}

bool frames_transmit(struct plh_device *device)
{
	struct port *port = port_of(device);
	bool moved = false;

	for (uint16_t i = 0; i < port->queues; i++) {
		struct port_queue *queue = &port->queue[i];

		while (push(device, i) && take(device, i))
			moved = true;
		if (queue->blocked && now_ns() - queue->blocked_ns >= GIVE_UP_NS) {
			drop(device, i);
			moved = true; /* there is room in the ring */
		}
	}
	if (moved)
		device_notify_sent(device);
	return moved;
}

bool frames_wait(const struct port *port)
{
	for (uint16_t i = 0; i < port->queues; i++)
		if (port->queue[i].blocked || port->queue[i].rx_count)
			return true;
	return false;
}

/* --- Into the kernel --- */

/* Of an mbuf in several segments, or into several buffers. */
static void scatter(const struct rte_mbuf *mbuf, const struct ring_span *room)
{
	const struct ll_desc *to = ring_meta(room);
	uint32_t index = room->first, used = 0, left = mbuf->pkt_len;

	for (; mbuf && left; mbuf = mbuf->next) {
		const char *from = rte_pktmbuf_mtod(mbuf, const char *);
		uint32_t bytes = mbuf->data_len < left ? mbuf->data_len : left;

		left -= bytes;
		while (bytes) {
			uint32_t piece;

			if (used == to->len) {
				to = ring_desc(room->ring, ++index);
				used = 0;
			}
			piece = to->len - used < bytes ? to->len - used : bytes;
			memcpy((char *)to->addr + used, from, piece);
			from += piece;
			used += piece;
			bytes -= piece;
		}
	}
}

/* The bytes that are really there, whatever a driver or its peer says. */
static uint32_t length(const struct rte_mbuf *mbuf)
{
	uint32_t bytes = 0;

	if (mbuf->nb_segs == 1)
		return mbuf->data_len == mbuf->pkt_len ? mbuf->data_len : 0;
	for (const struct rte_mbuf *piece = mbuf; piece; piece = piece->next)
		bytes += piece->data_len;
	return bytes == mbuf->pkt_len ? bytes : 0;
}

static enum deliver deliver(struct plh_device *device, uint16_t index, const struct rte_mbuf *mbuf)
{
	struct port *port = port_of(device);
	uint32_t bytes = length(mbuf);
	struct ring_span room;
	enum deliver result;

	if (bytes < ETHERNET_HEADER_BYTES || bytes > device->config.mtu + ETHERNET_BYTES) {
		if (bytes < ETHERNET_HEADER_BYTES)
			port->stats.rx_too_short++;
		else
			port->stats.rx_too_long++;
		device->stats.rx_dropped++;
		return DELIVER_DROPPED;
	}
	if (!ring_claim(device->netdev->rx[index], bytes, &room)) {
		result = device_claim(device, index, bytes, &room);
		if (result != DELIVER_OK)
			return result;
	}
	if (room.pieces == 1 && mbuf->nb_segs == 1)
		memcpy((void *)ring_meta(&room)->addr, rte_pktmbuf_mtod(mbuf, const void *), bytes);
	else
		scatter(mbuf, &room);
	ring_fill(&room, bytes);
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		ring_meta(&room)->csum_flags = LL_CSUM_VALID;
	device_commit(device, &room);
	return DELIVER_OK;
}

static void fetch(const struct port_queue *queue)
{
	for (uint16_t i = 0; i < queue->rx_count; i++)
		fetch_header(queue->rx[i]);
	for (uint16_t i = 0; i < PREFETCH && i < queue->rx_count; i++)
		fetch_bytes(rte_pktmbuf_mtod(queue->rx[i], const char *));
}

static bool receive(struct plh_device *device, uint16_t index)
{
	struct port *port = port_of(device);
	struct port_queue *queue = &port->queue[index];

	if (!queue->rx_count) {
		queue->rx_at = 0;
		queue->rx_count = rte_eth_rx_burst(port->id, index, queue->rx, BURST);
		fetch(queue);
	}
	if (!queue->rx_count)
		return false;
	for (; queue->rx_at < queue->rx_count; queue->rx_at++) {
		if (queue->rx_at + PREFETCH < queue->rx_count)
			fetch_bytes(
				rte_pktmbuf_mtod(queue->rx[queue->rx_at + PREFETCH], const char *));
		if (deliver(device, index, queue->rx[queue->rx_at]) == DELIVER_WAIT)
			return true; /* the rest when the kernel has buffers */
	}
	rte_pktmbuf_free_bulk(queue->rx, queue->rx_count);
	queue->rx_count = 0;
	return true;
}

bool frames_receive(struct plh_device *device)
{
	bool any = false;

	for (uint16_t i = 0; i < port_of(device)->queues; i++)
		any |= receive(device, i);
	return any;
}

void frames_free(struct port *port)
{
	for (uint16_t i = 0; port->queue && i < port->queues; i++) {
		struct port_queue *queue = &port->queue[i];

		/* Those before rx_at have been delivered, but all are still ours. */
		rte_pktmbuf_free_bulk(queue->rx, queue->rx_count);
		rte_pktmbuf_free_bulk(queue->tx + queue->tx_at, queue->tx_count - queue->tx_at);
		rte_pktmbuf_free_bulk(queue->spare, queue->spares);
		queue->rx_count = queue->tx_count = queue->tx_at = queue->spares = 0;
	}
}
