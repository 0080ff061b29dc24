// SPDX-License-Identifier: GPL-2.0-only
/* The host's clock as clock source, scheduler clock and one-shot timer. */
#include <linux/clockchips.h>
#include <linux/clocksource.h>
#include <linux/delay.h>
#include <linux/hardirq.h>
#include <linux/init.h>
#include <linux/init_task.h>
#include <linux/sched/clock.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>
#include "kernel.h"

/*
 * What CLOCK_MONOTONIC shows when the boot is over.  A virtual clock stands still
 * meanwhile, and TCP takes a packet that was sent at 0 for one that never was.
 */
#define LL_BOOT_NS NSEC_PER_SEC

u64 ll_deadline = LL_NEVER;
static u64 clock_at_boot; /* the kernel's own time 0 */
static u64 boot_ns; /* LL_BOOT_NS, once it is over */

static u64 clock_read(struct clocksource *cs)
{
	return ll_clock() + boot_ns;
}

static struct clocksource host_clock = {
	.name = "host",
	.rating = 400,
	.read = clock_read,
	.mask = CLOCKSOURCE_MASK(64),
	.flags = CLOCK_SOURCE_IS_CONTINUOUS,
};

static int timer_set(unsigned long delta_ns, struct clock_event_device *evt)
{
	ll_deadline = ll_clock() + delta_ns;
	return 0;
}

static int timer_stop(struct clock_event_device *evt)
{
	ll_deadline = LL_NEVER;
	return 0;
}

/* Before the first line of log, whose time is counted from here. */
void __init ll_clock_init(void)
{
	clock_at_boot = ll_clock();
}

/* Counts in nanoseconds, exactly: mult and shift say so. */
static struct clock_event_device host_timer = {
	.name = "host",
	.rating = 400,
	.features = CLOCK_EVT_FEAT_ONESHOT,
	.mult = 1,
	.shift = 0,
	.min_delta_ns = 1,
	.min_delta_ticks = 1,
	.max_delta_ns = LONG_MAX,
	.max_delta_ticks = LONG_MAX,
	.set_next_event = timer_set,
	.set_state_shutdown = timer_stop,
	.set_state_oneshot_stopped = timer_stop,
};

void ll_timer_event(void)
{
	if (ll_deadline > ll_clock())
		return;
	ll_deadline = LL_NEVER;
	host_timer.event_handler(&host_timer);
}

void __init time_init(void)
{
	clocksource_register_hz(&host_clock, NSEC_PER_SEC);
	host_timer.cpumask = cpumask_of(0);
	clockevents_register_device(&host_timer);
	/* Sleeps end when they should, not up to 50 us later. */
	init_task.timer_slack_ns = 0;
	init_task.default_timer_slack_ns = 0;
}

static void __init tick_now(void)
{
	ll_deadline = ll_clock();
	ll_events();
}

/*
 * Timers become exact with the first tick, which under a frozen clock would come
 * with the first sleep and make that one late: let it come now.  The second one
 * tells jiffies how much time the boot has taken.
 */
static int __init first_tick(void)
{
	tick_now();
	boot_ns = LL_BOOT_NS;
	tick_now();
	return 0;
}
late_initcall(first_tick);

/*
 * A virtual clock is a word; to read a real one takes as long as to switch tasks.
 * The scheduler's shares and the log's time stamps are right with a reading that is
 * a few uses old.
 */
#define SCHED_CLOCK_USES 8

unsigned long long notrace sched_clock(void)
{
	static unsigned int uses;
	static u64 now;

	if (!ll_machine)
		return 0;
	if (ll_machine->clock_word || !(uses++ % SCHED_CLOCK_USES))
		now = ll_clock();
	return now - clock_at_boot;
}

void read_persistent_clock64(struct timespec64 *ts)
{
	*ts = ns_to_timespec64(ll_machine->realtime_ns - LL_BOOT_NS);
}

/* Nothing to calibrate: delays read the clock. */
void __init calibrate_delay(void)
{
	loops_per_jiffy = NSEC_PER_SEC / HZ;
}

/*
 * Hardware that would need the delay does not exist.  A frozen clock would never
 * get there; a real one is waited for.
 */
void ll_delay(unsigned long long delay_ns)
{
	u64 end;

	if (ll_machine->flags & LL_CLOCK_VIRTUAL)
		return;
	end = ll_clock() + delay_ns;
	while (ll_clock() < end)
		cpu_relax();
}
EXPORT_SYMBOL(ll_delay);
