/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of arch/lib share among themselves. */
#ifndef _LIB_KERNEL_H
#define _LIB_KERNEL_H

#include <linux/sched.h>
#include <asm/liblinux.h>

/* The page that kernel and host share; set by boot(). */
extern struct ll_machine *ll_machine;

/* --- isa_*.S: moving between stacks --- */

/* Entries from the host, see struct ll_image; they run ll_*_on_stack() below. */
int ll_entry_boot(unsigned long stack_top);
int ll_entry_call(struct ll_task *task, unsigned long stack_top);
int ll_entry_user(unsigned long stack_top);
int ll_entry_resume(void);
int ll_entry_fault(const struct ll_fault *fault, unsigned long stack_top);
/* Leave to the host; returns when it resumes. */
void ll_exit(int reason);
/* Save registers on this stack and its pointer at *save, continue on sp. */
void *ll_switch_stacks(unsigned long *save, unsigned long sp, void *prev);
void ll_task_start(void); /* where a new task's saved context points */

/* --- C functions that the entries call, already on a kernel stack --- */
asmlinkage int ll_boot_on_stack(void);
asmlinkage int ll_call_on_stack(struct ll_task *task);
asmlinkage int ll_user_on_stack(void);
asmlinkage int ll_fault_on_stack(const struct ll_fault *fault);
asmlinkage int ll_task_begin(struct task_struct *prev);

/* --- hypercall.c --- */
u64 ll_clock(void);
void ll_log(const char *text, unsigned int bytes, int level);

/* --- stack.c --- */
unsigned long ll_stack_get(void); /* lowest address, or 0 */
void ll_stack_put(unsigned long stack);
static inline unsigned long ll_stack_top(unsigned long stack)
{
	return stack + ll_machine->stack_bytes;
}

/* --- task.c --- */
/* The host task whose stack is empty because it runs in the host, or NULL. */
extern struct ll_task *ll_user_task;
struct ll_task *ll_task_attach(struct ll_task *host);
int ll_host_task_fn(void *host);
void ll_restart(struct ll_task *host);

/* --- events.c --- */
void ll_events(void);
bool ll_events_wanted(void);
extern u64 ll_deadline; /* of the clock event device, on the host's clock */
void ll_timer_event(void); /* time.c: fire it if it is due */
void ll_clock_init(void);

/* --- signal.c --- */
void ll_return_work(struct ll_task *host);

/* --- setup.c --- */
void ll_paging_init(void);

/* --- own_calls.c and friends --- */
long ll_own_call(u64 nr, const u64 *args);
long ll_netdev_add(struct ll_netdev_config __user *config);
long ll_netdev_del(struct ll_netdev *netdev);
void ll_netdev_events(struct ll_netdev *list);
long ll_report_tasks(char __user *buffer, unsigned long bytes);

#endif
