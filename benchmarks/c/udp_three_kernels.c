// SPDX-License-Identifier: GPL-2.0-only
/*
 * Datagrams of 64 bytes through three kernels in a row, the middle one a router,
 * from socket to socket on one core: in batches of 64 by sendmmsg() and recvmmsg(),
 * by 64 times send() and 64 times recv(), and one by one.
 */
#include "network.h"

#define BATCH	 64
#define MESSAGES 192000
#define BYTES	 64
#define PORT	 4713

static char payload[BATCH][2048];

struct batch {
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
};

struct path {
	struct node sender, router, receiver;
	uint64_t from, to; /* sockets */
};

static void fill(struct batch *batch, size_t bytes)
{
	memset(batch, 0, sizeof(*batch));
	for (int i = 0; i < BATCH; i++) {
		batch->pieces[i] = (struct iovec){ payload[i], bytes };
		batch->messages[i].msg_hdr.msg_iov = &batch->pieces[i];
		batch->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void prepare(struct path *path)
{
	const struct sockaddr_in to = address_of("10.0.2.2", PORT);

	configure(&path->sender, "eth0", "10.0.1.1");
	configure(&path->router, "eth0", "10.0.1.2");
	configure(&path->router, "eth1", "10.0.2.1");
	configure(&path->receiver, "eth0", "10.0.2.2");
	default_route(&path->sender, "10.0.1.2");
	default_route(&path->receiver, "10.0.2.1");
	set_sysctl(&path->router, "/proc/sys/net/ipv4/ip_forward", "1");
	path->from = node_socket(&path->sender, SOCK_DGRAM);
	path->to = node_socket(&path->receiver, SOCK_DGRAM);
	node_call(&path->receiver, SYS_bind, path->to, (uint64_t)&to, sizeof(to), 0, 0, 0);
	node_call(&path->sender, SYS_connect, path->from, (uint64_t)&to, sizeof(to), 0, 0, 0);
	/* Addresses are resolved by the first one. */
	node_call(&path->sender, SYS_sendto, path->from, (uint64_t)payload[0], BYTES, 0, 0, 0);
	node_call(&path->receiver, SYS_recvfrom, path->to, (uint64_t)payload[0], sizeof(payload[0]),
		  0, 0, 0);
}

/* Nothing may get lost: each call for a message would else wait for ever. */
static double batches(const struct path *path)
{
	static struct batch out, in;
	uint64_t started;

	fill(&out, BYTES);
	fill(&in, sizeof(payload[0]));
	started = now_ns();
	for (int i = 0; i < MESSAGES / BATCH; i++) {
		node_call(&path->sender, SYS_sendmmsg, path->from, (uint64_t)out.messages, BATCH, 0,
			  0, 0);
		node_call(&path->receiver, SYS_recvmmsg, path->to, (uint64_t)in.messages, BATCH, 0,
			  0, 0);
	}
	return (double)(now_ns() - started) / MESSAGES;
}

static double calls(const struct path *path, int burst)
{
	uint64_t started = now_ns();

	for (int i = 0; i < MESSAGES / burst; i++) {
		for (int j = 0; j < burst; j++)
			node_call(&path->sender, SYS_sendto, path->from, (uint64_t)payload[j],
				  BYTES, 0, 0, 0);
		for (int j = 0; j < burst; j++)
			node_call(&path->receiver, SYS_recvfrom, path->to, (uint64_t)payload[j],
				  sizeof(payload[j]), 0, 0, 0);
	}
	return (double)(now_ns() - started) / MESSAGES;
}

static double measure(const struct path *path, int way)
{
	return way == 0 ? batches(path) : calls(path, way == 1 ? BATCH : 1);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "udp_three_kernels_batch", "udp_three_kernels_burst",
					     "udp_three_kernels_single" };
	struct results results[2][3];
	struct plh_image *image = plh_image_open(image_path(argc, argv));
	struct plh_world *world = plh_world_create(NULL);
	struct node spaces[3];
	struct path paths[2];
	const char *word = only(argc, argv);
	int count = 1;

	pin_to_one_core();
	check(image && world, "image");
	paths[0] = (struct path){ kernel_node(world, image), kernel_node(world, image),
				  kernel_node(world, image), 0, 0 };
	join_kernels(&paths[0].sender, &paths[0].router, 1);
	join_kernels(&paths[0].router, &paths[0].receiver, 1);
	if (!word && have_namespaces(spaces, 3)) {
		paths[1] = (struct path){ spaces[0], spaces[1], spaces[2], 0, 0 };
		join_namespaces(&spaces[0], "eth0", &spaces[1], "eth0");
		join_namespaces(&spaces[1], "eth1", &spaces[2], "eth0");
		count = 2;
	}
	for (int who = 0; who < count; who++) {
		for (int way = 0; way < 3; way++)
			results[who][way] = (struct results){ names[way],
							      who ? "native" : "library", "ns",
							      .count = 0 };
		prepare(&paths[who]);
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int who = 0; who < count; who++) {
			for (int way = 0; way < 3; way++)
				if (!word || strstr(names[way], word))
					add(&results[who][way], measure(&paths[who], way));
		}
	for (int who = 0; who < count; who++)
		for (int way = 0; way < 3; way++)
			report(&results[who][way]);
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
