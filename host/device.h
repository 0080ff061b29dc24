/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A netdev and the backend that serves it.  Backends take frames with
 * device_next() and device_sent(), and deliver with device_deliver() or, to read
 * straight into the kernel's buffers, with ring_claim() and device_commit().
 */
#ifndef PLH_DEVICE_H
#define PLH_DEVICE_H

#include <stdbool.h>

#include "capture.h"
#include "kernel.h"
#include "ring.h"

struct plh_device {
	const struct plh_backend *backend;
	struct plh_kernel *kernel;
	struct ll_netdev *netdev;
	struct plh_device *next, **link; /* kernel->devices */
	struct plh_device *next_poller, **poller_link; /* world->pollers, or NULL */
	struct ll_netdev_config config;
	struct plh_device_stats stats;
	struct capture_point *points; /* of captures; NULL: none */
	uint32_t captured[LL_MAX_QUEUES]; /* transmit ring: written up to here */
	int fd; /* the backend's, or -1 */
	uint32_t fd_events; /* what epoll watches it for; 0: it is not in the set */
	bool rx_stalled; /* waits for empty receive buffers */
	bool tx_stalled; /* waits for room in the backend */
	bool opened; /* the backend's open() was a success */
	char problem[192]; /* the last one's sentence, see device_report() */
	void *state; /* plh_device_state() */
	struct plh_device *wrapper; /* which this one lies inside of, see wrapped.c; or NULL */
};

/* Memory of the backend's own, state_bytes of it, zeroed. */
static inline void *plh_device_state(struct plh_device *device)
{
	return device->state;
}

/*
 * A function that backends in libraries of their own (host/dpdk) call, too: they find
 * it under its name with the prefix.
 */
#define FOR_LIBRARIES(name) __asm__("plh_" #name) __attribute__((visibility("protected")))

/* Wakes a backend up at a time of the world's clock. */
struct device_timer {
	struct event event;
	struct plh_device *device; /* NULL: not in use */
	void (*due)(struct plh_device *device, uint64_t now_ns);
};

#pragma GCC visibility push(hidden)

/* --- For backends --- */

/* The next frame to send on a queue; false if there is none. */
static inline bool device_next(struct plh_device *device, uint32_t queue, struct ring_span *frame)
{
	return ring_peek(device->netdev->tx[queue], frame);
}
/* The backend no longer needs the frame's bytes; it was sent or dropped. */
static inline void device_sent(struct plh_device *device, const struct ring_span *frame,
			       bool dropped)
{
	if (dropped) {
		device->stats.tx_dropped++;
	} else {
		device->stats.tx_frames++;
		device->stats.tx_bytes += frame->bytes;
	}
	ring_finish(frame);
}
/* After one or more device_sent(). */
void device_notify_sent(struct plh_device *device) FOR_LIBRARIES(device_notify_sent);

enum deliver {
	DELIVER_OK,
	DELIVER_WAIT, /* no buffers now; try again from receive() */
	DELIVER_DROPPED, /* no buffers, and none will come: the interface is down */
};
/* Buffers for a frame; with DELIVER_WAIT the device is marked as stalled. */
enum deliver device_claim(struct plh_device *device, uint32_t queue, uint32_t bytes,
			  struct ring_span *room) FOR_LIBRARIES(device_claim);
/* For a backend that reads from a descriptor: false, and stalled, if there are none. */
bool device_claim_or_stall(struct plh_device *device, uint32_t queue, uint32_t bytes,
			   struct ring_span *room);
/* The buffers are filled (ring_fill() and metadata): give them to the kernel. */
void device_commit(struct plh_device *device, const struct ring_span *room)
	FOR_LIBRARIES(device_commit);
/* Tell the backend's receive() when buffers come free, or that it need not wait. */
void device_set_stalled(struct plh_device *device, bool rx_stalled);
/* The descriptor takes no more now: call transmit() when it does. */
void device_stall_transmit(struct plh_device *device);

/* Up to date with what the device waits for. */
void device_watch(struct plh_device *device);
void device_set_carrier(struct plh_device *device, bool up) FOR_LIBRARIES(device_set_carrier);
/* The backend's descriptor is another one now, or none (-1); before the old one is closed. */
void device_set_fd(struct plh_device *device, int fd);
/*
 * Let the kernel look at its rings.  It asks to be notified once of room in a
 * transmit ring, and needs more than that for a frame: after a stall, let it look.
 */
void device_kick(struct plh_device *device);
/* Drop all frames that wait to be sent. */
void device_flush(struct plh_device *device);
/* Note what went wrong outside, for plh_device_problem(). */
void device_report(struct plh_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* 0 or -ENOMEM with an error. */
int device_timer_open(struct device_timer *timer, struct plh_device *device,
		      void (*due)(struct plh_device *device, uint64_t now_ns));
/* LL_NEVER: not at all. */
void device_timer_set(struct device_timer *timer, uint64_t time_ns);
void device_timer_close(struct device_timer *timer);
/* EVENT_DEVICE */
void device_timer_due(struct event *event, uint64_t now_ns);

/* From now on worlds that poll look at it, if its backend can do that. */
void device_add_poller(struct plh_device *device);
/* Open its backend; false with an error. */
bool device_open(struct plh_device *device, const void *parameters);
/* plh_device_remove() for a device of any kind, with the lock. */
int device_remove(struct plh_device *device);
extern const struct plh_backend link_backend;

/* --- For the run loop --- */

/* The kernel left with netdevs on tx_kicks. */
void devices_kicked(struct plh_kernel *kernel);
/* It ran, and may have new receive buffers. */
void devices_retry(struct plh_kernel *kernel);
/* epoll reported the device's descriptor. */
void device_readable(struct plh_device *device, uint32_t events);
/* Close the backend and free it, while its kernel will not run any more. */
void device_free(struct plh_device *device);

#pragma GCC visibility pop

#endif
