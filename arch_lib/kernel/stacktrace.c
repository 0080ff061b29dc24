// SPDX-License-Identifier: GPL-2.0-only
/* Backtraces by frame pointers, where the profile keeps them. */
#include <linux/kallsyms.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>
#include "kernel.h"

/* {saved frame pointer, return address}, on x86-64 and aarch64 alike. */
struct frame {
	unsigned long next, pc;
};

static void walk(unsigned long fp, unsigned long stack, stack_trace_consume_fn consume,
		 void *cookie)
{
	while (fp >= stack && fp <= ll_stack_top(stack) - sizeof(struct frame) && fp % 8 == 0) {
		const struct frame *frame = (const struct frame *)fp;

		if (!frame->pc || !consume(cookie, frame->pc))
			break;
		/* Frames only go up; anything else is no frame. */
		if (frame->next <= fp)
			break;
		fp = frame->next;
	}
}

/* A switched-out task: registers lie at thread.sp as isa_*.S saved them. */
static unsigned long saved_fp(struct task_struct *task)
{
#ifdef CONFIG_LIB_X86_64
	return task->thread.sp + 5 * sizeof(long);
#else
	return task->thread.sp;
#endif
}

void arch_stack_walk(stack_trace_consume_fn consume, void *cookie, struct task_struct *task,
		     struct pt_regs *regs)
{
	if (regs)
		walk(regs->fp, task->thread.stack, consume, cookie);
	else if (task == current)
		walk((unsigned long)__builtin_frame_address(0), task->thread.stack, consume,
		     cookie);
	else if (task->thread.sp)
		walk(saved_fp(task), task->thread.stack, consume, cookie);
}

/* More says nothing new: it is a recursion. */
#define LL_TRACE_LINES 32

struct print {
	const char *level;
	int left;
};

static bool print_entry(void *cookie, unsigned long pc)
{
	struct print *print = cookie;

	printk("%s %pSb\n", print->level, (void *)pc);
	return --print->left > 0;
}

void show_stack(struct task_struct *task, unsigned long *fp, const char *level)
{
	struct print print = { .level = level, .left = LL_TRACE_LINES };
	struct pt_regs regs = { .fp = (unsigned long)fp };

	task = task ?: current;
	printk("%sCall Trace:\n", level);
	arch_stack_walk(print_entry, &print, task, fp ? &regs : NULL);
}

static bool first_outside_scheduler(void *result, unsigned long pc)
{
	if (in_sched_functions(pc))
		return true;
	*(unsigned long *)result = pc;
	return false;
}

unsigned long __get_wchan(struct task_struct *task)
{
	unsigned long pc = 0;

	arch_stack_walk(first_outside_scheduler, &pc, task, NULL);
	return pc;
}
