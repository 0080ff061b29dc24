// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Internet checksum (RFC 1071): eight bytes at a time with end-around carry, and
 * with AVX2, which user space may use and not every processor has, 64 at a time.
 */
#include <linux/export.h>
#include <linux/string.h>
#include <net/checksum.h>

/* From here on AVX2 wins. */
#define LL_CSUM_WIDE 256

static __always_inline u64 add_carry(u64 sum, u64 v)
{
	sum += v;
	return sum + (sum < v);
}

static __always_inline u64 load64(const u8 *p)
{
	u64 v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

/* The last 0 to 7 bytes, as they lie in memory. */
static __always_inline u64 load_rest(const u8 *p, unsigned int len)
{
	u64 rest = 0;
	u32 word;
	u16 half;

	if (len & 4) {
		__builtin_memcpy(&word, p, 4);
		rest = word;
		p += 4;
	}
	if (len & 2) {
		__builtin_memcpy(&half, p, 2);
		rest += (u64)half << 32;
		p += 2;
	}
	if (len & 1) {
#ifdef __LITTLE_ENDIAN
		rest += (u64)*p << 48;
#else
		rest += (u64)*p << 56;
#endif
	}
	return rest;
}

static __always_inline u64 sum_words(const u8 *p, unsigned int len)
{
	u64 a = 0, b = 0, c = 0, d = 0;

	for (; len >= 32; len -= 32, p += 32) {
		a = add_carry(a, load64(p));
		b = add_carry(b, load64(p + 8));
		c = add_carry(c, load64(p + 16));
		d = add_carry(d, load64(p + 24));
	}
	for (; len >= 8; len -= 8, p += 8)
		a = add_carry(a, load64(p));
	b = add_carry(b, load_rest(p, len));
	return add_carry(add_carry(a, b), add_carry(c, d));
}

#ifdef __x86_64__
typedef u64 v4 __attribute__((vector_size(32), aligned(1), may_alias));

/* 32-bit words into 64-bit lanes, which no length can fill. */
static __attribute__((target("avx2"))) noinline u64 sum_avx2(const u8 *p, unsigned int blocks)
{
	v4 a = {}, b = {}, c = {}, d = {};

	for (; blocks; blocks--, p += 64) {
		v4 x = *(const v4 *)p, y = *(const v4 *)(p + 32);

		a += x & 0xffffffff;
		b += x >> 32;
		c += y & 0xffffffff;
		d += y >> 32;
	}
	a += b + c + d;
	return add_carry(add_carry(a[0], a[1]), add_carry(a[2], a[3]));
}

static __attribute__((target("avx2"))) noinline u64 copy_avx2(u8 *to, const u8 *p,
							      unsigned int blocks)
{
	v4 a = {}, b = {}, c = {}, d = {};

	for (; blocks; blocks--, p += 64, to += 64) {
		v4 x = *(const v4 *)p, y = *(const v4 *)(p + 32);

		*(v4 *)to = x;
		*(v4 *)(to + 32) = y;
		a += x & 0xffffffff;
		b += x >> 32;
		c += y & 0xffffffff;
		d += y >> 32;
	}
	a += b + c + d;
	return add_carry(add_carry(a[0], a[1]), add_carry(a[2], a[3]));
}

static noinline bool ask_avx2(void)
{
	u32 a = 1, b, c = 0, d, low, high;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	/* The processor has AVX, and the system saves its registers. */
	if ((c & (3u << 27)) != 3u << 27)
		return false;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	a = 7;
	c = 0;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (low & 6) == 6 && b & (1u << 5);
}

static bool have_avx2(void)
{
	static u8 answer; /* 0: not asked yet */

	if (unlikely(!answer))
		answer = 1 + ask_avx2();
	return answer == 2;
}
#else
static u64 sum_avx2(const u8 *p, unsigned int blocks)
{
	return 0;
}

static u64 copy_avx2(u8 *to, const u8 *p, unsigned int blocks)
{
	return 0;
}

static bool have_avx2(void)
{
	return false;
}
#endif

/*
 * The 16-bit one's complement sum.  Words are added as they lie in memory: the sum
 * does not mind byte order as long as it starts at an even place, which callers
 * see to (csum_block_add() swaps for odd offsets).
 */
unsigned int do_csum(const unsigned char *p, int len)
{
	unsigned int blocks;
	u64 sum = 0;

	if (len >= LL_CSUM_WIDE && have_avx2()) {
		blocks = (unsigned int)len / 64;
		sum = sum_avx2(p, blocks);
		p += blocks * 64;
		len &= 63;
	}
	return ll_csum_fold64(add_carry(sum, sum_words(p, len)));
}

/* One pass over the memory instead of two. */
__wsum csum_partial_copy_nocheck(const void *src, void *dst, int len)
{
	const u8 *from = src;
	unsigned int blocks;
	u8 *to = dst;
	u64 sum = 0;

	if (len >= LL_CSUM_WIDE && have_avx2()) {
		blocks = (unsigned int)len / 64;
		sum = add_carry(sum, copy_avx2(to, from, blocks));
		from += blocks * 64;
		to += blocks * 64;
		len &= 63;
	}
	memcpy(to, from, len);
	sum = add_carry(sum, sum_words(to, len));
	sum = (u32)sum + (sum >> 32);
	return (__force __wsum)((u32)sum + (sum >> 32));
}
EXPORT_SYMBOL(csum_partial_copy_nocheck);
