/* SPDX-License-Identifier: GPL-2.0-only */
/* The network driver: one netdev over rings shared with the host. */
#ifndef _LIB_NETDEV_H
#define _LIB_NETDEV_H

#include <linux/netdevice.h>
#include <net/page_pool/helpers.h>
#include <net/xdp.h>
#include "kernel.h"

/* Frames up to this are copied whole.  With it an skb's head is still a small one. */
#define LL_RX_COPY 128

/* A frame with all its pieces. */
#define LL_TX_ROOM (MAX_SKB_FRAGS + 1)

/* Shown by ethtool -S and summed up for the device. */
struct ll_queue_stats {
	u64 rx_frames, rx_bytes;
	u64 rx_bad; /* of a length that no frame has */
	u64 rx_no_memory; /* lost for want of an skb */
	u64 rx_ring_low; /* times that the host had nearly used up its buffers */
	u64 rx_xdp_drops, rx_xdp_tx, rx_xdp_redirects;
	u64 tx_frames, tx_bytes;
	u64 tx_stops; /* times that the ring was full */
	u64 tx_xdp; /* of tx_frames: sent by XDP, of whatever device */
};

struct ll_queue {
	struct napi_struct napi;
	struct ll_port *port;
	unsigned int index;
	/* transmit: [clean, tail) is done with, [tail, head) is the host's */
	struct ll_ring *tx;
	u32 tx_clean;
	/* receive: [taken, tail) is filled, [tail, head) is empty */
	struct ll_ring *rx;
	u32 rx_taken;
	u32 rx_posted; /* buffers that the ring is filled up to; grows to all entries */
	struct page_pool *pages;
	struct xdp_rxq_info xdp_rxq;
	struct ll_queue_stats stats;
};

struct ll_port {
	struct net_device *dev;
	struct ll_netdev *shared;
	struct list_head list; /* of all ports, under rtnl */
	unsigned int queues;
	struct bpf_prog *xdp;
	u32 speed_mbit;
	u8 duplex;
	struct ll_queue queue[LL_MAX_QUEUES];
};

static inline struct ll_desc *ll_ring_desc(struct ll_ring *ring, u32 i)
{
	return (struct ll_desc *)(unsigned long)ring->descs + (i & (ring->entries - 1));
}

/* Tell the host that there is something to do for it. */
static inline void ll_port_kick_host(struct ll_port *port)
{
	struct ll_netdev *shared = port->shared;

	if (!shared->tx_kicked) {
		shared->tx_kicked = 1;
		shared->next_tx = ll_machine->tx_kicks;
		ll_machine->tx_kicks = shared;
	}
}

/* skb_stash.c */
struct sk_buff *ll_skb_small(unsigned int bytes);
void ll_skb_sent(struct sk_buff *skb);
void ll_skb_stash_drain(void);

/* ring_rx.c */
int ll_rx_open(struct ll_queue *q);
void ll_rx_close(struct ll_queue *q);
int ll_rx_poll(struct ll_queue *q, int budget);
void ll_rx_recycle(struct ll_queue *q, u32 pieces);

/* ring_tx.c */
static inline u32 ll_tx_free(const struct ll_queue *q)
{
	return q->tx->entries - (q->tx->head - q->tx_clean);
}

netdev_tx_t ll_start_xmit(struct sk_buff *skb, struct net_device *dev);
int ll_tx_xdp(struct ll_queue *q, int count, struct xdp_frame **frames);
void ll_tx_clean(struct ll_queue *q);
void ll_tx_close(struct ll_queue *q);

/* xdp.c, which needs BPF */
#define LL_XDP IS_ENABLED(CONFIG_BPF_SYSCALL)
bool ll_xdp_is_native(const struct ll_desc *desc, u32 bytes);
struct sk_buff *ll_xdp_run(struct ll_queue *q, struct bpf_prog *prog, u32 bytes);
int ll_xdp_xmit(struct net_device *dev, int count, struct xdp_frame **frames, u32 flags);
int ll_xdp_bpf(struct net_device *dev, struct netdev_bpf *bpf);
int ll_xdp_open(struct ll_queue *q);
void ll_xdp_close(struct ll_queue *q);

/* ethtool.c */
extern const struct ethtool_ops ll_ethtool_ops;

#endif
