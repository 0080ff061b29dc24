/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KASAN's shadow: one byte for eight of the whole address space of the process.
 * The host maps it, once for all kernels, before the first one boots; so nothing
 * is populated here.
 */
#ifndef _ASM_LIB_KASAN_H
#define _ASM_LIB_KASAN_H

#include <asm/page.h> /* before asm/pgtable.h, which counts on it */

#define KASAN_SHADOW_SCALE_SHIFT 3
#define KASAN_SHADOW_OFFSET	 _AC(CONFIG_KASAN_SHADOW_OFFSET, UL)
#define KASAN_SHADOW_START	 KASAN_SHADOW_OFFSET
#define KASAN_SHADOW_END	 (KASAN_SHADOW_START + (1UL << (47 - KASAN_SHADOW_SCALE_SHIFT)))

#endif
