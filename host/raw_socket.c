// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "raw.h"

#define BLOCK_BYTES  65536u
#define BUFFER_BYTES (16 << 20) /* frames longer than a slot, and frames to send, that wait */

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#ifndef PACKET_FANOUT_FLAG_UNIQUEID
#define PACKET_FANOUT_FLAG_UNIQUEID 0x2000
#endif

static int fail(const struct raw_state *state, int error, const char *what)
{
	const char *advice = "";

	if (error == EPERM || error == EACCES)
		advice = ": it needs CAP_NET_RAW; run as root, or give it to the program by "
			 "'setcap cap_net_raw+ep'";
	else if (error == ENOMEM)
		advice = ": ask for fewer ring_frames";
	plh_set_error("The raw device on %s cannot %s (%s)%s.", state->host.name, what,
		      plh_errno_text(-error), advice);
	return -error;
}

static int set_option(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value));
}

static void set_buffer(int fd, int forced, int plain)
{
	int bytes = BUFFER_BYTES;

	/* Without CAP_NET_ADMIN it is what net.core.rmem_max and wmem_max allow. */
	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

static int map_ring(const struct raw_state *state, struct raw_queue *queue)
{
	uint32_t per_block = BLOCK_BYTES / RAW_SLOT_BYTES;
	uint32_t blocks = (state->parameters.ring_frames + per_block - 1) / per_block;
	struct tpacket_req request = {
		.tp_block_size = BLOCK_BYTES,
		.tp_block_nr = blocks,
		.tp_frame_size = RAW_SLOT_BYTES,
		.tp_frame_nr = blocks * per_block,
	};

	if (set_option(queue->fd, PACKET_VERSION, RAW_RING_VERSION) ||
	    setsockopt(queue->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)))
		return fail(state, errno, "have a ring to receive");
	queue->slots = mmap(NULL, (size_t)blocks * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			    queue->fd, 0);
	if (queue->slots == MAP_FAILED) {
		queue->slots = NULL;
		return fail(state, errno, "map its ring");
	}
	queue->slot_count = blocks * per_block;
	queue->at = 0;
	return 0;
}

static int join_interface(const struct raw_state *state, int fd, uint16_t protocol)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = state->host.index,
	};

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fail(state, errno, "join the interface");
	return 0;
}

static int make_promiscuous(const struct raw_state *state, int fd)
{
	struct packet_mreq promiscuous = {
		.mr_ifindex = state->host.index,
		.mr_type = PACKET_MR_PROMISC,
	};

	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)))
		return fail(state, errno, "make the interface promiscuous");
	return 0;
}

/* All queues share what comes; the first socket makes the group, the others join it. */
static int join_group(const struct raw_state *state, const struct raw_queue *queue, int *group)
{
	uint32_t mode = state->parameters.fanout;
	socklen_t bytes = sizeof(*group);

	if (state->queues == 1)
		return 0;
	if (!state->host.enabled) {
		plh_set_error("The raw device on %s cannot share frames out to %u queues while the "
			      "interface is down: bring it up first.",
			      state->host.name, state->queues);
		return -ENETDOWN;
	}
	if (*group < 0) {
		if (set_option(queue->fd, PACKET_FANOUT,
			       (int)((mode | PACKET_FANOUT_FLAG_UNIQUEID) << 16)) ||
		    getsockopt(queue->fd, SOL_PACKET, PACKET_FANOUT, group, &bytes))
			return fail(state, errno, "share frames out to its queues");
		*group &= 0xffff;
		return 0;
	}
	if (set_option(queue->fd, PACKET_FANOUT, *group | (int)(mode << 16)))
		return fail(state, errno, "share frames out to its queues");
	return 0;
}

/* With no protocol it receives nothing, not even from other interfaces before it is bound. */
static int open_socket(const struct raw_state *state, int *fd)
{
	*fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return *fd < 0 ? fail(state, errno, "have a packet socket") : 0;
}

