// SPDX-License-Identifier: GPL-2.0-only
/*
 * packet:NETNS:INTERFACE: AF_PACKET on an interface of a network namespace (a
 * descriptor of it, or -1 for our own).  Frames are sent by sendmmsg() past the
 * queueing discipline, and received in a mapped ring (TPACKET_V2) without a
 * system call for any.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port.h"

#define RING_FRAMES 4096
#define SLOT_BYTES  2048
#define BLOCK_BYTES (1 << 16)

struct packet_state {
	uint8_t *ring;
	uint32_t next; /* the slot to look at */
	uint32_t held; /* slots received and not yet released */
	uint64_t lost;
	struct mmsghdr messages[PORT_BATCH];
	struct iovec iov[PORT_BATCH];
};

static void set(int fd, int name, const void *value, size_t bytes)
{
	if (setsockopt(fd, SOL_PACKET, name, value, (socklen_t)bytes))
		fail("setsockopt(SOL_PACKET)");
}

static struct tpacket2_hdr *slot(const struct packet_state *state, uint32_t index)
{
	return (struct tpacket2_hdr *)(state->ring + (size_t)(index % RING_FRAMES) * SLOT_BYTES);
}

/* What was received before the socket was bound to its interface came from others. */
static void bind_to(int fd, const char *interface)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)if_nametoindex(interface),
	};

	if (!address.sll_ifindex || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail(interface);
}

static void packet_open(struct port *port, char *arguments)
{
	const struct tpacket_req ring = {
		.tp_block_size = BLOCK_BYTES,
		.tp_block_nr = RING_FRAMES / (BLOCK_BYTES / SLOT_BYTES),
		.tp_frame_size = SLOT_BYTES,
		.tp_frame_nr = RING_FRAMES,
	};
	struct packet_state *state = calloc(1, sizeof(*state));
	int netns = atoi(next_word(&arguments, "namespace"));
	const char *interface = next_word(&arguments, "interface");
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int version = TPACKET_V2, on = 1;

	if (netns >= 0 && setns(netns, CLONE_NEWNET))
		fail("setns");
	/* Protocol 0: nothing is received before bind(). */
	port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->fd < 0)
		fail("socket(AF_PACKET)");
	set(port->fd, PACKET_VERSION, &version, sizeof(version));
	set(port->fd, PACKET_RX_RING, &ring, sizeof(ring));
	set(port->fd, PACKET_QDISC_BYPASS, &on, sizeof(on));
	set(port->fd, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	state->ring = mmap(NULL, (size_t)RING_FRAMES * SLOT_BYTES, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, port->fd, 0);
	if (state->ring == MAP_FAILED)
		fail("mmap");
	bind_to(port->fd, interface);
	if (netns >= 0 && setns(own, CLONE_NEWNET))
		fail("setns");
	close(own);
	for (int i = 0; i < PORT_BATCH; i++)
		state->messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = &state->iov[i], .msg_iovlen = 1 };
	port->state = state;
}

static int packet_receive(struct port *port, struct frame *frames, int max)
{
	struct packet_state *state = port->state;

	for (int i = 0; i < max; i++) {
		struct tpacket2_hdr *header = slot(state, state->next + state->held);

		if (!(__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return i;
		frames[i].data = (uint8_t *)header + header->tp_mac;
		frames[i].bytes = header->tp_snaplen;
		state->held++;
	}
	return max;
}

static void packet_release(struct port *port)
{
	struct packet_state *state = port->state;

	for (; state->held; state->held--, state->next++)
		__atomic_store_n(&slot(state, state->next)->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
}

static int packet_send(struct port *port, const struct frame *frames, int count)
{
	struct packet_state *state = port->state;
	int sent;

	for (int i = 0; i < count; i++)
		state->iov[i] = (struct iovec){ frames[i].data, frames[i].bytes };
	sent = sendmmsg(port->fd, state->messages, (unsigned int)count, MSG_DONTWAIT);
	return sent < 0 ? 0 : sent;
}

static uint64_t packet_lost(struct port *port)
{
	struct packet_state *state = port->state;
	struct tpacket_stats stats;
	socklen_t bytes = sizeof(stats);

	/* Reading them sets them to zero. */
	if (getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &bytes))
		fail("PACKET_STATISTICS");
	state->lost += stats.tp_drops;
	return state->lost;
}

const struct port_kind port_packet = {
	.name = "packet",
	.open = packet_open,
	.receive = packet_receive,
	.release = packet_release,
	.send = packet_send,
	.lost = packet_lost,
};
