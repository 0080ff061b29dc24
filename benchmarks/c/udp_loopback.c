// SPDX-License-Identifier: GPL-2.0-only
/* A datagram of 64 bytes over the loopback interface: send it and receive it. */
#include <unistd.h>

#include "loopback.h"

#define PAIRS 200000
#define BYTES 64
#define PORT  4711

static char data[BYTES];

static double library(const struct subject *subject, uint64_t fd, const struct sockaddr_in *to)
{
	uint64_t started = now_ns();

	for (int i = 0; i < PAIRS; i++) {
		call(subject, SYS_sendto, fd, (uint64_t)data, BYTES, 0, (uint64_t)to, sizeof(*to));
		call(subject, SYS_recvfrom, fd, (uint64_t)data, BYTES, 0, 0, 0);
	}
	return (double)(now_ns() - started) / PAIRS;
}

static double native(int fd, const struct sockaddr_in *to)
{
	uint64_t started = now_ns();

	for (int i = 0; i < PAIRS; i++) {
		if (sendto(fd, data, BYTES, 0, (const struct sockaddr *)to, sizeof(*to)) != BYTES ||
		    recv(fd, data, BYTES, 0) != BYTES) {
			perror("native UDP");
			exit(1);
		}
	}
	return (double)(now_ns() - started) / PAIRS;
}

int main(int argc, char **argv)
{
	struct subject subject = boot_subject(image_path(argc, argv), PLH_CLOCK_REAL);
	struct sockaddr_in address = loopback_address(PORT);
	struct results l = { "udp_loopback_64", "library", "ns", .count = 0 };
	struct results n = { "udp_loopback_64", "native", "ns", .count = 0 };
	uint64_t fd;
	int native_fd = socket(AF_INET, SOCK_DGRAM, 0);

	loopback_up(&subject);
	fd = (uint64_t)call(&subject, SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
	call(&subject, SYS_bind, fd, (uint64_t)&address, sizeof(address), 0, 0, 0);
	if (bind(native_fd, (struct sockaddr *)&address, sizeof(address)))
		perror("native bind");
	for (int round = 0; round < ROUNDS; round++) {
		add(&l, library(&subject, fd, &address));
		add(&n, native(native_fd, &address));
	}
	report(&l);
	report(&n);
	close(native_fd);
	halt_subject(&subject);
	return 0;
}
