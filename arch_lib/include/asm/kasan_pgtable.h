/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mm/kasan/init.c wants of page tables in order to compile.  Nothing calls
 * it: the shadow is the host's.
 */
#ifndef _ASM_LIB_KASAN_PGTABLE_H
#define _ASM_LIB_KASAN_PGTABLE_H

#define PGDIR_SHIFT		  46
#define PGDIR_SIZE		  (1UL << PGDIR_SHIFT)
#define PMD_SIZE		  PGDIR_SIZE
#define PTRS_PER_PTE		  1
#define PTRS_PER_PMD		  1
#define ARCH_PAGE_TABLE_SYNC_MASK 0
#define arch_sync_kernel_mappings(start, end)

#define pgd_offset_k(addr)		  ((pgd_t *)NULL)
#define pgd_addr_end(addr, end)		  ((void)(addr), (end))
#define p4d_alloc(mm, pgd, addr)	  ((p4d_t *)NULL)
#define pud_none(pud)			  (0)
#define pud_present(pud)		  (1)
#define pud_clear(pudp)			  ((void)(pudp))
#define pud_alloc(mm, p4d, addr)	  ((pud_t *)NULL)
#define pud_populate(mm, pud, pmd)	  ((void)(pmd))
#define pmd_none(pmd)			  (0)
#define pmd_present(pmd)		  (1)
#define pmd_clear(pmdp)			  ((void)(pmdp))
#define pmd_page(pmd)			  ((struct page *)NULL)
#define pmd_addr_end(addr, end)		  ((void)(addr), (end))
#define pmd_alloc(mm, pud, addr)	  ((pmd_t *)NULL)
#define pmd_free(mm, pmd)		  ((void)(pmd))
#define pmd_populate_kernel(mm, pmd, pte) ((void)(pte))
#define pte_none(pte)			  (0)
#define pte_present(pte)		  (1)
#define pte_clear(mm, addr, ptep)	  ((void)(ptep))
#define pte_page(pte)			  ((struct page *)NULL)
#define pte_offset_kernel(pmd, addr)	  ((pte_t *)NULL)
#define pte_alloc_one_kernel(mm)	  ((pte_t *)NULL)
#define pte_free_kernel(mm, pte)	  ((void)(pte))
#define pte_wrprotect(pte)		  (pte)
#define pfn_pte(pfn, prot)		  __pte(0)
#define ptep_get(ptep)			  (*(ptep))
#define set_pte_at(mm, addr, ptep, pte)	  ((void)(pte))

#endif
