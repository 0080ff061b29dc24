// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tasks: how they start, switch and end, and how the host's calls run on them.
 *
 * A host task is in one of three places.  In the host, as the current task: its
 * kernel stack is empty and ll_user_task points to it; a call then costs no
 * context switch.  Parked: it sleeps in ll_park(), waiting for a call, because
 * the host entered for something else.  Or inside a call.
 */
#include <linux/interrupt.h>
#include <linux/rcupdate.h>
#include <linux/sched/debug.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <asm/switch_to.h>
#include <asm/syscall.h>
#include <asm/unistd.h>
#include "kernel.h"

struct task_struct *ll_current = &init_task;
EXPORT_SYMBOL(ll_current);
struct ll_task *ll_user_task;
bool ll_remote;
EXPORT_SYMBOL(ll_remote);

/* How many calls may pass before timers and RCU get their turn; a power of two. */
#define LL_CALLS_PER_TURN 64

struct task_struct *ll_switch(struct task_struct *prev, struct task_struct *next)
{
	struct ll_task *host = next->thread.host;

	ll_switches++;
	ll_current = next;
	ll_machine->current_task = (unsigned long)next;
	ll_remote = host && (host->flags & LL_TASK_REMOTE);
	return ll_switch_stacks(&prev->thread.sp, next->thread.sp, prev);
}

/* --- Birth and death --- */

int arch_dup_task_struct(struct task_struct *dst, struct task_struct *src)
{
	*dst = *src;
	dst->thread = (struct thread_struct){};
	return 0;
}

int copy_thread(struct task_struct *p, const struct kernel_clone_args *args)
{
	unsigned long *sp;

	/* fork(2) and friends: the host has no way to continue twice. */
	if (!args->fn)
		return -ENOSYS;
	p->thread.stack = ll_stack_get();
	if (!p->thread.stack)
		return -ENOMEM;
	p->thread.fn = args->fn;
	p->thread.fn_arg = args->fn_arg;

	/* As ll_switch_stacks() would have left it. */
#ifdef CONFIG_LIB_X86_64
	/* Six registers and the address; after them the stack is aligned to 16. */
	sp = (unsigned long *)ll_stack_top(p->thread.stack) - 8 - 1;
	memset(sp, 0, 9 * sizeof(*sp));
	sp[6] = (unsigned long)ll_task_start;
#else
	sp = (unsigned long *)ll_stack_top(p->thread.stack) - 20;
	memset(sp, 0, 20 * sizeof(*sp));
	sp[1] = (unsigned long)ll_task_start; /* x30 */
#endif
	p->thread.sp = (unsigned long)sp;
	return 0;
}

asmlinkage int ll_task_begin(struct task_struct *prev)
{
	schedule_tail(prev);
	current->thread.fn(current->thread.fn_arg);
	/*
	 * A kernel thread never gets here.  Process 1 does when it has loaded
	 * /init, and host tasks when their first call has ended.
	 */
	if (!current->thread.host && !ll_task_attach(NULL))
		panic("liblinux: no memory for a host task");
	ll_user_task = current->thread.host;
	ll_machine->done = ll_user_task;
	return LL_EXIT_DONE;
}

/* Make the current task one that the host can call on. */
struct ll_task *ll_task_attach(struct ll_task *host)
{
	if (!host)
		host = kzalloc(sizeof(*host), GFP_KERNEL);
	if (!host)
		return NULL;
	host->pid = task_pid_nr(current);
	host->tgid = task_tgid_nr(current);
	host->kernel_task = (unsigned long)current;
	host->stack_top = ll_stack_top(current->thread.stack);
	current->thread.host = host;
	/* The switch to this task came too early to know. */
	ll_remote = host->flags & LL_TASK_REMOTE;
	return host;
}

void exit_thread(struct task_struct *tsk)
{
	struct ll_task *host = tsk->thread.host;

	if (!host || tsk != current)
		return;
	WRITE_ONCE(host->state, LL_TASK_DEAD);
	if (ll_user_task == host)
		ll_user_task = NULL;
	ll_machine->done = host;
	/* The structure lives on until the host gives it back, see take_submissions(). */
	host->kernel_task = 0;
	tsk->thread.host = NULL;
	ll_remote = false;
	ll_exit(LL_EXIT_DONE);
}

void arch_release_task_struct(struct task_struct *tsk)
{
	if (tsk->thread.stack)
		ll_stack_put(tsk->thread.stack);
	tsk->thread.stack = 0;
}

void flush_thread(void)
{
}

/* --- Calls --- */

/* Let timers, RCU and softirqs in, which a busy caller would starve. */
static noinline void ll_turn(void)
{
	local_irq_disable();
	rcu_qs();
	local_irq_enable();
	ll_events();
}

static __always_inline long ll_dispatch(struct ll_task *host)
{
	u64 nr = host->nr;
	const u64 *a = host->args;

	if (likely(nr < NR_syscalls)) {
		ll_syscall_fn fn = (ll_syscall_fn)sys_call_table[nr];

		return fn(a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	return ll_own_call(nr, a);
}

/* A signal came and was ignored, or stopped and continued: go on with the call. */
void ll_restart(struct ll_task *host)
{
	if (host->ret == -ERESTART_RESTARTBLOCK)
		host->ret = current->restart_block.fn(&current->restart_block);
	else
		host->ret = ll_dispatch(host);
}

asmlinkage int ll_call_on_stack(struct ll_task *host)
{
	static unsigned int calls;

	host->state = LL_TASK_CALL;
	ll_user_task = NULL;
	if (unlikely(!(++calls % LL_CALLS_PER_TURN)))
		ll_turn();
	host->ret = ll_dispatch(host);
	while (unlikely(read_thread_flags() & _TIF_RETURN_WORK))
		ll_return_work(host);
	host->flags &= ~LL_TASK_INTERRUPT;
	ll_machine->work_pending = need_resched() || local_softirq_pending();
	ll_machine->done = host;
	ll_user_task = host;
	WRITE_ONCE(host->state, LL_TASK_USER);
	return LL_EXIT_DONE;
}

/* Sleep until the host submits a call for this task. */
static void ll_park(struct ll_task *host)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (READ_ONCE(host->state) == LL_TASK_SUBMITTED)
			break;
		if (unlikely(read_thread_flags() & _TIF_RETURN_WORK)) {
			__set_current_state(TASK_RUNNING);
			ll_return_work(host);
			continue;
		}
		schedule();
	}
	__set_current_state(TASK_RUNNING);
}

/* The host entered for something else than a call of the current task. */
asmlinkage int ll_user_on_stack(void)
{
	struct ll_task *host = ll_user_task;

	ll_user_task = NULL;
	ll_turn();
	ll_park(host);
	return ll_call_on_stack(host);
}

/* First function of a task made by LL_SYS_TASK_CREATE. */
int ll_host_task_fn(void *arg)
{
	struct ll_task *host = ll_task_attach(arg);

	ll_park(host);
	ll_call_on_stack(host);
	return 0;
}
