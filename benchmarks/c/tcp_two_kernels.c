// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bulk TCP from one kernel to another over a link of MTU 1500, on one core, against
 * a veth pair.  tso: frames cross whole, segmentation is left to nobody; wire: frames
 * have the size that they have on the wire, checksums are left out and the receiver
 * puts frames together (GRO); plain: a link without offloads, so that checksums are
 * computed, GRO as it is by default; none: GRO is off, too.
 */
#include <pthread.h>

#include "network.h"

#define TOTAL_BYTES (256ull << 20)
#define CHUNK_BYTES (256u << 10)
#define PORT	    4714

enum { TSO, WIRE, PLAIN, NONE, WAYS };
static const char *const names[WAYS] = { "tcp_two_kernels_tso", "tcp_two_kernels_wire",
					 "tcp_two_kernels_plain", "tcp_two_kernels_none" };

static char *out, *in;

struct pair {
	struct node sender, receiver;
	uint64_t from, to; /* sockets */
};

static void set_offloads(const struct node *node, int way)
{
	static const uint32_t all[] = { ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM,
					ETHTOOL_SRXCSUM, ETHTOOL_SSG };

	/* A veth receives without GRO unless told. */
	set_feature(node, "eth0", ETHTOOL_SGRO, way != NONE);
	if (way == WIRE)
		set_feature(node, "eth0", ETHTOOL_STSO, 0);
	if (way == PLAIN || way == NONE)
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			set_feature(node, "eth0", all[i], 0);
}

static void prepare(struct pair *pair, int way)
{
	const struct sockaddr_in address = address_of("10.0.0.2", PORT);
	uint64_t listener;

	configure(&pair->sender, "eth0", "10.0.0.1");
	configure(&pair->receiver, "eth0", "10.0.0.2");
	set_offloads(&pair->sender, way);
	set_offloads(&pair->receiver, way);
	/* While a virtual clock stands still, no receiver can tell how much it should take. */
	set_sysctl(&pair->receiver, "/proc/sys/net/ipv4/tcp_rmem", "4096 262144 6291456");
	listener = node_socket(&pair->receiver, SOCK_STREAM);
	node_call(&pair->receiver, SYS_bind, listener, (uint64_t)&address, sizeof(address), 0, 0,
		  0);
	node_call(&pair->receiver, SYS_listen, listener, 1, 0, 0, 0, 0);
	pair->from = node_socket(&pair->sender, SOCK_STREAM);
	node_call(&pair->sender, SYS_connect, pair->from, (uint64_t)&address, sizeof(address), 0, 0,
		  0);
	pair->to = (uint64_t)node_call(&pair->receiver, SYS_accept, listener, 0, 0, 0, 0, 0);
	node_close(&pair->receiver, listener);
}

/* Keeps a write in flight, and reads what arrives. */
static double library(const struct pair *pair)
{
	const uint64_t args[6] = { pair->from, (uint64_t)out, CHUNK_BYTES };
	const struct subject *sender = &pair->sender.subject;
	uint64_t sent = 0, received = 0, started = now_ns();
	int status = PLH_OK;
	int64_t ret = 0;

	while (received < TOTAL_BYTES) {
		if (status == PLH_PENDING)
			status = plh_poll(sender->kernel, sender->task, &ret);
		if (status == PLH_OK) {
			sent += (uint64_t)ret;
			ret = 0;
			if (sent < TOTAL_BYTES)
				status = plh_submit(sender->kernel, sender->task, SYS_write, args,
						    &ret);
		}
		check(status == PLH_OK || status == PLH_PENDING, "send");
		received += (uint64_t)node_call(&pair->receiver, SYS_read, pair->to, (uint64_t)in,
						CHUNK_BYTES, 0, 0, 0);
	}
	started = now_ns() - started;
	if (status == PLH_PENDING)
		check(plh_wait(sender->kernel, sender->task, LL_NEVER, &ret) == PLH_OK, "send");
	return (double)received * 8 / (double)started; /* bits a ns are Gbit/s */
}

static void *native_send(void *opaque)
{
	const struct pair *pair = opaque;

	for (uint64_t sent = 0; sent < TOTAL_BYTES; sent += CHUNK_BYTES)
		if (write((int)pair->from, out, CHUNK_BYTES) != CHUNK_BYTES)
			exit(1);
	return NULL;
}

static double native(struct pair *pair)
{
	uint64_t received = 0, started = now_ns();
	pthread_t thread;

	pthread_create(&thread, NULL, native_send, pair);
	while (received < TOTAL_BYTES)
		received += (uint64_t)node_call(&pair->receiver, SYS_read, pair->to, (uint64_t)in,
						CHUNK_BYTES, 0, 0, 0);
	started = now_ns() - started;
	pthread_join(thread, NULL);
	return (double)received * 8 / (double)started;
}

int main(int argc, char **argv)
{
	struct plh_image *image = plh_image_open(image_path(argc, argv));
	struct plh_world *world = plh_world_create(NULL);
	struct results results[2][WAYS];
	struct pair pairs[2][WAYS];
	const char *word = only(argc, argv);
	int count = word ? 1 : 2;

	pin_to_one_core(); /* threads inherit it */
	check(image && world, "image");
	out = calloc(1, CHUNK_BYTES);
	in = calloc(1, CHUNK_BYTES);
	for (int way = 0; way < WAYS; way++) {
		struct node both[2];

		for (int who = 0; who < 2; who++)
			results[who][way] = (struct results){ names[way],
							      who ? "native" : "library", "Gbit/s",
							      .higher_is_better = 1 };
		pairs[0][way] =
			(struct pair){ kernel_node(world, image), kernel_node(world, image), 0, 0 };
		join_kernels(&pairs[0][way].sender, &pairs[0][way].receiver,
			     way == TSO || way == WIRE);
		prepare(&pairs[0][way], way);
		if (count == 2 && have_namespaces(both, 2)) {
			pairs[1][way] = (struct pair){ both[0], both[1], 0, 0 };
			join_namespaces(&both[0], "eth0", &both[1], "eth0");
			prepare(&pairs[1][way], way);
		} else {
			count = 1;
		}
	}
	for (int round = 0; round < 5; round++)
		for (int way = 0; way < WAYS; way++) {
			if (word && !strstr(names[way], word))
				continue;
			add(&results[0][way], library(&pairs[0][way]));
			if (count == 2)
				add(&results[1][way], native(&pairs[1][way]));
		}
	for (int way = 0; way < WAYS; way++)
		for (int who = 0; who < count; who++)
			report(&results[who][way]);
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
