/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AF_XDP sockets of an xdp device: one for each queue of the interface, each with
 * memory of its own that it shares with the host, and the program that feeds them.
 */
#ifndef PLH_XDP_H
#define PLH_XDP_H

#include <bpf/bpf.h>
#include <stdbool.h>
#include <xdp/xsk.h>

#include "device.h"
#include "interface.h"

#define XDP_BATCH 64 /* frames received, then others' turn */

/* What we use of libxdp and libbpf, which are loaded when the first device is opened. */
struct xdp_library {
	__typeof__(xsk_umem__create) *umem_create;
	__typeof__(xsk_umem__delete) *umem_delete;
	__typeof__(xsk_socket__create) *socket_create;
	__typeof__(xsk_socket__delete) *socket_delete;
	__typeof__(xsk_socket__fd) *socket_fd;
	__typeof__(bpf_map_create) *map_create;
	__typeof__(bpf_map_update_elem) *map_update;
	__typeof__(bpf_prog_load) *prog_load;
	__typeof__(bpf_link_create) *link_create;
};

struct xdp_queue {
	int fd; /* -1: there is no socket, since the interface is gone */
	struct xsk_socket *socket;
	struct xsk_umem *umem;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	uint8_t *memory; /* frames chunks to receive, then as many to send */
	uint64_t *free; /* offsets of chunks to send that nobody uses */
	uint32_t free_count;
	uint64_t lost; /* of the host's counters, what was counted already */
	uint32_t unpublished; /* frames that the host has taken, but not yet said so */
	bool zero_copy; /* the driver works in this memory */
	bool wants_room; /* it could take no more frames to send */
};

struct xdp_state {
	struct interface host;
	struct plh_xdp_parameters parameters;
	uint32_t queues;
	uint32_t frames; /* a power of two: chunks each way, and entries of each ring */
	uint32_t chunk_bytes;
	bool settled; /* the device's carrier is the interface's */
	bool finish_checksums; /* frames may come with checksums that are not finished */
	uint32_t turns; /* receives since the interface was looked at */
	int epoll_fd; /* of all sockets, and of what tells of the interface */
	int map_fd, program_fd, link_fd; /* -1: none */
	struct xdp_queue queue[LL_MAX_QUEUES];
};

/* Of a chunk, what a frame can have; the host keeps the rest free in front of it. */
static inline uint32_t xdp_room(const struct xdp_state *state)
{
	return state->chunk_bytes - 256; /* XDP_PACKET_HEADROOM */
}

#pragma GCC visibility push(hidden)

/* The libraries; NULL and plh_set_error() if they are not there. */
const struct xdp_library *xdp_library(void);
/*
 * Open the program and all sockets: 0, or -errno and plh_set_error().  The host lets go of
 * a queue a moment after its last socket was closed; wait for that if patient.
 */
int xdp_open_sockets(struct xdp_state *state, bool patient);
void xdp_close_sockets(struct xdp_state *state);
/* Tell epoll_fd whether room to send is waited for. */
void xdp_watch(struct xdp_state *state, struct xdp_queue *queue, bool wants_room);
/* Frames that the host had no room for since the last question. */
uint64_t xdp_lost(struct xdp_queue *queue);
/* Load and attach the program that gives the sockets their frames. */
int xdp_attach(struct xdp_state *state, const struct xdp_library *library);
int xdp_fail(const struct xdp_state *state, int error, const char *what);

/* Deliver what has come to a queue, one batch at most; how many frames it was. */
uint32_t xdp_receive_queue(struct plh_device *device, uint32_t number);

#pragma GCC visibility pop

#endif
