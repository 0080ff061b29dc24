// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pair of pipes whose other ends another process holds: FIFOs by their names, or
 * descriptors.  Frames go as frame_stream.c has them.  The carrier is up while
 * somebody reads what is written here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "frame_stream.h"

#define FIRST_RETRY_NS (10 * NS_PER_S / 1000)
#define MAX_RETRY_NS   (NS_PER_S / 4)
#define PIPE_BYTES     (1 << 20)

struct pipe_state {
	struct plh_pipe_parameters parameters;
	int epoll_fd; /* watches both ends */
	int in_fd, out_fd; /* or -1 */
	bool joined;
	bool full; /* waits for room in the pipe */
	struct device_timer retry;
	uint64_t retry_ns;
	struct frame_stream stream;
};

/* As writev(2), but that a reader who is gone raises no signal. */
static ssize_t pipe_write(int fd, const struct iovec *iov, int count)
{
	static const struct timespec no_time;
	sigset_t broken, before;
	ssize_t bytes;
	int error;

	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken, &before);
	bytes = writev(fd, iov, count);
	error = errno;
	if (bytes < 0 && error == EPIPE && !sigismember(&before, SIGPIPE))
		while (sigtimedwait(&broken, NULL, &no_time) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return bytes;
}

static void watch_room(struct pipe_state *state, bool full)
{
	struct epoll_event event = { .events = full ? EPOLLOUT : 0 };

	if (full != state->full)
		epoll_ctl(state->epoll_fd, EPOLL_CTL_MOD, state->out_fd, &event);
	state->full = full;
}

static int open_fifo(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	struct stat file;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &file) || !S_ISFIFO(file.st_mode)) {
		close(fd);
		return -ENOTSUP;
	}
	return fd;
}

static int fail(int error, const char *path)
{
	plh_set_error("The FIFO %s cannot be used (%s).", path, plh_errno_text(error));
	return error;
}

static void close_ends(struct pipe_state *state)
{
	if (state->in_fd >= 0)
		close(state->in_fd);
	if (state->out_fd >= 0)
		close(state->out_fd);
	state->in_fd = state->out_fd = -1;
}

static void join(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);
	struct epoll_event input = { .events = EPOLLIN }, output = { .events = 0 };

	state->joined = true;
	state->full = false;
	state->retry_ns = FIRST_RETRY_NS;
	stream_reset(&state->stream);
	/* Both as large as an unprivileged user may have them; smaller ones do. */
	fcntl(state->in_fd, F_SETPIPE_SZ, PIPE_BYTES);
	fcntl(state->out_fd, F_SETPIPE_SZ, PIPE_BYTES);
	epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, state->in_fd, &input);
	epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, state->out_fd, &output);
	if (device->netdev)
		device_set_carrier(device, true);
}

/* 0, or -ENXIO while nobody reads there, or what is wrong. */
static int open_ends(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);
	const char *in = state->parameters.in_path, *out = state->parameters.out_path;
	int fd;

	/* First what the other end looks for. */
	if (state->in_fd < 0) {
		fd = open_fifo(in, O_RDONLY);
		if (fd < 0)
			return fail(fd, in);
		state->in_fd = fd;
	}
	fd = open_fifo(out, O_WRONLY);
	if (fd < 0)
		return fail(fd, out);
	state->out_fd = fd;
	join(device);
	return 0;
}

static void retry_later(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);

	device_timer_set(&state->retry, world_now(device->kernel->world) + state->retry_ns);
	state->retry_ns = state->retry_ns * 2 < MAX_RETRY_NS ? state->retry_ns * 2 : MAX_RETRY_NS;
}

static void retry_due(struct plh_device *device, uint64_t now_ns)
{
	(void)now_ns;
	if (open_ends(device))
		retry_later(device);
}

static void leave(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);

	state->joined = false;
	close_ends(state);
	device_flush(device);
	device_set_carrier(device, false);
	if (state->retry.device)
		retry_later(device);
}

static void peer_gone(struct plh_device *device)
{
	device_report(device, "The peer of %.16s is gone.", device->config.name);
	leave(device);
}

/* --- Opening --- */

static int use_descriptor(int given, int access)
{
	int fd = fcntl(given, F_DUPFD_CLOEXEC, 0), flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	struct stat file;

	if (fd < 0 || fstat(fd, &file) || !S_ISFIFO(file.st_mode) ||
	    ((flags & O_ACCMODE) != access && (flags & O_ACCMODE) != O_RDWR) ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK)) {
		if (fd >= 0)
			close(fd);
		plh_set_error("Descriptor %d is no end of a pipe that can be %s.", given,
			      access == O_RDONLY ? "read" : "written");
		return -EINVAL;
	}
	return fd;
}

