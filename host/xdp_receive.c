// SPDX-License-Identifier: GPL-2.0-only
#include <sys/socket.h>

#include "unfinished.h"
#include "xdp.h"

/* The host may wait for a system call before it looks for empty chunks, or for frames. */
static void wake(const struct xdp_state *state, const struct xdp_queue *queue)
{
	if (state->parameters.busy_poll_us || xsk_ring_prod__needs_wakeup(&queue->fill))
		recvfrom(queue->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/* Give chunks of frames that were taken back, to be filled again. */
static void refill(struct xdp_queue *queue, uint32_t rx_at, uint32_t frames, uint64_t mask)
{
	uint32_t fill_at = 0;

	/* The ring has an entry for each chunk, so there is room. */
	xsk_ring_prod__reserve(&queue->fill, frames, &fill_at);
	for (uint32_t i = 0; i < frames; i++)
		*xsk_ring_prod__fill_addr(&queue->fill, fill_at + i) =
			xsk_ring_cons__rx_desc(&queue->rx, rx_at + i)->addr & mask;
	xsk_ring_prod__submit(&queue->fill, frames);
	xsk_ring_cons__release(&queue->rx, frames);
}

uint32_t xdp_receive_queue(struct plh_device *device, uint32_t number)
{
	struct xdp_state *state = plh_device_state(device);
	struct xdp_queue *queue = &state->queue[number];
	uint32_t frames, at, taken;
	bool waits = false;

	wake(state, queue);
	frames = xsk_ring_cons__peek(&queue->rx, XDP_BATCH, &at);
	for (taken = 0; taken < frames; taken++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&queue->rx, at + taken);
		const uint8_t *frame = queue->memory + desc->addr;
		struct ring_span room;
		enum deliver found = device_claim(device, number, desc->len, &room);

		if (found == DELIVER_WAIT) {
			waits = true;
			break;
		}
		if (found != DELIVER_OK)
			continue;
		ring_scatter(&room, frame, desc->len);
		if (state->finish_checksums)
			unfinished_checksum(frame, desc->len, ring_meta(&room));
		device_commit(device, &room);
	}
	if (!frames)
		return 0;
	xsk_ring_cons__cancel(&queue->rx, frames - taken);
	if (taken)
		refill(queue, at, taken, ~(uint64_t)(state->chunk_bytes - 1));
	return taken + waits; /* what still waits has come, too */
}
