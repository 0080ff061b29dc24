// SPDX-License-Identifier: GPL-2.0-only
/* Two ports, back to back: net_ring, whose far end is not itself but the other one. */
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <stdio.h>

#include "dpdk.h"
#include "error.h"

#define MAX_NAME_BYTES 20 /* beside our letters; RTE_RING_NAMESIZE is 29 */

static const char *const ends[2] = { "a", "b" };

static void ring_name(char *text, const char *name, const char *end)
{
	snprintf(text, RTE_RING_NAMESIZE, "plh_%.*s%s", MAX_NAME_BYTES, name, end);
}

static struct rte_ring *make_ring(const char *name, const char *end, uint32_t entries)
{
	char text[RTE_RING_NAMESIZE];

	ring_name(text, name, end);
	/* A world serves a device by one thread at a time. */
	return rte_ring_create(text, entries, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static void free_ring(struct rte_ring *ring)
{
	void *mbuf;

	while (ring && !rte_ring_dequeue(ring, &mbuf))
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

/* False: there is no such port. */
static bool find_port(const char *name, const char *end, uint16_t *id)
{
	char text[RTE_ETH_NAME_MAX_LEN];

	snprintf(text, sizeof(text), "net_ring_%.*s%s", MAX_NAME_BYTES, name, end);
	return !rte_eth_dev_get_port_by_name(text, id);
}

static void remove_port(const char *name, const char *end)
{
	struct rte_eth_dev_info info;
	uint16_t id;

	if (find_port(name, end, &id) && !rte_eth_dev_info_get(id, &info))
		rte_dev_remove(info.device);
}

static int join(const char *name, uint32_t entries)
{
	struct rte_ring *ring[2] = { NULL, NULL };
	char port[32];

	if (eal_start("net_ring"))
		return PLH_ERROR;
	ring[0] = make_ring(name, ends[0], entries);
	ring[1] = make_ring(name, ends[1], entries);
	for (int i = 0; i < 2 && ring[0] && ring[1]; i++) {
		snprintf(port, sizeof(port), "%.*s%s", MAX_NAME_BYTES, name, ends[i]);
		if (rte_eth_from_rings(port, &ring[i], 1, &ring[!i], 1, 0) < 0)
			break;
		if (i)
			return PLH_OK;
	}
	plh_set_error("The ports net_ring_%s%s and ...%s cannot be made (%s): give a name that is "
		      "new and has at most %d bytes, and a power of two as size. %s",
		      name, ends[0], ends[1], rte_strerror(rte_errno), MAX_NAME_BYTES, eal_words());
	/* What was made here; not the rings of a pair that has had the name before. */
	if (ring[0])
		remove_port(name, ends[0]);
	free_ring(ring[0]);
	free_ring(ring[1]);
	return PLH_ERROR;
}

static int part(const char *name)
{
	char text[RTE_RING_NAMESIZE];

	for (int i = 0; i < 2; i++) {
		struct rte_eth_dev_owner owner = { 0 };
		uint16_t id;

		if (!eal_initialised() || !find_port(name, ends[i], &id)) {
			plh_set_error("There are no ports net_ring_%s%s and ...%s.", name, ends[0],
				      ends[1]);
			return PLH_ERROR;
		}
		if (!rte_eth_dev_owner_get(id, &owner) && owner.id != RTE_ETH_DEV_NO_OWNER) {
			plh_set_error("The port net_ring_%s%s is in use, by %s: close the device "
				      "first.",
				      name, ends[i], owner.name);
			return PLH_ERROR;
		}
	}
	for (int i = 0; i < 2; i++)
		remove_port(name, ends[i]);
	for (int i = 0; i < 2; i++) {
		ring_name(text, name, ends[i]);
		free_ring(rte_ring_lookup(text));
	}
	return PLH_OK;
}

int pair_join(const char *name, uint32_t entries)
{
	int result;

	eal_lock();
	result = join(name, entries);
	eal_unlock();
	return result;
}

int pair_part(const char *name)
{
	int result;

	eal_lock();
	result = part(name);
	eal_unlock();
	return result;
}
