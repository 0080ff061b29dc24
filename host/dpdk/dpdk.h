/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libpylibos_dpdk.so: an Ethernet device of DPDK behind struct plh_backend.  A library
 * of its own, since libpylibos_host.so must not need DPDK.
 */
#ifndef PLH_DPDK_H
#define PLH_DPDK_H

#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "device.h"

#pragma GCC visibility push(hidden)

/* Frames that move at once. */
#define BURST 64
/* The header with two VLAN tags. */
#define ETHERNET_BYTES	      22
#define ETHERNET_HEADER_BYTES 14

struct port_queue {
	/* Taken from the port, and not all delivered yet. */
	struct rte_mbuf *rx[BURST];
	uint16_t rx_at, rx_count;
	/* Filled, and not all taken by the port yet. */
	struct rte_mbuf *tx[BURST];
	uint16_t tx_at, tx_count;
	/* Empty ones for the next frames. */
	struct rte_mbuf *spare[BURST];
	uint16_t spares;
	bool blocked; /* since blocked_ns: the port takes none, or there are no mbufs */
	uint64_t blocked_ns;
};

struct port {
	uint16_t id;
	uint16_t queues;
	bool started, owned;
	bool probed; /* by us: remove it at the end */
	bool checksums; /* the port fills them in */
	bool up; /* as the kernel was told */
	bool removed, destroyed; /* atomic: told by a thread of DPDK */
	int pid; /* a fork of this process must leave the port alone */
	uint32_t room_bytes; /* of a frame in an mbuf */
	struct rte_mempool *pool;
	struct port_queue *queue;
	struct plh_dpdk_stats stats;
	struct rte_eth_stats seen; /* by the port, when we looked last */

	/* --- When to look again, poll.c --- */
	int timer_fd; /* the device's descriptor */
	bool polled; /* the world looks all the time, without being told */
	bool spinning; /* it is readable all the time */
	uint64_t busy_ns; /* when a frame moved last */
	uint64_t check_ns; /* when a look at the link is due */
	uint64_t interval_ns, longest_ns;
};

static inline struct port *port_of(struct plh_device *device)
{
	return plh_device_state(device);
}

/* It has vanished; once destroyed, its number may be that of another one. */
static inline bool port_is_gone(const struct port *port)
{
	return __atomic_load_n(&port->removed, __ATOMIC_ACQUIRE);
}

/* --- eal.c --- */
/* Initialise unless that has been done; devargs tell what is needed. */
int eal_start(const char *devargs);
int eal_init(const char *arguments, uint32_t count);
int eal_initialised(void);
/* One at a time for what DPDK does to its tables; and the log from here on counts. */
void eal_lock(void);
void eal_unlock(void);
/* What DPDK has logged since eal_lock(), in one line; "" if nothing. */
const char *eal_words(void);

/* --- pairs.c --- */
int pair_join(const char *name, uint32_t entries);
int pair_part(const char *name);

/* --- port.c --- */
int port_open(struct port *port, struct plh_dpdk_parameters *parameters,
	      struct ll_netdev_config *config);
void port_close(struct port *port);

/* --- pools.c --- */
struct rte_mempool *pool_create(uint32_t mbufs, uint32_t room_bytes, int numa_node);
/* Now, or when the last mbuf comes back: others may still hold some. */
void pool_release(struct rte_mempool *pool);

/* --- frames.c --- */
/* Frames of the kernel to the port; true if some moved. */
bool frames_transmit(struct plh_device *device);
/* Frames of the port to the kernel; true if there were some. */
bool frames_receive(struct plh_device *device);
bool frames_wait(const struct port *port);
void frames_drop_all(struct plh_device *device);
void frames_free(struct port *port);

/* --- poll.c --- */
int poll_open(struct port *port, uint32_t poll_us, bool polled);
/* Look at the port. */
void poll_port(struct plh_device *device);
/* The timer has fired: look, and soon again if something moved or waits. */
void poll_timer(struct plh_device *device);
/* Ask the port for what it has lost by itself. */
void poll_count(struct plh_device *device);
/* The kernel has sent something: an answer may come soon. */
void poll_soon(struct port *port);

#pragma GCC visibility pop

#endif
