// SPDX-License-Identifier: GPL-2.0-only
/* Adding devices to kernels and taking them away again. */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "device.h"
#include "error.h"
#include "fork.h"

#define DEFAULT_MTU 1500
/* The buffers of larger rings, used in turn, do not stay in a cache. */
#define DEFAULT_RING_ENTRIES 128

static void fill_config(struct ll_netdev_config *config, const struct ll_netdev_config *given)
{
	if (given)
		*config = *given;
	if (!config->queues)
		config->queues = 1;
	if (!config->mtu)
		config->mtu = DEFAULT_MTU;
	if (!config->ring_entries)
		config->ring_entries = DEFAULT_RING_ENTRIES;
	config->netdev = NULL;
}

static void link_device(struct plh_device *device)
{
	struct plh_device **end = &device->kernel->devices;

	while (*end)
		end = &(*end)->next;
	device->link = end;
	*end = device;
}

void device_add_poller(struct plh_device *device)
{
	struct plh_world *world = device->kernel->world;

	if (!device->backend->poll)
		return;
	device->next_poller = world->pollers;
	device->poller_link = &world->pollers;
	if (device->next_poller)
		device->next_poller->poller_link = &device->next_poller;
	world->pollers = device;
	world->blind_pollers += device->fd < 0;
}

static void remove_poller(struct plh_device *device)
{
	if (!device->poller_link)
		return;
	*device->poller_link = device->next_poller;
	if (device->next_poller)
		device->next_poller->poller_link = device->poller_link;
	device->poller_link = NULL;
	device->kernel->world->blind_pollers -= device->fd < 0;
}

bool device_open(struct plh_device *device, const void *parameters)
{
	int error;

	if (device->backend->open) {
		error = device->backend->open(device, parameters, &device->config);
		if (error)
			return false;
	}
	device->opened = true;
	if (device->backend->fd) {
		short events;

		device->fd = device->backend->fd(device, &events);
	}
	if ((device->backend->fd || device->backend->poll) && device->kernel->world->epoll_fd < 0) {
		plh_set_error("A %s device needs a world with a real-time clock: nothing outside "
			      "can follow this one's.",
			      device->backend->name);
		return false;
	}
	return true;
}

static bool add_netdev(struct plh_device *device)
{
	struct plh_kernel *kernel = device->kernel;
	int64_t ret = 0;
	int status = call_by_host(kernel, LL_SYS_NETDEV_ADD, (uint64_t)&device->config, 0, &ret);

	if (status != PLH_OK)
		return false;
	if (ret < 0) {
		plh_set_error("The kernel refused the device %.16s with MTU %u, %u queues and "
			      "rings of "
			      "%u entries (%s).",
			      device->config.name, device->config.mtu, device->config.queues,
			      device->config.ring_entries, plh_errno_text((int)ret));
		return false;
	}
	device->netdev = device->config.netdev;
	device->netdev->opaque = (uint64_t)device;
	return true;
}

struct plh_device *plh_device_add(struct plh_kernel *kernel, const struct plh_backend *backend,
				  const void *parameters, const struct ll_netdev_config *config)
{
	struct plh_device *device;

	if (world_begin(kernel->world))
		return NULL;
	device = calloc(1, sizeof(*device));
	if (device)
		device->state = calloc(1, backend->state_bytes + 1);
	if (!device || !device->state) {
		free(device);
		plh_set_error("There is no memory for another device.");
		world_unlock(kernel->world);
		return NULL;
	}
	device->backend = backend;
	device->kernel = kernel;
	device->fd = -1;
	fill_config(&device->config, config);
	link_device(device);
	if (!device_open(device, parameters) || !add_netdev(device)) {
		device_free(device);
		device = NULL;
	} else {
		device_watch(device);
		device_add_poller(device);
		/* It may have sent something while it was being added. */
		device->backend->transmit(device);
	}
	world_end(kernel->world);
	return device;
}

