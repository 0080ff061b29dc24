/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* System call numbers are those of the ISA, so that programs' calls fit. */
#ifndef __x86_64__
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_RENAMEAT
#endif
#include <asm/unistd_64.h>
