// SPDX-License-Identifier: GPL-2.0-only
/*
 * pipe:IN:OUT: descriptors of two pipes.  4 bytes of length, in network order, stand
 * before each frame; a batch goes by one writev() and comes by one read().
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "port.h"

#define ROOM_BYTES (PORT_BATCH * PORT_FRAME_BYTES)

struct pipe_state {
	int out;
	uint8_t room[ROOM_BYTES];
	uint32_t begin, end; /* of what was read and not yet given out */
	uint8_t rest[PORT_FRAME_BYTES]; /* of a frame that the pipe took in part */
	uint32_t rest_at, rest_bytes;
};

static void pipe_open(struct port *port, char *arguments)
{
	struct pipe_state *state = calloc(1, sizeof(*state));

	port->fd = atoi(next_word(&arguments, "descriptor to read"));
	state->out = atoi(next_word(&arguments, "descriptor to write"));
	if (fcntl(port->fd, F_SETFL, O_NONBLOCK) || fcntl(state->out, F_SETFL, O_NONBLOCK))
		fail("pipe");
	port->state = state;
}

/* The frame at begin; its bytes, or 0 if it is not all there. */
static uint32_t whole_frame(const struct pipe_state *state)
{
	uint32_t bytes;

	if (state->end - state->begin < sizeof(bytes))
		return 0;
	memcpy(&bytes, state->room + state->begin, sizeof(bytes));
	bytes = ntohl(bytes);
	return state->end - state->begin - sizeof(bytes) < bytes ? 0 : bytes;
}

static int pipe_receive(struct port *port, struct frame *frames, int max)
{
	struct pipe_state *state = port->state;
	uint32_t bytes;
	int count = 0;

	if (!whole_frame(state)) {
		ssize_t got;

		memmove(state->room, state->room + state->begin, state->end - state->begin);
		state->end -= state->begin;
		state->begin = 0;
		got = read(port->fd, state->room + state->end, ROOM_BYTES - state->end);
		if (got > 0)
			state->end += (uint32_t)got;
	}
	while (count < max && (bytes = whole_frame(state))) {
		frames[count++] =
			(struct frame){ state->room + state->begin + sizeof(bytes), bytes };
		state->begin += (uint32_t)sizeof(bytes) + bytes;
	}
	return count;
}

static void pipe_release(struct port *port)
{
	(void)port;
}

/* What the pipe took in part must be continued first. */
static int send_rest(struct pipe_state *state)
{
	while (state->rest_bytes) {
		ssize_t sent = write(state->out, state->rest + state->rest_at, state->rest_bytes);

		if (sent <= 0)
			return 0;
		state->rest_at += (uint32_t)sent;
		state->rest_bytes -= (uint32_t)sent;
	}
	return 1;
}

static void keep_rest(struct pipe_state *state, const struct iovec *head, const struct iovec *body,
		      size_t sent)
{
	memcpy(state->rest, head->iov_base, head->iov_len);
	memcpy(state->rest + head->iov_len, body->iov_base, body->iov_len);
	state->rest_at = (uint32_t)sent;
	state->rest_bytes = (uint32_t)(head->iov_len + body->iov_len - sent);
}

static int pipe_send(struct port *port, const struct frame *frames, int count)
{
	struct pipe_state *state = port->state;
	struct iovec iov[2 * PORT_BATCH];
	uint32_t lengths[PORT_BATCH];
	ssize_t left;

	if (!send_rest(state))
		return 0;
	for (int i = 0; i < count; i++) {
		lengths[i] = htonl(frames[i].bytes);
		iov[2 * i] = (struct iovec){ &lengths[i], sizeof(lengths[i]) };
		iov[2 * i + 1] = (struct iovec){ frames[i].data, frames[i].bytes };
	}
	left = writev(state->out, iov, 2 * count);
	for (int i = 0; i < count; i++) {
		ssize_t need = (ssize_t)(sizeof(uint32_t) + frames[i].bytes);

		if (left <= 0)
			return i;
		if (left < need)
			keep_rest(state, &iov[2 * i], &iov[2 * i + 1], (size_t)left);
		left -= need;
	}
	return count;
}

const struct port_kind port_pipe = {
	.name = "pipe",
	.open = pipe_open,
	.receive = pipe_receive,
	.release = pipe_release,
	.send = pipe_send,
};
