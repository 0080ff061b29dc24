/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AF_PACKET sockets of a raw device.  Each queue has one with a ring to receive, and two to
 * send: nobody waits for those, or the host would look for who does after each frame.
 */
#ifndef PLH_RAW_H
#define PLH_RAW_H

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "interface.h"
#include "pylibos_host.h"
#include "ring.h"

#define RAW_SLOT_BYTES 2048u /* a longer frame is read by recvmsg(2), straight to its place */
#define RAW_BATCH      64 /* frames of one sendmmsg(2); frames received, then others' turn */
#define RAW_IOVECS     (RAW_BATCH * 4 + RING_MAX_PIECES)

/* The newest frame format that hands over each frame at once, not in blocks. */
#define RAW_RING_VERSION TPACKET_V2

/* Which socket a frame leaves by. */
enum raw_way {
	RAW_PLAIN, /* nothing is left to the host */
	RAW_OFFLOAD, /* with a header that says what is */
	RAW_WAYS,
};

struct raw_queue {
	int fd; /* to receive; -1: there are no sockets, since the interface is gone */
	int send_fd[RAW_WAYS];
	char *slots;
	uint32_t slot_count, at; /* of the receive ring; the next one */
	bool wants_room; /* it could take no more frames to send */
};

struct raw_state {
	struct interface host;
	struct plh_raw_parameters parameters;
	uint32_t queues;
	int epoll_fd; /* of all sockets, and of what tells of the interface */
	bool settled; /* the device's carrier is the interface's */
	bool bypass; /* no queueing discipline of the host on the way */
	uint32_t turns; /* receives since the interface was looked at */
	struct raw_queue queue[LL_MAX_QUEUES];
	/* One batch to send. */
	struct ring_span spans[RAW_BATCH];
	struct virtio_net_hdr headers[RAW_BATCH];
	struct mmsghdr messages[RAW_BATCH];
	struct iovec iovecs[RAW_IOVECS];
};

#pragma GCC visibility push(hidden)

/* Open the sockets of all queues, with the interface there: 0, or -errno and plh_set_error(). */
int raw_open_sockets(struct raw_state *state);
void raw_close_sockets(struct raw_state *state);
/* None is open, before the first time. */
void raw_forget_sockets(struct raw_state *state);
/* Let epoll_fd wait for room to send, or no longer. */
void raw_watch(struct raw_state *state, struct raw_queue *queue, bool wants_room);
/* Segments go through the queueing discipline from now on, where they can be cut. */
void raw_stop_bypass(struct raw_state *state);
/* Frames that found no room since the last question. */
uint64_t raw_drops(const struct raw_queue *queue);

static inline struct tpacket2_hdr *raw_slot(const struct raw_queue *queue)
{
	return (struct tpacket2_hdr *)(queue->slots + (size_t)queue->at * RAW_SLOT_BYTES);
}

/* The next frame that has come, or NULL. */
static inline struct tpacket2_hdr *raw_next(const struct raw_queue *queue)
{
	struct tpacket2_hdr *slot = raw_slot(queue);

	if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return NULL;
	return slot;
}

/* Give the slot of raw_next() back. */
static inline void raw_release(struct raw_queue *queue)
{
	__atomic_store_n(&raw_slot(queue)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	if (++queue->at == queue->slot_count)
		queue->at = 0;
}

#pragma GCC visibility pop

#endif
