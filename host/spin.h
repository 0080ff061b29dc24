/* SPDX-License-Identifier: GPL-2.0-only */
/* Real-time worlds that poll, see enum plh_wait_kind. */
#ifndef PLH_SPIN_H
#define PLH_SPIN_H

#include "world.h"

#pragma GCC visibility push(hidden)

/* Let every backend that can poll take in what has arrived. */
void spin_look(struct plh_world *world);
/*
 * As the world's way to wait says, look around until there is something to do or
 * *next_ns has come (true), or until it is time to sleep (false), at the longest
 * until *next_ns, which may be moved forward.
 */
bool spin_until_work(struct plh_world *world, uint64_t *next_ns);

/* --- clock_real.c --- */
/* One look at the descriptors of all devices. */
void real_look_at_descriptors(struct plh_world *world);

#pragma GCC visibility pop

#endif
