// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library's interrupts: what the host wants is taken in when it enters,
 * when the kernel would be idle, and now and then while it is busy.
 */
#include <linux/clockchips.h>
#include <linux/cpu.h>
#include <linux/hardirq.h>
#include <linux/irq.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <asm/irq_regs.h>
#include <asm/switch_to.h>
#include "kernel.h"

unsigned long ll_irq_enabled = ARCH_IRQ_DISABLED;
EXPORT_SYMBOL(ll_irq_enabled);
unsigned int ll_switches;

/* Turns of a waiting loop (cpu_relax) after which the clock must have moved. */
#define LL_BUSY_SPINS 1000

/* From irq context: the host submitted calls, or wants them ended. */
static void take_submissions(void)
{
	struct ll_task *list = ll_machine->submitted, *fifo = NULL, *next;

	ll_machine->submitted = NULL;
	for (; list; list = next) {
		next = list->next;
		list->next = fifo;
		fifo = list;
	}
	for (list = fifo; list; list = next) {
		struct task_struct *task = (struct task_struct *)list->kernel_task;

		next = list->next;
		list->next = NULL;
		list->flags &= ~LL_TASK_QUEUED;
		/* It may have died between being submitted and now; then the host knows. */
		if (!task) {
			if (list->flags & LL_TASK_RELEASE)
				kfree(list);
			continue;
		}
		/* A call that has ended meanwhile cannot be interrupted. */
		if (list->state == LL_TASK_USER)
			list->flags &= ~LL_TASK_INTERRUPT;
		/* Ends what sleeps interruptibly; see ll_return_work(). */
		if (list->flags & LL_TASK_INTERRUPT)
			set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
		wake_up_state(task, TASK_INTERRUPTIBLE);
	}
}

bool ll_events_wanted(void)
{
	return ll_machine->submitted || ll_machine->rx_kicks || ll_deadline <= ll_clock();
}

/* Take in what came.  Called with interrupts enabled or from idle. */
void ll_events(void)
{
	static struct pt_regs none;
	struct pt_regs *old;
	unsigned long flags;
	struct ll_netdev *kicks;

	local_irq_save(flags);
	none.user = ll_user_task || (current->thread.host && !is_idle_task(current));
	old = set_irq_regs(&none);
	irq_enter();
	if (ll_machine->submitted)
		take_submissions();
	kicks = ll_machine->rx_kicks;
	if (kicks) {
		ll_machine->rx_kicks = NULL;
		if (IS_ENABLED(CONFIG_NET))
			ll_netdev_events(kicks);
	}
	ll_timer_event();
	irq_exit();
	set_irq_regs(old);
	local_irq_restore(flags);
}

/* Called and returns with interrupts disabled. */
void arch_cpu_idle(void)
{
	ll_switches = 0;
	if (!ll_events_wanted()) {
		ll_machine->deadline_ns = ll_deadline;
		ll_machine->work_pending = 0;
		ll_exit(LL_EXIT_IDLE);
	}
	/* As an interrupt that ends the wait: lockdep has been told that they are on. */
	raw_local_irq_enable();
	ll_events();
	raw_local_irq_disable();
}

static void busy(u64 until_ns)
{
	ll_machine->deadline_ns = ll_deadline;
	ll_machine->exit_args[0] = until_ns;
	ll_exit(LL_EXIT_BUSY);
}

/* After each context switch, with interrupts enabled. */
void ll_switched(void)
{
	ll_switches = 0;
	busy(ll_clock());
	ll_events();
}

/* cpu_relax() */
void ll_relax(void)
{
	static unsigned int spins;

	barrier();
	if (++spins % LL_BUSY_SPINS || !ll_machine)
		return;
	/* One tick at most: what is waited for may be jiffies. */
	busy(min(ll_deadline, ll_clock() + TICK_NSEC));
	if (!irqs_disabled() && !in_interrupt())
		ll_events();
}
EXPORT_SYMBOL(ll_relax);

void init_IRQ(void)
{
}
