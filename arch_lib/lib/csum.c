// SPDX-License-Identifier: GPL-2.0-only
/* The Internet checksum (RFC 1071), eight bytes at a time with end-around carry. */
#include <linux/string.h>
#include <net/checksum.h>

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

/*
 * The 16-bit one's complement sum.  Words are added as they lie in memory: the sum
 * does not mind byte order as long as it starts at an even place, which callers
 * see to (csum_block_add() swaps for odd offsets).
 */
unsigned int do_csum(const unsigned char *p, int len)
{
	u64 a = 0, b = 0, c = 0, d = 0, tail = 0;
	u32 sum;

	for (; len >= 32; len -= 32, p += 32) {
		a = add_carry(a, load64(p));
		b = add_carry(b, load64(p + 8));
		c = add_carry(c, load64(p + 16));
		d = add_carry(d, load64(p + 24));
	}
	for (; len >= 8; len -= 8, p += 8)
		a = add_carry(a, load64(p));
	if (len > 0) {
		__builtin_memcpy(&tail, p, len);
		b = add_carry(b, tail);
	}
	a = add_carry(add_carry(a, b), add_carry(c, d));
	a = (a & 0xffffffff) + (a >> 32);
	sum = (a & 0xffffffff) + (a >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}
