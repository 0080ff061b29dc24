/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_UNISTD_H
#define _ASM_LIB_UNISTD_H
#include <uapi/asm/unistd.h>

#define NR_syscalls __NR_syscalls

#ifdef __x86_64__
/* What x86-64's own table names beside the generic calls. */
#define __ARCH_WANT_SYS_ALARM
#define __ARCH_WANT_SYS_GETPGRP
#define __ARCH_WANT_SYS_PAUSE
#define __ARCH_WANT_SYS_TIME
#define __ARCH_WANT_SYS_UTIME
#define __ARCH_WANT_NEW_STAT
#endif
#endif
