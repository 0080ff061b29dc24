// SPDX-License-Identifier: GPL-2.0-only
/* One port of DPDK: found or probed, configured, started; and given back. */
#include <errno.h>
#include <pthread.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dpdk.h"
#include "error.h"

#define DEFAULT_DESCRIPTORS 512
#define DEFAULT_MBUFS	    4096 /* a queue */
/* That driver always holds 4096 for what arrives, and as many for what leaves. */
#define AF_XDP_MBUFS   12288
#define MIN_ROOM_BYTES 2048

static struct rte_eth_dev_owner owner = { .name = "pylibos" };

static int fail(int error, const char *name, const char *what)
{
	plh_set_error("The DPDK device %s cannot be %s (%s). %s", name, what,
		      plh_errno_text(error < 0 ? error : -error), eal_words());
	return error < 0 ? error : -error;
}

/* --- Found, or probed --- */

static void name_of(const char *devargs, char *name, size_t bytes)
{
	snprintf(name, bytes, "%.*s", (int)strcspn(devargs, ","), devargs);
}

static int find(struct port *port, const char *devargs)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_dev_iterator iterator;
	bool found = false;
	uint16_t id;
	int error;

	name_of(devargs, name, sizeof(name));
	if (!rte_eth_dev_get_port_by_name(name, &port->id))
		return 0;
	error = rte_dev_probe(devargs);
	if (error)
		return fail(error == -1 ? -ENODEV : error, name, "probed");
	if (!rte_eth_dev_get_port_by_name(name, &port->id)) {
		port->probed = true;
		return 0;
	}
	/* A card's name is written in several ways; and it may have several ports. */
	RTE_ETH_FOREACH_MATCHING_DEV(id, devargs, &iterator)
	{
		if (!found)
			port->id = id;
		found = true;
	}
	port->probed = found;
	return found ? 0 : fail(-ENODEV, name, "found among the ports");
}

static int own(struct port *port, const char *name)
{
	struct rte_eth_dev_owner present = { 0 };

	if (!owner.id && rte_eth_dev_owner_new(&owner.id))
		return fail(-EIO, name, "owned");
	if (!rte_eth_dev_owner_get(port->id, &present) && present.id != RTE_ETH_DEV_NO_OWNER) {
		plh_set_error("The DPDK device %s is in use already, by %s: a port serves one "
			      "device at a time.",
			      name, present.name);
		return -EBUSY;
	}
	if (rte_eth_dev_owner_set(port->id, &owner))
		return fail(-EBUSY, name, "owned");
	port->owned = true;
	return 0;
}

/* --- Configured --- */

/*
 * DPDK keeps callbacks with the number of a port, also when another port has it by
 * then, and lets nobody take them back once the port is gone: so they stay, and look
 * up here whose port it is.
 */
static struct port *watched[RTE_MAX_ETHPORTS];
static pthread_mutex_t watch_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Told by a thread of DPDK, or by one that removes the port; poll_port() acts. */
static int port_vanishes(uint16_t id, enum rte_eth_event_type event, void *unused, void *unused1)
{
	struct port *port;

	pthread_mutex_lock(&watch_mutex);
	port = watched[id];
	if (port && event == RTE_ETH_EVENT_DESTROY)
		__atomic_store_n(&port->destroyed, true, __ATOMIC_RELAXED);
	if (port)
		__atomic_store_n(&port->removed, true, __ATOMIC_RELEASE);
	if (event == RTE_ETH_EVENT_DESTROY)
		watched[id] = NULL;
	pthread_mutex_unlock(&watch_mutex);
	return 0;
}

static void watch(struct port *port)
{
	pthread_mutex_lock(&watch_mutex);
	watched[port->id] = port;
	pthread_mutex_unlock(&watch_mutex);
	/* Again is the same. */
	rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_INTR_RMV, port_vanishes, NULL);
	rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_DESTROY, port_vanishes, NULL);
}

static void unwatch(const struct port *port)
{
	pthread_mutex_lock(&watch_mutex);
	if (watched[port->id] == port)
		watched[port->id] = NULL;
	pthread_mutex_unlock(&watch_mutex);
}

static int check(const struct rte_eth_dev_info *info, const struct ll_netdev_config *config,
		 const char *name)
{
	if (config->mtu > info->max_mtu || config->mtu < info->min_mtu) {
		plh_set_error("The DPDK device %s has an MTU from %u to %u bytes, not %u.", name,
			      info->min_mtu, info->max_mtu, config->mtu);
		return -EINVAL;
	}
	if (config->mtu + ETHERNET_BYTES + RTE_PKTMBUF_HEADROOM > UINT16_MAX) {
		plh_set_error("A frame for an MTU of %u bytes does not fit into an mbuf: the most "
			      "is %u.",
			      config->mtu, UINT16_MAX - RTE_PKTMBUF_HEADROOM - ETHERNET_BYTES);
		return -EINVAL;
	}
	if (config->queues > info->max_rx_queues || config->queues > info->max_tx_queues) {
		plh_set_error("The DPDK device %s has at most %u receive and %u transmit queues, "
			      "not %u.",
			      name, info->max_rx_queues, info->max_tx_queues, config->queues);
		return -EINVAL;
	}
	return 0;
}

static void set_offloads(struct port *port, const struct rte_eth_dev_info *info,
			 struct rte_eth_conf *conf, struct ll_netdev_config *config)
{
	const uint64_t checksums = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;