void device_free(struct plh_device *device)
{
	struct plh_world *world = device->kernel->world;
	bool forked = world->generation != fork_generation;

	world->devices_removed++;
	remove_poller(device);
	/* The set is shared with the parent: a child must not change it. */
	if (device->fd_events && !forked)
		epoll_ctl(world->epoll_fd, EPOLL_CTL_DEL, device->fd, NULL);
	world->watched -= device->fd_events != 0;
	if (device->backend->poll)
		world->watched_pollers -= device->fd_events != 0;
	device->fd_events = 0;
	device->fd = -1;
	if (device->rx_stalled)
		device_set_stalled(device, false);
	if (device->netdev)
		device->netdev->opaque = 0;
	if (device->opened && device->backend->close)
		device->backend->close(device);
	capture_end_points(&device->points);
	*device->link = device->next;
	if (device->next)
		device->next->link = device->link;
	free(device->state);
	free(device);
}

/* Frames that the backend will not take are dropped. */
void device_flush(struct plh_device *device)
{
	for (uint32_t queue = 0; queue < device->netdev->queues; queue++) {
		struct ring_span frame;

		while (device_next(device, queue, &frame))
			device_sent(device, &frame, true);
	}
}

int device_remove(struct plh_device *device)
{
	struct plh_kernel *kernel = device->kernel;
	struct ll_netdev *netdev = device->netdev;
	int64_t ret = 0;
	int status = PLH_OK;

	if (kernel->state == PLH_KERNEL_RUNNING) {
		device_flush(device);
		netdev->opaque = 0;
		status = call_by_host(kernel, LL_SYS_NETDEV_DEL, (uint64_t)netdev, 0, &ret);
		if (status != PLH_OK && kernel->state == PLH_KERNEL_RUNNING) {
			netdev->opaque = (uint64_t)device;
			return status;
		}
		device->netdev = NULL; /* its memory is gone */
	}
	device_free(device);
	if (status == PLH_OK && ret < 0 && ret != -ENODEV) {
		plh_set_error("The kernel did not remove the device (%s).",
			      plh_errno_text((int)ret));
		return PLH_ERROR;
	}
	return PLH_OK;
}

int plh_device_remove(struct plh_device *device)
{
	struct plh_world *world = device->kernel->world;
	int status = world_begin(world);

	if (status)
		return status;
	if (device->backend == &link_backend) {
		plh_set_error("This device is an end of a link: use plh_link_destroy().");
		status = PLH_ERROR;
	} else {
		status = device_remove(device);
	}
	world_end(world);
	return status;
}

int plh_device_ifindex(const struct plh_device *device)
{
	return (int)device->netdev->ifindex;
}

const char *plh_device_name(const struct plh_device *device)
{
	return device->config.name;
}

int plh_device_carrier(struct plh_device *device, int up)
{
	struct plh_world *world = device->kernel->world;
	int status = world_begin(world);

	if (status)
		return status;
	device_set_carrier(device, up != 0);
	world_settle(world);
	world_end(world);
	return PLH_OK;
}

int plh_device_has_carrier(struct plh_device *device)
{
	return __atomic_load_n(&device->netdev->carrier, __ATOMIC_ACQUIRE) != 0;
}

void device_report(struct plh_device *device, const char *format, ...)
{
	va_list arguments;

	if (device->wrapper)
		device = device->wrapper;
	va_start(arguments, format);
	vsnprintf(device->problem, sizeof(device->problem), format, arguments);
	va_end(arguments);
}

int plh_device_problem(struct plh_device *device, char *text, uint64_t bytes)
{
	world_lock(device->kernel->world);
	snprintf(text, bytes, "%s", device->problem);
	world_unlock(device->kernel->world);
	return PLH_OK;
}

int plh_device_stats(struct plh_device *device, struct plh_device_stats *stats)
{
	world_lock(device->kernel->world);
	if (device->backend->count)
		device->backend->count(device);
	*stats = device->stats;
	world_unlock(device->kernel->world);
	return PLH_OK;
}
