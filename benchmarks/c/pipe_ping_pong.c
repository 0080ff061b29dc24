// SPDX-License-Identifier: GPL-2.0-only
/*
 * A byte there and back through two pipes.  Library: two tasks, one host thread;
 * native: two threads on one core.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define TRIPS 100000

static char byte;

static void start(const struct subject *subject, plh_task *task, long nr, uint64_t fd)
{
	const uint64_t args[6] = { fd, (uint64_t)&byte, 1 };
	int64_t ret;

	check(plh_submit(subject->kernel, task, (uint64_t)nr, args, &ret) == PLH_PENDING, "submit");
}

static void finish(const struct subject *subject, plh_task *task)
{
	int64_t ret = 0;

	check(plh_wait(subject->kernel, task, LL_NEVER, &ret) == PLH_OK && ret == 1, "wait");
}

static double library(const struct subject *subject, plh_task *other, const int there[2],
		      const int back[2])
{
	plh_task *task = subject->task;
	uint64_t started = now_ns();

	start(subject, other, SYS_read, (uint64_t)there[0]);
	for (int i = 0; i < TRIPS; i++) {
		/* As the two threads of the native one do: write, then block in read. */
		call(subject, SYS_write, (uint64_t)there[1], (uint64_t)&byte, 1, 0, 0, 0);
		start(subject, task, SYS_read, (uint64_t)back[0]);
		finish(subject, other);
		call_on(subject, other, SYS_write, (uint64_t)back[1], (uint64_t)&byte, 1, 0, 0, 0);
		start(subject, other, SYS_read, (uint64_t)there[0]);
		finish(subject, task);
	}
	call(subject, SYS_write, (uint64_t)there[1], (uint64_t)&byte, 1, 0, 0, 0);
	finish(subject, other);
	return (double)(now_ns() - started) / TRIPS;
}

struct native_pipes {
	int there[2], back[2];
};

static void *echo(void *opaque)
{
	const struct native_pipes *pipes = opaque;
	char got;

	pin_to_one_core();
	for (int i = 0; i < TRIPS; i++)
		if (read(pipes->there[0], &got, 1) != 1 || write(pipes->back[1], &got, 1) != 1)
			exit(1);
	return NULL;
}

static double native(struct native_pipes *pipes)
{
	pthread_t thread;
	uint64_t started;
	char got = 0;

	pthread_create(&thread, NULL, echo, pipes);
	started = now_ns();
	for (int i = 0; i < TRIPS; i++)
		if (write(pipes->there[1], &got, 1) != 1 || read(pipes->back[0], &got, 1) != 1)
			exit(1);
	pthread_join(thread, NULL);
	return (double)(now_ns() - started) / TRIPS;
}

int main(int argc, char **argv)
{
	struct subject subject = boot_subject(image_path(argc, argv), PLH_CLOCK_REAL);
	struct results l = { "pipe_ping_pong", "library", "ns", .count = 0 };
	struct results n = { "pipe_ping_pong", "native", "ns", .count = 0 };
	plh_task *other = new_thread(&subject);
	struct native_pipes pipes;
	int there[2], back[2];

	pin_to_one_core();
	call(&subject, SYS_pipe2, (uint64_t)there, 0, 0, 0, 0, 0);
	call(&subject, SYS_pipe2, (uint64_t)back, 0, 0, 0, 0, 0);
	if (pipe(pipes.there) || pipe(pipes.back))
		return 1;
	for (int round = 0; round < ROUNDS; round++) {
		add(&l, library(&subject, other, there, back));
		add(&n, native(&pipes));
	}
	report(&l);
	report(&n);
	halt_subject(&subject);
	return 0;
}
