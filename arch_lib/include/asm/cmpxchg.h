/* SPDX-License-Identifier: GPL-2.0-only */
/* See atomic.h: plain operations will do. */
#ifndef _ASM_LIB_CMPXCHG_H
#define _ASM_LIB_CMPXCHG_H

#include <linux/compiler.h>
#include <linux/types.h>

#define arch_xchg(ptr, new)                                    \
	({                                                     \
		__typeof__(ptr) __xp = (ptr);                  \
		__typeof__(*(ptr)) __xn = (new), __xo = *__xp; \
		*(volatile __typeof__(*(ptr)) *)__xp = __xn;   \
		__xo;                                          \
	})

#define arch_cmpxchg(ptr, old, new)                                             \
	({                                                                      \
		__typeof__(ptr) __cp = (ptr);                                   \
		__typeof__(*(ptr)) __ce = (old), __cn = (new);                  \
		__typeof__(*(ptr)) __co = *(volatile __typeof__(*(ptr)) *)__cp; \
		if (__co == __ce)                                               \
			*(volatile __typeof__(*(ptr)) *)__cp = __cn;            \
		__co;                                                           \
	})

#define arch_cmpxchg_local   arch_cmpxchg
#define arch_cmpxchg64	     arch_cmpxchg
#define arch_cmpxchg64_local arch_cmpxchg

#endif
