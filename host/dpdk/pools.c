// SPDX-License-Identifier: GPL-2.0-only
/* Pools of mbufs, one for each device. */
#include <rte_errno.h>
#include <stdio.h>

#include "dpdk.h"
#include "error.h"

/* A smaller pool would lie in the caches of threads, where others do not find it. */
#define CACHED_MBUFS 1024
#define CACHE_MBUFS  256
#define MAX_LEFT     64

static struct rte_mempool *left[MAX_LEFT];

/* A device is gone, but a ring or another device still holds frames of its pool. */
static void free_left(void)
{
	for (int i = 0; i < MAX_LEFT; i++) {
		if (left[i] && rte_mempool_full(left[i])) {
			rte_mempool_free(left[i]);
			left[i] = NULL;
		}
	}
}

struct rte_mempool *pool_create(uint32_t mbufs, uint32_t room_bytes, int numa_node)
{
	static unsigned int number;
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool;

	free_left();
	snprintf(name, sizeof(name), "plh_%u", number++);
	pool = rte_pktmbuf_pool_create(name, mbufs, mbufs < CACHED_MBUFS ? 0 : CACHE_MBUFS, 0,
				       (uint16_t)(room_bytes + RTE_PKTMBUF_HEADROOM), numa_node);
	if (!pool)
		plh_set_error("There is no memory for %u mbufs of %u bytes (%s): ask for fewer, or "
			      "initialise DPDK with more (-m).",
			      mbufs, room_bytes, rte_strerror(rte_errno));
	return pool;
}

void pool_release(struct rte_mempool *pool)
{
	free_left();
	if (rte_mempool_full(pool)) {
		rte_mempool_free(pool);
		return;
	}
	for (int i = 0; i < MAX_LEFT; i++) {
		if (!left[i]) {
			left[i] = pool;
			return;
		}
	}
	/* Not freed: who holds its mbufs must find them. */
}
