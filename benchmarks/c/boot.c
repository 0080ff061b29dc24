// SPDX-License-Identifier: GPL-2.0-only
/* Load and boot a kernel, halt it again; what it takes of memory; many at once. */
#include "bench.h"

#define BOOTS	50
#define KERNELS 200

/* Shared pages count in equal parts, so the text of all kernels counts once. */
static double proportional_kib(void)
{
	char line[128];
	double kib = 0;
	FILE *file = fopen("/proc/self/smaps_rollup", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Pss: %lf kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

int main(int argc, char **argv)
{
	struct plh_image *image = plh_image_open(image_path(argc, argv));
	struct plh_world *world = plh_world_create(NULL);
	struct results boot = { "boot", "library", "us", .count = 0 };
	struct results halt = { "halt", "library", "us", .count = 0 };
	struct results many = { "boot_one_of_200", "library", "us", .count = 0 };
	struct results memory = { "memory_per_kernel_of_200", "library", "KiB", .count = 0 };
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
	before = proportional_kib();
	started = now_ns();
	for (int i = 0; i < KERNELS; i++)
		check(plh_kernel_boot(world, image, NULL) != NULL, "boot");
	add(&many, (double)(now_ns() - started) / 1000 / KERNELS);
	add(&memory, (proportional_kib() - before) / KERNELS);
	report(&boot);
	report(&halt);
	report(&many);
	report(&memory);
	plh_world_destroy(world);
	plh_image_close(image);
	return 0;
}
