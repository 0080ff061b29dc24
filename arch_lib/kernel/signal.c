// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work before a task goes back to its host.  Signals with a default action do
 * here what they always do; one that has a handler is reported to the host, which
 * owns the handler and its stack.
 */
#include <linux/resume_user_mode.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/syscalls.h>
#include "kernel.h"

static bool is_restart(long ret)
{
	return ret == -ERESTARTSYS || ret == -ERESTARTNOINTR || ret == -ERESTARTNOHAND ||
	       ret == -ERESTART_RESTARTBLOCK;
}

/* The host's wish to end the call, or a signal with a handler: EINTR. */
static void interrupted(struct ll_task *host, bool restart)
{
	if (!is_restart(host->ret))
		return;
	if (restart && host->ret != -ERESTART_RESTARTBLOCK)
		host->flags |= LL_TASK_RESTART;
	host->ret = -EINTR;
}

void ll_return_work(struct ll_task *host)
{
	unsigned long work;
	struct ksignal ksig;

	while ((work = read_thread_flags() & _TIF_RETURN_WORK)) {
		if (work & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)) {
			/* Runs task work; does not return for a fatal signal. */
			while (get_signal(&ksig)) {
				host->signals |= 1ULL << (ksig.sig - 1);
				interrupted(host, ksig.ka.sa.sa_flags & SA_RESTART);
			}
			restore_saved_sigmask();
		}
		if (work & _TIF_NOTIFY_RESUME)
			resume_user_mode_work(task_pt_regs(current));
	}
	if (host->flags & LL_TASK_INTERRUPT)
		interrupted(host, false);
	else if (is_restart(host->ret) && !host->signals)
		ll_restart(host);
}
