/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One CPU that nothing interrupts: plain operations are atomic.  What host
 * threads see at the same time (rings) uses virt_store_release() and the like.
 */
#ifndef _ASM_LIB_ATOMIC_H
#define _ASM_LIB_ATOMIC_H

#include <linux/types.h>
#include <linux/compiler.h>
#include <asm/cmpxchg.h>
#include <asm/barrier.h>

#define LL_ATOMIC_OP(pfx, type, ctr, op, c_op)                        \
	static __always_inline void arch_##pfx##_##op(ctr i, type *v) \
	{                                                             \
		WRITE_ONCE(v->counter, v->counter c_op i);            \
	}

#define LL_ATOMIC_RETURN(pfx, type, ctr, op, c_op)                            \
	static __always_inline ctr arch_##pfx##_##op##_return(ctr i, type *v) \
	{                                                                     \
		ctr ret = v->counter c_op i;                                  \
		WRITE_ONCE(v->counter, ret);                                  \
		return ret;                                                   \
	}

#define LL_ATOMIC_FETCH(pfx, type, ctr, op, c_op)                          \
	static __always_inline ctr arch_##pfx##_fetch_##op(ctr i, type *v) \
	{                                                                  \
		ctr ret = v->counter;                                      \
		WRITE_ONCE(v->counter, ret c_op i);                        \
		return ret;                                                \
	}

#define LL_ATOMIC_OPS(pfx, type, ctr)            \
	LL_ATOMIC_OP(pfx, type, ctr, add, +)     \
	LL_ATOMIC_OP(pfx, type, ctr, sub, -)     \
	LL_ATOMIC_OP(pfx, type, ctr, and, &)     \
	LL_ATOMIC_OP(pfx, type, ctr, or, |)      \
	LL_ATOMIC_OP(pfx, type, ctr, xor, ^)     \
	LL_ATOMIC_OP(pfx, type, ctr, andnot, &~) \
	LL_ATOMIC_RETURN(pfx, type, ctr, add, +) \
	LL_ATOMIC_RETURN(pfx, type, ctr, sub, -) \
	LL_ATOMIC_FETCH(pfx, type, ctr, add, +)  \
	LL_ATOMIC_FETCH(pfx, type, ctr, sub, -)  \
	LL_ATOMIC_FETCH(pfx, type, ctr, and, &)  \
	LL_ATOMIC_FETCH(pfx, type, ctr, or, |)   \
	LL_ATOMIC_FETCH(pfx, type, ctr, xor, ^)  \
	LL_ATOMIC_FETCH(pfx, type, ctr, andnot, &~)

LL_ATOMIC_OPS(atomic, atomic_t, int)
LL_ATOMIC_OPS(atomic64, atomic64_t, s64)

#define arch_atomic_read(v)	 READ_ONCE((v)->counter)
#define arch_atomic_set(v, i)	 WRITE_ONCE(((v)->counter), (i))
#define arch_atomic_add_return	 arch_atomic_add_return
#define arch_atomic_sub_return	 arch_atomic_sub_return
#define arch_atomic_fetch_add	 arch_atomic_fetch_add
#define arch_atomic_fetch_sub	 arch_atomic_fetch_sub
#define arch_atomic_fetch_and	 arch_atomic_fetch_and
#define arch_atomic_fetch_or	 arch_atomic_fetch_or
#define arch_atomic_fetch_xor	 arch_atomic_fetch_xor
#define arch_atomic_fetch_andnot arch_atomic_fetch_andnot
#define arch_atomic_andnot	 arch_atomic_andnot

#define ATOMIC64_INIT(i)	   { (i) }
#define arch_atomic64_read(v)	   READ_ONCE((v)->counter)
#define arch_atomic64_set(v, i)	   WRITE_ONCE(((v)->counter), (i))
#define arch_atomic64_add_return   arch_atomic64_add_return
#define arch_atomic64_sub_return   arch_atomic64_sub_return
#define arch_atomic64_fetch_add	   arch_atomic64_fetch_add
#define arch_atomic64_fetch_sub	   arch_atomic64_fetch_sub
#define arch_atomic64_fetch_and	   arch_atomic64_fetch_and
#define arch_atomic64_fetch_or	   arch_atomic64_fetch_or
#define arch_atomic64_fetch_xor	   arch_atomic64_fetch_xor
#define arch_atomic64_fetch_andnot arch_atomic64_fetch_andnot
#define arch_atomic64_andnot	   arch_atomic64_andnot

#endif
