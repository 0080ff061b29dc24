/* SPDX-License-Identifier: GPL-2.0-only */
/* See atomic.h: plain operations will do. */
#ifndef _ASM_LIB_BITOPS_H
#define _ASM_LIB_BITOPS_H

#ifndef _LINUX_BITOPS_H
#error only <linux/bitops.h> can be included directly
#endif

#include <linux/compiler.h>
#include <linux/bits.h>
#include <asm/barrier.h>

#include <asm-generic/bitops/builtin-__ffs.h>
#include <asm-generic/bitops/builtin-ffs.h>
#include <asm-generic/bitops/builtin-__fls.h>
#include <asm-generic/bitops/builtin-fls.h>
#include <asm-generic/bitops/ffz.h>
#include <asm-generic/bitops/fls64.h>
#include <asm-generic/bitops/sched.h>
#include <asm-generic/bitops/hweight.h>
#include <asm-generic/bitops/non-atomic.h>

#define LL_WORD(p, nr) ((p)[(nr) / BITS_PER_LONG])
#define LL_MASK(nr)    (1UL << ((nr) % BITS_PER_LONG))

static __always_inline void arch_set_bit(unsigned int nr, volatile unsigned long *p)
{
	LL_WORD(p, nr) |= LL_MASK(nr);
}

static __always_inline void arch_clear_bit(unsigned int nr, volatile unsigned long *p)
{
	LL_WORD(p, nr) &= ~LL_MASK(nr);
}

static __always_inline void arch_change_bit(unsigned int nr, volatile unsigned long *p)
{
	LL_WORD(p, nr) ^= LL_MASK(nr);
}

static __always_inline int arch_test_and_set_bit(unsigned int nr, volatile unsigned long *p)
{
	unsigned long old = LL_WORD(p, nr);

	LL_WORD(p, nr) = old | LL_MASK(nr);
	return !!(old & LL_MASK(nr));
}

static __always_inline int arch_test_and_clear_bit(unsigned int nr, volatile unsigned long *p)
{
	unsigned long old = LL_WORD(p, nr);

	LL_WORD(p, nr) = old & ~LL_MASK(nr);
	return !!(old & LL_MASK(nr));
}

static __always_inline int arch_test_and_change_bit(unsigned int nr, volatile unsigned long *p)
{
	unsigned long old = LL_WORD(p, nr);

	LL_WORD(p, nr) = old ^ LL_MASK(nr);
	return !!(old & LL_MASK(nr));
}

static __always_inline bool arch_xor_unlock_is_negative_byte(unsigned long mask,
							     volatile unsigned long *p)
{
	*p ^= mask;
	return !!(*p & BIT(7));
}
#define arch_xor_unlock_is_negative_byte arch_xor_unlock_is_negative_byte

#include <asm-generic/bitops/instrumented-atomic.h>
#include <asm-generic/bitops/lock.h>
#include <asm-generic/bitops/le.h>
#include <asm-generic/bitops/ext2-atomic.h>

#endif
