// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving: empty pages lie in the ring, the host fills them.  A small frame is
 * copied into an skb and its page stays; of a larger one the pages become fragments,
 * which return to the queue's page pool.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/busy_poll.h>
#include <net/gro.h>
#include <net/udp.h>
#include "netdev.h"

/*
 * Frames up to this are copied whole.  With it an skb's head is still one of those
 * from the kernel's cache of small heads; a larger one would be cut from a page.
 */
#define LL_RX_COPY 128

/* Pass on what GRO has looked at and let go, so that later frames stay behind it. */
static void pass_normal(struct napi_struct *napi)
{
#ifdef LL_GRO_NODE
	gro_normal_list(&napi->gro);
#else
	gro_normal_list(napi);
#endif
}

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

/* napi_alloc_skb() of some releases would take a quarter of a page. */
static struct sk_buff *small_skb(struct ll_queue *q)
{
	struct sk_buff *skb = __alloc_skb(NET_SKB_PAD + LL_RX_COPY, GFP_ATOMIC | __GFP_NOWARN,
					  SKB_ALLOC_RX | SKB_ALLOC_NAPI, NUMA_NO_NODE);

	if (likely(skb)) {
		skb_reserve(skb, NET_SKB_PAD);
		skb->dev = q->port->dev;
	}
	return skb;
}

/* A small frame is copied whole, which is cheaper than to give its buffer away. */
static struct sk_buff *take_small(struct ll_queue *q, u32 bytes)
{
	struct ll_desc *desc = ll_ring_desc(q->rx, q->rx_taken);
	const u8 *frame = (const u8 *)(unsigned long)desc->addr;
	struct sk_buff *skb = small_skb(q);

	if (likely(skb)) {
		u8 *data = __skb_put(skb, bytes);

		/* Sizes that the compiler knows; there is room behind the frame on both sides. */
		memcpy(data, frame, LL_RX_COPY / 2);
		if (bytes > LL_RX_COPY / 2)
			memcpy(data + LL_RX_COPY / 2, frame + LL_RX_COPY / 2, LL_RX_COPY / 2);
		if (unlikely(!set_metadata(skb, desc))) {
			kfree_skb(skb);
			skb = NULL;
		}
	}
	recycle(q, 1);
	return skb;
}

/*
 * How much of a frame must lie in the skb's head: up to where the checksum goes; if
 * that is TCP or UDP the exact headers, so that GRO can move the fragments.
 */
static u32 head_bytes(const struct ll_desc *desc)
{
	const u8 *frame = (const u8 *)(unsigned long)desc->addr;
	u32 bytes;

	if (!(desc->csum_flags & LL_CSUM_NEEDED))
		return 0;
	bytes = (u32)desc->csum_start + desc->csum_offset + sizeof(__sum16);
	if (bytes > desc->len)
		return bytes;
	if (desc->csum_offset == offsetof(struct tcphdr, check))
		bytes = desc->csum_start + (frame[desc->csum_start + 12] >> 4 << 2);
	else if (desc->csum_offset == offsetof(struct udphdr, check))
		bytes = desc->csum_start + sizeof(struct udphdr);
	return bytes;
}

/* The buffers of a larger one become fragments of napi->skb, which GRO may use again. */
static struct sk_buff *take_large(struct ll_queue *q, u32 pieces)
{
	struct ll_desc *first = ll_ring_desc(q->rx, q->rx_taken);
	u32 i, head = head_bytes(first);
	struct sk_buff *skb = NULL;

	if (likely(head <= min_t(u32, first->len, GRO_MAX_HEAD)))
		skb = napi_get_frags(&q->napi);
	if (unlikely(!skb)) {
		recycle(q, pieces);
		return NULL;
	}
	if (head)
		skb_put_data(skb, (void *)(unsigned long)first->addr, head);
	if (unlikely(!set_metadata(skb, first))) {
		napi_free_frags(&q->napi);
		recycle(q, pieces);
		return NULL;
	}
	skb_mark_for_recycle(skb);
	for (i = 0; i < pieces; i++, q->rx_taken++, head = 0) {
		struct ll_desc *desc = ll_ring_desc(q->rx, q->rx_taken);

		if (desc->len == head)
			page_pool_put_full_page(q->pages, (struct page *)desc->cookie, true);
		else
			skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, (struct page *)desc->cookie,
					head, desc->len - head, PAGE_SIZE);
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

/*
 * Would GRO look at the frame and pass it on?  That is so for UDP while nobody asked
 * for UDP_GRO, which also is what opening a tunnel does.
 */
static bool gro_is_idle(const struct sk_buff *skb)
{
	const netdev_features_t udp_gro = NETIF_F_GRO_FRAGLIST | NETIF_F_GRO_UDP_FWD;

	if (skb->dev->features & udp_gro)
		return false;
	if (skb->protocol == htons(ETH_P_IP))
		return skb->len >= sizeof(struct iphdr) &&
		       ((const struct iphdr *)skb->data)->protocol == IPPROTO_UDP &&
		       !static_branch_unlikely(&udp_encap_needed_key);
#if IS_ENABLED(CONFIG_IPV6)
	if (skb->protocol == htons(ETH_P_IPV6))
		return skb->len >= sizeof(struct ipv6hdr) &&
		       ((const struct ipv6hdr *)skb->data)->nexthdr == IPPROTO_UDP &&
		       !static_branch_unlikely(&udpv6_encap_needed_key);
#endif
	return false;
}

/* All at once: frames of one list share what one lookup has found. */
static void pass_plain(struct list_head *plain)
{
	if (list_empty(plain))
		return;
	netif_receive_skb_list(plain);
	INIT_LIST_HEAD(plain);
}

static void count_received(struct net_device *dev, u64 frames, u64 bytes)
{
	struct pcpu_sw_netstats *stats = this_cpu_ptr(dev->tstats);

	u64_stats_update_begin(&stats->syncp);
	u64_stats_add(&stats->rx_bytes, bytes);
	u64_stats_add(&stats->rx_packets, frames);
	u64_stats_update_end(&stats->syncp);
}

int ll_rx_poll(struct ll_queue *q, int budget)
{
	struct net_device *dev = q->port->dev;
	u32 tail = virt_load_acquire(&q->rx->tail);
	u64 frames = 0, total = 0;
	LIST_HEAD(plain); /* frames that pass GRO by */
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
		bool large;

		if (!pieces)
			break;
		done++;
		if (!bytes) {
			DEV_STATS_INC(dev, rx_length_errors);
			DEV_STATS_INC(dev, rx_errors);
			recycle(q, pieces);
			continue;
		}
		large = bytes > LL_RX_COPY || pieces > 1;
		skb = large ? take_large(q, pieces) : take_small(q, bytes);
		if (!skb) {
			DEV_STATS_INC(dev, rx_dropped);
			continue;
		}
		frames++;
		total += bytes;
		skb_record_rx_queue(skb, q->index);
		if (!large) {
			skb->protocol = eth_type_trans(skb, dev);
			if (gro_is_idle(skb)) {
				if (list_empty(&plain))
					pass_normal(&q->napi);
				skb_mark_napi_id(skb, &q->napi);
				list_add_tail(&skb->list, &plain);
				continue;
			}
		}
		pass_plain(&plain);
		if (large)
			napi_gro_frags(&q->napi);
		else
			napi_gro_receive(&q->napi, skb);
	}
	pass_plain(&plain);
	if (frames)
		count_received(dev, frames, total);
	refill(q);
	return done;
}
