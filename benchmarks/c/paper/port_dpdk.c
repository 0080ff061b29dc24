// SPDX-License-Identifier: GPL-2.0-only
/*
 * dpdk:DEVARGS: a port of DPDK that this process makes, without huge pages.  A frame
 * that came from a DPDK port goes to another one as it is, without a copy.  Only
 * where libdpdk is.
 */
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port.h"

#define DESCRIPTORS 1024
#define MBUFS	    8191
#define MBUF_CACHE  256

struct dpdk_state {
	uint16_t id;
	struct rte_mempool *pool;
	struct rte_mbuf *held[PORT_BATCH]; /* received; NULL: sent on */
	uint16_t held_count;
};

/* The port whose frames are being moved. */
static struct dpdk_state *source;

static void dpdk_fail(const char *what)
{
	fprintf(stderr, "DPDK: %s: %s\n", what, rte_strerror(rte_errno));
	exit(1);
}

static void start_dpdk(void)
{
	static int started;
	cpu_set_t own;
	char core[16];
	char *arguments[] = { "port", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
			      "-m",   "256",	   "-l",	  core,	      "--log-level=error" };

	if (started++)
		return;
	sched_getaffinity(0, sizeof(own), &own);
	for (unsigned int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &own))
			snprintf(core, sizeof(core), "%u", i);
	if (rte_eal_init(sizeof(arguments) / sizeof(*arguments), arguments) < 0)
		dpdk_fail("it does not start");
}

static void dpdk_open(struct port *port, char *arguments)
{
	static const struct rte_eth_conf config;
	struct dpdk_state *state = calloc(1, sizeof(*state));
	struct rte_dev_iterator iterator;
	char name[32];

	start_dpdk();
	if (!arguments || rte_dev_probe(arguments))
		dpdk_fail(arguments ? arguments : "no port is named");
	state->id = RTE_MAX_ETHPORTS;
	RTE_ETH_FOREACH_MATCHING_DEV(state->id, arguments, &iterator)
	{
		rte_eth_iterator_cleanup(&iterator);
		break;
	}
	snprintf(name, sizeof(name), "port%u", state->id);
	state->pool = rte_pktmbuf_pool_create(name, MBUFS, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					      SOCKET_ID_ANY);
	if (!state->pool || state->id == RTE_MAX_ETHPORTS ||
	    rte_eth_dev_configure(state->id, 1, 1, &config) ||
	    rte_eth_rx_queue_setup(state->id, 0, DESCRIPTORS, 0, NULL, state->pool) ||
	    rte_eth_tx_queue_setup(state->id, 0, DESCRIPTORS, 0, NULL) ||
	    rte_eth_dev_start(state->id))
		dpdk_fail(arguments);
	rte_eth_promiscuous_enable(state->id); /* not all can, or need to */
	port->state = state;
}

static int dpdk_receive(struct port *port, struct frame *frames, int max)
{
	struct dpdk_state *state = port->state;

	state->held_count = rte_eth_rx_burst(state->id, 0, state->held, (uint16_t)max);
	for (uint16_t i = 0; i < state->held_count; i++)
		frames[i] = (struct frame){ rte_pktmbuf_mtod(state->held[i], uint8_t *),
					    rte_pktmbuf_data_len(state->held[i]) };
	source = state;
	return state->held_count;
}

static void dpdk_release(struct port *port)
{
	struct dpdk_state *state = port->state;

	for (uint16_t i = 0; i < state->held_count; i++)
		rte_pktmbuf_free(state->held[i]); /* NULL is fine */
	state->held_count = 0;
	source = NULL;
}

/* Where in the source the frame lies, from a place on; -1: somewhere else. */
static int place_of(const struct frame *frame, int from)
{
	for (int i = from; source && i < source->held_count; i++)
		if (source->held[i] && rte_pktmbuf_mtod(source->held[i], uint8_t *) == frame->data)
			return i;
	return -1;
}

static struct rte_mbuf *copy_of(const struct dpdk_state *state, const struct frame *frame)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(state->pool);

	if (mbuf)
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame->bytes), frame->data, frame->bytes);
	return mbuf;
}

static int dpdk_send(struct port *port, const struct frame *frames, int count)
{
	const struct dpdk_state *state = port->state;
	struct rte_mbuf *mbufs[PORT_BATCH];
	int places[PORT_BATCH], made, next = 0;
	uint16_t sent;

	for (made = 0; made < count; made++) {
		places[made] = place_of(&frames[made], next);
		if (places[made] >= 0)
			next = places[made] + 1;
		mbufs[made] = places[made] >= 0 ? source->held[places[made]] :
						  copy_of(state, &frames[made]);
		if (!mbufs[made])
			break;
	}
	sent = rte_eth_tx_burst(state->id, 0, mbufs, (uint16_t)made);
	for (int i = 0; i < made; i++) {
		if (i < sent && places[i] >= 0)
			source->held[places[i]] = NULL; /* the port frees it */
		else if (i >= sent && places[i] < 0)
			rte_pktmbuf_free(mbufs[i]);
	}
	return sent;
}

static uint64_t dpdk_lost(struct port *port)
{
	struct rte_eth_stats stats;

	rte_eth_stats_get(((struct dpdk_state *)port->state)->id, &stats);
	return stats.imissed + stats.rx_nombuf;
}

const struct port_kind port_dpdk = {
	.name = "dpdk",
	.open = dpdk_open,
	.receive = dpdk_receive,
	.release = dpdk_release,
	.send = dpdk_send,
	.lost = dpdk_lost,
};