	config->features = LL_NETDEV_SG; /* pieces are gathered into one mbuf */
	conf->rxmode.offloads = info->rx_offload_capa &
				(RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
	port->checksums = (info->tx_offload_capa & checksums) == checksums;
	if (port->checksums) {
		conf->txmode.offloads |= checksums;
		config->features |= LL_NETDEV_CSUM;
	}
	if (port->queues > 1) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
		if (!conf->rx_adv_conf.rss_conf.rss_hf)
			conf->rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	}
}

static int set_queues(struct port *port, const struct plh_dpdk_parameters *parameters,
		      struct rte_eth_dev_info *info, const char *name)
{
	uint32_t wanted = parameters->descriptors ?: DEFAULT_DESCRIPTORS;
	uint16_t rx = wanted > UINT16_MAX / 2 ? UINT16_MAX / 2 + 1 : (uint16_t)wanted, tx = rx;
	int node = rte_eth_dev_socket_id(port->id);
	int error = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);

	if (error)
		return fail(error, name, "given so many descriptors");
	for (uint16_t i = 0; i < port->queues; i++) {
		error = rte_eth_rx_queue_setup(port->id, i, rx, (unsigned int)node, NULL,
					       port->pool);
		if (!error)
			error = rte_eth_tx_queue_setup(port->id, i, tx, (unsigned int)node, NULL);
		if (error)
			return fail(error, name, "given its queues");
	}
	return 0;
}

/* The kernel's device has the card's address, unless one is given. */
static void set_address(struct port *port, const struct rte_eth_dev_info *info,
			struct ll_netdev_config *config)
{
	static const struct rte_ether_addr none;
	struct rte_ether_addr address;

	memcpy(&address, config->mac, sizeof(address));
	if (!rte_is_same_ether_addr(&address, &none)) {
		/* Where this cannot be done, frames still come in, by being promiscuous. */
		rte_eth_dev_default_mac_addr_set(port->id, &address);
		return;
	}
	/* That of net_tap is the address of the host's end. */
	if (!strcmp(info->driver_name, "net_tap") || rte_eth_macaddr_get(port->id, &address) ||
	    !rte_is_valid_assigned_ether_addr(&address))
		return;
	memcpy(config->mac, &address, sizeof(address));
}

static int configure(struct port *port, struct plh_dpdk_parameters *parameters,
		     struct ll_netdev_config *config, const char *name)
{
	struct rte_eth_conf conf = { .rxmode.mtu = config->mtu };
	struct rte_eth_dev_info info;
	uint32_t mbufs = parameters->mbufs;
	int error = rte_eth_dev_info_get(port->id, &info);

	if (error)
		return fail(error, name, "asked what it can do");
	error = check(&info, config, name);
	if (error)
		return error;
	snprintf(parameters->driver, sizeof(parameters->driver), "%s", info.driver_name);
	if (!mbufs)
		mbufs = (strcmp(info.driver_name, "net_af_xdp") ? DEFAULT_MBUFS : AF_XDP_MBUFS) *
			config->queues;
	port->queues = config->queues;
	port->queue = calloc(port->queues, sizeof(*port->queue));
	if (!port->queue)
		return fail(-ENOMEM, name, "given its queues");
	port->room_bytes = config->mtu + ETHERNET_BYTES;
	if (port->room_bytes < MIN_ROOM_BYTES)
		port->room_bytes = MIN_ROOM_BYTES;
	port->pool = pool_create(mbufs, port->room_bytes, rte_eth_dev_socket_id(port->id));
	if (!port->pool)
		return -ENOMEM;
	set_offloads(port, &info, &conf, config);
	error = rte_eth_dev_configure(port->id, port->queues, port->queues, &conf);
	if (error)
		return fail(error, name, "configured");
	error = set_queues(port, parameters, &info, name);
	if (!error)
		set_address(port, &info, config);
	return error;
}

static int start(struct port *port, const struct plh_dpdk_parameters *parameters, const char *name)
{
	int error;

	watch(port);
	error = rte_eth_dev_start(port->id);
	if (error)
		return fail(error, name, "started");
	port->started = true;
	error = parameters->promiscuous ? rte_eth_promiscuous_enable(port->id) : 0;
	/* Those that cannot take every frame as it is. */
	if (error && error != -ENOTSUP)
		return fail(error, name, "made promiscuous");
	if (rte_eth_stats_get(port->id, &port->seen))
		memset(&port->seen, 0, sizeof(port->seen));
	return 0;
}

int port_open(struct port *port, struct plh_dpdk_parameters *parameters,
	      struct ll_netdev_config *config)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	int error;

	port->pid = getpid();
	name_of(parameters->devargs, name, sizeof(name));
	eal_lock();
	error = eal_start(parameters->devargs);
	if (!error)
		error = find(port, parameters->devargs);
	if (!error)
		error = own(port, name);
	if (!error)
		error = configure(port, parameters, config, name);
	if (!error)
		error = start(port, parameters, name);
	eal_unlock();
	if (error)
		port_close(port);
	else
		rte_eth_dev_get_name_by_port(port->id, parameters->port_name);
	return error;
}

static void give_back(struct port *port)
{
	struct rte_eth_dev_info info;

	if (port->owned) {
		if (port->started)
			rte_eth_dev_stop(port->id);
		rte_eth_dev_owner_unset(port->id, owner.id);
	}
	if (port->probed && !rte_eth_dev_info_get(port->id, &info)) {
		rte_eth_dev_close(port->id);
		rte_dev_remove(info.device);
	}
}

void port_close(struct port *port)
{
	/* Its memory may be shared with the process that we were forked from. */
	if (port->pid != getpid())
		return;
	eal_lock();
	frames_free(port);
	unwatch(port);
	if (!port->destroyed)
		give_back(port);
	if (port->pool)
		pool_release(port->pool);
	free(port->queue);
	eal_unlock();
}
