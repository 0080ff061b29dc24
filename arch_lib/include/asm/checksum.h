/* SPDX-License-Identifier: GPL-2.0-only */
/* The Internet checksum (RFC 1071); lib/checksum.c and csum.c do what is not here. */
#ifndef _ASM_LIB_CHECKSUM_H
#define _ASM_LIB_CHECKSUM_H

#include <linux/bitops.h>

unsigned int do_csum(const unsigned char *buff, int len);
#define do_csum do_csum

static __always_inline u64 ll_csum_word(const u8 *p)
{
	u32 word;

	__builtin_memcpy(&word, p, 4);
	return word;
}

/* 16 bits of a sum of 32-bit words. */
static __always_inline u16 ll_csum_fold64(u64 sum)
{
	sum = (u32)sum + (sum >> 32);
	sum = (u32)sum + (sum >> 32);
	sum = (u16)sum + (sum >> 16);
	return (u16)sum + (sum >> 16);
}

/*
 * A header of ihl 32-bit words, 5 at the least.  It may just have been written, field
 * by field: a load that spans two stores would have to wait for both.
 */
static __always_inline __sum16 ip_fast_csum(const void *iph, unsigned int ihl)
{
	const u16 *half = iph;
	const u8 *byte = iph;
	u64 sum = (u64)half[0] + half[1] + half[2] + half[3] + half[5];

	/* Time to live and protocol. */
#ifdef __LITTLE_ENDIAN
	sum += byte[8] + (byte[9] << 8);
#else
	sum += (byte[8] << 8) + byte[9];
#endif
	sum += ll_csum_word(byte + 12) + ll_csum_word(byte + 16);
	for (; unlikely(ihl > 5); ihl--)
		sum += ll_csum_word(byte + 4 * (ihl - 1));
	return (__force __sum16)~ll_csum_fold64(sum);
}
#define ip_fast_csum ip_fast_csum

__wsum csum_partial_copy_nocheck(const void *src, void *dst, int len);
#define _HAVE_ARCH_CSUM_AND_COPY

static __always_inline __wsum csum_tcpudp_nofold(__be32 saddr, __be32 daddr, __u32 len, __u8 proto,
						 __wsum sum)
{
	u64 s = (u64)(__force u32)sum + (__force u32)saddr + (__force u32)daddr;

#ifdef __BIG_ENDIAN
	s += proto + len;
#else
	s += (proto + len) << 8;
#endif
	s = (u32)s + (s >> 32);
	return (__force __wsum)(u32)(s + (s >> 32));
}
#define csum_tcpudp_nofold csum_tcpudp_nofold

#include <asm-generic/checksum.h>
#endif
