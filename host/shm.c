// SPDX-License-Identifier: GPL-2.0-only
/*
 * A memory that two processes share, as a device.  A UNIX socket brings them
 * together: the end that listens makes the memory and passes it on, later packets
 * of one byte are doorbells, and its end is the peer's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "shm_ring.h"
#include "unix_peer.h"

#define DEFAULT_RING_BYTES (1u << 20)
#define DOORBELLS_AT_ONCE  16
#define NEEDED_SEALS	   (F_SEAL_SHRINK | F_SEAL_GROW)

/* The first packet of the end that listens, with the memory, and the other end's answer. */
struct hello {
	uint64_t magic;
	uint32_t version;
	uint32_t ring_bytes;
};

struct shm_state {
	struct unix_peer peer;
	int epoll_fd; /* watches the socket of the day */
	int watched_fd; /* or -1 */
	uint32_t ring_bytes; /* of memory that this end makes */
	void *memory; /* or NULL */
	uint64_t memory_bytes;
	struct shm_ring out, in;
	bool open; /* both ends have the memory */
	bool full; /* frames wait in the kernel's ring for room in ours */
	bool stalled; /* buffers are to come: no doorbell rang */
};

/* --- The memory --- */

static void unmap(struct shm_state *state)
{
	state->open = state->full = false;
	if (state->memory)
		munmap(state->memory, state->memory_bytes);
	state->memory = NULL;
}

static int map(struct shm_state *state, int fd, uint32_t ring_bytes)
{
	void *memory;

	state->memory_bytes = shm_memory_bytes(ring_bytes);
	memory = mmap(NULL, state->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	state->memory = memory;
	shm_ring_attach(&state->out, memory, ring_bytes, !state->peer.listen);
	shm_ring_attach(&state->in, memory, ring_bytes, state->peer.listen);
	return 0;
}

/* A memory that nobody can shorten: or an access to it would be a SIGBUS. */
static int make_memory(struct shm_state *state)
{
	struct shm_header *header;
	int fd = memfd_create("pylibos-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)shm_memory_bytes(state->ring_bytes)) ||
	    fcntl(fd, F_ADD_SEALS, NEEDED_SEALS | F_SEAL_SEAL))
		error = -errno;
	else
		error = map(state, fd, state->ring_bytes);
	if (error) {
		close(fd);
		return error;
	}
	header = state->memory;
	header->magic = SHM_MAGIC;
	header->version = SHM_VERSION;
	header->ring_bytes = state->ring_bytes;
	return fd;
}

/* --- The handshake --- */

static void give_up(struct plh_device *device, const char *why)
{
	device_report(device, "The peer of %.16s %s.", device->config.name, why);
	unmap(plh_device_state(device));
	unix_peer_leave(device);
}

static bool send_hello(const struct shm_state *state, uint32_t ring_bytes, int fd)
{
	struct hello hello = { SHM_MAGIC, SHM_VERSION, ring_bytes };
	struct iovec iov = { &hello, sizeof(hello) };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *header = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	return sendmsg(state->peer.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(hello);
}

/* The socket is connected: who listens goes first. */
static void joined(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);
	int fd;

	if (!state->peer.listen)
		return;
	fd = make_memory(state);
	if (fd < 0) {
		device_report(device, "The shared memory of %.16s cannot be made (%s).",
			      device->config.name, plh_errno_text(fd));
		return; /* nothing will open it; the next peer may have more luck */
	}
	send_hello(state, state->ring_bytes, fd);
	close(fd);
}

/* Its first packet: bytes or -errno, and the descriptor that came along, or -1. */
static ssize_t receive_hello(const struct shm_state *state, struct hello *hello, int *fd)
{
	struct iovec iov = { hello, sizeof(*hello) };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	ssize_t bytes = recvmsg(state->peer.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (bytes < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return bytes;
}

/* NULL, or what is wrong with the memory that came. */
static const char *take_memory(struct shm_state *state, const struct hello *hello, int fd)
{
	uint32_t ring_bytes = hello->ring_bytes;
	struct stat file;
	int seals;

	if (fd < 0)
		return "passed no memory on";
	if (ring_bytes < SHM_MIN_RING_BYTES || ring_bytes > SHM_MAX_RING_BYTES ||
	    ring_bytes & (ring_bytes - 1))
		return "has rings of an impossible size";
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & NEEDED_SEALS) != NEEDED_SEALS)
		return "passed a memory on that it could shorten";
	if (fstat(fd, &file) || (uint64_t)file.st_size != shm_memory_bytes(ring_bytes))
		return "passed a memory on that has another size than it says";
	if (map(state, fd, ring_bytes))
		return "passed a memory on that cannot be mapped";
	return NULL;
}

/* --- Frames --- */

static void ring_doorbell(const struct shm_state *state)
{
	/* If there is no room for it, others are there that were not heard yet. */
	send(state->peer.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A world that never sleeps and that nobody else waits for looks by itself. */
static bool needs_doorbell(const struct plh_device *device)
{
	const struct plh_world *world = device->kernel->world;

	return world->config.wait_kind != PLH_WAIT_BUSY || world->fd_used;
}

static void nonsense(struct plh_device *device)
{
	device->stats.rx_dropped++;
	give_up(device, "has written into the shared memory what cannot be");
}

static void shm_transmit(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);
	enum shm_result result;

	if (!state->open) {
		device_flush(device);
		device_notify_sent(device);
		if (device->netdev->carrier)
			device_set_carrier(device, false); /* after it was added */
		return;
	}
	do
		result = shm_write(device, &state->out);
	while (result == SHM_WAIT && shm_want_room(&state->out));
	state->full = result == SHM_WAIT;
	if (shm_owes_frames(&state->out))
		ring_doorbell(state);
	device_notify_sent(device);
	if (result == SHM_NONSENSE)
		nonsense(device);
}

static void take_frames(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);
	enum shm_result result;

	do {
		result = shm_read(device, &state->in);
		if (shm_owes_room(&state->in))
			ring_doorbell(state);
	} while (result == SHM_OK && needs_doorbell(device) && shm_want_frames(&state->in));
	state->stalled = result == SHM_WAIT;
	if (result == SHM_NONSENSE)
		nonsense(device);
}

static void shake_hands(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);
	struct hello hello;
	const char *wrong = NULL;
	int fd;
	ssize_t bytes = receive_hello(state, &hello, &fd);

	if (bytes == -EAGAIN || bytes == -EINTR)
		return;
	if (bytes <= 0)
		wrong = "is gone";
	else if (bytes != sizeof(hello) || hello.magic != SHM_MAGIC)
		wrong = "speaks another protocol";
	else if (hello.version != SHM_VERSION)
		wrong = "speaks another version of the protocol";
	else if (!state->peer.listen)
		wrong = take_memory(state, &hello, fd);
	else if (!state->memory)
		wrong = "cannot be given any memory";
	if (fd >= 0)
		close(fd);
	if (!wrong && !state->peer.listen && !send_hello(state, hello.ring_bytes, -1))
		wrong = "is gone";
	if (wrong) {
		give_up(device, wrong);
		return;
	}
	state->open = true;
	state->full = state->stalled = false;
	device_set_carrier(device, true);
	take_frames(device); /* those that are there, and ask for a doorbell */
}

