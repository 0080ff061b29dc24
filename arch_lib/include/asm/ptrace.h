/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_PTRACE_H
#define _ASM_LIB_PTRACE_H
#include <uapi/asm/ptrace.h>
#ifndef __ASSEMBLY__

struct pt_regs {
	unsigned long pc, sp, fp;
	unsigned long user; /* this frame is of a task outside the kernel */
};

#define user_mode(regs)		   ((regs)->user)
#define instruction_pointer(regs)  ((regs)->pc)
#define profile_pc(regs)	   ((regs)->pc)
#define user_stack_pointer(regs)   ((regs)->sp)
#define kernel_stack_pointer(regs) ((regs)->sp)
#define frame_pointer(regs)	   ((regs)->fp)
#define current_pt_regs()	   task_pt_regs(current)
#define signal_pt_regs()	   task_pt_regs(current)

static inline void instruction_pointer_set(struct pt_regs *regs, unsigned long pc)
{
	regs->pc = pc;
}

static inline unsigned long regs_return_value(struct pt_regs *regs)
{
	return 0;
}

static inline int is_syscall_success(struct pt_regs *regs)
{
	return 1;
}
#endif
#endif
