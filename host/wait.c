// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that wait in a real-time world.  One of them leads: it sleeps in epoll
 * and runs what wakes up.  The others sleep on a word of their own, until their
 * call has ended or the leader leaves and one of them takes over.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "isa.h"

void wait_add(struct plh_world *world, struct wait *wait)
{
	struct wait **end = &world->waits;

	while (*end)
		end = &(*end)->next;
	wait->next = NULL;
	*end = wait;
}

void wait_remove(struct plh_world *world, struct wait *wait)
{
	struct wait **at = &world->waits;

	while (*at != wait)
		at = &(*at)->next;
	*at = wait->next;
	if (world->leader == wait)
		world->leader = NULL;
	if (world->server == wait)
		world->server = NULL;
	/*
	 * Somebody must lead.  Also when we did not: we may be the one who was
	 * woken to take over, and have found our own call ended.
	 */
	if (!world->leader && world->waits)
		wait_wake(world->server ? world->server : world->waits);
}

void wait_wake(struct wait *wait)
{
	if (!__atomic_exchange_n(&wait->futex, 1, __ATOMIC_RELEASE))
		syscall(SYS_futex, &wait->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void wait_wake_kernel(struct plh_world *world, const struct plh_kernel *kernel)
{
	for (struct wait *wait = world->waits; wait; wait = wait->next)
		if (wait != world->leader && (kernel ? wait->kernel == kernel : wait->stop_on_done))
			wait_wake(wait);
	/* The leader may sleep, when another thread ran the kernel. */
	if (world->leader && world->leader_sleeps)
		world->clock->interrupt(world);
}

/* Where the leader polls, it may end our call sooner than we could fall asleep. */
static void spin_on(const struct wait *wait, uint64_t spin_ns)
{
	uint64_t until_ns;

	if (!spin_ns)
		return;
	until_ns = clock_monotonic_ns(NULL) + spin_ns;
	while (!__atomic_load_n(&wait->futex, __ATOMIC_ACQUIRE) &&
	       clock_monotonic_ns(NULL) < until_ns)
		isa_relax();
}

int wait_follow(struct plh_world *world, struct wait *wait)
{
	uint64_t until_ns = wait->until_ns < wait->wall_ns ? wait->until_ns : wait->wall_ns;
	struct timespec until = { (time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S) };
	uint32_t depth;
	long result;
	int error;

	/* What we started may be due before the leader means to wake up. */
	world->clock->notify(world);
	depth = lock_release_all(&world->lock);
	spin_on(wait, world->config.spin_ns);
	/* Not a condition variable: those hide EINTR, and with it Ctrl-C. */
	result = syscall(SYS_futex, &wait->futex, FUTEX_WAIT_BITSET_PRIVATE, 0,
			 until_ns == LL_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
	error = errno;
	lock_restore(&world->lock, depth);
	__atomic_store_n(&wait->futex, 0, __ATOMIC_RELAXED);
	return result && error == EINTR ? PLH_SIGNAL : PLH_OK;
}
