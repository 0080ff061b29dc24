// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router alone: frames with 64 bytes of UDP payload lie in the memory of one device's
 * ring and leave by another's, 64 at a time.  Neither link nor socket is measured;
 * the host's part is a copy of each frame into the ring, as a device would do it.
 * The same through a flow table of nftables and by XDP, where the kernel has them.
 */
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "device.h"
#include "network.h"
#include "shortcut.h"

#define BATCH	64
#define BATCHES 6000
#define PAYLOAD 64

struct frame {
	uint8_t destination[6], source[6];
	uint16_t type;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[PAYLOAD];
} __attribute__((packed));

static struct plh_device *in, *out;
static const uint8_t router_mac[6] = { 2, 0, 0, 0, 0, 1 }, next_mac[6] = { 2, 0, 0, 0, 0, 2 };
static uint64_t left;

static void transmit(struct plh_device *device)
{
	struct ll_ring *ring = device->netdev->tx[0];

	left += ring_head(ring) - ring->tail;
	__atomic_store_n(&ring->tail, ring_head(ring), __ATOMIC_RELEASE);
}

static void receive(struct plh_device *device)
{
	(void)device;
}

static const struct plh_backend memory = {
	.name = "memory",
	.transmit = transmit,
	.receive = receive,
};

static struct plh_device *add_device(const struct node *router, const uint8_t *mac)
{
	struct ll_netdev_config config = { .ring_entries = 512 };
	struct plh_device *device;

	memcpy(config.mac, mac, sizeof(config.mac));
	device = plh_device_add(router->subject.kernel, &memory, NULL, &config);
	check(device != NULL, "device");
	return device;
}

static void neighbour(const struct node *node, const char *name, const char *address,
		      const uint8_t *mac)
{
	struct sockaddr_in who = address_of(address, 0);
	uint64_t fd = node_socket(node, SOCK_DGRAM);
	struct arpreq request = { .arp_flags = ATF_COM | ATF_PERM };

	memcpy(&request.arp_pa, &who, sizeof(who));
	memcpy(request.arp_ha.sa_data, mac, 6);
	strcpy(request.arp_dev, name);
	node_call(node, SYS_ioctl, fd, SIOCSARP, (uint64_t)&request, 0, 0, 0);
	node_close(node, fd);
}

static uint16_t checksum(const void *bytes, size_t count)
{
	const uint16_t *words = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i < count / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

static struct frame make_frame(void)
{
	struct frame frame = {
		.type = htons(0x0800),
		.ip = { .version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = IPPROTO_UDP,
			.tot_len = htons(sizeof(frame) - 14),
			.saddr = inet_addr("10.0.1.1"),
			.daddr = inet_addr("10.0.2.2") },
		.udp = { .source = htons(1000), .dest = htons(2000), .len = htons(8 + PAYLOAD) },
	};

	memcpy(frame.destination, router_mac, 6);
	memcpy(frame.source, next_mac, 6);
	frame.ip.check = checksum(&frame.ip, sizeof(frame.ip));
	return frame;
}

/* What a device of the host does: fill buffers, tell the kernel, let it run. */
static void route_batch(struct plh_kernel *kernel, const struct frame *frame)
{
	struct ll_ring *ring = in->netdev->rx[0];
	struct ll_machine *machine = kernel->machine;

	for (int i = 0; i < BATCH; i++) {
		struct ll_desc *desc = ring_desc(ring, ring->tail + (uint32_t)i);

		memcpy((void *)desc->addr, frame, sizeof(*frame));
		desc->len = sizeof(*frame);
		desc->flags = 0;
		desc->csum_flags = 0;
		desc->gso_type = LL_GSO_NONE;
	}
	__atomic_store_n(&ring->tail, ring->tail + BATCH, __ATOMIC_RELEASE);
	in->netdev->rx_kicked = 1;
	machine->rx_kicks = in->netdev;
	if (kernel->enter() != LL_EXIT_IDLE) {
		fprintf(stderr, "the kernel left before it was idle\n");
		exit(1);
	}
	machine->tx_kicks = NULL;
	out->netdev->tx_kicked = in->netdev->tx_kicked = 0;
	transmit(out);
}

static void measure(const char *name, struct plh_kernel *kernel, const struct frame *frame)
{
	struct results ns = { name, "library", "ns", .count = 0 };

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t started = now_ns();

		left = 0;
		for (int i = 0; i < BATCHES; i++)
			route_batch(kernel, frame);
		add(&ns, (double)(now_ns() - started) / (BATCH * BATCHES));
		if (left != BATCH * BATCHES) {
			fprintf(stderr, "%s: %llu of %d frames left the router\n", name,
				(unsigned long long)left, BATCH * BATCHES);
			exit(1);
		}
	}
	report(&ns);
}

/* Does the kernel have what was tried? */
static int is_there(const char *name, int result)
{
	if (result >= 0)
		return 1;
	if (result != -EOPNOTSUPP && result != -ENOSYS && result != -EPROTONOSUPPORT) {
		fprintf(stderr, "%s: %s\n", name, strerror(-result));
		exit(1);
	}
	return 0;
}

static int by_route(const struct node *router)
{
	return forward_by_xdp(router, in->netdev->ifindex);
}

static int by_fixed_way(const struct node *router)
{
	return forward_fixed_by_xdp(router, in->netdev->ifindex, out->netdev->ifindex);
}

/* In this order: the flow table stays. */
static const struct {
	const char *name;
	int (*prepare)(const struct node *router);
} ways[] = {
	{ "router_64", NULL },
	{ "router_64_flowtable", add_flowtable },
	{ "router_64_xdp", by_route },
	{ "router_64_xdp_fixed", by_fixed_way },
};

int main(int argc, char **argv)
{
	struct plh_image *image = plh_image_open(image_path(argc, argv));
	struct plh_world *world = plh_world_create(NULL);
	const char *word = only(argc, argv);
	struct frame frame = make_frame();
	struct plh_kernel *kernel;
	struct node router;

	pin_to_one_core();
	check(image && world, "image");
	router = kernel_node(world, image);
	kernel = router.subject.kernel;
	in = add_device(&router, router_mac);
	out = add_device(&router, next_mac);
	configure(&router, "eth0", "10.0.1.2");
	configure(&router, "eth1", "10.0.2.1");
	set_sysctl(&router, "/proc/sys/net/ipv4/ip_forward", "1");
	neighbour(&router, "eth0", "10.0.1.1", next_mac);
	neighbour(&router, "eth1", "10.0.2.2", next_mac);
	/* Its first seconds, with their duplicate address detection and the like. */
	plh_world_run(world, plh_world_now_ns(world) + 10000000000u, 0, 0);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *name = ways[i].name;
		int fd = 0;

		if (word && strcmp(name, word))
			continue;
		if (ways[i].prepare)
			fd = ways[i].prepare(&router);
		if (!is_there(name, fd))
			continue;
		measure(name, kernel, &frame);
		/* A program of XDP stays as long as its descriptor. */
		if (fd)
			node_close(&router, (uint64_t)fd);
	}
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
