/* SPDX-License-Identifier: GPL-2.0-only */
/* The network driver: one netdev over rings shared with the host. */
#ifndef _LIB_NETDEV_H
#define _LIB_NETDEV_H

#include <linux/netdevice.h>
#include <net/page_pool/helpers.h>
#include "kernel.h"

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
	struct page_pool *pages;
};

struct ll_port {
	struct net_device *dev;
	struct ll_netdev *shared;
	struct list_head list; /* of all ports, under rtnl */
	unsigned int queues;
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

/* ring_rx.c */
int ll_rx_open(struct ll_queue *q);
void ll_rx_close(struct ll_queue *q);
int ll_rx_poll(struct ll_queue *q, int budget);

#endif
