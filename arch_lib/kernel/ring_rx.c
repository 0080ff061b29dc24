// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving: empty pages lie in the ring, the host fills them.  A small frame is
 * copied into an skb and its page stays; of a larger one the headers are copied
 * and the pages become fragments, which return to the queue's page pool.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/skbuff.h>
#include "netdev.h"

#define LL_RX_COPY 256 /* frames up to this are copied whole */

static void post(struct ll_queue *q, struct page *page)
{
	struct ll_desc *desc = ll_ring_desc(q->rx, q->rx->head);

	desc->addr = (unsigned long)page_address(page);
	desc->len = PAGE_SIZE;
	desc->flags = 0;
	desc->cookie = (unsigned long)page;
	virt_store_release(&q->rx->head, q->rx->head + 1);
}

static void refill(struct ll_queue *q)
{
	bool starved = q->rx->head == READ_ONCE(q->rx->tail);

	while (q->rx->head - q->rx_taken < q->rx->entries) {
		struct page *page = page_pool_dev_alloc_pages(q->pages);

		if (!page)
			break; /* tried again with the next frame */
		post(q, page);
	}
	if (starved)
		ll_port_kick_host(q->port);
}

int ll_rx_open(struct ll_queue *q)
{
	struct page_pool_params params = {
		.pool_size = q->rx->entries,
		.nid = NUMA_NO_NODE,
		.napi = &q->napi,
	};

	if (!q->pages) {
		q->pages = page_pool_create(&params);
		if (IS_ERR(q->pages)) {
			int err = PTR_ERR(q->pages);

			q->pages = NULL;
			return err;
		}
	}
	refill(q);
	return q->rx->head == q->rx_taken ? -ENOMEM : 0;
}

/* The host no longer touches the ring. */
void ll_rx_close(struct ll_queue *q)
{
	if (!q->pages)
		return;
	for (; q->rx_taken != q->rx->head; q->rx_taken++) {
		struct ll_desc *desc = ll_ring_desc(q->rx, q->rx_taken);

		page_pool_put_full_page(q->pages, (struct page *)desc->cookie, false);
	}
	page_pool_destroy(q->pages);
	q->pages = NULL;
}

/* Checksum and segmentation as the host gave them; false: they make no sense. */
static bool set_metadata(struct sk_buff *skb, const struct ll_desc *desc)
{
	static const unsigned int types[] = {
		[LL_GSO_TCPV4] = SKB_GSO_TCPV4,
		[LL_GSO_TCPV6] = SKB_GSO_TCPV6,
		[LL_GSO_UDP_L4] = SKB_GSO_UDP_L4,
	};
	unsigned int type = desc->gso_type & ~LL_GSO_ECN;

	if (desc->csum_flags & LL_CSUM_NEEDED) {
		if (!skb_partial_csum_set(skb, desc->csum_start, desc->csum_offset))
			return false;
	} else if (desc->csum_flags & LL_CSUM_VALID) {
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	}
	if (type == LL_GSO_NONE)
		return true;
	if (type >= ARRAY_SIZE(types) || !types[type] || !desc->gso_size ||
	    !(desc->csum_flags & LL_CSUM_NEEDED))
		return false;
	skb_shinfo(skb)->gso_size = desc->gso_size;
	/* Dodgy: headers are checked before anyone believes them. */
	skb_shinfo(skb)->gso_type = types[type] | SKB_GSO_DODGY |
				    (desc->gso_type & LL_GSO_ECN ? SKB_GSO_TCP_ECN : 0);
	skb_shinfo(skb)->gso_segs = 0;
	return true;
}

/* Give descriptors back as they are: their pages are posted again. */
static void recycle(struct ll_queue *q, u32 pieces)
{
	for (; pieces; pieces--, q->rx_taken++)
		post(q, (struct page *)ll_ring_desc(q->rx, q->rx_taken)->cookie);
}

static struct sk_buff *take_frame(struct ll_queue *q, u32 pieces, u32 bytes)
{
	struct ll_desc *first = ll_ring_desc(q->rx, q->rx_taken);
	u32 head = min_t(u32, first->len, LL_RX_COPY);
	struct sk_buff *skb;
	u32 i;

	skb = napi_alloc_skb(&q->napi, LL_RX_COPY);
	if (!skb) {
		recycle(q, pieces);
		return NULL;
	}
	skb_put_data(skb, (void *)(unsigned long)first->addr, head);
	if (!set_metadata(skb, first)) {
		kfree_skb(skb);
		recycle(q, pieces);
		return NULL;
	}
	if (bytes == head) {
		recycle(q, pieces);
		return skb;
	}
	skb_mark_for_recycle(skb);
	for (i = 0; i < pieces; i++, q->rx_taken++) {
		struct ll_desc *desc = ll_ring_desc(q->rx, q->rx_taken);
		u32 skip = i ? 0 : head;

		if (desc->len == skip)
			page_pool_put_full_page(q->pages, (struct page *)desc->cookie, true);
		else
			skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, (struct page *)desc->cookie,
					skip, desc->len - skip, PAGE_SIZE);
	}
	return skb;
}

/* The pieces of the frame at rx_taken, 0 if it is not whole; *bytes: 0 if hostile. */
static u32 measure(struct ll_queue *q, u32 tail, u32 *bytes)
{
	bool good = true;
	u32 i = q->rx_taken, pieces = 0;

	*bytes = 0;
	while (i != tail) {
		struct ll_desc *desc = ll_ring_desc(q->rx, i++);

		pieces++;
		if (desc->len > PAGE_SIZE || pieces > MAX_SKB_FRAGS)
			good = false;
		else
			*bytes += desc->len;
		if (!(desc->flags & LL_DESC_NEXT)) {
			if (!good || *bytes < ETH_HLEN || *bytes > GSO_LEGACY_MAX_SIZE)
				*bytes = 0;
			return pieces;
		}
	}
	return 0;
}

int ll_rx_poll(struct ll_queue *q, int budget)
{
	struct net_device *dev = q->port->dev;
	u32 tail = virt_load_acquire(&q->rx->tail);
	int done = 0;

	/* A host that counts wrong must not lead us astray. */
	if (tail - q->rx_taken > q->rx->head - q->rx_taken) {
		if (net_ratelimit())
			netdev_err(dev, "host moved the receive ring's tail past its head\n");
		return 0;
	}
	while (done < budget && q->rx_taken != tail) {
		u32 bytes, pieces = measure(q, tail, &bytes);
		struct sk_buff *skb;

		if (!pieces)
			break;
		done++;
		if (!bytes) {
			DEV_STATS_INC(dev, rx_length_errors);
			DEV_STATS_INC(dev, rx_errors);
			recycle(q, pieces);
			continue;
		}
		skb = take_frame(q, pieces, bytes);
		if (!skb) {
			DEV_STATS_INC(dev, rx_dropped);
			continue;
		}
		dev_sw_netstats_rx_add(dev, bytes);
		skb->protocol = eth_type_trans(skb, dev);
		skb_record_rx_queue(skb, q->index);
		napi_gro_receive(&q->napi, skb);
	}
	refill(q);
	return done;
}
