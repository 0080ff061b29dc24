// SPDX-License-Identifier: GPL-2.0-only
/* The rate of a link, and the queue in front of it. */
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "error.h"
#include "link.h"

#define DEFAULT_QUEUE_PACKETS 1000

int link_rate_prepare(struct link_backlog *backlog, const struct plh_link_config *config)
{
	uint32_t room = config->queue_packets ? config->queue_packets : DEFAULT_QUEUE_PACKETS;
	struct link_start *starts;

	backlog->remainder = 0;
	if (!config->rate_bps || room == backlog->room)
		return 0;
	starts = calloc(room, sizeof(*starts));
	if (!starts) {
		plh_set_error("There is no memory for a queue of %u packets.", room);
		return -ENOMEM;
	}
	/* The oldest ones are kept; a shorter queue is full until they have left. */
	while (backlog->count > room)
		backlog->bytes -=
			backlog->starts[(backlog->first + --backlog->count) % backlog->room].bytes;
	for (uint32_t i = 0; i < backlog->count; i++)
		starts[i] = backlog->starts[(backlog->first + i) % backlog->room];
	free(backlog->starts);
	backlog->starts = starts;
	backlog->room = room;
	backlog->first = 0;
	return 0;
}

static void forget_started(struct link_backlog *backlog, uint64_t now_ns)
{
	while (backlog->count && backlog->starts[backlog->first].at_ns <= now_ns) {
		backlog->bytes -= backlog->starts[backlog->first].bytes;
		backlog->first = (backlog->first + 1) % backlog->room;
		backlog->count--;
	}
}

/* false: the queue is full. */
static bool wait_in_line(struct link_backlog *backlog, const struct plh_link_config *config,
			 uint32_t bytes)
{
	if (backlog->count == backlog->room)
		return false;
	if (config->queue_bytes && backlog->bytes + bytes > config->queue_bytes)
		return false;
	backlog->starts[(backlog->first + backlog->count++) % backlog->room] =
		(struct link_start){ backlog->busy_until_ns, bytes };
	backlog->bytes += bytes;
	return true;
}

bool link_transmit_at_rate(struct link_direction *direction, uint64_t now_ns, uint32_t wire_bytes,
			   uint64_t *left_ns)
{
	const struct plh_link_config *config = &direction->config;
	struct link_backlog *backlog = &direction->backlog;
	unsigned __int128 parts;

	forget_started(backlog, now_ns);
	if (backlog->busy_until_ns < now_ns) {
		backlog->busy_until_ns = now_ns;
		backlog->remainder = 0;
	}
	if (backlog->busy_until_ns > now_ns && !wait_in_line(backlog, config, wire_bytes))
		return false;
	/* Fractions of a nanosecond add up over a burst: the rate is exact. */
	parts = (unsigned __int128)wire_bytes * 8 * NS_PER_S + backlog->remainder;
	backlog->busy_until_ns += (uint64_t)(parts / config->rate_bps);
	backlog->remainder = (uint64_t)(parts % config->rate_bps);
	*left_ns = backlog->busy_until_ns;
	return true;
}

void link_rate_reset(struct link_backlog *backlog)
{
	backlog->count = 0;
	backlog->bytes = 0;
	backlog->busy_until_ns = 0;
	backlog->remainder = 0;
}
