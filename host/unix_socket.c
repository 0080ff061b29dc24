// SPDX-License-Identifier: GPL-2.0-only
/*
 * A UNIX socket whose other end is another process.  The carrier is up while the
 * two are joined; an end that connects tries again until it is, and an end that
 * listens takes the next one when its peer is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "fork.h"
#include "frame_stream.h"
#include "unix_packet.h"

#define FIRST_RETRY_NS	  (10 * NS_PER_S / 1000)
#define MAX_RETRY_NS	  NS_PER_S
#define SEND_BUFFER_BYTES (4 << 20)

struct unix_state {
	struct plh_unix_parameters parameters;
	int listen_fd; /* or -1 */
	int fd; /* to the peer, or -1; a datagram socket is there without one, too */
	bool joined;
	struct device_timer retry;
	uint64_t retry_ns; /* until the next attempt */
	dev_t bound_device; /* the socket's file, if it is ours */
	ino_t bound_inode;
	union {
		struct packet_batch packets;
		struct frame_stream stream;
	};
};

static const int types[] = {
	[PLH_UNIX_DGRAM] = SOCK_DGRAM,
	[PLH_UNIX_SEQPACKET] = SOCK_SEQPACKET,
	[PLH_UNIX_STREAM] = SOCK_STREAM,
};

static bool is_stream(const struct unix_state *state)
{
	return state->parameters.type == PLH_UNIX_STREAM;
}

static bool is_datagram(const struct unix_state *state)
{
	return state->parameters.type == PLH_UNIX_DGRAM;
}

/* --- Addresses --- */

static socklen_t address_of(const char path[108], struct sockaddr_un *address)
{
	size_t bytes = strnlen(path, sizeof(address->sun_path));

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, bytes);
	if (path[0] == '@')
		address->sun_path[0] = 0;
	else if (bytes < sizeof(address->sun_path))
		bytes++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
}

static int make_socket(const struct unix_state *state)
{
	int type = types[state->parameters.type] | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(AF_UNIX, type, 0);

	return fd < 0 ? -errno : fd;
}

static int try_connect(int fd, const char *path)
{
	struct sockaddr_un address;
	socklen_t bytes = address_of(path, &address);

	return connect(fd, (struct sockaddr *)&address, bytes) ? -errno : 0;
}

