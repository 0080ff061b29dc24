/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* Structures that programs see are those of the ISA. */
#ifdef __x86_64__
#include <include/uapi/asm/stat.h> /* of arch/x86, see the Makefile */
#else
#include <asm-generic/stat.h>
#endif
