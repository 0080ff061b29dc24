// SPDX-License-Identifier: GPL-2.0-only
/* Sending: frames lie in the ring as skbs, or as frames of XDP, until the host took them. */
#include <linux/skbuff.h>
#include <net/xdp.h>
#include "netdev.h"

/* In a descriptor's cookie: it is a struct xdp_frame. */
#define LL_COOKIE_XDP 1UL

static void clean(struct ll_queue *q, u32 tail)
{
	for (; q->tx_clean != tail; q->tx_clean++) {
		unsigned long cookie = ll_ring_desc(q->tx, q->tx_clean)->cookie;
		const u8 *next = (u8 *)ll_ring_desc(q->tx, q->tx_clean + 1)->cookie;

		/* The one after it left the first level of the cache when it was sent. */
		prefetch(next + L1_CACHE_BYTES);
		prefetch(next + 2 * L1_CACHE_BYTES);
		prefetch(next + 3 * L1_CACHE_BYTES);
		if (unlikely(cookie & LL_COOKIE_XDP))
			xdp_return_frame((struct xdp_frame *)(cookie - LL_COOKIE_XDP));
		else if (cookie)
			ll_skb_sent((struct sk_buff *)cookie);
	}
}

/* Free what the host has taken; softirqs are off, as NAPI's caches want it. */
static void clean_sent(struct ll_queue *q, u32 tail)
{
	struct netdev_queue *txq = netdev_get_tx_queue(q->port->dev, q->index);

	if (unlikely(tail - q->tx_clean > q->tx->head - q->tx_clean)) {
		if (net_ratelimit())
			netdev_err(q->port->dev, "host moved the transmit ring's tail past its "
						 "head\n");
		return;
	}
	clean(q, tail);
	q->tx->notify = 0;
	if (unlikely(netif_tx_queue_stopped(txq)) && ll_tx_free(q) >= LL_TX_ROOM)
		netif_tx_wake_queue(txq);
}

void ll_tx_clean(struct ll_queue *q)
{
	u32 tail = virt_load_acquire(&q->tx->tail);

	if (tail != q->tx_clean || q->tx->notify)
		clean_sent(q, tail);
}

/* The host no longer touches the ring. */
void ll_tx_close(struct ll_queue *q)
{
	local_bh_disable();
	clean(q, q->tx->head);
	local_bh_enable();
}

static void set_offloads(struct ll_desc *desc, const struct sk_buff *skb)
{
	const struct skb_shared_info *info = skb_shinfo(skb);

	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		desc->csum_flags = LL_CSUM_NEEDED;
		desc->csum_start = skb_checksum_start_offset(skb);
		desc->csum_offset = skb->csum_offset;
	} else if (skb->ip_summed == CHECKSUM_UNNECESSARY) {
		desc->csum_flags = LL_CSUM_VALID;
	}
	if (!skb_is_gso(skb))
		return;
	desc->gso_size = info->gso_size;
	desc->hdr_len = skb_headlen(skb);
	if (info->gso_type & SKB_GSO_TCPV4)
		desc->gso_type = LL_GSO_TCPV4;
	else if (info->gso_type & SKB_GSO_TCPV6)
		desc->gso_type = LL_GSO_TCPV6;
	else if (info->gso_type & SKB_GSO_UDP_L4)
		desc->gso_type = LL_GSO_UDP_L4;
	if (info->gso_type & SKB_GSO_TCP_ECN)
		desc->gso_type |= LL_GSO_ECN;
}

/* The first descriptor of a frame, whose metadata says nothing yet. */
static struct ll_desc *begin(struct ll_queue *q, u32 at, const void *data, u32 len)
{
	struct ll_desc *desc = ll_ring_desc(q->tx, at);

	*desc = (struct ll_desc){ .addr = (unsigned long)data, .len = len };
	return desc;
}

netdev_tx_t ll_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct ll_port *port = netdev_priv(dev);
	struct ll_queue *q = &port->queue[skb_get_queue_mapping(skb)];
	unsigned int i, frags = skb_shinfo(skb)->nr_frags;
	u32 at = q->tx->head;
	struct ll_desc *desc;

	ll_tx_clean(q);
	desc = begin(q, at++, skb->data, skb_headlen(skb));
	set_offloads(desc, skb);
	for (i = 0; i < frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		desc->flags = LL_DESC_NEXT;
		desc = begin(q, at++, skb_frag_address(frag), skb_frag_size(frag));
	}
	desc->cookie = (unsigned long)skb;
	skb_tx_timestamp(skb);
	q->stats.tx_frames++;
	q->stats.tx_bytes += skb->len;
	/*
	 * TCP sends a segment again only when it has the clone of it back.  All else can
	 * lie here until the ring is used next, so its socket must not be made to wait.
	 */
	if (skb->fclone == SKB_FCLONE_CLONE)
		q->tx->notify = 1;
	else
		skb_orphan(skb);
	virt_store_release(&q->tx->head, at);
	if (unlikely(ll_tx_free(q) < LL_TX_ROOM)) {
		netif_tx_stop_queue(netdev_get_tx_queue(dev, q->index));
		q->tx->notify = 1;
		q->stats.tx_stops++;
	}
	ll_port_kick_host(port);
	return NETDEV_TX_OK;
}

/*
 * As many of some frames of XDP as have room; the caller holds the queue's lock and
 * keeps the others.  The stack relies on room for one frame while its queue is open.
 */
int ll_tx_xdp(struct ll_queue *q, int count, struct xdp_frame **frames)
{
	u32 at = q->tx->head;
	int i;

	ll_tx_clean(q);
	for (i = 0; i < count && q->tx->entries - (at - q->tx_clean) > LL_TX_ROOM; i++) {
		struct xdp_frame *frame = frames[i];
		struct ll_desc *desc = begin(q, at++, frame->data, frame->len);

		desc->cookie = (unsigned long)frame | LL_COOKIE_XDP;
		q->stats.tx_bytes += frame->len;
	}
	q->stats.tx_frames += i;
	q->stats.tx_xdp += i;
	virt_store_release(&q->tx->head, at);
	if (i)
		ll_port_kick_host(q->port);
	return i;
}
