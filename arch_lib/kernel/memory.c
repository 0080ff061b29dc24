// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens when the arena is full.  Linux would kill a process to go on, but
 * the processes here are the host's, and killing one frees next to nothing.  So
 * an allocation fails and its caller answers ENOMEM, as is done while a machine
 * suspends; and one that must not fail ends the kernel with a clear message.
 */
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/printk.h>
#include <linux/shrinker.h>
#include <linux/vmstat.h>
#include "kernel.h"

/* With fewer free pages than this a round of reclaim has found nothing. */
#define LL_FEW_PAGES 8
/* After so many rounds in a row it never will. */
#define LL_VAIN_ROUNDS 200

/* Not one that shrinks: reclaim asks it in each round of an allocation. */
static unsigned long watch(struct shrinker *shrinker, struct shrink_control *sc)
{
	static unsigned int rounds;

	if (!(sc->gfp_mask & __GFP_NOFAIL))
		return SHRINK_EMPTY;
	if (global_zone_page_state(NR_FREE_PAGES) >= LL_FEW_PAGES)
		rounds = 0;
	else if (++rounds == LL_VAIN_ROUNDS)
		panic("Out of memory: all %llu KiB are in use, and an allocation may not fail",
		      ll_machine->memory_bytes >> 10);
	return SHRINK_EMPTY;
}

static unsigned long shrink_nothing(struct shrinker *shrinker, struct shrink_control *sc)
{
	return SHRINK_STOP;
}

static int __init memory_init(void)
{
	struct shrinker *shrinker = shrinker_alloc(0, "liblinux");

	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = watch;
	shrinker->scan_objects = shrink_nothing;
	shrinker_register(shrinker);
	/* No victim has been chosen yet, so there is nothing to wait for. */
	if (!oom_killer_disable(0))
		pr_warn("liblinux: the OOM killer stays on\n");
	return 0;
}
/* Whoever runs out of memory before is told so by a panic. */
late_initcall_sync(memory_init);
