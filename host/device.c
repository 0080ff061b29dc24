// SPDX-License-Identifier: GPL-2.0-only
/* Devices: frames between a kernel's rings and the backends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "device.h"
#include "error.h"
#include "fork.h"
#include "wrapped.h"

/* --- Telling the kernel --- */

void device_kick(struct plh_device *device)
{
	struct ll_netdev *netdev = device->netdev;
	struct ll_machine *machine = device->kernel->machine;

	if (device->wrapper) {
		wrapped_kick(device);
		return;
	}
	if (!netdev->rx_kicked) {
		netdev->rx_kicked = 1;
		netdev->next_rx = machine->rx_kicks;
		machine->rx_kicks = netdev;
	}
	world_make_runnable(device->kernel->world, device->kernel);
}

void device_set_carrier(struct plh_device *device, bool up)
{
	__atomic_store_n(&device->netdev->carrier, up, __ATOMIC_RELEASE);
	device_kick(device);
}

/* --- Frames that leave --- */

void device_notify_sent(struct plh_device *device)
{
	for (uint32_t queue = 0; queue < device->netdev->queues; queue++)
		if (device->netdev->tx[queue]->notify) {
			device_kick(device);
			return;
		}
}

/* Each frame once, before the backend sees it, with the time it left at. */
static void capture_sent(struct plh_device *device)
{
	struct plh_world *world = device->kernel->world;
	uint64_t now_ns = world_now(world);

	for (uint32_t queue = 0; queue < device->netdev->queues; queue++) {
		const struct ll_ring *ring = device->netdev->tx[queue];
		struct ll_ring view = *ring;
		struct ring_span frame;

		/* A backend may have left frames in the ring for want of room. */
		if ((int32_t)(device->captured[queue] - ring->tail) > 0)
			view.tail = device->captured[queue];
		while (ring_peek(&view, &frame)) {
			capture_span(device->points, now_ns, &frame, false, 0);
			view.tail = frame.first + frame.pieces;
		}
		device->captured[queue] = view.tail;
	}
}

static void transmit(struct plh_device *device)
{
	if (device->points)
		capture_sent(device);
	device->backend->transmit(device);
}

void devices_kicked(struct plh_kernel *kernel)
{
	struct ll_machine *machine = kernel->machine;
	struct ll_netdev *list = machine->tx_kicks;

	machine->tx_kicks = NULL;
	while (list) {
		struct ll_netdev *netdev = list;
		struct plh_device *device = (struct plh_device *)netdev->opaque;

		list = netdev->next_tx;
		netdev->next_tx = NULL;
		netdev->tx_kicked = 0;
		/* While it is being added it has no device yet: plh_device_add() looks. */
		if (device)
			transmit(device);
	}
}

/* --- Frames that arrive --- */

void device_set_stalled(struct plh_device *device, bool rx_stalled)
{
	if (device->rx_stalled == rx_stalled)
		return;
	device->rx_stalled = rx_stalled;
	if (rx_stalled)
		device->kernel->devices_stalled++;
	else
		device->kernel->devices_stalled--;
	device_watch(device);
}

enum deliver device_claim(struct plh_device *device, uint32_t queue, uint32_t bytes,
			  struct ring_span *room)
{
	struct ll_ring *ring = device->netdev->rx[queue];

	if (ring_claim(ring, bytes, room))
		return DELIVER_OK;
	/*
	 * The kernel has frames to take, and buffers to give for them, when it
	 * runs next.  If it has not, its interface is down.
	 */
	if (device->netdev->rx_kicked && device->kernel->state == PLH_KERNEL_RUNNING &&
	    ring_fits(ring, bytes)) {
		device_set_stalled(device, true);
		return DELIVER_WAIT;
	}
	device->stats.rx_dropped++;
	return DELIVER_DROPPED;
}

bool device_claim_or_stall(struct plh_device *device, uint32_t queue, uint32_t bytes,
			   struct ring_span *room)
{
	if (ring_claim(device->netdev->rx[queue], bytes, room))
		return true;
	/* Frames wait in the descriptor until the kernel has buffers, if it is down too. */
	device_set_stalled(device, true);
	return false;
}

void device_commit(struct plh_device *device, const struct ring_span *room)
{
	device->stats.rx_frames++;
	device->stats.rx_bytes += room->bytes;
	if (device->points)
		capture_span(device->points, world_now(device->kernel->world), room, true, 0);
	ring_finish(room);
	if (!device->netdev->rx_kicked || device->kernel->queued != QUEUED_NOW || device->wrapper)
		device_kick(device);
}

void devices_retry(struct plh_kernel *kernel)
{
	for (struct plh_device *device = kernel->devices; device; device = device->next) {
		if (!device->rx_stalled)
			continue;
		device_set_stalled(device, false);
		device->backend->receive(device);
	}
}

/* --- Descriptors --- */

void device_watch(struct plh_device *device)
{
	struct plh_world *world = device->kernel->world;
	struct epoll_event event = { .data.ptr = device };
	short events = 0;

	if (device->fd < 0)
		return;
	device->backend->fd(device, &events);
	event.events = (uint32_t)events; /* EPOLLIN and EPOLLOUT are POLLIN and POLLOUT */
	if (device->rx_stalled)
		event.events &= ~(uint32_t)EPOLLIN;
	if (device->tx_stalled)
		event.events |= EPOLLOUT;
	if (event.events == device->fd_events)
		return;
	epoll_ctl(world->epoll_fd,
		  !event.events	    ? EPOLL_CTL_DEL :
		  device->fd_events ? EPOLL_CTL_MOD :
				      EPOLL_CTL_ADD,
		  device->fd, &event);
	world->watched += (event.events != 0) - (device->fd_events != 0);
	if (device->backend->poll)
		world->watched_pollers += (event.events != 0) - (device->fd_events != 0);
	device->fd_events = event.events;
}

void device_set_fd(struct plh_device *device, int fd)
{
	struct plh_world *world = device->kernel->world;

	if (device->fd == fd)
		return;
	if (device->fd_events) {
		epoll_ctl(world->epoll_fd, EPOLL_CTL_DEL, device->fd, NULL);
		world->watched--;
		world->watched_pollers -= device->backend->poll != NULL;
		device->fd_events = 0;
	}
	if (device->poller_link)
		world->blind_pollers += (uint32_t)(fd < 0) - (uint32_t)(device->fd < 0);
	device->fd = fd;
	device_watch(device);
}

void device_stall_transmit(struct plh_device *device)
{
	device->tx_stalled = true;
	device_watch(device);
}

void device_readable(struct plh_device *device, uint32_t events)
{
	if (events & EPOLLOUT && device->tx_stalled) {
		device->tx_stalled = false;
		device_watch(device);
		device->backend->transmit(device);
		/*
		 * The kernel asks to be notified once: if there was not room enough for
		 * it then, it waits until it looks again.
		 */
		device_kick(device);
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		device->backend->receive(device);
}
