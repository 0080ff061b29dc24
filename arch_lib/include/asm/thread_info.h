/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_THREAD_INFO_H
#define _ASM_LIB_THREAD_INFO_H

#include <linux/const.h>

/*
 * task->stack only marks the task: what runs is a larger stack with a guard
 * page, taken from the host's stack area (stack.c).  Below the size of a page
 * fork.c takes it from a slab.
 */
#define THREAD_SHIFT	  10
#define THREAD_SIZE	  (_AC(1, UL) << THREAD_SHIFT)
#define THREAD_SIZE_ORDER 0

#ifndef __ASSEMBLY__
#include <linux/types.h>

struct thread_info {
	unsigned long flags;
	int preempt_count;
	u32 cpu;
};

#define INIT_THREAD_INFO(tsk) { .flags = 0, .preempt_count = INIT_PREEMPT_COUNT }
#endif

#define TIF_NOTIFY_RESUME      0
#define TIF_SIGPENDING	       1
#define TIF_NOTIFY_SIGNAL      2
#define TIF_MEMDIE	       3
#define TIF_NEED_RESCHED       4
#define TIF_RESTORE_SIGMASK    10
#define TIF_SYSCALL_TRACE      16
#define TIF_SYSCALL_AUDIT      17
#define TIF_SYSCALL_TRACEPOINT 19

#define _TIF_NOTIFY_RESUME (1UL << TIF_NOTIFY_RESUME)
#define _TIF_SIGPENDING	   (1UL << TIF_SIGPENDING)
#define _TIF_NOTIFY_SIGNAL (1UL << TIF_NOTIFY_SIGNAL)
#define _TIF_NEED_RESCHED  (1UL << TIF_NEED_RESCHED)

/* Work before a task is handed back to its host. */
#define _TIF_RETURN_WORK (_TIF_NOTIFY_RESUME | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)
#endif
