/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of clock: clock_virtual.c, clock_real.c and clock_callback.c fill
 * the same table, and nothing else asks which one a world has.
 */
#ifndef PLH_CLOCK_H
#define PLH_CLOCK_H

#include <time.h>

#include "world.h"

#pragma GCC visibility push(hidden)

struct clock_kind {
	/* Threads may wait at the same time: time passes without their doing. */
	bool shared_wait;
	/* pass() takes no wall time. */
	bool jumps;
	/* Fill the world's defaults, open descriptors: 0 or -errno with an error. */
	int (*open)(struct plh_world *world);
	void (*close)(struct plh_world *world);
	/* Tell a kernel that will boot how to read the clock. */
	void (*machine)(struct plh_world *world, struct ll_machine *machine);
	uint64_t (*now)(struct plh_world *world);
	/*
	 * Nothing can run before next_ns (LL_NEVER: no event at all): let time
	 * pass.  PLH_OK: look again, else the status that ends the wait.
	 */
	int (*pass)(struct plh_world *world, struct wait *wait, uint64_t next_ns);
	/* Take in what happened outside, without waiting. */
	void (*poll)(struct plh_world *world);
	/*
	 * A kernel left with LL_EXIT_BUSY and may go on at the latest at
	 * until_ns.
	 */
	void (*busy)(struct plh_world *world, struct plh_kernel *kernel, uint64_t until_ns);
	/* The earliest event changed: whoever sleeps must know. */
	void (*notify)(struct plh_world *world);
	/* Async-signal-safe: interrupt the thread that sleeps. */
	void (*interrupt)(struct plh_world *world);
};

extern const struct clock_kind clock_virtual, clock_real, clock_callback;

/* CLOCK_MONOTONIC; also the clock function of real-time kernels. */
uint64_t clock_monotonic_ns(void *unused);

#define NS_PER_S 1000000000ull

#pragma GCC visibility pop

#endif
