// SPDX-License-Identifier: GPL-2.0-only
/* getppid(): the price of crossing into the kernel and back. */
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define CALLS 2000000

static double library(const struct subject *subject)
{
	uint64_t started = now_ns();

	for (int i = 0; i < CALLS; i++)
		call(subject, SYS_getppid, 0, 0, 0, 0, 0, 0);
	return (double)(now_ns() - started) / CALLS;
}

static double native(void)
{
	uint64_t started = now_ns();

	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	return (double)(now_ns() - started) / CALLS;
}

int main(int argc, char **argv)
{
	struct subject in_virtual = boot_subject(image_path(argc, argv), PLH_CLOCK_VIRTUAL);
	struct subject in_real = boot_subject(image_path(argc, argv), PLH_CLOCK_REAL);
	struct results v = { "null_call_virtual", "library", "ns", .count = 0 };
	struct results r = { "null_call_real", "library", "ns", .count = 0 };
	struct results n = { "null_call", "native", "ns", .count = 0 };

	for (int round = 0; round < ROUNDS; round++) {
		add(&v, library(&in_virtual));
		add(&r, library(&in_real));
		add(&n, native());
	}
	report(&v);
	report(&r);
	report(&n);
	halt_subject(&in_virtual);
	halt_subject(&in_real);
	return 0;
}
