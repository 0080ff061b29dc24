// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three kernels in a row, the middle one a router: datagrams of 64 bytes go end to
 * end in batches of 64, by sendmmsg() and recvmmsg().
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "bench.h"

#define BATCH	64
#define BATCHES 4000
#define BYTES	64
#define PORT	4713

static struct plh_image *image;
static struct plh_world *world;
static char payload[BATCH][2048];

static struct sockaddr_in address_of(const char *text, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, text, &address.sin_addr);
	return address;
}

static struct subject node(void)
{
	struct subject subject = { .image = image, .world = world };

	subject.kernel = plh_kernel_boot(world, image, NULL);
	check(subject.kernel != NULL, "boot");
	subject.task = plh_kernel_init_task(subject.kernel);
	return subject;
}

static void join(const struct subject *a, const struct subject *b)
{
	const struct plh_link_parameters cable = {
		.kernel = { a->kernel, b->kernel },
		.netdev = { { .ring_entries = 512 }, { .ring_entries = 512 } },
		.offload = 1,
	};

	check(plh_link_create(world, &cable) != NULL, "link");
}

static uint64_t udp_socket(const struct subject *subject)
{
	return (uint64_t)call(subject, SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
}

static void configure(const struct subject *subject, const char *name, const char *address)
{
	const struct sockaddr_in mask = address_of("255.255.255.0", 0);
	const struct sockaddr_in own = address_of(address, 0);
	uint64_t fd = udp_socket(subject);
	struct ifreq request = { 0 };

	strcpy(request.ifr_name, name);
	memcpy(&request.ifr_addr, &own, sizeof(own));
	call(subject, SYS_ioctl, fd, SIOCSIFADDR, (uint64_t)&request, 0, 0, 0);
	memcpy(&request.ifr_addr, &mask, sizeof(mask));
	call(subject, SYS_ioctl, fd, SIOCSIFNETMASK, (uint64_t)&request, 0, 0, 0);
	request.ifr_flags = IFF_UP;
	call(subject, SYS_ioctl, fd, SIOCSIFFLAGS, (uint64_t)&request, 0, 0, 0);
	call(subject, SYS_close, fd, 0, 0, 0, 0, 0);
}

static void default_route(const struct subject *subject, const char *gateway)
{
	const struct sockaddr_in to = address_of(gateway, 0), any = address_of("0.0.0.0", 0);
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	uint64_t fd = udp_socket(subject);

	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	memcpy(&route.rt_gateway, &to, sizeof(to));
	call(subject, SYS_ioctl, fd, SIOCADDRT, (uint64_t)&route, 0, 0, 0);
	call(subject, SYS_close, fd, 0, 0, 0, 0, 0);
}

static void forward(const struct subject *router)
{
	const char path[] = "/proc/sys/net/ipv4/ip_forward";
	uint64_t fd;

	fd = (uint64_t)call(router, SYS_openat, (uint64_t)AT_FDCWD, (uint64_t)path, O_WRONLY, 0, 0,
			    0);
	call(router, SYS_write, fd, (uint64_t)"1", 1, 0, 0, 0);
	call(router, SYS_close, fd, 0, 0, 0, 0, 0);
}

struct batch {
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
};

static void fill(struct batch *batch, const struct sockaddr_in *to, size_t bytes)
{
	memset(batch, 0, sizeof(*batch));
	for (int i = 0; i < BATCH; i++) {
		batch->pieces[i] = (struct iovec){ payload[i], bytes };
		batch->messages[i].msg_hdr.msg_iov = &batch->pieces[i];
		batch->messages[i].msg_hdr.msg_iovlen = 1;
		batch->messages[i].msg_hdr.msg_name = (void *)to;
		batch->messages[i].msg_hdr.msg_namelen = to ? sizeof(*to) : 0;
	}
}

int main(int argc, char **argv)
{
	const struct sockaddr_in to = address_of("10.0.2.2", PORT);
	struct results ns = { "forwarding_end_to_end_64", "library", "ns", .count = 0 };
	struct subject a, router, b;
	static struct batch out, in;
	uint64_t sender, receiver;

	image = plh_image_open(image_path(argc, argv));
	world = plh_world_create(NULL);
	check(image && world, "image");
	a = node();
	router = node();
	b = node();
	join(&a, &router);
	join(&router, &b);
	configure(&a, "eth0", "10.0.1.1");
	configure(&router, "eth0", "10.0.1.2");
	configure(&router, "eth1", "10.0.2.1");
	configure(&b, "eth0", "10.0.2.2");
	default_route(&a, "10.0.1.2");
	default_route(&b, "10.0.2.1");
	forward(&router);
	sender = udp_socket(&a);
	receiver = udp_socket(&b);
	call(&b, SYS_bind, receiver, (uint64_t)&to, sizeof(to), 0, 0, 0);
	fill(&out, &to, BYTES);
	fill(&in, NULL, sizeof(payload[0]));
	/* Addresses are resolved by the first one. */
	call(&a, SYS_sendto, sender, (uint64_t)payload[0], BYTES, 0, (uint64_t)&to, sizeof(to));
	call(&b, SYS_read, receiver, (uint64_t)payload[0], sizeof(payload[0]), 0, 0, 0);

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t received = 0, started = now_ns();

		for (int i = 0; i < BATCHES; i++) {
			call(&a, SYS_sendmmsg, sender, (uint64_t)out.messages, BATCH, 0, 0, 0);
			received += (uint64_t)call(&b, SYS_recvmmsg, receiver,
						   (uint64_t)in.messages, BATCH, 0, 0, 0);
		}
		add(&ns, (double)(now_ns() - started) / (double)received);
	}
	report(&ns);
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
