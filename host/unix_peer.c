// SPDX-License-Identifier: GPL-2.0-only
/* Finding the other end of a UNIX socket, and finding it again. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "fork.h"
#include "unix_peer.h"

#define FIRST_RETRY_NS	  (10 * NS_PER_S / 1000)
#define MAX_RETRY_NS	  NS_PER_S
#define SEND_BUFFER_BYTES (4 << 20)

static const int types[] = {
	[PLH_UNIX_DGRAM] = SOCK_DGRAM,
	[PLH_UNIX_SEQPACKET] = SOCK_SEQPACKET,
	[PLH_UNIX_STREAM] = SOCK_STREAM,
};

static struct unix_peer *peer_of(struct plh_device *device)
{
	return plh_device_state(device);
}

static bool is_datagram(const struct unix_peer *peer)
{
	return peer->type == PLH_UNIX_DGRAM;
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

static int make_socket(const struct unix_peer *peer)
{
	int type = types[peer->type] | SOCK_CLOEXEC | SOCK_NONBLOCK;
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
static void remove_stale(const struct unix_peer *peer)
{
	const char *path = peer->path;
	int fd = make_socket(peer);

	if (fd < 0)
		return;
	if (path[0] != '@' && try_connect(fd, path) == -ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int bind_here(struct unix_peer *peer, int fd)
{
	const char *path = peer->path;
	struct sockaddr_un address;
	socklen_t bytes = address_of(path, &address);
	struct stat file;

	if (bind(fd, (struct sockaddr *)&address, bytes)) {
		if (errno == EADDRINUSE)
			remove_stale(peer);
		if (bind(fd, (struct sockaddr *)&address, bytes))
			return -errno;
	}
	if (path[0] != '@' && !stat(path, &file)) {
		peer->bound_device = file.st_dev;
		peer->bound_inode = file.st_ino;
	}
	return 0;
}

/* Leave no file behind, but none of another process's either. */
static void unbind(const struct unix_peer *peer)
{
	struct stat file;

	if (peer->bound_inode && !stat(peer->path, &file) && file.st_dev == peer->bound_device &&
	    file.st_ino == peer->bound_inode)
		unlink(peer->path);
}

/* --- Joined and not --- */

static void enlarge_buffer(int fd)
{
	int bytes = SEND_BUFFER_BYTES;

	/* Beyond net.core.wmem_max for root only. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int unix_peer_fd(const struct unix_peer *peer)
{
	return peer->joined || is_datagram(peer) ? peer->fd : peer->listen_fd;
}

static void join(struct plh_device *device, int fd)
{
	struct unix_peer *peer = peer_of(device);

	peer->fd = fd;
	peer->joined = true;
	peer->retry_ns = FIRST_RETRY_NS;
	enlarge_buffer(fd);
	if (device->netdev)
		peer->watch(device, fd); /* else it is being added */
	peer->on_join(device);
}

static void retry_later(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);

	device_timer_set(&peer->retry, world_now(device->kernel->world) + peer->retry_ns);
	peer->retry_ns = peer->retry_ns * 2 < MAX_RETRY_NS ? peer->retry_ns * 2 : MAX_RETRY_NS;
}

void unix_peer_leave(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);
	int fd = peer->fd;

	peer->joined = false;
	if (device->tx_stalled || device->rx_stalled) {
		device->tx_stalled = false;
		device_set_stalled(device, false);
		device_watch(device);
	}
	peer->watch(device, unix_peer_fd(peer));
	if (!is_datagram(peer)) {
		close(fd);
		peer->fd = -1;
	}
	device_flush(device);
	device_set_carrier(device, false);
	if (peer->retry.device)
		retry_later(device);
}

/* Make a socket that is joined to the peer; 0 or -errno. */
static int connect_peer(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);
	int fd = is_datagram(peer) ? peer->fd : make_socket(peer);
	int error;

	if (fd < 0)
		return fd;
	error = try_connect(fd, is_datagram(peer) ? peer->peer_path : peer->path);
	if (!error)
		join(device, fd);
	else if (!is_datagram(peer))
		close(fd);
	return error;
}

static void take_connection(struct plh_device *device)
{
	int fd = accept4(peer_of(device)->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		join(device, fd);
}

void unix_peer_readable(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);

	/* Who sends datagrams has bound its socket: answers will find their way. */
	if (is_datagram(peer))
		connect_peer(device);
	else if (peer->listen_fd >= 0)
		take_connection(device);
}

static void retry_due(struct plh_device *device, uint64_t now_ns)
{
	struct unix_peer *peer = peer_of(device);

	(void)now_ns;
	if (!peer->joined && connect_peer(device))
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
	struct unix_peer *peer = peer_of(device);
	int given = peer->given_fd, domain = 0, type = 0, fd;
	struct sockaddr_un other;
	socklen_t bytes = sizeof(int), other_bytes = sizeof(other);

	if (getsockopt(given, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) ||
	    getsockopt(given, SOL_SOCKET, SO_TYPE, &type, &bytes) || domain != AF_UNIX ||
	    type != types[peer->type] ||
	    getpeername(given, (struct sockaddr *)&other, &other_bytes)) {
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

static int listen_here(struct unix_peer *peer)
{
	int error;

	peer->listen_fd = make_socket(peer);
	if (peer->listen_fd < 0)
		return fail(peer->listen_fd, "made", peer->path);
	error = bind_here(peer, peer->listen_fd);
	if (!error && listen(peer->listen_fd, 1))
		error = -errno;
	return error ? fail(error, "listened at", peer->path) : 0;
}

static int bind_datagrams(struct unix_peer *peer)
{
	int error;

	peer->fd = make_socket(peer);
	if (peer->fd < 0)
		return fail(peer->fd, "made", peer->path);
	error = bind_here(peer, peer->fd);
	return error ? fail(error, "bound", peer->path) : 0;
}

/* A peer that is not there yet may come; anything else is an error. */
static int begin(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);
	const char *path = is_datagram(peer) ? peer->peer_path : peer->path;
	int error = 0;

	if (peer->given_fd >= 0)
		return use_descriptor(device);
	if (peer->listen && !is_datagram(peer))
		return listen_here(peer);
	if (is_datagram(peer))
		error = bind_datagrams(peer);
	if (!error)
		error = device_timer_open(&peer->retry, device, retry_due);
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

int unix_peer_open(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);
	int error;

	peer->fd = peer->listen_fd = -1;
	peer->retry_ns = FIRST_RETRY_NS;
	error = begin(device);
	if (error)
		unix_peer_close(device);
	return error;
}

void unix_peer_close(struct plh_device *device)
{
	struct unix_peer *peer = peer_of(device);

	device_timer_close(&peer->retry);
	/* A child must leave the files of its parent alone. */
	if (device->kernel->world->generation == fork_generation)
		unbind(peer);
	if (peer->fd >= 0)
		close(peer->fd);
	if (peer->listen_fd >= 0)
		close(peer->listen_fd);
}
