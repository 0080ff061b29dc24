/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_TLBFLUSH_H
#define _ASM_LIB_TLBFLUSH_H
/* No address translation of ours: nothing is ever stale. */
#define flush_tlb_all() \
	do {            \
	} while (0)
#define flush_tlb_mm(mm) \
	do {             \
	} while (0)
#define flush_tlb_range(vma, s, e) \
	do {                       \
	} while (0)
#define flush_tlb_page(vma, a) \
	do {                   \
	} while (0)
#define flush_tlb_kernel_range(s, e) \
	do {                         \
	} while (0)
#endif
