/* SPDX-License-Identifier: GPL-2.0-only */
/* A tap of the host: tap.c has its life, tap_frames.c what crosses it. */
#ifndef PLH_TAP_H
#define PLH_TAP_H

#include <linux/virtio_net.h>

#include "device.h"
#include "interface.h"

#define TAP_ETHERNET_BYTES 18 /* header and a VLAN tag */
#define TAP_MAX_BYTES	   (65536 + TAP_ETHERNET_BYTES)

#pragma GCC visibility push(hidden)

typedef struct virtio_net_hdr_mrg_rxbuf tap_header;

/* A frame whose rest is in the bounce buffer, until the kernel has room for it. */
struct tap_held {
	bool any;
	uint32_t queue;
	uint32_t start_bytes; /* of it are in the ring's next buffers */
	uint32_t bytes;
	tap_header header;
};

struct tap_state {
	int queue_fd[LL_MAX_QUEUES]; /* -1: gone, or never there */
	uint32_t queues;
	int epoll_fd; /* of all queues and host.netlink_fd */
	bool vnet_header;
	bool gone; /* the interface was deleted */
	bool wants_room[LL_MAX_QUEUES]; /* epoll watches for room to write */
	bool follows; /* host is open: we know what to look for when it is gone */
	struct interface host;
	int retry_fd; /* timerfd: whoever made the interface may hold it for a moment */
	uint32_t retry_ms;
	struct plh_tap_parameters parameters;

	uint32_t small_frames; /* in a row, since the last that did not fit into a few buffers */
	struct tap_held held;
	uint8_t bounce[TAP_MAX_BYTES];
};

/* --- tap.c --- */
/* A read or write says that the interface is gone. */
void tap_lose(struct plh_device *device);
/* Watch a queue for room to write, or no longer. */
void tap_watch(struct tap_state *state, uint32_t queue, bool for_room);

/* --- tap_frames.c --- */
void tap_transmit(struct plh_device *device);
/* Read what is there, at most a batch of each queue: how many frames came. */
uint32_t tap_read(struct plh_device *device);

#pragma GCC visibility pop

#endif
