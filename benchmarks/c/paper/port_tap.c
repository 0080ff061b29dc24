// SPDX-License-Identifier: GPL-2.0-only
/*
 * tap:DESCRIPTOR: the other side of a tap, one read() or write() a frame, which is
 * all that tun(4) offers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "port.h"

struct tap_state {
	uint8_t buffers[PORT_BATCH][PORT_FRAME_BYTES];
};

static void tap_open(struct port *port, char *arguments)
{
	port->fd = atoi(next_word(&arguments, "descriptor"));
	port->state = calloc(1, sizeof(struct tap_state));
	if (fcntl(port->fd, F_SETFL, O_RDWR | O_NONBLOCK))
		fail("tap");
}

static int tap_receive(struct port *port, struct frame *frames, int max)
{
	struct tap_state *state = port->state;

	for (int i = 0; i < max; i++) {
		ssize_t bytes = read(port->fd, state->buffers[i], PORT_FRAME_BYTES);

		if (bytes <= 0)
			return i;
		frames[i].data = state->buffers[i];
		frames[i].bytes = (uint32_t)bytes;
	}
	return max;
}

static void tap_release(struct port *port)
{
	(void)port;
}

static int tap_send(struct port *port, const struct frame *frames, int count)
{
	for (int i = 0; i < count; i++)
		if (write(port->fd, frames[i].data, frames[i].bytes) < 0)
			return i;
	return count;
}

const struct port_kind port_tap = {
	.name = "tap",
	.open = tap_open,
	.receive = tap_receive,
	.release = tap_release,
	.send = tap_send,
};
