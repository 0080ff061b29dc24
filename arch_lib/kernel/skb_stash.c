// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small skbs that were sent, kept with their heads for frames that arrive.  What a
 * router receives it sends, so skbs go round here and never see the slab allocator,
 * whose fast path a batch would outgrow.  All with softirqs off.
 */
#include <linux/skbuff.h>
#include <net/dst.h>
#include <trace/events/skb.h>
#include "netdev.h"

/* Two batches: what one NAPI poll takes while the host has as much. */
#define LL_STASH 128

/* KASAN finds the use of freed memory only if it is freed. */
#define LL_STASH_USED (!IS_ENABLED(CONFIG_KASAN))

static struct sk_buff *stash[LL_STASH];
static unsigned int stashed;
/* Of heads from the kernel's cache of small heads; 0 until one has been seen. */
static unsigned int small_end_offset;

/* Nobody else has it or a part of it, and its head is a small one. */
static bool is_plain(const struct sk_buff *skb)
{
	return skb_end_offset(skb) == small_end_offset && !skb->head_frag && !skb->cloned &&
	       skb->fclone == SKB_FCLONE_UNAVAILABLE && !skb->data_len && !skb->pp_recycle &&
	       !skb->pfmemalloc && !skb->destructor && refcount_read(&skb->users) == 1 &&
	       !skb_shinfo(skb)->flags;
}

/* The frame has left: free its skb, or keep it. */
void ll_skb_sent(struct sk_buff *skb)
{
	if (!LL_STASH_USED || stashed == LL_STASH || !is_plain(skb)) {
		napi_consume_skb(skb, 1);
		return;
	}
	trace_consume_skb(skb, __builtin_return_address(0));
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	skb_ext_reset(skb);
	stash[stashed++] = skb;
}

/* As __alloc_skb() leaves it. */
static struct sk_buff *renew(struct sk_buff *skb)
{
	struct skb_shared_info *info = skb_shinfo(skb);

	memset(skb, 0, offsetof(struct sk_buff, tail));
	skb->truesize = SKB_TRUESIZE(small_end_offset);
	skb->data = skb->head;
	skb_reset_tail_pointer(skb);
	skb->mac_header = (typeof(skb->mac_header))~0U;
	skb->transport_header = (typeof(skb->transport_header))~0U;
	skb->alloc_cpu = raw_smp_processor_id();
	memset(info, 0, offsetof(struct skb_shared_info, dataref));
	atomic_set(&info->dataref, 1);
	return skb;
}

/* An skb with room for so many bytes behind NET_SKB_PAD; NULL without memory. */
struct sk_buff *ll_skb_small(unsigned int bytes)
{
	struct sk_buff *skb;

	if (LL_STASH_USED && likely(stashed)) {
		skb = renew(stash[--stashed]);
		if (stashed) {
			prefetchw(stash[stashed - 1]);
			prefetchw((u8 *)stash[stashed - 1] + L1_CACHE_BYTES);
		}
	} else {
		/* napi_alloc_skb() of some releases would take a quarter of a page. */
		skb = __alloc_skb(NET_SKB_PAD + bytes, GFP_ATOMIC | __GFP_NOWARN,
				  SKB_ALLOC_RX | SKB_ALLOC_NAPI, NUMA_NO_NODE);
		if (unlikely(!skb))
			return NULL;
		small_end_offset = skb_end_offset(skb);
	}
	skb_reserve(skb, NET_SKB_PAD);
	return skb;
}

/* No device is left. */
void ll_skb_stash_drain(void)
{
	while (stashed)
		consume_skb(stash[--stashed]);
}
