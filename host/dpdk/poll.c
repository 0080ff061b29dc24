// SPDX-License-Identifier: GPL-2.0-only
/*
 * A port has no descriptor that says when a frame has come: somebody must look.  A
 * world that polls does it by itself, poll_port().  For one that sleeps the device's
 * descriptor is a timer.  While frames move it stays readable, so that the world looks
 * after each burst without a system call of ours; when none have for a while it fires
 * less and less often, down to once in longest_ns.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "dpdk.h"
#include "error.h"

#define SPIN_NS	    50000u /* of looking in vain before it is left to the timer */
#define SHORTEST_NS 20000u
#define LONGEST_US  1000u
#define CHECK_NS    10000000u /* the link */
#define BUSY_LOOKS  64 /* between two looks at the clock */

static void set_timer(struct port *port, uint64_t after_ns)
{
	const struct itimerspec timer = { .it_value = { (time_t)(after_ns / NS_PER_S),
							(long)(after_ns % NS_PER_S) } };

	timerfd_settime(port->timer_fd, 0, &timer, NULL);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int poll_open(struct port *port, uint32_t poll_us, bool polled)
{
	port->polled = polled;
	port->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (port->timer_fd < 0) {
		int error = -errno;

		plh_set_error("The timer of a DPDK device cannot be made (%s): raise 'ulimit -n'.",
			      plh_errno_text(error));
		return error;
	}
	port->longest_ns = (uint64_t)(poll_us ?: LONGEST_US) * 1000;
	port->interval_ns = SHORTEST_NS;
	set_timer(port, port->interval_ns);
	return 0;
}

/* --- Link and counters --- */

void poll_count(struct plh_device *device)
{
	struct port *port = port_of(device);
	struct rte_eth_stats now;
	uint64_t missed;

	if (port_is_gone(port) || rte_eth_stats_get(port->id, &now))
		return;
	missed = now.imissed - port->seen.imissed + (now.ierrors - port->seen.ierrors) +
		 (now.rx_nombuf - port->seen.rx_nombuf);
	port->seen = now;
	port->stats.rx_missed += missed;
	device->stats.rx_dropped += missed;
}

static void set_up(struct plh_device *device, bool up)
{
	struct port *port = port_of(device);

	if (port->up == up)
		return;
	port->up = up;
	if (!up)
		frames_drop_all(device);
	device_set_carrier(device, up);
}

static void check_link(struct plh_device *device)
{
	struct rte_eth_link link = { .link_status = RTE_ETH_LINK_DOWN };

	if (rte_eth_link_get_nowait(port_of(device)->id, &link))
		link.link_status = RTE_ETH_LINK_DOWN;
	set_up(device, link.link_status == RTE_ETH_LINK_UP);
}

/* --- Looking --- */

static bool look(struct plh_device *device)
{
	struct port *port = port_of(device);
	bool busy;

	port->stats.polls++;
	if (port_is_gone(port)) {
		set_up(device, false);
		return false;
	}
	busy = frames_receive(device);
	busy |= frames_transmit(device);
	busy |= frames_wait(port);
	if (!busy || !(port->stats.polls % BUSY_LOOKS)) {
		uint64_t now = now_ns();

		if (now >= port->check_ns) {
			port->check_ns = now + CHECK_NS;
			check_link(device);
		}
	}
	return busy;
}

void poll_port(struct plh_device *device)
{
	look(device);
}

static void look_again(struct port *port, bool busy)
{
	/* Only for whoever waits for the world's descriptor instead of running it. */
	if (port->polled) {
		set_timer(port, port->longest_ns);
		return;
	}
	if (busy) {
		port->busy_ns = now_ns();
		port->interval_ns = SHORTEST_NS;
		if (!port->spinning)
			set_timer(port, 1); /* it fires, and nobody reads it */
		port->spinning = true;
		return;
	}
	if (port->spinning && now_ns() - port->busy_ns < SPIN_NS)
		return;
	port->spinning = false;
	set_timer(port, port->interval_ns);
	port->interval_ns *= 2;
	if (port->interval_ns > port->longest_ns)
		port->interval_ns = port->longest_ns;
}

void poll_soon(struct port *port)
{
	if (port->polled || port->spinning || port->interval_ns == SHORTEST_NS)
		return;
	port->interval_ns = SHORTEST_NS;
	set_timer(port, SHORTEST_NS);
}

void poll_timer(struct plh_device *device)
{
	look_again(port_of(device), look(device));
}