static int use_descriptors(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);

	state->in_fd = use_descriptor(state->parameters.in_fd, O_RDONLY);
	if (state->in_fd < 0)
		return state->in_fd;
	state->out_fd = use_descriptor(state->parameters.out_fd, O_WRONLY);
	if (state->out_fd < 0)
		return state->out_fd;
	join(device);
	return 0;
}

static int make_fifo(const char *path)
{
	if (!mkfifo(path, 0600) || errno == EEXIST)
		return 0;
	return fail(-errno, path);
}

static int use_fifos(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);
	int error = make_fifo(state->parameters.in_path);

	if (!error)
		error = make_fifo(state->parameters.out_path);
	if (!error)
		error = device_timer_open(&state->retry, device, retry_due);
	if (!error)
		error = open_ends(device);
	if (error == -ENXIO) {
		retry_later(device);
		error = 0;
	}
	return error;
}

static void pipe_close(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);

	device_timer_close(&state->retry);
	close_ends(state);
	if (state->epoll_fd >= 0)
		close(state->epoll_fd);
}

static int pipe_open(struct plh_device *device, const void *parameters,
		     struct ll_netdev_config *config)
{
	struct pipe_state *state = plh_device_state(device);
	int error;

	state->parameters = *(const struct plh_pipe_parameters *)parameters;
	state->in_fd = state->out_fd = -1;
	state->retry_ns = FIRST_RETRY_NS;
	state->stream.vnet_header = state->parameters.vnet_hdr;
	state->stream.write = pipe_write;
	config->queues = 1;
	config->features = LL_NETDEV_SG;
	if (state->parameters.vnet_hdr)
		config->features |= LL_NETDEV_CSUM | LL_NETDEV_TSO | LL_NETDEV_USO;
	state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (state->epoll_fd < 0) {
		error = -errno;
		plh_set_error("A pipe cannot be waited for (%s): raise 'ulimit -n'.",
			      plh_errno_text(error));
	} else if (state->parameters.in_fd >= 0) {
		error = use_descriptors(device);
	} else {
		error = use_fifos(device);
	}
	if (error)
		pipe_close(device);
	return error;
}

static int pipe_fd(struct plh_device *device, short *events)
{
	*events = POLLIN;
	return ((struct pipe_state *)plh_device_state(device))->epoll_fd;
}

/* --- Frames --- */

static void pipe_transmit(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);
	enum stream_result result;

	if (!state->joined) {
		device_flush(device);
		device_notify_sent(device);
		if (device->netdev->carrier)
			device_set_carrier(device, false); /* after it was added */
		return;
	}
	if (state->full)
		return; /* pipe_receive() goes on */
	result = stream_transmit(device, &state->stream, state->out_fd);
	if (result == STREAM_ENDED)
		peer_gone(device);
	else
		watch_room(state, result == STREAM_FULL);
}

/* Nothing to read is no end until somebody who wrote has gone. */
static bool has_ended(const struct pipe_state *state)
{
	struct pollfd ends[2] = { { .fd = state->in_fd }, { .fd = state->out_fd } };

	return poll(ends, 2, 0) > 0 &&
	       ((ends[0].revents & (POLLHUP | POLLERR)) || (ends[1].revents & POLLERR));
}

static void go_on_writing(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);
	struct pollfd end = { .fd = state->out_fd, .events = POLLOUT };

	if (poll(&end, 1, 0) <= 0)
		return;
	watch_room(state, false);
	pipe_transmit(device);
	device_kick(device);
}

static void pipe_receive(struct plh_device *device)
{
	struct pipe_state *state = plh_device_state(device);

	if (state->joined && state->full)
		go_on_writing(device);
	if (!state->joined)
		return;
	switch (stream_receive(device, &state->stream, state->in_fd)) {
	case STREAM_ENDED:
		if (has_ended(state))
			peer_gone(device);
		break;
	case STREAM_NONSENSE:
		leave(device);
		break;
	default:
		break;
	}
}

const struct plh_backend plh_pipe = {
	.name = "pipe",
	.state_bytes = sizeof(struct pipe_state),
	.open = pipe_open,
	.close = pipe_close,
	.transmit = pipe_transmit,
	.receive = pipe_receive,
	.fd = pipe_fd,
};
