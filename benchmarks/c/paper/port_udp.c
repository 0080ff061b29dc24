// SPDX-License-Identifier: GPL-2.0-only
/*
 * udp:NETNS:ADDRESS:PEER: a UDP socket of the host in a namespace, port 9001 to port
 * 9001 of the peer.  So the host's own stack is at this end, as it is when programs
 * of another machine talk through the box.  Frames have room for the headers that
 * the host makes and takes off.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "traffic.h"

#define HEADER_BYTES  (ETHERNET_BYTES + sizeof(struct iphdr) + sizeof(struct udphdr))
#define RECEIVE_BYTES (8 << 20)

struct udp_state {
	struct mmsghdr messages[PORT_BATCH];
	struct iovec iov[PORT_BATCH];
	uint8_t buffers[PORT_BATCH][PORT_FRAME_BYTES];
};

static void udp_open(struct port *port, char *arguments)
{
	struct udp_state *state = calloc(1, sizeof(*state));
	int netns = atoi(next_word(&arguments, "namespace"));
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(9001) }, peer = own;
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int bytes = RECEIVE_BYTES;

	own.sin_addr.s_addr = inet_addr(next_word(&arguments, "address"));
	peer.sin_addr.s_addr = inet_addr(next_word(&arguments, "peer"));
	if (setns(netns, CLONE_NEWNET))
		fail("setns");
	port->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->fd < 0 || bind(port->fd, (struct sockaddr *)&own, sizeof(own)) ||
	    connect(port->fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail("a UDP socket");
	if (setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		fail("SO_RCVBUFFORCE");
	if (setns(home, CLONE_NEWNET))
		fail("setns");
	close(home);
	for (int i = 0; i < PORT_BATCH; i++)
		state->messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = &state->iov[i], .msg_iovlen = 1 };
	port->state = state;
}

static int udp_receive(struct port *port, struct frame *frames, int max)
{
	struct udp_state *state = port->state;
	int count;

	for (int i = 0; i < max; i++)
		state->iov[i] = (struct iovec){ state->buffers[i] + HEADER_BYTES,
						PORT_FRAME_BYTES - HEADER_BYTES };
	count = recvmmsg(port->fd, state->messages, (unsigned int)max, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		frames[i] = (struct frame){ state->buffers[i],
					    state->messages[i].msg_len + (uint32_t)HEADER_BYTES };
	return count < 0 ? 0 : count;
}

static void udp_release(struct port *port)
{
	(void)port;
}

static int udp_send(struct port *port, const struct frame *frames, int count)
{
	struct udp_state *state = port->state;
	int sent;

	for (int i = 0; i < count; i++)
		state->iov[i] = (struct iovec){ frames[i].data + HEADER_BYTES,
						frames[i].bytes - HEADER_BYTES };
	sent = sendmmsg(port->fd, state->messages, (unsigned int)count, MSG_DONTWAIT);
	return sent < 0 ? 0 : sent;
}

const struct port_kind port_udp = {
	.name = "udp",
	.open = udp_open,
	.receive = udp_receive,
	.release = udp_release,
	.send = udp_send,
};
