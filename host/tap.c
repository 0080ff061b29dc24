// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tap of the host: attached to, with one descriptor for each queue; lost when the
 * interface is deleted, and attached to again when one of its name is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "tap.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* In epoll_fd; the others are queues. */
#define NETLINK_TAG    LL_MAX_QUEUES
#define RETRY_TAG      (LL_MAX_QUEUES + 1)
#define FIRST_RETRY_MS 10
#define LAST_RETRY_MS  1000

static int fail(int error, const char *name, const char *what)
{
	plh_set_error("The tap %s cannot be %s (%s): it needs CAP_NET_ADMIN, or a tap made before "
		      "with 'ip tuntap add mode tap user ...'.",
		      *name ? name : "(unnamed)", what, plh_errno_text(-error));
	return -error;
}

/* --- Attaching --- */

/* A descriptor of the caller: it must be what the parameters say. */
static int use_descriptor(struct tap_state *state)
{
	const struct plh_tap_parameters *tap = &state->parameters;
	struct ifreq request = { 0 };

	if (state->queues > 1) {
		plh_set_error("A tap that is given as a descriptor has one queue, not %u: give its "
			      "name instead.",
			      state->queues);
		return -EINVAL;
	}
	state->queue_fd[0] = fcntl(tap->fd, F_DUPFD_CLOEXEC, 0);
	if (state->queue_fd[0] < 0 || ioctl(state->queue_fd[0], TUNGETIFF, &request)) {
		int error = -errno;

		plh_set_error("Descriptor %d is no tap that is attached to an interface (%s).",
			      tap->fd, plh_errno_text(error));
		return error;
	}
	if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI) ||
	    !(request.ifr_flags & IFF_VNET_HDR) != !tap->vnet_hdr) {
		plh_set_error("Descriptor %d must be attached with IFF_TAP | IFF_NO_PI, and with "
			      "IFF_VNET_HDR just when vnet_hdr is set.",
			      tap->fd);
		return -EINVAL;
	}
	return 0;
}

/* One queue, by the name of the parameters, which the first one may complete. */
static int attach(struct tap_state *state, uint32_t queue)
{
	struct plh_tap_parameters *tap = &state->parameters;
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return fail(errno, tap->name, "opened");
	state->queue_fd[queue] = fd;
	if (tap->vnet_hdr)
		request.ifr_flags |= IFF_VNET_HDR;
	if (state->queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	request.ifr_name[IFNAMSIZ - 1] = 0;
	if (ioctl(fd, TUNSETIFF, &request)) {
		if (errno != EINVAL || !*tap->name)
			return fail(errno, tap->name, "attached");
		plh_set_error("The tap %s cannot be attached with %u queue%s (%s): an interface "
			      "that is there already must be a tap made with%s 'multi_queue'.",
			      tap->name, state->queues, state->queues > 1 ? "s" : "",
			      plh_errno_text(-EINVAL), state->queues > 1 ? "" : "out");
		return -EINVAL;
	}
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	/* Where others have queues already, theirs is the header. */
	if (ioctl(fd, TUNGETIFF, &request))
		return fail(errno, tap->name, "attached");
	if (!(request.ifr_flags & IFF_VNET_HDR) != !tap->vnet_hdr) {
		plh_set_error("The tap %s has queues of another program, which are attached with%s "
			      "IFF_VNET_HDR: set vnet_hdr likewise, or end that program.",
			      tap->name, tap->vnet_hdr ? "out" : "");
		return -EBUSY;
	}
	return 0;
}

/* What the host's end leaves to us: LL_NETDEV_* to features, or -errno. */
static int negotiate(const struct tap_state *state, uint32_t queue, uint32_t *features)
{
	unsigned int offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int fd = state->queue_fd[queue];
	int header_bytes = sizeof(tap_header);

	*features = LL_NETDEV_SG;
	if (!state->vnet_header)
		return 0;
	*features |= LL_NETDEV_CSUM | LL_NETDEV_TSO;
	if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes))
		return fail(errno, state->parameters.name, "told the size of its header");
	if (!ioctl(fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6))
		*features |= LL_NETDEV_USO; /* Linux 6.2 */
	else if (ioctl(fd, TUNSETOFFLOAD, offload))
		return fail(errno, state->parameters.name, "told of offloads");
	return 0;
}

static int watch(struct tap_state *state, uint32_t tag, int fd, uint32_t events, int how)
{
	struct epoll_event event = { .events = events, .data.u32 = tag };

	return epoll_ctl(state->epoll_fd, how, fd, &event);
}

void tap_watch(struct tap_state *state, uint32_t queue, bool for_room)
{
	if (state->wants_room[queue] == for_room)
		return;
	state->wants_room[queue] = for_room;
	watch(state, queue, state->queue_fd[queue], EPOLLIN | (for_room ? EPOLLOUT : 0),
	      EPOLL_CTL_MOD);
}

static void detach(struct tap_state *state)
{
	for (uint32_t queue = 0; queue < state->queues; queue++) {
		if (state->queue_fd[queue] >= 0)
			close(state->queue_fd[queue]);
		state->queue_fd[queue] = -1;
		state->wants_room[queue] = false;
	}
}

