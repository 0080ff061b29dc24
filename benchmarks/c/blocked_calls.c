// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ten thousand tasks, each blocked in recv() on its own kernel stack, and one
 * host thread; then each gets its datagram.
 */
#include <unistd.h>

#include "loopback.h"

#define TASKS	   10000
#define FIRST_PORT 10000

static plh_task *tasks[TASKS];
static char buffers[TASKS][16];

int main(int argc, char **argv)
{
	const struct plh_kernel_config config = { .memory_bytes = 512u << 20 };
	struct subject subject = { .image = plh_image_open(image_path(argc, argv)) };
	struct results create = { "blocked_calls_start", "library", "ns", .count = 0 };
	struct results wake = { "blocked_calls_wake", "library", "ns", .count = 0 };
	struct results memory = { "blocked_calls_memory", "library", "KiB", .count = 0 };
	struct plh_kernel_stats before, after;
	uint64_t started, sender;
	int ended = 0;

	check(subject.image != NULL, "image");
	subject.world = plh_world_create(NULL);
	subject.kernel = plh_kernel_boot(subject.world, subject.image, &config);
	check(subject.kernel != NULL, "boot");
	subject.task = plh_kernel_init_task(subject.kernel);
	loopback_up(&subject);
	plh_kernel_stats(subject.kernel, &before);

	started = now_ns();
	for (int i = 0; i < TASKS; i++) {
		struct sockaddr_in address = loopback_address((uint16_t)(FIRST_PORT + i));
		uint64_t args[6] = { 0, (uint64_t)buffers[i], sizeof(buffers[i]) };
		int64_t ret;

		tasks[i] = plh_task_create(subject.kernel, subject.task, 0, NULL);
		check(tasks[i] != NULL, "task");
		args[0] = (uint64_t)call_on(&subject, tasks[i], SYS_socket, AF_INET, SOCK_DGRAM, 0,
					    0, 0, 0);
		call_on(&subject, tasks[i], SYS_bind, args[0], (uint64_t)&address, sizeof(address),
			0, 0, 0);
		check(plh_submit(subject.kernel, tasks[i], SYS_recvfrom, args, &ret) == PLH_PENDING,
		      "recv");
	}
	add(&create, (double)(now_ns() - started) / TASKS);
	plh_kernel_stats(subject.kernel, &after);
	add(&memory,
	    (double)(after.arena_resident_bytes - before.arena_resident_bytes) / 1024 / TASKS);

	sender = (uint64_t)call(&subject, SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
	started = now_ns();
	for (int i = 0; i < TASKS; i++) {
		struct sockaddr_in to = loopback_address((uint16_t)(FIRST_PORT + i));

		call(&subject, SYS_sendto, sender, (uint64_t)"wake up", 7, 0, (uint64_t)&to,
		     sizeof(to));
	}
	plh_world_run(subject.world, plh_world_now_ns(subject.world), 0, 0);
	while (plh_world_next_done(subject.world))
		ended++;
	add(&wake, (double)(now_ns() - started) / TASKS);
	if (ended != TASKS) {
		fprintf(stderr, "%d of %d calls ended\n", ended, TASKS);
		return 1;
	}
	report(&create);
	report(&wake);
	report(&memory);
	halt_subject(&subject);
	return 0;
}
