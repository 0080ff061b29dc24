// SPDX-License-Identifier: GPL-2.0-only
/* The network driver: registration, NAPI, what the host tells. */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/log2.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "netdev.h"

static LIST_HEAD(ports); /* under rtnl */

static int poll(struct napi_struct *napi, int budget)
{
	struct ll_queue *q = container_of(napi, struct ll_queue, napi);
	int done;

	ll_tx_clean(q);
	done = ll_rx_poll(q, budget);
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

static void set_carrier(struct ll_port *port)
{
	bool up = READ_ONCE(port->shared->carrier);

	if (up == netif_carrier_ok(port->dev))
		return;
	if (up)
		netif_carrier_on(port->dev);
	else
		netif_carrier_off(port->dev);
}

/* From irq context: the host has frames, took frames, or moved the carrier. */
void ll_netdev_events(struct ll_netdev *list)
{
	while (list) {
		struct ll_netdev *next = list->next_rx;
		struct ll_port *port, *p;
		unsigned int i;

		port = NULL;
		list_for_each_entry(p, &ports, list)
			if (p->shared == list)
				port = p;
		list = next;
		if (!port)
			continue;
		port->shared->next_rx = NULL;
		port->shared->rx_kicked = 0;
		set_carrier(port);
		if (netif_running(port->dev))
			for (i = 0; i < port->queues; i++)
				napi_schedule(&port->queue[i].napi);
	}
}

static int port_open(struct net_device *dev)
{
	struct ll_port *port = netdev_priv(dev);
	unsigned int i;
	int err;

	for (i = 0; i < port->queues; i++) {
		err = ll_rx_open(&port->queue[i]);
		if (err)
			return err;
	}
	for (i = 0; i < port->queues; i++)
		napi_enable(&port->queue[i].napi);
	netif_tx_start_all_queues(dev);
	/* Frames may have waited for us. */
	local_bh_disable();
	for (i = 0; i < port->queues; i++)
		napi_schedule(&port->queue[i].napi);
	local_bh_enable();
	return 0;
}

/* Buffers stay with the host: a thread of its may be filling one. */
static int port_stop(struct net_device *dev)
{
	struct ll_port *port = netdev_priv(dev);
	unsigned int i;

	netif_tx_disable(dev);
	for (i = 0; i < port->queues; i++)
		napi_disable(&port->queue[i].napi);
	return 0;
}

/* The queues count; what was refused is in the core's own counters. */
static void get_stats(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	struct ll_port *port = netdev_priv(dev);
	unsigned int i;

	netdev_stats_to_stats64(stats, &dev->stats);
	for (i = 0; i < port->queues; i++) {
		const struct ll_queue_stats *queue = &port->queue[i].stats;

		stats->rx_packets += queue->rx_frames;
		stats->rx_bytes += queue->rx_bytes;
		stats->rx_dropped += queue->rx_no_memory;
		stats->rx_errors += queue->rx_bad;
		stats->rx_length_errors += queue->rx_bad;
		stats->tx_packets += queue->tx_frames;
		stats->tx_bytes += queue->tx_bytes;
	}
}

static const struct net_device_ops port_ops = {
	.ndo_open = port_open,
	.ndo_stop = port_stop,
	.ndo_start_xmit = ll_start_xmit,
	.ndo_get_stats64 = get_stats,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
#ifdef CONFIG_BPF_SYSCALL
	.ndo_bpf = ll_xdp_bpf,
	.ndo_xdp_xmit = ll_xdp_xmit,
#endif
};

static struct ll_ring *ring_alloc(unsigned int entries)
{
	struct ll_ring *ring = kvzalloc(sizeof(*ring), GFP_KERNEL);

	if (!ring)
		return NULL;
	ring->entries = entries;
	ring->descs = (unsigned long)kvzalloc(entries * sizeof(struct ll_desc), GFP_KERNEL);
	if (!ring->descs) {
		kvfree(ring);
		return NULL;
	}
	return ring;
}

static void ring_free(struct ll_ring *ring)
{
	if (ring)
		kvfree((void *)(unsigned long)ring->descs);
	kvfree(ring);
}

/* The host must not find it on its lists any more. */
static void forget_kicks(struct ll_netdev *shared)
{
	struct ll_netdev **at;

	for (at = &ll_machine->tx_kicks; *at; at = &(*at)->next_tx)
		if (*at == shared) {
			*at = shared->next_tx;
			break;
		}
	for (at = &ll_machine->rx_kicks; *at; at = &(*at)->next_rx)
		if (*at == shared) {
			*at = shared->next_rx;
			break;
		}
}

/* The host is done with the rings, the netdev is gone or was never there. */
static void port_free(struct ll_port *port)
{
	unsigned int i;

	if (port->shared)
		forget_kicks(port->shared);
	for (i = 0; i < port->queues; i++) {
		struct ll_queue *q = &port->queue[i];

		if (q->tx)
			ll_tx_close(q);
		if (q->rx)
			ll_rx_close(q);
		ring_free(q->tx);
		ring_free(q->rx);
	}
	kfree(port->shared);
	free_netdev(port->dev);
}

static void set_features(struct net_device *dev, u32 features)
{
	netdev_features_t f = NETIF_F_RXCSUM | NETIF_F_HIGHDMA;

	if (features & LL_NETDEV_CSUM)
		f |= NETIF_F_HW_CSUM;
	if (features & LL_NETDEV_SG)
		f |= NETIF_F_SG;
	if (features & LL_NETDEV_TSO)
		f |= NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN;
	if (features & LL_NETDEV_USO)
		f |= NETIF_F_GSO_UDP_L4;
	dev->features = f;
	dev->hw_features = f & ~NETIF_F_HIGHDMA;
	dev->vlan_features = f;
	if (LL_XDP)
		dev->xdp_features = NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT |
				    NETDEV_XDP_ACT_NDO_XMIT;
}

long ll_netdev_add(struct ll_netdev_config __user *user)
{
	struct ll_netdev_config config;
	struct net_device *dev;
	struct ll_port *port;
	unsigned int i;
	int err = -ENOMEM;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	if (copy_from_user(&config, user, sizeof(config)))
		return -EFAULT;
	if (!config.queues || config.queues > LL_MAX_QUEUES || config.mtu < ETH_MIN_MTU ||
	    config.mtu > ETH_MAX_MTU || !is_power_of_2(config.ring_entries) ||
	    config.ring_entries < 32 || config.ring_entries > 32768 ||
	    strnlen(config.name, IFNAMSIZ) == IFNAMSIZ)
		return -EINVAL;

	dev = alloc_netdev_mqs(sizeof(*port), config.name[0] ? config.name : "eth%d", NET_NAME_ENUM,
			       ether_setup, config.queues, config.queues);
	if (!dev)
		return -ENOMEM;
	port = netdev_priv(dev);
	port->dev = dev;
	port->queues = config.queues;
	port->speed_mbit = SPEED_10000;
	port->duplex = DUPLEX_FULL;
	port->shared = kzalloc(sizeof(*port->shared), GFP_KERNEL);
	if (!port->shared)
		goto fail;
	port->shared->queues = config.queues;
	port->shared->carrier = 1;
	for (i = 0; i < config.queues; i++) {
		struct ll_queue *q = &port->queue[i];

		q->port = port;
		q->index = i;
		port->shared->tx[i] = q->tx = ring_alloc(config.ring_entries);
		port->shared->rx[i] = q->rx = ring_alloc(config.ring_entries);
		if (!q->tx || !q->rx)
			goto fail;
		netif_napi_add(dev, &q->napi, poll);
	}

	dev->netdev_ops = &port_ops;
	dev->ethtool_ops = &ll_ethtool_ops;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = ETH_MAX_MTU;
	dev->mtu = config.mtu;
	set_features(dev, config.features);
	if (is_zero_ether_addr(config.mac))
		eth_hw_addr_random(dev);
	else
		eth_hw_addr_set(dev, config.mac);

	rtnl_lock();
	dev_net_set(dev, current->nsproxy->net_ns);
	err = register_netdevice(dev);
	if (!err) {
		list_add_tail(&port->list, &ports);
		port->shared->ifindex = dev->ifindex;
	}
	rtnl_unlock();
	if (err)
		goto fail;
	if (put_user(port->shared, &user->netdev) ||
	    copy_to_user(user->name, dev->name, IFNAMSIZ)) {
		ll_netdev_del(port->shared);
		return -EFAULT;
	}
	return dev->ifindex;
fail:
	port_free(port);
	return err;
}

long ll_netdev_del(struct ll_netdev *shared)
{
	struct ll_port *port, *found = NULL;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	rtnl_lock();
	list_for_each_entry(port, &ports, list)
		if (port->shared == shared)
			found = port;
	if (found) {
		list_del(&found->list);
		unregister_netdevice(found->dev);
	}
	rtnl_unlock(); /* waits until nobody refers to it */
	if (!found)
		return -ENODEV;
	port_free(found);
	if (list_empty(&ports)) {
		local_bh_disable();
		ll_skb_stash_drain();
		local_bh_enable();
	}
	return 0;
}
