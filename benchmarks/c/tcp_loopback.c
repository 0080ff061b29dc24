// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bulk TCP over the loopback interface, one core.  Library: a sending and a
 * receiving task on one host thread; native: two threads on one core.
 */
#include <pthread.h>
#include <unistd.h>

#include "loopback.h"

#define TOTAL_BYTES (512ull << 20)
#define PORT	    4712

static char *out, *in;

struct pair {
	uint64_t sender, receiver; /* descriptors */
};

static struct pair library_pair(const struct subject *subject)
{
	struct sockaddr_in address = loopback_address(PORT);
	uint64_t listener = (uint64_t)call(subject, SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
	struct pair pair;

	call(subject, SYS_bind, listener, (uint64_t)&address, sizeof(address), 0, 0, 0);
	call(subject, SYS_listen, listener, 1, 0, 0, 0, 0);
	pair.sender = (uint64_t)call(subject, SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
	call(subject, SYS_connect, pair.sender, (uint64_t)&address, sizeof(address), 0, 0, 0);
	pair.receiver = (uint64_t)call(subject, SYS_accept, listener, 0, 0, 0, 0, 0);
	return pair;
}

/* Keeps a send in flight; whatever arrives is received at once. */
static double library(const struct subject *subject, plh_task *other, const struct pair *pair,
		      uint64_t bytes)
{
	const uint64_t send_args[6] = { pair->sender, (uint64_t)out, bytes };
	uint64_t received = 0, started = now_ns();
	int status = PLH_OK;
	int64_t ret;

	while (received < TOTAL_BYTES) {
		if (status == PLH_PENDING)
			status = plh_poll(subject->kernel, other, &ret);
		if (status == PLH_OK)
			status = plh_submit(subject->kernel, other, SYS_write, send_args, &ret);
		check(status == PLH_OK || status == PLH_PENDING, "send");
		received += (uint64_t)call(subject, SYS_read, pair->receiver, (uint64_t)in, bytes,
					   0, 0, 0);
	}
	started = now_ns() - started;
	/* What is still on its way belongs to nobody's figure. */
	while (status == PLH_PENDING) {
		status = plh_poll(subject->kernel, other, &ret);
		if (status == PLH_PENDING)
			call(subject, SYS_read, pair->receiver, (uint64_t)in, bytes, 0, 0, 0);
	}
	for (;;) {
		int end = PLH_OK;

		if (plh_call6(subject->kernel, subject->task, &end, SYS_recvfrom, pair->receiver,
			      (uint64_t)in, bytes, MSG_DONTWAIT, 0, 0) <= 0)
			break;
	}
	return (double)received * 8 / (double)started; /* bits a ns are Gbit/s */
}

struct native_sender {
	int fd;
	uint64_t bytes;
};

static void *native_send(void *opaque)
{
	const struct native_sender *sender = opaque;

	pin_to_one_core();
	for (uint64_t sent = 0; sent < TOTAL_BYTES;) {
		ssize_t n = write(sender->fd, out, sender->bytes);

		if (n <= 0)
			exit(1);
		sent += (uint64_t)n;
	}
	shutdown(sender->fd, SHUT_WR);
	return NULL;
}

static double native(uint64_t bytes)
{
	struct sockaddr_in address = loopback_address(0);
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct native_sender sender = { socket(AF_INET, SOCK_STREAM, 0), bytes };
	uint64_t received = 0, started;
	pthread_t thread;
	ssize_t n;
	int fd;

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    connect(sender.fd, (struct sockaddr *)&address, sizeof(address)))
		exit(1);
	fd = accept(listener, NULL, NULL);
	started = now_ns();
	pthread_create(&thread, NULL, native_send, &sender);
	while ((n = read(fd, in, bytes)) > 0)
		received += (uint64_t)n;
	started = now_ns() - started;
	pthread_join(thread, NULL);
	close(fd);
	close(listener);
	close(sender.fd);
	return (double)received * 8 / (double)started;
}

int main(int argc, char **argv)
{
	struct subject subject = boot_subject(image_path(argc, argv), PLH_CLOCK_REAL);
	plh_task *other = new_thread(&subject);
	struct pair pair;

	pin_to_one_core();
	out = calloc(1, 1 << 20);
	in = calloc(1, 1 << 20);
	loopback_up(&subject);
	pair = library_pair(&subject);
	for (uint64_t kib = 64; kib <= 1024; kib *= 4) {
		char name[32];
		struct results l = { name, "library", "Gbit/s", .higher_is_better = 1 };
		struct results n = { name, "native", "Gbit/s", .higher_is_better = 1 };

		snprintf(name, sizeof(name), "tcp_loopback_%uk", (unsigned int)kib);
		for (int round = 0; round < 5; round++) {
			add(&l, library(&subject, other, &pair, kib << 10));
			add(&n, native(kib << 10));
		}
		report(&l);
		report(&n);
	}
	halt_subject(&subject);
	return 0;
}
