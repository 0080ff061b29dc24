// SPDX-License-Identifier: GPL-2.0-only
/* Timers of device backends, on the clock of their world. */
#include "device.h"
#include "error.h"

int device_timer_open(struct device_timer *timer, struct plh_device *device,
		      void (*due)(struct plh_device *device, uint64_t now_ns))
{
	struct plh_world *world = device->kernel->world;
	int error = heap_add_source(&world->heap);

	if (error) {
		plh_set_error("There is no memory for the timer of another device.");
		return error;
	}
	event_init(&timer->event, EVENT_DEVICE, world->timer_number++);
	timer->device = device;
	timer->due = due;
	return 0;
}

void device_timer_set(struct device_timer *timer, uint64_t time_ns)
{
	heap_set(&timer->device->kernel->world->heap, &timer->event, time_ns);
}

void device_timer_close(struct device_timer *timer)
{
	if (!timer->device)
		return;
	heap_remove_source(&timer->device->kernel->world->heap, &timer->event);
	timer->device = NULL;
}

void device_timer_due(struct event *event, uint64_t now_ns)
{
	struct device_timer *timer =
		(struct device_timer *)((char *)event - offsetof(struct device_timer, event));

	timer->due(timer->device, now_ns);
}
