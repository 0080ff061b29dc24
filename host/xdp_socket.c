// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "xdp.h"

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define MOMENTS 100 /* of a millisecond, to wait for a queue */

int xdp_fail(const struct xdp_state *state, int error, const char *what)
{
	const char *advice = "";

	if (error == EPERM || error == EACCES)
		advice = ": it needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF, all of which root has";
	else if (error == ENOBUFS || error == ENOMEM)
		advice = ": raise 'ulimit -l' (memory that is locked), or ask for fewer "
			 "ring_frames";
	else if (error == EBUSY)
		advice = ": another socket is bound to that queue";
	else if (error == EOPNOTSUPP)
		advice = ": the interface's driver cannot; ask for mode=any and copy=any";
	else if (error == EINVAL)
		advice = ": look whether the interface has such a queue ('ethtool -l') and an MTU "
			 "that XDP takes";
	plh_set_error("The xdp device on %s cannot %s (%s)%s.", state->host.name, what,
		      plh_errno_text(-error), advice);
	return -error;
}

static uint64_t memory_bytes(const struct xdp_state *state)
{
	return 2ull * state->frames * state->chunk_bytes;
}

static int create_memory(const struct xdp_state *state, struct xdp_queue *queue,
			 const struct xdp_library *library)
{
	const struct xsk_umem_config config = {
		.fill_size = state->frames,
		.comp_size = state->frames,
		.frame_size = state->chunk_bytes,
	};
	int error;

	queue->free = calloc(state->frames, sizeof(*queue->free));
	queue->memory = mmap(NULL, memory_bytes(state), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (queue->memory == MAP_FAILED)
		queue->memory = NULL;
	if (!queue->memory || !queue->free)
		return xdp_fail(state, ENOMEM, "have memory for frames");
	error = library->umem_create(&queue->umem, queue->memory, memory_bytes(state), &queue->fill,
				     &queue->completion, &config);
	if (error)
		return xdp_fail(state, -error, "share memory with the host");
	for (uint32_t i = 0; i < state->frames; i++)
		queue->free[queue->free_count++] =
			(uint64_t)(state->frames + i) * state->chunk_bytes;
	return 0;
}

/* All chunks to receive are empty. */
static void fill(const struct xdp_state *state, struct xdp_queue *queue)
{
	uint32_t at = 0;

	xsk_ring_prod__reserve(&queue->fill, state->frames, &at);
	for (uint32_t i = 0; i < state->frames; i++)
		*xsk_ring_prod__fill_addr(&queue->fill, at + i) = (uint64_t)i * state->chunk_bytes;
	xsk_ring_prod__submit(&queue->fill, state->frames);
}

static int set_busy_poll(const struct xdp_state *state, const struct xdp_queue *queue)
{
	int us = (int)state->parameters.busy_poll_us, on = 1, budget = XDP_BATCH;

	if (!us)
		return 0;
	if (setsockopt(queue->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) ||
	    setsockopt(queue->fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us)) ||
	    setsockopt(queue->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)))
		return xdp_fail(state, errno, "poll its queue busily (Linux 5.11)");
	return 0;
}

static bool is_zero_copy(const struct xdp_queue *queue)
{
	struct xdp_options options = { 0 };
	socklen_t bytes = sizeof(options);

	return !getsockopt(queue->fd, SOL_XDP, XDP_OPTIONS, &options, &bytes) &&
	       options.flags & XDP_OPTIONS_ZEROCOPY;
}

static int try_queue(struct xdp_state *state, uint32_t number, const struct xdp_library *library)
{
	static const uint16_t copy_flags[] = {
		[PLH_XDP_ANY_COPY] = 0,
		[PLH_XDP_COPY] = XDP_COPY,
		[PLH_XDP_ZERO_COPY] = XDP_ZEROCOPY,
	};
	struct xdp_queue *queue = &state->queue[number];
	const struct xsk_socket_config config = {
		.rx_size = state->frames,
		.tx_size = state->frames,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(copy_flags[state->parameters.copy] | XDP_USE_NEED_WAKEUP),
	};
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = queue };
	uint32_t key = state->parameters.first_queue + number;
	int error = create_memory(state, queue, library);

	if (error)
		return error;
	error = library->socket_create(&queue->socket, state->host.name, key, queue->umem,
				       &queue->rx, &queue->tx, &config);
	if (error) {
		queue->socket = NULL;
		return xdp_fail(state, -error, "bind a socket to its queue");
	}
	queue->fd = library->socket_fd(queue->socket);
	fcntl(queue->fd, F_SETFD, FD_CLOEXEC);
	queue->zero_copy = is_zero_copy(queue);
	fill(state, queue);
	error = set_busy_poll(state, queue);
	if (error)
		return error;
	if (library->map_update(state->map_fd, &key, &queue->fd, BPF_ANY))
		return xdp_fail(state, errno, "have frames sent to its socket");
	if (epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, queue->fd, &event))
		return xdp_fail(state, errno, "wait for its socket");
	return 0;
}

static void close_queue(const struct xdp_state *state, struct xdp_queue *queue,
			const struct xdp_library *library)
{
	if (queue->socket)
		library->socket_delete(queue->socket);
	if (queue->umem)
		library->umem_delete(queue->umem);
	if (queue->memory)
		munmap(queue->memory, memory_bytes(state));
	free(queue->free);
	*queue = (struct xdp_queue){ .fd = -1 };
}

static int open_queue(struct xdp_state *state, uint32_t number, const struct xdp_library *library,
		      int moments)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	int error;

	for (int left = moments;; left--) {
		error = try_queue(state, number, library);
		if (error)
			close_queue(state, &state->queue[number], library);
		if (error != -EBUSY || !left)
			return error;
		nanosleep(&moment, NULL);
	}
}

int xdp_open_sockets(struct xdp_state *state, bool patient)
{
	const struct xdp_library *library = xdp_library();
	int token, error;

	if (!library)
		return -ENOSYS;
	token = interface_enter(&state->host);
	if (token < 0)
		return xdp_fail(state, -token, "go back to the network namespace of its interface");
	error = xdp_attach(state, library);
	for (uint32_t i = 0; i < state->queues && !error; i++)
		error = open_queue(state, i, library, patient ? MOMENTS : 0);
	interface_leave(token);
	if (error)
		xdp_close_sockets(state);
	return error;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void xdp_close_sockets(struct xdp_state *state)
{
	const struct xdp_library *library = xdp_library();

	close_fd(&state->link_fd);
	close_fd(&state->program_fd);
	close_fd(&state->map_fd);
	for (uint32_t i = 0; i < state->queues; i++)
		close_queue(state, &state->queue[i], library);
}

void xdp_watch(struct xdp_state *state, struct xdp_queue *queue, bool wants_room)
{
	struct epoll_event event = {
		.events = EPOLLIN | (wants_room ? EPOLLOUT : 0),
		.data.ptr = queue,
	};

	if (queue->wants_room == wants_room)
		return;
	queue->wants_room = wants_room;
	epoll_ctl(state->epoll_fd, EPOLL_CTL_MOD, queue->fd, &event);
}

uint64_t xdp_lost(struct xdp_queue *queue)
{
	struct xdp_statistics stats = { 0 };
	socklen_t bytes = sizeof(stats);
	uint64_t before = queue->lost;

	if (queue->fd < 0 || getsockopt(queue->fd, SOL_XDP, XDP_STATISTICS, &stats, &bytes))
		return 0;
	/* No empty chunk, or longer than one; and no room to tell of it. */
	queue->lost = stats.rx_dropped + stats.rx_ring_full;
	return queue->lost - before;
}
