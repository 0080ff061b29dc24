/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the C benchmarks share.  Each prints JSON lines: who ("library" or
 * "native"), the best and the median of some rounds, and the unit.  Library and
 * native rounds alternate, so that a busy machine disturbs both alike.
 */
#ifndef BENCH_H
#define BENCH_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pylibos_host.h>

#define ROUNDS 7

struct results {
	const char *benchmark, *who, *unit;
	double values[64];
	int count;
	int higher_is_better;
};

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, plh_error());
	exit(1);
}

static inline void check(int good, const char *what)
{
	if (!good)
		die(what);
}

static inline void pin_to_one_core(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static inline void add(struct results *results, double value)
{
	if (results->count < 64)
		results->values[results->count++] = value;
}

static inline int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static inline void report(struct results *results)
{
	double best;

	if (!results->count)
		return;
	qsort(results->values, (size_t)results->count, sizeof(double), compare);
	best = results->values[results->higher_is_better ? results->count - 1 : 0];
	printf("{\"benchmark\": \"%s\", \"who\": \"%s\", \"unit\": \"%s\", \"best\": %.2f, "
	       "\"median\": %.2f}\n",
	       results->benchmark, results->who, results->unit, best,
	       results->values[results->count / 2]);
	fflush(stdout);
}

/* --- One kernel to measure --- */

struct subject {
	struct plh_image *image;
	struct plh_world *world;
	struct plh_kernel *kernel;
	plh_task *task;
};

static inline struct subject boot_subject(const char *path, uint32_t clock_kind)
{
	const struct plh_world_config config = { .clock_kind = clock_kind };
	struct subject subject;

	subject.image = plh_image_open(path);
	check(subject.image != NULL, "image");
	subject.world = plh_world_create(&config);
	check(subject.world != NULL, "world");
	subject.kernel = plh_kernel_boot(subject.world, subject.image, NULL);
	check(subject.kernel != NULL, "boot");
	subject.task = plh_kernel_init_task(subject.kernel);
	return subject;
}

static inline void halt_subject(struct subject *subject)
{
	plh_world_destroy(subject->world);
	plh_image_close(subject->image);
}

/* A system call that must succeed. */
static inline int64_t call_on(const struct subject *subject, plh_task *task, long nr, uint64_t a,
			      uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	int status = PLH_OK;
	int64_t ret = plh_call6(subject->kernel, task, &status, (uint64_t)nr, a, b, c, d, e, f);

	check(status == PLH_OK, "system call");
	if (ret < 0) {
		fprintf(stderr, "system call %ld: %s\n", nr, strerror((int)-ret));
		exit(1);
	}
	return ret;
}

static inline int64_t call(const struct subject *subject, long nr, uint64_t a, uint64_t b,
			   uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	return call_on(subject, subject->task, nr, a, b, c, d, e, f);
}

/* A task that shares descriptors with the first one, as a thread does. */
static inline plh_task *new_thread(const struct subject *subject)
{
	plh_task *task =
		plh_task_create(subject->kernel, subject->task, CLONE_FILES | CLONE_FS, NULL);

	check(task != NULL, "task");
	return task;
}

/* For a profile: measure only the library, and only figures whose name holds the word. */
static inline const char *only(int argc, char **argv)
{
	return argc > 2 ? argv[2] : NULL;
}

static inline const char *image_path(int argc, char **argv)
{
	if (argc > 1)
		return argv[1];
	return getenv("LIBLINUX") ? getenv("LIBLINUX") : "liblinux.so";
}

#endif
