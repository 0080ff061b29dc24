// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router alone: frames with 64 bytes of UDP payload lie in the memory of one device's
 * ring and leave by another's, 64 at a time.  Neither link nor socket is measured;
 * the host's part is a copy of each frame into the ring, as a device would do it.
 * The same through a flow table of nftables and by XDP, where the kernel has them.
 */
#include "device.h"
#include "routed.h"
#include "shortcut.h"

#define BATCH	64
#define BATCHES 6000

static struct plh_device *in, *out;
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
	set_up_router(&router);
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
