// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC32C (RFC 3385) by SSE 4.2, eight bytes in three cycles: SCTP sums all that it sends
 * and gets.  The linker sends callers of the kernel's crc32c() here, see --wrap in
 * arch_lib/Makefile; the kernel's own is for processors that cannot.
 */
#include <linux/compiler.h>
#include <linux/types.h>

u32 __wrap_crc32c(u32 crc, const void *data, unsigned int len);
/* The length has 32 bits in some releases and 64 in others: these fit both. */
u32 __real_crc32c(u32 crc, const void *data, unsigned long len);

static noinline bool ask_sse42(void)
{
	u32 a = 1, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c & (1u << 20);
}

static bool have_sse42(void)
{
	static u8 answer; /* 0: not asked yet */

	if (unlikely(!answer))
		answer = 1 + ask_sse42();
	return answer == 2;
}

u32 __wrap_crc32c(u32 crc, const void *data, unsigned int len)
{
	const u8 *p = data;
	u64 sum = crc;

	if (unlikely(!have_sse42()))
		return __real_crc32c(crc, data, len);
	for (; len >= 8; len -= 8, p += 8)
		asm("crc32q %1, %0" : "+r"(sum) : "m"(*(const u64 *)p));
	crc = (u32)sum;
	for (; len; len--, p++)
		asm("crc32b %1, %0" : "+r"(crc) : "m"(*p));
	return crc;
}
