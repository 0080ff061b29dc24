// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two kernels, a link of 10 ms between them, and virtual time: a datagram there
 * and back takes exactly 20 ms once the addresses are resolved, and no time at all.
 *
 *	cc two_kernels.c $(pkg-config --cflags --libs pylibos) -o two_kernels
 *	./two_kernels liblinux.so
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <pylibos_host.h>

#define DELAY_NS 10000000u
#define PORT	 7

static struct plh_world *world;

struct node {
	struct plh_kernel *kernel;
	plh_task *task;
	struct sockaddr_in address;
	uint64_t fd;
};

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, plh_error());
	exit(1);
}

static int64_t call(struct node *node, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		    uint64_t e, uint64_t f)
{
	int status = PLH_OK;
	int64_t ret = plh_call6(node->kernel, node->task, &status, (uint64_t)nr, a, b, c, d, e, f);

	if (status != PLH_OK)
		die("system call");
	if (ret < 0) {
		fprintf(stderr, "system call %ld: %s\n", nr, strerror((int)-ret));
		exit(1);
	}
	return ret;
}

/* ifconfig eth0 10.0.0.<number> up, and a socket bound to a port. */
static void configure(struct node *node, int number)
{
	struct ifreq request = { .ifr_name = "eth0" };
	char text[16];

	snprintf(text, sizeof(text), "10.0.0.%d", number);
	node->address.sin_family = AF_INET;
	inet_pton(AF_INET, text, &node->address.sin_addr);
	node->fd = (uint64_t)call(node, SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
	memcpy(&request.ifr_addr, &node->address, sizeof(node->address));
	call(node, SYS_ioctl, node->fd, SIOCSIFADDR, (uint64_t)&request, 0, 0, 0);
	inet_pton(AF_INET, "255.255.255.0", &((struct sockaddr_in *)&request.ifr_addr)->sin_addr);
	call(node, SYS_ioctl, node->fd, SIOCSIFNETMASK, (uint64_t)&request, 0, 0, 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	call(node, SYS_ioctl, node->fd, SIOCSIFFLAGS, (uint64_t)&request, 0, 0, 0);
	node->address.sin_port = htons(PORT);
	call(node, SYS_bind, node->fd, (uint64_t)&node->address, sizeof(node->address), 0, 0, 0);
}

static void send_to(struct node *from, const struct node *to)
{
	call(from, SYS_sendto, from->fd, (uint64_t)"ping", 4, 0, (uint64_t)&to->address,
	     sizeof(to->address));
}

/* Blocks in the kernel; as nothing else can run, the clock jumps. */
static void receive(struct node *node)
{
	char text[16];

	call(node, SYS_recvfrom, node->fd, (uint64_t)text, sizeof(text), 0, 0, 0);
}

int main(int argc, char **argv)
{
	const struct plh_world_config config = { .seed = 1, .seeded = 1 };
	struct plh_image *image = plh_image_open(argc > 1 ? argv[1] : "liblinux.so");
	struct plh_link_parameters cable = { .offload = 1 };
	struct node nodes[2] = { 0 };

	world = plh_world_create(&config);
	if (!image || !world)
		die("start");
	for (int i = 0; i < 2; i++) {
		nodes[i].kernel = plh_kernel_boot(world, image, NULL);
		if (!nodes[i].kernel)
			die("boot");
		nodes[i].task = plh_kernel_init_task(nodes[i].kernel);
		cable.kernel[i] = nodes[i].kernel;
		cable.netdev[i].mac[0] = 2;
		cable.netdev[i].mac[5] = (uint8_t)(i + 1);
		cable.config[i].delay_ns = DELAY_NS;
	}
	if (!plh_link_create(world, &cable))
		die("link");
	configure(&nodes[0], 1);
	configure(&nodes[1], 2);

	for (int round = 1; round <= 3; round++) {
		uint64_t started_ns = plh_world_now_ns(world);

		send_to(&nodes[0], &nodes[1]);
		receive(&nodes[1]);
		send_to(&nodes[1], &nodes[0]);
		receive(&nodes[0]);
		printf("round trip %d: %llu ns\n", round,
		       (unsigned long long)(plh_world_now_ns(world) - started_ns));
	}
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
