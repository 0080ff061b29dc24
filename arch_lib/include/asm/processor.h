/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_PROCESSOR_H
#define _ASM_LIB_PROCESSOR_H

#ifndef __ASSEMBLY__
#include <linux/types.h>
#include <asm/ptrace.h>

struct task_struct;
struct ll_task;

struct thread_struct {
	unsigned long sp; /* saved stack pointer while switched out */
	unsigned long stack; /* lowest address of the stack it runs on, or 0 */
	int (*fn)(void *); /* first function of a new task */
	void *fn_arg;
	struct ll_task *host; /* shared with the host; NULL in kernel threads */
};

#define INIT_THREAD \
	{           \
	}
/* Headers need not be aligned: every ISA that we know reads words anywhere. */
#define NET_IP_ALIGN	   0
#define ARCH_MIN_TASKALIGN L1_CACHE_BYTES

#define TASK_SIZE	   (~0UL >> 1)
#define STACK_TOP	   TASK_SIZE
#define STACK_TOP_MAX	   TASK_SIZE
#define TASK_UNMAPPED_BASE 0

#define task_pt_regs(task) ((struct pt_regs *)(task_stack_page(task) + THREAD_SIZE) - 1)
#define KSTK_EIP(task)	   0UL
#define KSTK_ESP(task)	   0UL

/*
 * The kernel spins on something.  Under a frozen clock only the host can make
 * it come true.
 */
void ll_relax(void);
#define cpu_relax() ll_relax()

unsigned long __get_wchan(struct task_struct *task);

static inline void start_thread(struct pt_regs *regs, unsigned long pc, unsigned long sp)
{
}
#endif
#endif
