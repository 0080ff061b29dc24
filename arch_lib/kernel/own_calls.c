// SPDX-License-Identifier: GPL-2.0-only
/* The calls of enum ll_sys, which no program makes. */
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <asm/unistd.h>
#include "kernel.h"

static long task_create(unsigned long flags, u64 __user *result)
{
	struct ll_task *host = kzalloc(sizeof(*host), GFP_KERNEL);
	struct kernel_clone_args args = {
		.flags = (flags & ~CSIGNAL) | CLONE_VM,
		.exit_signal = flags & CLONE_THREAD ? 0 : SIGCHLD,
		.fn = ll_host_task_fn,
		.fn_arg = host,
	};
	struct task_struct *task;
	pid_t pid;

	if (!host)
		return -ENOMEM;
	if (put_user((u64)(unsigned long)host, result)) {
		kfree(host);
		return -EFAULT;
	}
	pid = kernel_clone(&args);
	if (pid < 0) {
		kfree(host);
		return pid;
	}
	/* The host may submit a call before the task has run for the first time. */
	rcu_read_lock();
	task = find_task_by_vpid(pid);
	host->kernel_task = (unsigned long)task;
	host->pid = task_pid_nr(task);
	host->tgid = task_tgid_nr(task);
	rcu_read_unlock();
	return pid;
}

static noinline int overflow(int depth)
{
	volatile char room[512];

	room[0] = depth;
	if (depth < 0)
		return 0;
	return overflow(depth + 1) + room[0];
}

static long fail(int what, unsigned long argument)
{
	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	switch (what) {
	case 0:
		panic("asked to panic");
	case 1:
		BUG();
	case 2:
		return *(volatile int *)argument;
	case 3:
		return overflow(0);
	case 4:
		WARN(1, "asked to warn");
		return 0;
	case 5: {
		unsigned long end = jiffies + argument;

		while (time_before(jiffies, end))
			cpu_relax();
		return 0;
	}
	case 6:
		for (;;)
			(void)__get_free_page(GFP_KERNEL | __GFP_NOFAIL);
	case 7: {
		volatile char *room = kmalloc(argument, GFP_KERNEL);

		if (!room)
			return -ENOMEM;
		/* The compiler must not see that this is out of bounds. */
		OPTIMIZER_HIDE_VAR(room);
		room[argument] = 1;
		kfree((void *)room);
		return 0;
	}
	}
	return -EINVAL;
}

long ll_own_call(u64 nr, const u64 *args)
{
	switch (nr) {
	case LL_SYS_TASK_CREATE:
		return task_create(args[0], (u64 __user *)(unsigned long)args[1]);
	case LL_SYS_TASK_EXIT:
		do_group_exit((args[0] & 0xff) << 8);
	case LL_SYS_TASKS:
		return ll_report_tasks((char __user *)(unsigned long)args[0], args[1]);
	case LL_SYS_FAIL:
		return fail(args[0], args[1]);
#ifdef CONFIG_NET
	case LL_SYS_NETDEV_ADD:
		return ll_netdev_add((void __user *)(unsigned long)args[0]);
	case LL_SYS_NETDEV_DEL:
		return ll_netdev_del((struct ll_netdev *)(unsigned long)args[0]);
#endif
	}
	return -ENOSYS;
}
