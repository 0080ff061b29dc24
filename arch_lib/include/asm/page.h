/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One linear map: physical address = virtual address - start of the arena.
 * Page 0 is never handed out, since memblock takes physical 0 for a failure.
 */
#ifndef _ASM_LIB_PAGE_H
#define _ASM_LIB_PAGE_H

#include <linux/const.h>

#if __has_include(<vdso/page.h>)
#include <vdso/page.h>
#else
#define PAGE_SHIFT 12
#define PAGE_SIZE  (_AC(1, UL) << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#endif

#ifndef __ASSEMBLY__
#include <linux/types.h>

#define clear_page(page)		    __builtin_memset((page), 0, PAGE_SIZE)
#define copy_page(to, from)		    __builtin_memcpy((to), (from), PAGE_SIZE)
#define clear_user_page(page, vaddr, pg)    clear_page(page)
#define copy_user_page(to, from, vaddr, pg) copy_page(to, from)

typedef struct {
	unsigned long pte;
} pte_t;
typedef struct {
	unsigned long pmd[16];
} pmd_t;
typedef struct {
	unsigned long pgd;
} pgd_t;
typedef struct {
	unsigned long pgprot;
} pgprot_t;
typedef struct page *pgtable_t;

#define pte_val(x)    ((x).pte)
#define pmd_val(x)    ((&x)->pmd[0])
#define pgd_val(x)    ((x).pgd)
#define pgprot_val(x) ((x).pgprot)
#define __pte(x)      ((pte_t){ (x) })
#define __pgd(x)      ((pgd_t){ (x) })
#define __pgprot(x)   ((pgprot_t){ (x) })

extern unsigned long ll_memory_start, ll_memory_end;

#define PAGE_OFFSET	ll_memory_start
#define ARCH_PFN_OFFSET 0UL

#define __pa(x)		   ((unsigned long)(x) - PAGE_OFFSET)
#define __va(x)		   ((void *)((unsigned long)(x) + PAGE_OFFSET))
#define virt_to_pfn(x)	   (__pa(x) >> PAGE_SHIFT)
#define pfn_to_virt(pfn)   __va((unsigned long)(pfn) << PAGE_SHIFT)
#define virt_to_page(addr) pfn_to_page(virt_to_pfn(addr))
#define page_to_virt(page) pfn_to_virt(page_to_pfn(page))

#define virt_addr_valid(kaddr) \
	((unsigned long)(kaddr) >= ll_memory_start && (unsigned long)(kaddr) < ll_memory_end)

#include <asm-generic/memory_model.h>
#ifndef page_to_phys
#define page_to_phys(page) ((phys_addr_t)page_to_pfn(page) << PAGE_SHIFT)
#define phys_to_page(phys) pfn_to_page((phys) >> PAGE_SHIFT)
#endif
#endif /* __ASSEMBLY__ */
#include <asm-generic/getorder.h>
#endif
