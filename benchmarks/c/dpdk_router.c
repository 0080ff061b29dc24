// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router between two ports of DPDK, 64 bytes of UDP payload, in bursts of 64: how many
 * frames a second one core routes.  Beside it, in turns, what bounds it: a relay that
 * hands bursts from port to port and writes addresses, as testpmd's mode "mac" does.
 * The far ends of the ports are on the same core, then ("apart") on another one, whose
 * cache the frames come from and go to.
 *
 * Far ends and router take turns, and the time is that of the router's thread alone, so
 * that a busy machine does not disturb.
 */
#include <pthread.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "routed.h"

#define BURST	    64
#define BURSTS	    8 /* in a turn */
#define TURNS	    100 /* in a round */
#define MBUFS	    8191
#define DESCRIPTORS 1024
#define PATIENCE_NS 5000000000u

enum far_turn { FAR_WAITS, FAR_SENDS, FAR_TAKES, FAR_ENDS };

/* Both ends of a cable: our port, and the router's. */
struct cable {
	uint16_t far, near;
};

static struct rte_mempool *pool;
static struct frame frame;
static struct cable in, out;
static uint64_t sent, taken;
static enum far_turn turn; /* of the far ends, where they are on another core */

static void need(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void pin(int core)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(core, &one);
	need(!pthread_setaffinity_np(pthread_self(), sizeof(one), &one), "two cores are needed");
}

/* --- Our ends --- */

static uint16_t port_named(const char *devargs)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	uint16_t port;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
	if (rte_eth_dev_get_port_by_name(name, &port))
		need(!rte_dev_probe(devargs) && !rte_eth_dev_get_port_by_name(name, &port), "no "
											    "such "
											    "port");
	return port;
}

static uint16_t start_port(const char *devargs)
{
	uint16_t port = port_named(devargs);
	struct rte_eth_conf conf = { 0 };

	need(!rte_eth_dev_configure(port, 1, 1, &conf) &&
		     !rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, 0, NULL, pool) &&
		     !rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, 0, NULL) &&
		     !rte_eth_dev_start(port),
	     "a port does not start");
	return port;
}

static void send_bursts(void)
{
	struct rte_mbuf *mbufs[BURST];

	for (int burst = 0; burst < BURSTS; burst++) {
		uint16_t count;

		need(!rte_pktmbuf_alloc_bulk(pool, mbufs, BURST), "the mbufs are used up");
		for (int i = 0; i < BURST; i++) {
			memcpy(rte_pktmbuf_mtod(mbufs[i], void *), &frame, sizeof(frame));
			mbufs[i]->data_len = sizeof(frame);
			mbufs[i]->pkt_len = sizeof(frame);
		}
		count = rte_eth_tx_burst(in.far, 0, mbufs, BURST);
		rte_pktmbuf_free_bulk(mbufs + count, (unsigned int)(BURST - count));
		sent += count;
	}
}

static void take_bursts(void)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t count;

	while ((count = rte_eth_rx_burst(out.far, 0, mbufs, BURST))) {
		for (uint16_t i = 0; i < count; i++)
			taken += mbufs[i]->pkt_len == sizeof(frame);
		rte_pktmbuf_free_bulk(mbufs, count);
	}
}

static void *far_ends(void *unused)
{
	enum far_turn what;

	pin(1);
	while ((what = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != FAR_ENDS) {
		if (what == FAR_SENDS)
			send_bursts();
		else if (what == FAR_TAKES)
			take_bursts();
		if (what == FAR_WAITS)
			sched_yield();
		else
			__atomic_store_n(&turn, FAR_WAITS, __ATOMIC_RELEASE);
	}
	return unused;
}

static void let_far_ends(enum far_turn what, int apart)
{
	if (!apart) {
		if (what == FAR_SENDS)
			send_bursts();
		else
			take_bursts();
		return;
	}
	__atomic_store_n(&turn, what, __ATOMIC_RELEASE);
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != FAR_WAITS)
		sched_yield();
}

/* --- What is measured --- */

/* Of this thread alone. */
static uint64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void route_bursts(struct plh_world *world)
{
	for (int i = 0; i < BURSTS; i++)
		check(plh_world_run(world, plh_world_now_ns(world), 0, 0) == PLH_OK, "run");
}

static void relay_bursts(struct plh_world *unused)
{
	struct rte_mbuf *mbufs[BURST];

	(void)unused;
	for (int i = 0; i < BURSTS; i++) {
		uint16_t count = rte_eth_rx_burst(in.near, 0, mbufs, BURST), left;

		for (uint16_t j = 0; j < count; j++) {
			struct frame *header = rte_pktmbuf_mtod(mbufs[j], struct frame *);

			memcpy(header->destination, next_mac, 6);
			memcpy(header->source, router_mac, 6);
		}
		left = count - rte_eth_tx_burst(out.near, 0, mbufs, count);
		rte_pktmbuf_free_bulk(mbufs + count - left, left);
	}
}

