// SPDX-License-Identifier: GPL-2.0-only
/* Who waits, and where: the text of LL_SYS_TASKS. */
#include <linux/kallsyms.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "kernel.h"

struct report {
	char *text;
	size_t used, size;
};

static bool add_frame(void *cookie, unsigned long pc)
{
	struct report *r = cookie;

	if (!in_sched_functions(pc))
		r->used += scnprintf(r->text + r->used, r->size - r->used, " < %ps", (void *)pc);
	return true;
}

static void add_task(struct report *r, struct task_struct *task)
{
	struct ll_task *host = task->thread.host;
	const char *kind = host ? (host->state == LL_TASK_USER ? "host" : "call") : "kthread";

	r->used += scnprintf(r->text + r->used, r->size - r->used, "%d %s %c %s ",
			     task_pid_nr(task), task->comm, task_state_to_char(task), kind);
	if (host && host->state != LL_TASK_USER)
		r->used += scnprintf(r->text + r->used, r->size - r->used, "nr=%llu", host->nr);
	if (task != current)
		arch_stack_walk(add_frame, r, task, NULL);
	r->used += scnprintf(r->text + r->used, r->size - r->used, "\n");
}

long ll_report_tasks(char __user *buffer, unsigned long bytes)
{
	struct report r = { .size = min(bytes, (unsigned long)KMALLOC_MAX_SIZE) };
	struct task_struct *group, *task;
	long ret;

	if (!r.size)
		return -EINVAL;
	r.text = kvmalloc(r.size, GFP_KERNEL);
	if (!r.text)
		return -ENOMEM;
	rcu_read_lock();
	for_each_process_thread(group, task)
		add_task(&r, task);
	rcu_read_unlock();
	ret = copy_to_user(buffer, r.text, r.used) ? -EFAULT : r.used;
	kvfree(r.text);
	return ret;
}

/*
 * Where debuggers find what they need to list tasks and to walk the stacks of
 * those that sleep; profiles without debug information have no types to tell.
 * Read by pylibos/_gdb_commands.py in this order.
 */
extern const u32 ll_layout[];
__visible const u32 ll_layout[] = {
	offsetof(struct task_struct, tasks),	   offsetof(struct task_struct, thread_node),
	offsetof(struct task_struct, signal),	   offsetof(struct signal_struct, thread_head),
	offsetof(struct task_struct, pid),	   offsetof(struct task_struct, comm),
	offsetof(struct task_struct, __state),	   offsetof(struct task_struct, thread.sp),
	offsetof(struct task_struct, thread.host), offsetof(struct ll_task, state),
};