/* A file that a process left behind which is gone: nobody answers there. */
static void remove_stale(const struct unix_state *state)
{
	const char *path = state->parameters.path;
	int fd = make_socket(state);

	if (fd < 0)
		return;
	if (path[0] != '@' && try_connect(fd, path) == -ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int bind_here(struct unix_state *state, int fd)
{
	const char *path = state->parameters.path;
	struct sockaddr_un address;
	socklen_t bytes = address_of(path, &address);
	struct stat file;

	if (bind(fd, (struct sockaddr *)&address, bytes)) {
		if (errno == EADDRINUSE)
			remove_stale(state);
		if (bind(fd, (struct sockaddr *)&address, bytes))
			return -errno;
	}
	if (path[0] != '@' && !stat(path, &file)) {
		state->bound_device = file.st_dev;
		state->bound_inode = file.st_ino;
	}
	return 0;
}

/* Leave no file behind, but none of another process's either. */
static void unbind(const struct unix_state *state)
{
	struct stat file;

	if (state->bound_inode && !stat(state->parameters.path, &file) &&
	    file.st_dev == state->bound_device && file.st_ino == state->bound_inode)
		unlink(state->parameters.path);
}

/* --- Joined and not --- */

static void enlarge_buffer(int fd)
{
	int bytes = SEND_BUFFER_BYTES;

	/* Beyond net.core.wmem_max for root only. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int watched_fd(const struct unix_state *state)
{
	return state->joined || is_datagram(state) ? state->fd : state->listen_fd;
}

static void join(struct plh_device *device, int fd)
{
	struct unix_state *state = plh_device_state(device);

	state->fd = fd;
	state->joined = true;
	state->retry_ns = FIRST_RETRY_NS;
	enlarge_buffer(fd);
	if (is_stream(state))
		stream_reset(&state->stream);
	if (!device->netdev)
		return; /* it is being added */
	device_set_fd(device, fd);
	device_set_carrier(device, true);
}

static void retry_later(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);

	device_timer_set(&state->retry, world_now(device->kernel->world) + state->retry_ns);
	state->retry_ns = state->retry_ns * 2 < MAX_RETRY_NS ? state->retry_ns * 2 : MAX_RETRY_NS;
}

static void leave(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	int fd = state->fd;

	state->joined = false;
	if (device->tx_stalled || device->rx_stalled) {
		device->tx_stalled = false;
		device_set_stalled(device, false);
		device_watch(device);
	}
	device_set_fd(device, watched_fd(state));
	if (!is_datagram(state)) {
		close(fd);
		state->fd = -1;
	}
	device_flush(device);
	device_set_carrier(device, false);
	if (state->retry.device)
		retry_later(device);
}

/* Make a socket that is joined to the peer; 0 or -errno. */
static int connect_peer(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	const struct plh_unix_parameters *parameters = &state->parameters;
	int fd = is_datagram(state) ? state->fd : make_socket(state);
	int error;

	if (fd < 0)
		return fd;
	error = try_connect(fd, is_datagram(state) ? parameters->peer : parameters->path);
	if (!error)
		join(device, fd);
	else if (!is_datagram(state))
		close(fd);
	return error;
}

static void retry_due(struct plh_device *device, uint64_t now_ns)
{
	struct unix_state *state = plh_device_state(device);

	(void)now_ns;
	if (!state->joined && connect_peer(device))
		retry_later(device);
}

/* --- Opening --- */

static int fail(int error, const char *what, const char *path)
{
	plh_set_error("The socket %s cannot be %s (%s).", path, what, plh_errno_text(error));
	return error;
}

static int use_descriptor(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	int given = state->parameters.fd, domain = 0, type = 0, fd;
	struct sockaddr_un peer;
	socklen_t bytes = sizeof(int), peer_bytes = sizeof(peer);

	if (getsockopt(given, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) ||
	    getsockopt(given, SOL_SOCKET, SO_TYPE, &type, &bytes) || domain != AF_UNIX ||
	    type != types[state->parameters.type] ||
	    getpeername(given, (struct sockaddr *)&peer, &peer_bytes)) {
		plh_set_error("Descriptor %d is no UNIX socket of this type that is connected.",
			      given);
		return -EINVAL;
	}
	fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK)) {
		int error = -errno;

		if (fd >= 0)
			close(fd);
		plh_set_error("Descriptor %d cannot be used (%s).", given, plh_errno_text(error));
		return error;
	}
	join(device, fd);
	return 0;
}

static int listen_here(struct unix_state *state)
{
	int error;

	state->listen_fd = make_socket(state);
	if (state->listen_fd < 0)
		return fail(state->listen_fd, "made", state->parameters.path);
	error = bind_here(state, state->listen_fd);
	if (!error && listen(state->listen_fd, 1))
		error = -errno;
	return error ? fail(error, "listened at", state->parameters.path) : 0;
}

static int bind_datagrams(struct unix_state *state)
{
	int error;

	state->fd = make_socket(state);
	if (state->fd < 0)
		return fail(state->fd, "made", state->parameters.path);
	error = bind_here(state, state->fd);
	return error ? fail(error, "bound", state->parameters.path) : 0;
}

/* A peer that is not there yet may come; anything else is an error. */
static int begin(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	const char *path = is_datagram(state) ? state->parameters.peer : state->parameters.path;
	int error = 0;

	if (state->parameters.fd >= 0)
		return use_descriptor(device);
	if (state->parameters.listen && !is_datagram(state))
		return listen_here(state);
	if (is_datagram(state))
		error = bind_datagrams(state);
	if (!error)
		error = device_timer_open(&state->retry, device, retry_due);
	if (error)
		return error;
	error = connect_peer(device);
	switch (error) {
	case 0:
		return 0;
	case -ENOENT:
	case -ECONNREFUSED:
	case -EAGAIN:
		retry_later(device);
		return 0;
	default:
		return fail(error, "connected to", path);
	}
}

