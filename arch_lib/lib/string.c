// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copying and filling, in words that the compiler turns into the widest moves the
 * ISA has for sure.  Large blocks go to the processor's own instruction where
 * there is one.
 */
#include <linux/export.h>
#include <linux/string.h>
#include <linux/types.h>
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

void *__memcpy(void *to, const void *from, size_t n);
void *__memmove(void *to, const void *from, size_t n);
void *__memset(void *to, int c, size_t n);

typedef struct {
	u8 b[16];
} v16;
typedef struct {
	u8 b[32];
} v32;

#define COPY(type, at) (*(type *)(d + (at)) = *(const type *)(s + (at)))

/* Under 64 bytes, from both ends, overlapping in the middle; loads come first. */
static __always_inline void copy_small(u8 *d, const u8 *s, size_t n)
{
	if (n >= 32) {
		v32 a = *(const v32 *)s, b = *(const v32 *)(s + n - 32);

		*(v32 *)d = a;
		*(v32 *)(d + n - 32) = b;
	} else if (n >= 16) {
		v16 a = *(const v16 *)s, b = *(const v16 *)(s + n - 16);

		*(v16 *)d = a;
		*(v16 *)(d + n - 16) = b;
	} else if (n >= 8) {
		u64 a, b;

		__builtin_memcpy(&a, s, 8);
		__builtin_memcpy(&b, s + n - 8, 8);
		__builtin_memcpy(d, &a, 8);
		__builtin_memcpy(d + n - 8, &b, 8);
	} else if (n >= 4) {
		u32 a, b;

		__builtin_memcpy(&a, s, 4);
		__builtin_memcpy(&b, s + n - 4, 4);
		__builtin_memcpy(d, &a, 4);
		__builtin_memcpy(d + n - 4, &b, 4);
	} else if (n) {
		u8 a = s[0], b = s[n / 2], c = s[n - 1];

		d[0] = a;
		d[n / 2] = b;
		d[n - 1] = c;
	}
}

#ifdef __x86_64__
#define LL_BLOCK 1024 /* from here on rep movsb wins */
static __always_inline void copy_block(u8 *d, const u8 *s, size_t n)
{
	asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}

static __always_inline void fill_block(u8 *d, int c, size_t n)
{
	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
}
#else
#define LL_BLOCK (~0UL)
static __always_inline void copy_block(u8 *d, const u8 *s, size_t n)
{
}
static __always_inline void fill_block(u8 *d, int c, size_t n)
{
}
#endif

void *__memcpy(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n < 64) {
		copy_small(d, s, n);
		return to;
	}
	if (n >= LL_BLOCK) {
		copy_block(d, s, n);
		return to;
	}
	for (; n >= 64; n -= 64, d += 64, s += 64) {
		COPY(v32, 0);
		COPY(v32, 32);
	}
	copy_small(d, s, n);
	return to;
}
/* Weak, for mm/kasan/shadow.c has checked ones of these names. */
void *memcpy(void *to, const void *from, size_t n) __weak __alias(__memcpy);
EXPORT_SYMBOL(memcpy);

void *__memmove(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n < 64) {
		copy_small(d, s, n);
	} else if ((size_t)(d - s) >= n) {
		return __memcpy(to, from, n);
	} else {
		while (n >= 64) {
			v32 a, b;

			n -= 64;
			a = *(const v32 *)(s + n + 32);
			b = *(const v32 *)(s + n);
			*(v32 *)(d + n + 32) = a;
			*(v32 *)(d + n) = b;
		}
		copy_small(d, s, n);
	}
	return to;
}
void *memmove(void *to, const void *from, size_t n) __weak __alias(__memmove);
EXPORT_SYMBOL(memmove);

void *__memset(void *to, int c, size_t n)
{
	u8 *d = to;
	u64 w = 0x0101010101010101ULL * (u8)c;

	if (n >= LL_BLOCK / 2) {
		fill_block(d, c, n);
		return to;
	}
	if (n >= 8) {
		size_t i;

		for (i = 0; i + 8 <= n; i += 8)
			__builtin_memcpy(d + i, &w, 8);
		__builtin_memcpy(d + n - 8, &w, 8);
		return to;
	}
	for (; n; n--)
		*d++ = c;
	return to;
}
void *memset(void *to, int c, size_t n) __weak __alias(__memset);
EXPORT_SYMBOL(memset);

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n >= 8; n -= 8, p += 8, q += 8) {
		u64 x, y;

		__builtin_memcpy(&x, p, 8);
		__builtin_memcpy(&y, q, 8);
		if (x != y)
			return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
	}
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p < *q ? -1 : 1;
	return 0;
}
EXPORT_SYMBOL(memcmp);
