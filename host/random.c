// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "random.h"

static uint64_t rotate_left(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

/* SplitMix64, which the authors of xoshiro recommend to fill its state. */
static uint64_t split_mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void system_bytes(void *buffer, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = getrandom(buffer, bytes, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* no such call, in a sandbox: zeros, as it says nothing */
		buffer = (char *)buffer + n;
		bytes -= (uint64_t)n;
	}
}

void random_init(struct random *random, bool seeded, uint64_t seed, enum random_stream stream,
		 uint64_t number)
{
	uint64_t state;

	random->seeded = seeded;
	if (!seeded)
		system_bytes(&seed, sizeof(seed));
	state = seed;
	/* Mix before adding the number: near seeds must not share streams. */
	state = split_mix(&state) ^ (uint64_t)stream << 56 ^ number;
	for (int i = 0; i < 4; i++)
		random->state[i] = split_mix(&state);
}

/* xoshiro256** 1.0 by David Blackman and Sebastiano Vigna, public domain. */
uint64_t random_next(struct random *random)
{
	uint64_t *s = random->state;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

void random_bytes(struct random *random, void *buffer, uint64_t bytes)
{
	if (!random->seeded) {
		system_bytes(buffer, bytes);
		return;
	}
	while (bytes) {
		uint64_t value = random_next(random);
		uint64_t piece = bytes < sizeof(value) ? bytes : sizeof(value);

		memcpy(buffer, &value, piece);
		buffer = (char *)buffer + piece;
		bytes -= piece;
	}
}
