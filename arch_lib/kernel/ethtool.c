// SPDX-License-Identifier: GPL-2.0-only
/* What ethtool(8) shows of our devices. */
#include <linux/ethtool.h>
#include <linux/utsname.h>
#include "netdev.h"

struct counter {
	const char *format; /* of its name, with the queue's number */
	size_t offset;
};

#define COUNTER(format, member) { format, offsetof(struct ll_queue_stats, member) }

static const struct counter counters[] = {
	COUNTER("rx%u_frames", rx_frames),     COUNTER("rx%u_bytes", rx_bytes),
	COUNTER("rx%u_bad", rx_bad),	       COUNTER("rx%u_no_memory", rx_no_memory),
	COUNTER("rx%u_ring_low", rx_ring_low), COUNTER("rx%u_xdp_drops", rx_xdp_drops),
	COUNTER("rx%u_xdp_tx", rx_xdp_tx),     COUNTER("rx%u_xdp_redirects", rx_xdp_redirects),
	COUNTER("tx%u_frames", tx_frames),     COUNTER("tx%u_bytes", tx_bytes),
	COUNTER("tx%u_stops", tx_stops),       COUNTER("tx%u_xdp", tx_xdp),
};

/* Not counters, and so at the end: buffers that the host has now, frames it holds. */
#define LEVELS 2

static void get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "liblinux", sizeof(info->driver));
	strscpy(info->version, init_utsname()->release, sizeof(info->version));
	strscpy(info->bus_info, "host", sizeof(info->bus_info));
}

static int get_sset_count(struct net_device *dev, int set)
{
	struct ll_port *port = netdev_priv(dev);

	if (set != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return port->queues * (ARRAY_SIZE(counters) + LEVELS);
}

static void get_strings(struct net_device *dev, u32 set, u8 *names)
{
	struct ll_port *port = netdev_priv(dev);
	unsigned int i, queue;

	if (set != ETH_SS_STATS)
		return;
	for (queue = 0; queue < port->queues; queue++) {
		for (i = 0; i < ARRAY_SIZE(counters); i++)
			ethtool_sprintf(&names, counters[i].format, queue);
		ethtool_sprintf(&names, "rx%u_buffers", queue);
		ethtool_sprintf(&names, "tx%u_waiting", queue);
	}
}

static void get_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *values)
{
	struct ll_port *port = netdev_priv(dev);
	unsigned int i, queue;

	for (queue = 0; queue < port->queues; queue++) {
		const struct ll_queue *q = &port->queue[queue];

		for (i = 0; i < ARRAY_SIZE(counters); i++)
			*values++ = *(const u64 *)((const u8 *)&q->stats + counters[i].offset);
		*values++ = q->rx->head - READ_ONCE(q->rx->tail);
		*values++ = q->tx->head - READ_ONCE(q->tx->tail);
	}
}

static void get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			  struct kernel_ethtool_ringparam *more, struct netlink_ext_ack *extack)
{
	struct ll_port *port = netdev_priv(dev);

	ring->rx_max_pending = ring->rx_pending = port->queue[0].rx->entries;
	ring->tx_max_pending = ring->tx_pending = port->queue[0].tx->entries;
	more->rx_buf_len = PAGE_SIZE;
}

static void get_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	struct ll_port *port = netdev_priv(dev);

	channels->max_combined = channels->combined_count = port->queues;
}

/* A ring has no speed, but bonding and bridges ask for one: it can be set. */
static int get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *settings)
{
	struct ll_port *port = netdev_priv(dev);

	settings->base.speed = port->speed_mbit;
	settings->base.duplex = port->duplex;
	settings->base.port = PORT_OTHER;
	return 0;
}

static int set_link_ksettings(struct net_device *dev, const struct ethtool_link_ksettings *settings)
{
	struct ll_port *port = netdev_priv(dev);

	return ethtool_virtdev_set_link_ksettings(dev, settings, &port->speed_mbit, &port->duplex);
}

const struct ethtool_ops ll_ethtool_ops = {
	.get_drvinfo = get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_ts_info = ethtool_op_get_ts_info,
	.get_sset_count = get_sset_count,
	.get_strings = get_strings,
	.get_ethtool_stats = get_stats,
	.get_ringparam = get_ringparam,
	.get_channels = get_channels,
	.get_link_ksettings = get_link_ksettings,
	.set_link_ksettings = set_link_ksettings,
};