/* Frames that waited for room, then those that have come. */
static void look(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);

	if (state->full) {
		shm_transmit(device);
		if (state->open && !state->full)
			device_kick(device);
	}
	if (state->open)
		take_frames(device);
}

static void shm_poll(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);

	if (state->open &&
	    (state->full ||
	     state->in.tail != __atomic_load_n(&state->in.control->head, __ATOMIC_RELAXED)))
		look(device);
	else if (state->open && needs_doorbell(device))
		take_frames(device);
}

/* Doorbells; false: the peer is gone. */
static bool hear(const struct shm_state *state)
{
	char bell[DOORBELLS_AT_ONCE];
	ssize_t bytes = 1;

	for (int i = 0; i < DOORBELLS_AT_ONCE && bytes > 0; i++)
		bytes = recv(state->peer.fd, bell, sizeof(bell), MSG_DONTWAIT);
	return bytes > 0 || (bytes < 0 && (errno == EAGAIN || errno == EINTR));
}

static void shm_receive(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);
	bool heard = state->stalled || !state->peer.joined;

	if (!state->peer.joined)
		unix_peer_readable(device);
	if (!state->peer.joined)
		return;
	if (!state->open) {
		shake_hands(device);
		return;
	}
	/* What the peer wrote before its end counts. */
	if (!heard && !hear(state)) {
		take_frames(device);
		if (state->open)
			give_up(device, "is gone");
		return;
	}
	look(device);
}

/* --- Opening --- */

static void watch(struct plh_device *device, int fd)
{
	struct shm_state *state = plh_device_state(device);
	struct epoll_event event = { .events = EPOLLIN };

	if (state->watched_fd >= 0)
		epoll_ctl(state->epoll_fd, EPOLL_CTL_DEL, state->watched_fd, NULL);
	if (fd >= 0)
		epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	state->watched_fd = fd;
}

static void shm_close(struct plh_device *device)
{
	struct shm_state *state = plh_device_state(device);

	unix_peer_close(device);
	unmap(state);
	close(state->epoll_fd);
}

static int shm_open_device(struct plh_device *device, const void *given,
			   struct ll_netdev_config *config)
{
	const struct plh_shm_parameters *parameters = given;
	struct shm_state *state = plh_device_state(device);
	int error;

	state->ring_bytes = parameters->ring_bytes ? parameters->ring_bytes : DEFAULT_RING_BYTES;
	if (state->ring_bytes < SHM_MIN_RING_BYTES || state->ring_bytes > SHM_MAX_RING_BYTES ||
	    state->ring_bytes & (state->ring_bytes - 1)) {
		plh_set_error("Rings of %u bytes cannot be: give a power of two from %u to %u.",
			      state->ring_bytes, SHM_MIN_RING_BYTES, SHM_MAX_RING_BYTES);
		return -EINVAL;
	}
	memcpy(state->peer.path, parameters->path, sizeof(state->peer.path));
	state->peer.type = PLH_UNIX_SEQPACKET;
	state->peer.listen = parameters->listen;
	state->peer.given_fd = parameters->fd;
	state->peer.on_join = joined;
	state->peer.watch = watch;
	state->watched_fd = -1;
	config->queues = 1;
	config->features = LL_NETDEV_SG;
	if (parameters->offload)
		config->features |= LL_NETDEV_CSUM | LL_NETDEV_TSO | LL_NETDEV_USO;
	state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (state->epoll_fd < 0) {
		error = -errno;
		plh_set_error("A shared memory cannot be waited for (%s): raise 'ulimit -n'.",
			      plh_errno_text(error));
		return error;
	}
	error = unix_peer_open(device);
	if (error)
		close(state->epoll_fd);
	else
		watch(device, unix_peer_fd(&state->peer));
	return error;
}

static int shm_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return ((struct shm_state *)plh_device_state(device))->epoll_fd;
}

const struct plh_backend plh_shm = {
	.name = "shm",
	.state_bytes = sizeof(struct shm_state),
	.open = shm_open_device,
	.close = shm_close,
	.transmit = shm_transmit,
	.receive = shm_receive,
	.fd = shm_fd,
	.poll = shm_poll,
};
