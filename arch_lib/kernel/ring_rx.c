// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving: empty pages lie in the ring, the host fills them.  A small frame is
 * copied into an skb and its page stays; of a larger one the pages become fragments,
 * which return to the queue's page pool.
 */
#include <linux/bpf.h>
#include <linux/etherdevice.h>
#include <linux/filter.h>
#include <linux/if_vlan.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/busy_poll.h>
#include <net/gro.h>
#include <net/udp.h>
#include "netdev.h"

/*
 * Buffers that a ring begins with; a device that needs no more spares the memory of
 * the others.  It is what a page pool gets from the page allocator at once.
 */
#define LL_RX_FIRST 64u

/* Pass on what GRO has looked at and let go, so that later frames stay behind it. */
static void pass_normal(struct napi_struct *napi)
{
#ifdef LL_GRO_NODE
	gro_normal_list(&napi->gro);
#else
	gro_normal_list(napi);
#endif
}

static inline void post(struct ll_queue *q, u64 addr, u64 cookie)
{
	struct ll_desc *desc = ll_ring_desc(q->rx, q->rx->head);

	desc->addr = addr;
	desc->len = PAGE_SIZE;
	desc->flags = 0;
	desc->cookie = cookie;
	virt_store_release(&q->rx->head, q->rx->head + 1);
}

static void refill(struct ll_queue *q)
{
	bool starved = q->rx->head == READ_ONCE(q->rx->tail);

	while (q->rx->head - q->rx_taken < q->rx_posted) {
		struct page *page = page_pool_dev_alloc_pages(q->pages);

		if (!page)
			break; /* tried again with the next frame */
		post(q, (unsigned long)page_address(page), (unsigned long)page);
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
		q->rx_posted = min(q->rx->entries, LL_RX_FIRST);
	}
	if (LL_XDP && q->port->xdp) {
		int err = ll_xdp_open(q);

		if (err)
			return err;
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
	if (LL_XDP)
		ll_xdp_close(q);
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
void ll_rx_recycle(struct ll_queue *q, u32 pieces)
{
	for (; pieces; pieces--, q->rx_taken++) {
		struct ll_desc *desc = ll_ring_desc(q->rx, q->rx_taken);

		post(q, desc->addr, desc->cookie);
	}
}

/* A small frame is copied whole, which is cheaper than to give its buffer away. */
static struct sk_buff *take_small(struct ll_queue *q, u32 bytes)
{
	struct ll_desc *desc = ll_ring_desc(q->rx, q->rx_taken);
	const u8 *frame = (const u8 *)(unsigned long)desc->addr;
	struct sk_buff *skb = ll_skb_small(LL_RX_COPY);

	if (likely(skb)) {
		u8 *data = __skb_put(skb, bytes);

		skb->dev = q->port->dev;

		/* Sizes that the compiler knows; there is room behind the frame on both sides. */
		memcpy(data, frame, LL_RX_COPY / 2);
		if (bytes > LL_RX_COPY / 2)
			memcpy(data + LL_RX_COPY / 2, frame + LL_RX_COPY / 2, LL_RX_COPY / 2);
		if (unlikely(!set_metadata(skb, desc))) {
			kfree_skb(skb);
			skb = NULL;
		}
	}
	post(q, desc->addr, desc->cookie);
	q->rx_taken++;
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
		ll_rx_recycle(q, pieces);
		return NULL;
	}
	if (head)
		skb_put_data(skb, (void *)(unsigned long)first->addr, head);
	if (unlikely(!set_metadata(skb, first))) {
		napi_free_frags(&q->napi);
		ll_rx_recycle(q, pieces);
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

/* As an skb, for a program of XDP; NULL if it took the frame. */
static struct sk_buff *show_skb(struct bpf_prog *prog, struct sk_buff *skb)
{
	if (unlikely(!pskb_may_pull(skb, ETH_HLEN))) {
		kfree_skb(skb);
		return NULL;
	}
	skb->protocol = eth_type_trans(skb, skb->dev);
	return do_xdp_generic(prog, &skb) == XDP_PASS ? skb : NULL;
}

/* Show the frame at rx_taken to a program and pass on what that lets through. */
static void receive_by_xdp(struct ll_queue *q, struct bpf_prog *prog, u32 pieces, u32 bytes)
{
	struct sk_buff *skb;

	if (pieces == 1 && ll_xdp_is_native(ll_ring_desc(q->rx, q->rx_taken), bytes)) {
		skb = ll_xdp_run(q, prog, bytes);
		if (skb)
			skb->protocol = eth_type_trans(skb, skb->dev);
	} else {
		if (bytes > LL_RX_COPY || pieces > 1) {
			skb = take_large(q, pieces);
			if (skb) /* it is not GRO's */
				q->napi.skb = NULL;
		} else {
			skb = take_small(q, bytes);
		}
		if (skb)
			skb = show_skb(prog, skb);
		else
			q->stats.rx_no_memory++;
	}
	if (!skb)
		return;
	skb_record_rx_queue(skb, q->index);
	napi_gro_receive(&q->napi, skb);
}

/* The host has used up nearly all its buffers: from now on it gets more. */
static void grow(struct ll_queue *q, u32 tail)
{
	if (q->rx->head - tail > q->rx_posted / 4)
		return;
	q->stats.rx_ring_low++;
	q->rx_posted = min(q->rx_posted * 2, q->rx->entries);
}

int ll_rx_poll(struct ll_queue *q, int budget)
{
	struct net_device *dev = q->port->dev;
	struct bpf_prog *prog = LL_XDP ? READ_ONCE(q->port->xdp) : NULL;
	u32 tail = virt_load_acquire(&q->rx->tail);
	LIST_HEAD(plain); /* frames that pass GRO by */
	int done = 0;

	/* A host that counts wrong must not lead us astray. */
	if (unlikely(tail - q->rx_taken > q->rx->head - q->rx_taken)) {
		if (net_ratelimit())
			netdev_err(dev, "host moved the receive ring's tail past its head\n");
		return 0;
	}
	grow(q, tail);
	while (done < budget && q->rx_taken != tail) {
		u32 bytes, pieces = measure(q, tail, &bytes);
		struct sk_buff *skb;
		bool large;

		if (!pieces)
			break;
		done++;
		if (unlikely(!bytes)) {
			q->stats.rx_bad++;
			ll_rx_recycle(q, pieces);
			continue;
		}
		if (unlikely(prog)) {
			q->stats.rx_frames++;
			q->stats.rx_bytes += bytes;
			receive_by_xdp(q, prog, pieces, bytes);
			continue;
		}
		large = bytes > LL_RX_COPY || pieces > 1;
		skb = large ? take_large(q, pieces) : take_small(q, bytes);
		if (unlikely(!skb)) {
			q->stats.rx_no_memory++;
			continue;
		}
		q->stats.rx_frames++;
		q->stats.rx_bytes += bytes;
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
	if (prog)
		xdp_do_flush();
	refill(q);
	return done;
}
