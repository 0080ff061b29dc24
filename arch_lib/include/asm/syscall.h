/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_SYSCALL_H
#define _ASM_LIB_SYSCALL_H

#include <uapi/linux/audit.h>
#include <linux/err.h>
#include <linux/sched.h>
#include <asm/liblinux.h>

typedef long (*ll_syscall_fn)(unsigned long, unsigned long, unsigned long, unsigned long,
			      unsigned long, unsigned long);
extern void *const sys_call_table[];

static inline int syscall_get_nr(struct task_struct *task, struct pt_regs *regs)
{
	return task->thread.host ? (int)task->thread.host->nr : -1;
}

static inline void syscall_rollback(struct task_struct *task, struct pt_regs *regs)
{
}

static inline long syscall_get_error(struct task_struct *task, struct pt_regs *regs)
{
	long ret = task->thread.host ? task->thread.host->ret : 0;

	return IS_ERR_VALUE(ret) ? ret : 0;
}

static inline long syscall_get_return_value(struct task_struct *task, struct pt_regs *regs)
{
	return task->thread.host ? task->thread.host->ret : 0;
}

static inline void syscall_set_return_value(struct task_struct *task, struct pt_regs *regs,
					    int error, long val)
{
	if (task->thread.host)
		task->thread.host->ret = error ?: val;
}

static inline void syscall_get_arguments(struct task_struct *task, struct pt_regs *regs,
					 unsigned long *args)
{
	int i;

	for (i = 0; i < 6; i++)
		args[i] = task->thread.host ? task->thread.host->args[i] : 0;
}

static inline void syscall_set_arguments(struct task_struct *task, struct pt_regs *regs,
					 const unsigned long *args)
{
	int i;

	for (i = 0; i < 6 && task->thread.host; i++)
		task->thread.host->args[i] = args[i];
}

static inline void syscall_set_nr(struct task_struct *task, struct pt_regs *regs, int nr)
{
	if (task->thread.host)
		task->thread.host->nr = nr;
}

static inline int syscall_get_arch(struct task_struct *task)
{
#ifdef __x86_64__
	return AUDIT_ARCH_X86_64;
#else
	return AUDIT_ARCH_AARCH64;
#endif
}
#endif
