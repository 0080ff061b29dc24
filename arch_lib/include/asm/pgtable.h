/* SPDX-License-Identifier: GPL-2.0-only */
/* There are no page tables; generic code wants some names all the same. */
#ifndef _ASM_LIB_PGTABLE_H
#define _ASM_LIB_PGTABLE_H

#include <asm-generic/pgtable-nopud.h>
#include <linux/mm_types.h>

#define pgd_present(pgd) (1)
#define pgd_none(pgd)	 (0)
#define pgd_bad(pgd)	 (0)
#define pgd_clear(pgdp)
#define pmd_offset(a, b) ((void *)0)

#define PAGE_NONE	    __pgprot(0)
#define PAGE_SHARED	    __pgprot(0)
#define PAGE_COPY	    __pgprot(0)
#define PAGE_READONLY	    __pgprot(0)
#define PAGE_KERNEL	    __pgprot(0)
#define pgprot_noncached(x) (x)
#define pgprot_writecombine pgprot_noncached
#define pgprot_device	    pgprot_noncached

#ifndef LL_GENERIC_ZERO_PAGE /* see the Makefile */
extern struct page *ll_zero_page;
#define ZERO_PAGE(vaddr) (ll_zero_page)
#endif
#define swapper_pg_dir ((pgd_t *)0)

#define MAX_SWAPFILES_CHECK() \
	do {                  \
	} while (0)
#define __swp_type(x)		(0)
#define __swp_offset(x)		(0)
#define __swp_entry(typ, off)	((swp_entry_t){ ((typ) | ((off) << 7)) })
#define __pte_to_swp_entry(pte) ((swp_entry_t){ pte_val(pte) })
#define __swp_entry_to_pte(x)	((pte_t){ (x).val })

/* vmalloc() is kmalloc(): its addresses are those of the arena. */
#define VMALLOC_START 0UL
#define VMALLOC_END   (~0UL)

#ifdef CONFIG_KASAN
#include <asm/kasan_pgtable.h>
#endif

#endif