static void unix_close(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);

	device_timer_close(&state->retry);
	/* A child must leave the files of its parent alone. */
	if (device->kernel->world->generation == fork_generation)
		unbind(state);
	if (state->fd >= 0)
		close(state->fd);
	if (state->listen_fd >= 0)
		close(state->listen_fd);
}

/* As writev(2), but that a peer which is gone raises no signal. */
static ssize_t socket_write(int fd, const struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int unix_open(struct plh_device *device, const void *parameters,
		     struct ll_netdev_config *config)
{
	struct unix_state *state = plh_device_state(device);
	int error;

	state->parameters = *(const struct plh_unix_parameters *)parameters;
	state->fd = state->listen_fd = -1;
	state->retry_ns = FIRST_RETRY_NS;
	if (state->parameters.type > PLH_UNIX_STREAM) {
		plh_set_error("There is no type %u of UNIX socket: see enum plh_unix_type.",
			      state->parameters.type);
		return -EINVAL;
	}
	if (is_stream(state)) {
		state->stream.vnet_header = state->parameters.vnet_hdr;
		state->stream.write = socket_write;
	} else {
		state->packets.vnet_header = state->parameters.vnet_hdr;
		state->packets.zero_is_end = !is_datagram(state);
	}
	config->queues = 1;
	config->features = LL_NETDEV_SG;
	if (state->parameters.vnet_hdr)
		config->features |= LL_NETDEV_CSUM | LL_NETDEV_TSO | LL_NETDEV_USO;
	error = begin(device);
	if (error)
		unix_close(device);
	return error;
}

static int unix_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return watched_fd(plh_device_state(device));
}

/* --- Frames --- */

static void peer_gone(struct plh_device *device)
{
	device_report(device, "The peer of %.16s is gone.", device->config.name);
	leave(device);
}

static void unix_transmit(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	bool full, ended;

	if (!state->joined) {
		device_flush(device);
		device_notify_sent(device);
		if (device->netdev->carrier)
			device_set_carrier(device, false); /* after it was added */
		return;
	}
	if (is_stream(state)) {
		enum stream_result result = stream_transmit(device, &state->stream, state->fd);

		full = result == STREAM_FULL;
		ended = result == STREAM_ENDED;
	} else {
		enum packet_result result = packet_transmit(device, &state->packets, state->fd);

		full = result == PACKET_FULL;
		ended = result == PACKET_ENDED;
	}
	if (full)
		device_stall_transmit(device);
	if (ended)
		peer_gone(device);
}

static void take_connection(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	int fd = accept4(state->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		join(device, fd);
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

	switch (stream_receive(device, &state->stream, state->fd)) {
	case STREAM_ENDED:
		peer_gone(device);
		break;
	case STREAM_NONSENSE:
		leave(device);
		break;
	default:
		break;
	}
}

static void receive_unjoined(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);

	if (!is_datagram(state)) {
		if (state->listen_fd >= 0)
			take_connection(device);
		return;
	}
	/* Who sends has bound its socket: the answer finds its way. */
	connect_peer(device);
	packet_receive(device, &state->packets, state->fd);
}

static void unix_receive(struct plh_device *device)
{
	struct unix_state *state = plh_device_state(device);
	struct pollfd events = { .fd = state->fd };

	if (!state->joined) {
		receive_unjoined(device);
	} else if (is_lost(device)) {
		if (poll(&events, 1, 0) == 1)
			peer_gone(device);
	} else if (is_stream(state)) {
		receive_stream(device);
	} else if (packet_receive(device, &state->packets, state->fd) == PACKET_ENDED) {
		peer_gone(device);
	}
}

const struct plh_backend plh_unix = {
	.name = "unix",
	.state_bytes = sizeof(struct unix_state),
	.open = unix_open,
	.close = unix_close,
	.transmit = unix_transmit,
	.receive = unix_receive,
	.fd = unix_fd,
};
