// SPDX-License-Identifier: GPL-2.0-only
/* What befalls packets at random: loss, jitter, reordering, corruption. */
#include "checksum.h"
#include "link.h"

#define ETHERNET_HEADER_BYTES 14

/* As loss_gilb_ell() in net/sched/sch_netem.c. */
static bool gilbert_elliott(struct link_direction *direction)
{
	const struct plh_link_config *config = &direction->config;
	struct random *random = &direction->random;

	if (direction->bad) {
		direction->bad = !random_chance(random, config->bad_to_good);
		return random_chance(random, config->loss_in_bad);
	}
	direction->bad = random_chance(random, config->good_to_bad);
	return random_chance(random, config->loss_in_good);
}

bool link_loses(struct link_direction *direction)
{
	if (direction->config.loss_model == PLH_LOSS_GILBERT_ELLIOTT)
		return gilbert_elliott(direction);
	return random_chance(&direction->random, direction->config.loss);
}

uint64_t link_arrival(struct link_direction *direction, uint64_t left_ns, bool whole)
{
	const struct plh_link_config *config = &direction->config;
	uint64_t due_ns = left_ns + config->delay_ns;

	if (!whole && random_chance(&direction->random, config->reorder)) {
		/* As netem does it: this one overtakes those that are delayed. */
		direction->stats.reordered++;
		return left_ns;
	}
	if (config->jitter_ns) {
		uint64_t spread = random_next(&direction->random) % (2 * config->jitter_ns + 1);

		due_ns += spread;
		due_ns = due_ns > left_ns + config->jitter_ns ? due_ns - config->jitter_ns :
								left_ns;
	}
	if (due_ns < direction->last_due_ns)
		due_ns = direction->last_due_ns;
	direction->last_due_ns = due_ns;
	return due_ns;
}

void link_corrupt(struct link_direction *direction, struct link_frame *frame)
{
	uint64_t random = random_next(&direction->random);
	uint32_t at;

	/* The kernel sends nothing shorter. */
	if (frame->bytes <= ETHERNET_HEADER_BYTES)
		return;
	direction->stats.corrupted++;
	checksum_fill(frame->data, frame->bytes, &frame->meta);
	frame->meta.csum_flags = 0;
	at = ETHERNET_HEADER_BYTES +
	     (uint32_t)((random >> 3) % (frame->bytes - ETHERNET_HEADER_BYTES));
	frame->data[at] ^= (uint8_t)(1u << (random & 7));
}

void link_truncate(struct link_direction *direction, struct link_frame *frame)
{
	uint64_t random = random_next(&direction->random);

	if (frame->bytes <= ETHERNET_HEADER_BYTES)
		return;
	direction->stats.truncated++;
	checksum_fill(frame->data, frame->bytes, &frame->meta);
	frame->meta.csum_flags = 0;
	frame->bytes =
		ETHERNET_HEADER_BYTES + (uint32_t)(random % (frame->bytes - ETHERNET_HEADER_BYTES));
}