static int open_receiver(struct raw_state *state, struct raw_queue *queue, int *group)
{
	struct epoll_event event = { .events = EPOLLIN };
	int error = open_socket(state, &queue->fd);

	if (error)
		return error;
	if (set_option(queue->fd, PACKET_VNET_HDR, 1) ||
	    set_option(queue->fd, PACKET_COPY_THRESH, 1) ||
	    set_option(queue->fd, PACKET_IGNORE_OUTGOING, 1))
		return fail(state, errno, "set up its socket; it needs Linux 4.20");
	set_buffer(queue->fd, SO_RCVBUFFORCE, SO_RCVBUF);
	error = map_ring(state, queue);
	if (!error)
		error = join_interface(state, queue->fd, ETH_P_ALL);
	if (!error && state->parameters.promiscuous)
		error = make_promiscuous(state, queue->fd);
	if (!error)
		error = join_group(state, queue, group);
	if (!error && epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, queue->fd, &event))
		error = fail(state, errno, "wait for its socket");
	return error;
}

static int open_sender(struct raw_state *state, struct raw_queue *queue, enum raw_way way)
{
	int *fd = &queue->send_fd[way];
	int error = open_socket(state, fd);

	if (error)
		return error;
	if (set_option(*fd, PACKET_VNET_HDR, way == RAW_OFFLOAD))
		return fail(state, errno, "leave checksums to the host");
	if (state->bypass && set_option(*fd, PACKET_QDISC_BYPASS, 1))
		return fail(state, errno, "pass the queueing discipline by");
	set_buffer(*fd, SO_SNDBUFFORCE, SO_SNDBUF);
	return join_interface(state, *fd, 0);
}

static int open_queue(struct raw_state *state, struct raw_queue *queue, int *group)
{
	int error = open_receiver(state, queue, group);

	for (enum raw_way way = 0; way < RAW_WAYS && !error; way++)
		error = open_sender(state, queue, way);
	return error;
}

int raw_open_sockets(struct raw_state *state)
{
	int group = -1, error = 0;
	int token = interface_enter(&state->host);

	if (token < 0)
		return fail(state, -token, "go back to the network namespace of its interface");
	for (uint32_t i = 0; i < state->queues && !error; i++)
		error = open_queue(state, &state->queue[i], &group);
	interface_leave(token);
	if (error)
		raw_close_sockets(state);
	return error;
}

void raw_forget_sockets(struct raw_state *state)
{
	for (uint32_t i = 0; i < LL_MAX_QUEUES; i++)
		state->queue[i] = (struct raw_queue){ .fd = -1, .send_fd = { -1, -1 } };
}

void raw_close_sockets(struct raw_state *state)
{
	for (uint32_t i = 0; i < state->queues; i++) {
		struct raw_queue *queue = &state->queue[i];

		if (queue->slots)
			munmap(queue->slots, (size_t)queue->slot_count * RAW_SLOT_BYTES);
		if (queue->fd >= 0)
			close(queue->fd);
		for (enum raw_way way = 0; way < RAW_WAYS; way++)
			if (queue->send_fd[way] >= 0)
				close(queue->send_fd[way]);
	}
	raw_forget_sockets(state);
}

void raw_watch(struct raw_state *state, struct raw_queue *queue, bool wants_room)
{
	struct epoll_event event = { .events = EPOLLOUT };

	if (queue->wants_room == wants_room)
		return;
	queue->wants_room = wants_room;
	for (enum raw_way way = 0; way < RAW_WAYS; way++)
		epoll_ctl(state->epoll_fd, wants_room ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
			  queue->send_fd[way], &event);
}

void raw_stop_bypass(struct raw_state *state)
{
	state->bypass = false;
	for (uint32_t i = 0; i < state->queues; i++)
		for (enum raw_way way = 0; way < RAW_WAYS; way++)
			if (state->queue[i].send_fd[way] >= 0)
				set_option(state->queue[i].send_fd[way], PACKET_QDISC_BYPASS, 0);
}

uint64_t raw_drops(const struct raw_queue *queue)
{
	struct tpacket_stats stats = { 0 };
	socklen_t bytes = sizeof(stats);

	if (queue->fd < 0 || getsockopt(queue->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes))
		return 0;
	return stats.tp_drops;
}