static double mpps(struct plh_world *world, void (*move)(struct plh_world *world), int apart)
{
	uint64_t inside_ns = 0;

	sent = taken = 0;
	for (int i = 0; i < TURNS; i++) {
		uint64_t started;

		let_far_ends(FAR_SENDS, apart);
		started = processor_ns();
		move(world);
		inside_ns += processor_ns() - started;
		let_far_ends(FAR_TAKES, apart);
	}
	if (taken != sent) {
		fprintf(stderr, "%llu of %llu frames came out\n", (unsigned long long)taken,
			(unsigned long long)sent);
		exit(1);
	}
	return (double)taken * 1e3 / (double)inside_ns;
}

static void measure(struct plh_world *world, const char *name, int apart)
{
	struct results routed = { name, "library", "Mpps", .higher_is_better = 1 };
	struct results relayed = { name, "relay", "Mpps", .higher_is_better = 1 };
	pthread_t thread;

	turn = FAR_WAITS;
	if (apart)
		need(!pthread_create(&thread, NULL, far_ends, NULL), "no thread");
	for (int round = 0; round < ROUNDS; round++) {
		add(&routed, mpps(world, route_bursts, apart));
		add(&relayed, mpps(world, relay_bursts, apart));
	}
	if (apart) {
		__atomic_store_n(&turn, FAR_ENDS, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
	}
	report(&routed);
	report(&relayed);
}

/* --- Two kinds of cables --- */

static struct plh_device *add_device(const struct node *router, const char *devargs,
				     const uint8_t *mac)
{
	const struct plh_dpdk_parameters parameters = { .devargs = devargs, .promiscuous = 1 };
	struct ll_netdev_config config = { .ring_entries = 128 };
	struct plh_device *device;

	memcpy(config.mac, mac, sizeof(config.mac));
	device = plh_device_add(router->subject.kernel, plh_dpdk.backend, &parameters, &config);
	check(device != NULL, "device");
	return device;
}

static void wait_for_links(struct plh_world *world)
{
	uint64_t until_ns = now_ns() + PATIENCE_NS;
	struct rte_eth_link link[2];

	do {
		plh_world_run(world, plh_world_now_ns(world) + 20000000u, 0, 0);
		rte_eth_link_get_nowait(in.far, &link[0]);
		rte_eth_link_get_nowait(out.far, &link[1]);
		need(now_ns() < until_ns, "the ports have no link");
	} while (!link[0].link_status || !link[1].link_status);
	/* Multicast reports and the like, and what they have left in the ports. */
	plh_world_run(world, plh_world_now_ns(world) + 100000000u, 0, 0);
	take_bursts();
}

static void measure_cables(struct plh_image *image, const char *const near[2],
			   const char *const far[2], const char *const names[2])
{
	const struct plh_world_config config = { .clock_kind = PLH_CLOCK_REAL,
						 .wait_kind = PLH_WAIT_BUSY };
	struct plh_world *world = plh_world_create(&config);
	struct node router;

	check(world != NULL, "world");
	router = kernel_node(world, image);
	add_device(&router, near[0], router_mac);
	add_device(&router, near[1], next_mac);
	in = (struct cable){ .far = start_port(far[0]), .near = port_named(near[0]) };
	out = (struct cable){ .far = start_port(far[1]), .near = port_named(near[1]) };
	set_up_router(&router);
	wait_for_links(world);
	for (int apart = 0; apart < 2; apart++)
		measure(world, names[apart], apart);
	plh_world_destroy(world);
	rte_eth_dev_stop(in.far);
	rte_eth_dev_stop(out.far);
}

static void over_memif(struct plh_image *image)
{
	static const char *const names[] = { "dpdk_router_memif", "dpdk_router_memif_apart" };
	char text[4][128], folder[] = "/tmp/pylibos-memif-XXXXXX";
	const char *near[2] = { text[0], text[1] }, *far[2] = { text[2], text[3] };

	need(mkdtemp(folder) != NULL, "no folder for the sockets");
	for (int i = 0; i < 4; i++)
		snprintf(text[i], sizeof(text[i]),
			 "net_memif%d,role=%s,socket=%s/%d,socket-abstract=no", i,
			 i < 2 ? "server" : "client", folder, i % 2);
	measure_cables(image, near, far, names);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "dpdk_router_ring", "dpdk_router_ring_apart" };
	static const char *const near[] = { "net_ring_ina", "net_ring_outa" };
	static const char *const far[] = { "net_ring_inb", "net_ring_outb" };
	struct plh_image *image = plh_image_open(image_path(argc, argv));

	check(image != NULL, "image");
	pin(0);
	check(plh_dpdk.join("in", DESCRIPTORS) == PLH_OK, "join");
	check(plh_dpdk.join("out", DESCRIPTORS) == PLH_OK, "join");
	pool = rte_pktmbuf_pool_create("far", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	need(pool != NULL, "no pool");
	frame = make_frame();
	measure_cables(image, near, far, names);
	over_memif(image);
	plh_image_close(image);
	return 0;
}
