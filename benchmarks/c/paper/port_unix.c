// SPDX-License-Identifier: GPL-2.0-only
/*
 * unix:DESCRIPTOR: a connected UNIX socket that keeps packets apart (seqpacket), by
 * sendmmsg() and recvmmsg().
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "port.h"

struct unix_state {
	struct mmsghdr messages[PORT_BATCH];
	struct iovec iov[PORT_BATCH];
	uint8_t buffers[PORT_BATCH][PORT_FRAME_BYTES];
};

static void unix_open(struct port *port, char *arguments)
{
	struct unix_state *state = calloc(1, sizeof(*state));

	port->fd = atoi(next_word(&arguments, "descriptor"));
	for (int i = 0; i < PORT_BATCH; i++)
		state->messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = &state->iov[i], .msg_iovlen = 1 };
	port->state = state;
}

static int unix_receive(struct port *port, struct frame *frames, int max)
{
	struct unix_state *state = port->state;
	int count;

	for (int i = 0; i < max; i++)
		state->iov[i] = (struct iovec){ state->buffers[i], PORT_FRAME_BYTES };
	count = recvmmsg(port->fd, state->messages, (unsigned int)max, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		frames[i] = (struct frame){ state->buffers[i], state->messages[i].msg_len };
	return count < 0 ? 0 : count;
}

static void unix_release(struct port *port)
{
	(void)port;
}

static int unix_send(struct port *port, const struct frame *frames, int count)
{
	struct unix_state *state = port->state;
	int sent;

	for (int i = 0; i < count; i++)
		state->iov[i] = (struct iovec){ frames[i].data, frames[i].bytes };
	sent = sendmmsg(port->fd, state->messages, (unsigned int)count,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? 0 : sent;
}

const struct port_kind port_unix = {
	.name = "unix",
	.open = unix_open,
	.receive = unix_receive,
	.release = unix_release,
	.send = unix_send,
};
