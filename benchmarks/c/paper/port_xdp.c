// SPDX-License-Identifier: GPL-2.0-only
/*
 * xdp:INTERFACE: the first queue of an interface of our own namespace, by AF_XDP in
 * copy mode, which is what veth has.  Only where libxdp is.
 */
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include "port.h"

#define RING_FRAMES 2048
#define CHUNK_BYTES 2048
#define MOST_KICKS  16 /* of 32 frames each, as the kernel has it */

struct xdp_state {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	uint8_t *memory; /* RING_FRAMES chunks to receive, as many to send */
	uint64_t free[RING_FRAMES]; /* chunks to send */
	uint32_t free_count;
	uint64_t held[PORT_BATCH]; /* chunks received and not yet released */
	uint32_t held_count;
};

static void fill(struct xdp_state *state, const uint64_t *chunks, uint32_t count)
{
	uint32_t at;

	if (!count || xsk_ring_prod__reserve(&state->fill, count, &at) != count)
		return;
	for (uint32_t i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&state->fill, at++) = chunks[i];
	xsk_ring_prod__submit(&state->fill, count);
}

static void xdp_open(struct port *port, char *arguments)
{
	static const struct xsk_umem_config memory = {
		.fill_size = RING_FRAMES,
		.comp_size = RING_FRAMES,
		.frame_size = CHUNK_BYTES,
	};
	static const struct xsk_socket_config config = {
		.rx_size = RING_FRAMES,
		.tx_size = RING_FRAMES,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	const size_t bytes = 2 * (size_t)RING_FRAMES * CHUNK_BYTES;
	const char *interface = next_word(&arguments, "interface");
	struct xdp_state *state = calloc(1, sizeof(*state));
	uint64_t chunks[RING_FRAMES];
	int error;

	state->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (state->memory == MAP_FAILED)
		fail("mmap");
	error = xsk_umem__create(&state->umem, state->memory, bytes, &state->fill,
				 &state->completion, &memory);
	if (!error)
		error = xsk_socket__create(&state->socket, interface, 0, state->umem, &state->rx,
					   &state->tx, &config);
	if (error) {
		errno = -error;
		fail("AF_XDP");
	}
	for (uint64_t i = 0; i < RING_FRAMES; i++) {
		chunks[i] = i * CHUNK_BYTES;
		state->free[state->free_count++] = (RING_FRAMES + i) * CHUNK_BYTES;
	}
	fill(state, chunks, RING_FRAMES);
	port->fd = xsk_socket__fd(state->socket);
	port->state = state;
}

static int xdp_receive(struct port *port, struct frame *frames, int max)
{
	struct xdp_state *state = port->state;
	uint32_t at, count = xsk_ring_cons__peek(&state->rx, (uint32_t)max, &at);

	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&state->rx, at + i);

		state->held[i] = desc->addr;
		frames[i] = (struct frame){ state->memory + desc->addr, desc->len };
	}
	state->held_count = count;
	return (int)count;
}

static void xdp_release(struct port *port)
{
	struct xdp_state *state = port->state;

	if (!state->held_count)
		return;
	fill(state, state->held, state->held_count);
	xsk_ring_cons__release(&state->rx, state->held_count);
	state->held_count = 0;
}

/* Chunks whose frames have left. */
static void reclaim(struct xdp_state *state)
{
	uint32_t at, count = xsk_ring_cons__peek(&state->completion, RING_FRAMES, &at);

	for (uint32_t i = 0; i < count; i++)
		state->free[state->free_count++] =
			*xsk_ring_cons__comp_addr(&state->completion, at + i);
	xsk_ring_cons__release(&state->completion, count);
}

static int xdp_send(struct port *port, const struct frame *frames, int count)
{
	struct xdp_state *state = port->state;
	uint32_t at, wanted = (uint32_t)count;

	reclaim(state);
	if (wanted > state->free_count)
		wanted = state->free_count;
	wanted = wanted ? xsk_ring_prod__reserve(&state->tx, wanted, &at) : 0;
	for (uint32_t i = 0; i < wanted; i++) {
		struct xdp_desc *desc = xsk_ring_prod__tx_desc(&state->tx, at + i);

		*desc = (struct xdp_desc){ .addr = state->free[--state->free_count],
					   .len = frames[i].bytes };
		memcpy(state->memory + desc->addr, frames[i].data, frames[i].bytes);
	}
	if (wanted)
		xsk_ring_prod__submit(&state->tx, wanted);
	for (int i = 0; i < MOST_KICKS && xsk_ring_prod__needs_wakeup(&state->tx); i++)
		if (!sendto(port->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) ||
		    (errno != EAGAIN && errno != EBUSY))
			break;
	return (int)wanted;
}

static uint64_t xdp_lost(struct port *port)
{
	struct xdp_statistics statistics;
	socklen_t bytes = sizeof(statistics);

	if (getsockopt(port->fd, SOL_XDP, XDP_STATISTICS, &statistics, &bytes))
		fail("XDP_STATISTICS");
	return statistics.rx_dropped + statistics.rx_ring_full +
	       statistics.rx_fill_ring_empty_descs;
}

const struct port_kind port_xdp = {
	.name = "xdp",
	.open = xdp_open,
	.receive = xdp_receive,
	.release = xdp_release,
	.send = xdp_send,
	.lost = xdp_lost,
};