static int attach_all(struct tap_state *state, uint32_t *features)
{
	int error = 0;

	for (uint32_t queue = 0; queue < state->queues && !error; queue++) {
		error = state->parameters.fd >= 0 ? use_descriptor(state) : attach(state, queue);
		if (!error)
			error = negotiate(state, queue, features);
		if (!error && fcntl(state->queue_fd[queue], F_SETFL, O_RDWR | O_NONBLOCK))
			error = fail(errno, state->parameters.name, "made non-blocking");
		if (!error && watch(state, queue, state->queue_fd[queue], EPOLLIN, EPOLL_CTL_ADD))
			error = fail(errno, state->parameters.name, "waited for");
	}
	if (error)
		detach(state);
	return error;
}

/* --- Losing it, and finding it again --- */

void tap_lose(struct plh_device *device)
{
	struct tap_state *state = plh_device_state(device);

	detach(state);
	state->gone = true;
	state->held.any = false;
	device_report(device, "The tap %.16s was deleted: %s.", state->parameters.name,
		      state->follows ? "it is joined again when one of that name is made" :
				       "open another one, this one was given as a descriptor");
	device_set_carrier(device, false);
}

/* Look again after a while; 0: not. */
static void retry_after(struct tap_state *state, uint32_t ms)
{
	struct itimerspec timer = {
		.it_value = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 },
	};

	state->retry_ms = ms;
	timerfd_settime(state->retry_fd, 0, &timer, NULL);
}

static bool is_time_to_retry(struct tap_state *state)
{
	uint64_t count;

	return read(state->retry_fd, &count, sizeof(count)) > 0;
}

/* Only an interface that somebody has made: attaching to none would make one. */
static void find_again(struct plh_device *device)
{
	struct tap_state *state = plh_device_state(device);
	uint32_t features;
	int token, error;

	if (!state->host.index) {
		retry_after(state, 0);
		return;
	}
	memcpy(state->parameters.name, state->host.name, sizeof(state->parameters.name));
	token = interface_enter(&state->host);
	if (token < 0)
		return;
	error = attach_all(state, &features);
	interface_leave(token);
	/* Not ours yet, or of another kind. */
	if (error || (device->config.features & ~features)) {
		if (error)
			device_report(device, "%s", plh_error());
		detach(state);
		retry_after(state, !state->retry_ms		   ? FIRST_RETRY_MS :
				   state->retry_ms < LAST_RETRY_MS ? 2 * state->retry_ms :
								     state->retry_ms);
		return;
	}
	retry_after(state, 0);
	state->gone = false;
	device_set_carrier(device, true);
}

static void tap_receive(struct plh_device *device)
{
	struct tap_state *state = plh_device_state(device);
	uint32_t frames = tap_read(device);

	for (uint32_t queue = 0; queue < state->queues; queue++)
		if (state->wants_room[queue]) {
			tap_transmit(device);
			break;
		}
	/* Nothing came, so it was something else that woke us. */
	if (!frames && state->follows &&
	    (interface_changed(&state->host) || is_time_to_retry(state))) {
		interface_look(&state->host);
		if (state->gone)
			find_again(device);
	}
}

static void tap_poll(struct plh_device *device)
{
	tap_read(device);
}

/* --- Its life --- */

static bool follow(struct tap_state *state)
{
	if (interface_open(&state->host, state->parameters.name))
		return false;
	state->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (state->retry_fd >= 0 &&
	    !watch(state, NETLINK_TAG, state->host.netlink_fd, EPOLLIN, EPOLL_CTL_ADD) &&
	    !watch(state, RETRY_TAG, state->retry_fd, EPOLLIN, EPOLL_CTL_ADD))
		return true;
	if (state->retry_fd >= 0)
		close(state->retry_fd);
	interface_close(&state->host);
	return false;
}

static int tap_open(struct plh_device *device, const void *parameters,
		    struct ll_netdev_config *config)
{
	/* The name is a result, too. */
	struct plh_tap_parameters *tap = (struct plh_tap_parameters *)parameters;
	struct tap_state *state = plh_device_state(device);
	int error;

	state->parameters = *tap;
	state->vnet_header = tap->vnet_hdr;
	state->queues = config->queues;
	for (uint32_t queue = 0; queue < LL_MAX_QUEUES; queue++)
		state->queue_fd[queue] = -1;
	state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (state->epoll_fd < 0)
		return fail(errno, tap->name, "waited for");
	error = attach_all(state, &config->features);
	if (error) {
		close(state->epoll_fd);
		return error;
	}
	memcpy(tap->name, state->parameters.name, sizeof(tap->name));
	/* One that was given may be in another namespace: nobody knows where to look for it. */
	state->follows = tap->fd < 0 && follow(state);
	return 0;
}

static void tap_close(struct plh_device *device)
{
	struct tap_state *state = plh_device_state(device);

	detach(state);
	if (state->follows) {
		close(state->retry_fd);
		interface_close(&state->host);
	}
	close(state->epoll_fd);
}

static int tap_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return ((struct tap_state *)plh_device_state(device))->epoll_fd;
}

const struct plh_backend plh_tap = {
	.name = "tap",
	.state_bytes = sizeof(struct tap_state),
	.open = tap_open,
	.close = tap_close,
	.transmit = tap_transmit,
	.receive = tap_receive,
	.fd = tap_fd,
	/* A read that finds nothing costs no more than asking whether there is something. */
	.poll = tap_poll,
};
