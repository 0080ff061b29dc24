/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_ARCHRANDOM_H
#define _ASM_LIB_ARCHRANDOM_H
/* The host's random bytes are trusted: it could read the pool anyway. */
void ll_random(void *buffer, unsigned long bytes);

static inline size_t __must_check arch_get_random_longs(unsigned long *v, size_t max_longs)
{
	return 0;
}

static inline size_t __must_check arch_get_random_seed_longs(unsigned long *v, size_t max_longs)
{
	ll_random(v, max_longs * sizeof(*v));
	return max_longs;
}
#endif
