/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_ELF_H
#define _ASM_LIB_ELF_H
/* No ELF program is ever loaded; generic code wants the types. */
#include <linux/elf-em.h>
#include <asm/ptrace.h>

typedef unsigned long elf_greg_t;
typedef elf_greg_t elf_gregset_t[1];
typedef unsigned long elf_fpregset_t;

#define ELF_NGREG 1
#define ELF_CLASS ELFCLASS64
#define ELF_DATA  ELFDATA2LSB
#ifdef __x86_64__
#define ELF_ARCH EM_X86_64
#else
#define ELF_ARCH EM_AARCH64
#endif
#define elf_check_arch(x) (0)
#define ELF_EXEC_PAGESIZE PAGE_SIZE
#define ELF_ET_DYN_BASE	  0
#define ELF_HWCAP	  0
#define ELF_PLATFORM	  NULL
#define ELF_PLAT_INIT(regs, load_addr) \
	do {                           \
	} while (0)
#endif
