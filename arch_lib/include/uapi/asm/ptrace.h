/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
#ifndef _UAPI_ASM_LIB_PTRACE_H
#define _UAPI_ASM_LIB_PTRACE_H
/* The registers of a task belong to its host. */
struct user_regs_struct {
	unsigned long reserved;
};
#endif
