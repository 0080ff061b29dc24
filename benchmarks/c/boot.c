// SPDX-License-Identifier: GPL-2.0-only
/* Load and boot a kernel, halt it again; what it takes of memory; many at once. */
#include <unistd.h>

#include "bench.h"

#define BOOTS 50
#define KERNELS 200

static double resident_kib(void)
{
	long total, resident;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2)
		exit(1);
	fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

int main(int argc, char **argv)
{
	struct plh_image *image = plh_image_open(image_path(argc, argv));
	struct plh_world *world = plh_world_create(NULL);
	struct results boot = { "boot", "library", "us", .count = 0 };
	struct results halt = { "halt", "library", "us", .count = 0 };
	struct results many = { "boot_one_of_200", "library", "us", .count = 0 };
	struct results memory = { "memory_per_kernel", "library", "KiB", .count = 0 };
	double before;
	uint64_t started;

	check(image && world, "image");
	for (int i = 0; i < BOOTS; i++) {
		struct plh_kernel *kernel;

		started = now_ns();
		kernel = plh_kernel_boot(world, image, NULL);
		check(kernel != NULL, "boot");
		add(&boot, (double)(now_ns() - started) / 1000);
		started = now_ns();
		plh_kernel_halt(kernel);
		add(&halt, (double)(now_ns() - started) / 1000);
	}
	before = resident_kib();
	started = now_ns();
	for (int i = 0; i < KERNELS; i++)
		check(plh_kernel_boot(world, image, NULL) != NULL, "boot");
	add(&many, (double)(now_ns() - started) / 1000 / KERNELS);
	add(&memory, (resident_kib() - before) / KERNELS);
	report(&boot);
	report(&halt);
	report(&many);
	report(&memory);
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
