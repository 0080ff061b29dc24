/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random bytes.  With a seed they are a pure function of it and of who asks
 * (xoshiro256**, each asker a stream of its own); without, getrandom(2).
 */
#ifndef PLH_RANDOM_H
#define PLH_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

struct random {
	uint64_t state[4];
	bool seeded;
};

/* Who asks: a kernel or one direction of a link, by its number in the world. */
enum random_stream {
	RANDOM_KERNEL = 1,
	RANDOM_LINK = 2,
};

/* seeded false: the generator starts from getrandom(2), bytes come from there. */
void random_init(struct random *random, bool seeded, uint64_t seed, enum random_stream stream,
		 uint64_t number);
uint64_t random_next(struct random *random);
void random_bytes(struct random *random, void *buffer, uint64_t bytes);

/* True with a probability of p / 2^32; always if p is the largest there is. */
static inline bool random_chance(struct random *random, uint32_t p)
{
	return p && (random_next(random) >> 32 < p || p == UINT32_MAX);
}

#pragma GCC visibility pop

#endif
