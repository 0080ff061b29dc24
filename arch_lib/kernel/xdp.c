// SPDX-License-Identifier: GPL-2.0-only
/*
 * XDP in the driver: programs see a frame in its page before there is an skb, and
 * frames that they send or redirect go from ring to ring as they are.  Frames with
 * offloads or of several pages are shown to them as skbs, by the core's generic XDP.
 */
#include <linux/bpf_trace.h>
#include <linux/filter.h>
#include <linux/skbuff.h>
#include <net/xdp.h>
#include "netdev.h"

/* What a program may grow a frame into, and what becomes skb_shared_info behind it. */
#define LL_XDP_ROOM \
	(PAGE_SIZE - XDP_PACKET_HEADROOM - SKB_DATA_ALIGN(sizeof(struct skb_shared_info)))

/* May the frame at rx_taken, of one piece, be shown to a program where it lies? */
bool ll_xdp_is_native(const struct ll_desc *desc, u32 bytes)
{
	return bytes <= LL_XDP_ROOM && !(desc->csum_flags & LL_CSUM_NEEDED) &&
	       desc->gso_type == LL_GSO_NONE;
}

static bool send_back(struct ll_queue *q, struct xdp_buff *xdp)
{
	struct netdev_queue *txq = netdev_get_tx_queue(q->port->dev, q->index);
	struct xdp_frame *frame = xdp_convert_buff_to_frame(xdp);
	int sent;

	if (unlikely(!frame))
		return false;
	__netif_tx_lock(txq, smp_processor_id());
	sent = ll_tx_xdp(q, 1, &frame);
	__netif_tx_unlock(txq);
	return sent;
}

/* The program lets it pass: small ones are copied, of others the page goes on. */
static struct sk_buff *pass(struct ll_queue *q, struct xdp_buff *xdp)
{
	u32 bytes = xdp->data_end - xdp->data, meta = xdp->data - xdp->data_meta;
	struct sk_buff *skb;

	if (bytes <= LL_RX_COPY && !meta) {
		skb = ll_skb_small(LL_RX_COPY);
		if (likely(skb))
			skb_put_data(skb, xdp->data, bytes);
		ll_rx_recycle(q, 1);
	} else {
		skb = napi_build_skb(xdp->data_hard_start, PAGE_SIZE);
		if (unlikely(!skb)) {
			ll_rx_recycle(q, 1);
			return NULL;
		}
		skb_mark_for_recycle(skb);
		skb_reserve(skb, xdp->data - xdp->data_hard_start);
		skb_put(skb, bytes);
		if (meta)
			skb_metadata_set(skb, meta);
		q->rx_taken++;
	}
	if (likely(skb))
		skb->dev = q->port->dev;
	else
		q->stats.rx_no_memory++;
	return skb;
}

/* Run the program on the frame at rx_taken; NULL: there is nothing left to pass on. */
struct sk_buff *ll_xdp_run(struct ll_queue *q, struct bpf_prog *prog, u32 bytes)
{
	u8 *start = (u8 *)(unsigned long)ll_ring_desc(q->rx, q->rx_taken)->addr;
	struct net_device *dev = q->port->dev;
	struct xdp_buff xdp;
	u32 act;

	/* The host fills buffers from their beginning, or 64 KiB would take too many. */
	if (likely(bytes <= LL_RX_COPY)) /* a size that the compiler knows */
		memcpy(start + XDP_PACKET_HEADROOM, start, LL_RX_COPY);
	else
		memmove(start + XDP_PACKET_HEADROOM, start, bytes);
	xdp_init_buff(&xdp, PAGE_SIZE, &q->xdp_rxq);
	xdp_prepare_buff(&xdp, start, XDP_PACKET_HEADROOM, bytes, true);
	act = bpf_prog_run_xdp(prog, &xdp);
	switch (act) {
	case XDP_PASS:
		return pass(q, &xdp);
	case XDP_TX:
		if (!send_back(q, &xdp))
			break;
		q->stats.rx_xdp_tx++;
		q->rx_taken++;
		return NULL;
	case XDP_REDIRECT:
		if (xdp_do_redirect(dev, &xdp, prog))
			break;
		q->stats.rx_xdp_redirects++;
		q->rx_taken++;
		return NULL;
	default:
		bpf_warn_invalid_xdp_action(dev, prog, act);
		fallthrough;
	case XDP_ABORTED:
		trace_xdp_exception(dev, prog, act);
		fallthrough;
	case XDP_DROP:
		break;
	}
	q->stats.rx_xdp_drops++;
	ll_rx_recycle(q, 1);
	return NULL;
}

/* Frames that programs of other devices, or of this one, send by this one. */
int ll_xdp_xmit(struct net_device *dev, int count, struct xdp_frame **frames, u32 flags)
{
	struct ll_port *port = netdev_priv(dev);
	struct netdev_queue *txq = netdev_get_tx_queue(dev, 0);
	int sent;

	if (unlikely(flags & ~XDP_XMIT_FLAGS_MASK))
		return -EINVAL;
	if (unlikely(!netif_running(dev) || !netif_carrier_ok(dev)))
		return -ENETDOWN;
	__netif_tx_lock(txq, smp_processor_id());
	sent = ll_tx_xdp(&port->queue[0], count, frames);
	__netif_tx_unlock(txq);
	return sent;
}

/* Pages that leave as frames of XDP find their pool again. */
int ll_xdp_open(struct ll_queue *q)
{
	int err;

	if (!q->pages || xdp_rxq_info_is_reg(&q->xdp_rxq))
		return 0;
	err = xdp_rxq_info_reg(&q->xdp_rxq, q->port->dev, q->index, q->napi.napi_id);
	if (err)
		return err;
	err = xdp_rxq_info_reg_mem_model(&q->xdp_rxq, MEM_TYPE_PAGE_POOL, q->pages);
	if (err)
		xdp_rxq_info_unreg(&q->xdp_rxq);
	return err;
}

void ll_xdp_close(struct ll_queue *q)
{
	if (xdp_rxq_info_is_reg(&q->xdp_rxq))
		xdp_rxq_info_unreg(&q->xdp_rxq);
}

int ll_xdp_bpf(struct net_device *dev, struct netdev_bpf *bpf)
{
	struct ll_port *port = netdev_priv(dev);
	struct bpf_prog *old;
	unsigned int i;
	int err;

	if (bpf->command != XDP_SETUP_PROG)
		return -EINVAL;
	for (i = 0; bpf->prog && i < port->queues; i++) {
		err = ll_xdp_open(&port->queue[i]);
		if (err)
			return err;
	}
	old = xchg(&port->xdp, bpf->prog);
	if (old)
		bpf_prog_put(old);
	return 0;
}
