// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real time: the host's monotonic clock.  One thread, the leader, waits: it sleeps
 * in epoll on the descriptors of all devices with the next deadline as timeout, or
 * polls them, see spin.c.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "error.h"
#include "kernel.h"
#include "spin.h"

#define MAX_EVENTS	64
#define DEFAULT_SPIN_NS 50000

uint64_t clock_monotonic_ns(void *unused)
{
	struct timespec now;

	(void)unused;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t realtime_offset_ns(void)
{
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	return (uint64_t)real.tv_sec * NS_PER_S + (uint64_t)real.tv_nsec - clock_monotonic_ns(NULL);
}

static void real_close(struct plh_world *world)
{
	/* In a forked child too: closing its descriptors changes nothing shared. */
	if (world->epoll_fd >= 0)
		close(world->epoll_fd);
	if (world->event_fd >= 0)
		close(world->event_fd);
	if (world->timer_fd >= 0)
		close(world->timer_fd);
}

static int watch(struct plh_world *world, int fd, void *tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = tag };

	return fd < 0 ? -1 : epoll_ctl(world->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int real_open(struct plh_world *world)
{
	if (world->config.wait_kind == PLH_WAIT_EPOLL)
		world->config.spin_ns = 0;
	else if (!world->config.spin_ns)
		world->config.spin_ns = DEFAULT_SPIN_NS;
	if (!world->config.realtime_offset_ns)
		world->config.realtime_offset_ns = realtime_offset_ns();
	world->timer_ns = LL_NEVER;
	world->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	world->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	world->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	/* Their tags are the addresses of the fields; any other is a device. */
	if (world->epoll_fd < 0 || watch(world, world->event_fd, &world->event_fd) ||
	    watch(world, world->timer_fd, &world->timer_fd)) {
		int error = -errno;

		plh_set_error("The descriptors of a real-time world cannot be made (%s): raise "
			      "'ulimit -n'.",
			      plh_errno_text(error));
		return error;
	}
	return 0;
}

static void real_machine(struct plh_world *world, struct ll_machine *machine)
{
	(void)world;
	machine->clock_ns = clock_monotonic_ns;
}

static uint64_t real_now(struct plh_world *world)
{
	(void)world;
	return clock_monotonic_ns(NULL);
}

static void drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void serve(struct plh_world *world, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == &world->event_fd) {
			drain(world->event_fd);
		} else if (events[i].data.ptr == &world->timer_fd) {
			drain(world->timer_fd);
			world->timer_ns = LL_NEVER;
		} else {
			device_readable(events[i].data.ptr, events[i].events);
		}
	}
}

void real_look_at_descriptors(struct plh_world *world)
{
	struct epoll_event events[MAX_EVENTS];

	serve(world, events, epoll_wait(world->epoll_fd, events, MAX_EVENTS, 0));
}

static void real_poll(struct plh_world *world)
{
	if (world->config.wait_kind != PLH_WAIT_EPOLL || world->blind_pollers)
		spin_look(world);
	if (world->watched > world->watched_pollers || world->config.wait_kind == PLH_WAIT_EPOLL)
		real_look_at_descriptors(world);
}

/* Not later than the timeout says, where the host's kernel can. */
static int sleep_until(struct plh_world *world, struct epoll_event *events, uint64_t until_ns)
{
	static bool no_pwait2;
	uint64_t now_ns = clock_monotonic_ns(NULL);
	uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec left = { (time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S) };
	int count;

	if (!no_pwait2) {
		count = epoll_pwait2(world->epoll_fd, events, MAX_EVENTS,
				     until_ns == LL_NEVER ? NULL : &left, NULL);
		if (count >= 0 || errno != ENOSYS)
			return count;
		no_pwait2 = true;
	}
	left_ns = (left_ns + 999999) / 1000000; /* ms, rounded up: never early */
	return epoll_wait(world->epoll_fd, events, MAX_EVENTS,
			  until_ns == LL_NEVER	? -1 :
			  left_ns > 3600 * 1000 ? 3600 * 1000 :
						  (int)left_ns);
}

static int real_pass(struct plh_world *world, struct wait *wait, uint64_t next_ns)
{
	struct epoll_event events[MAX_EVENTS];
	uint32_t removed = world->devices_removed;
	uint32_t depth;
	int count, error;

	if (next_ns > wait->wall_ns)
		next_ns = wait->wall_ns;
	if (spin_until_work(world, &next_ns))
		return PLH_OK;
	world->leader_sleeps = true;
	world->leader_until_ns = next_ns;
	depth = lock_release_all(&world->lock);
	count = sleep_until(world, events, next_ns);
	error = errno;
	lock_restore(&world->lock, depth);
	world->leader_sleeps = false;
	if (count < 0)
		return error == EINTR ? PLH_SIGNAL : PLH_OK;
	if (removed != world->devices_removed)
		real_look_at_descriptors(world); /* what was reported may be gone */
	else
		serve(world, events, count);
	return PLH_OK;
}

static void real_busy(struct plh_world *world, struct plh_kernel *kernel, uint64_t until_ns)
{
	(void)until_ns;
	real_poll(world);
	world_make_runnable(world, kernel);
}

static void real_interrupt(struct plh_world *world)
{
	uint64_t one = 1;
	int error = errno;

	if (write(world->event_fd, &one, sizeof(one)) < 0) {
		/* The counter is full: it is readable, which is all that we want. */
	}
	errno = error;
}

static void real_notify(struct plh_world *world)
{
	uint64_t next_ns = world->runnable || world->unsettled ? 0 : heap_first_ns(&world->heap);
	struct itimerspec timer = { 0 };

	if (world->leader_sleeps && next_ns < world->leader_until_ns)
		real_interrupt(world);
	if (!world->fd_used || next_ns == world->timer_ns)
		return;
	world->timer_ns = next_ns;
	if (next_ns != LL_NEVER) {
		timer.it_value.tv_sec = (time_t)(next_ns / NS_PER_S);
		timer.it_value.tv_nsec = (long)(next_ns % NS_PER_S);
		if (!next_ns)
			timer.it_value.tv_nsec = 1; /* in the past; 0 would mean off */
	}
	timerfd_settime(world->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

const struct clock_kind clock_real = {
	.shared_wait = true,
	.open = real_open,
	.close = real_close,
	.machine = real_machine,
	.now = real_now,
	.pass = real_pass,
	.poll = real_poll,
	.busy = real_busy,
	.notify = real_notify,
	.interrupt = real_interrupt,
};
