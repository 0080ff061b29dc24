// SPDX-License-Identifier: GPL-2.0-only
/* Frames through a UNIX socket whose other end is another process. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "frame_stream.h"
#include "unix_packet.h"
#include "unix_peer.h"

struct unix_state {
	struct unix_peer peer;
	union {
		struct packet_batch packets;
		struct frame_stream stream;
	};
};

static bool is_stream(const struct unix_state *state)
{
	return state->peer.type == PLH_UNIX_STREAM;
}

static void joined(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);

	if (is_stream(state))
		stream_reset(&state->stream);
	if (device->netdev)
		device_set_carrier(device, true);
}

/* As writev(2), but that a peer which is gone raises no signal. */
static ssize_t socket_write(int fd, const struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int unix_open(struct plh_device *device, const void *given, struct ll_netdev_config *config)
{
	const struct plh_unix_parameters *parameters = given;
	struct unix_state *state = plh_device_state(device);
	struct unix_peer *peer = &state->peer;

	if (parameters->type > PLH_UNIX_STREAM) {
		plh_set_error("There is no type %u of UNIX socket: see enum plh_unix_type.",
			      parameters->type);
		return -EINVAL;
	}
	memcpy(peer->path, parameters->path, sizeof(peer->path));
	memcpy(peer->peer_path, parameters->peer, sizeof(peer->peer_path));
	peer->type = parameters->type;
	peer->listen = parameters->listen;
	peer->given_fd = parameters->fd;
	peer->on_join = joined;
	peer->watch = device_set_fd;
	if (is_stream(state)) {
		state->stream.vnet_header = parameters->vnet_hdr;
		state->stream.write = socket_write;
	} else {
		state->packets.vnet_header = parameters->vnet_hdr;
		state->packets.zero_is_end = parameters->type == PLH_UNIX_SEQPACKET;
	}
	config->queues = 1;
	config->features = LL_NETDEV_SG;
	if (parameters->vnet_hdr)
		config->features |= LL_NETDEV_CSUM | LL_NETDEV_TSO | LL_NETDEV_USO;
	return unix_peer_open(device);
}

static int unix_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return unix_peer_fd(plh_device_state(device));
}

/* --- Frames --- */

static void peer_gone(struct plh_device *device)
{
	device_report(device, "The peer of %.16s is gone.", device->config.name);
	unix_peer_leave(device);
}

static void unix_transmit(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	bool full, ended;

	if (!state->peer.joined) {
		device_flush(device);
		device_notify_sent(device);
		if (device->netdev->carrier)
			device_set_carrier(device, false); /* after it was added */
		return;
	}
	if (is_stream(state)) {
		enum stream_result result = stream_transmit(device, &state->stream, state->peer.fd);

		full = result == STREAM_FULL;
		ended = result == STREAM_ENDED;
	} else {
		enum packet_result result =
			packet_transmit(device, &state->packets, state->peer.fd);

		full = result == PACKET_FULL;
		ended = result == PACKET_ENDED;
	}
	if (full)
		device_stall_transmit(device);
	if (ended)
		peer_gone(device);
}

/*
 * Called although nobody asked whether it can be read: an error or the peer's
 * end, and buffers will not come since the interface is down.
 */
static bool is_lost(const struct plh_device *device)
{
	return device->rx_stalled && !device->netdev->rx_kicked;
}

static void receive_stream(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);

	switch (stream_receive(device, &state->stream, state->peer.fd)) {
	case STREAM_ENDED:
		peer_gone(device);
		break;
	case STREAM_NONSENSE:
		unix_peer_leave(device);
		break;
	default:
		break;
	}
}

static void receive_unjoined(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);

	unix_peer_readable(device);
	if (state->peer.type == PLH_UNIX_DGRAM)
		packet_receive(device, &state->packets, state->peer.fd);
}

static void unix_receive(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	struct pollfd events = { .fd = state->peer.fd };

	if (!state->peer.joined) {
		receive_unjoined(device);
	} else if (is_lost(device)) {
		if (poll(&events, 1, 0) == 1)
			peer_gone(device);
	} else if (is_stream(state)) {
		receive_stream(device);
	} else if (packet_receive(device, &state->packets, state->peer.fd) == PACKET_ENDED) {
		peer_gone(device);
	}
}

const struct plh_backend plh_unix = {
	.name = "unix",
	.state_bytes = sizeof(struct unix_state),
	.open = unix_open,
	.close = unix_peer_close,
	.transmit = unix_transmit,
	.receive = unix_receive,
	.fd = unix_fd,
};
