// SPDX-License-Identifier: GPL-2.0-only
/* How the kernel dies: panic, BUG, and faults that the host caught. */
#include <linux/init.h>
#include <linux/kallsyms.h>
#include <linux/panic_notifier.h>
#include <linux/printk.h>
#include <linux/sched/debug.h>
#include <linux/uaccess.h>
#include "kernel.h"

static bool fault_reported;

static int leave_for_good(struct notifier_block *nb, unsigned long event, void *message)
{
	/* panic() itself shows where it happened only with CONFIG_DEBUG_BUGVERBOSE. */
	if (!fault_reported)
		dump_stack();
	ll_irq_enabled = ARCH_IRQ_DISABLED;
	ll_machine->exit_args[0] = (unsigned long)message;
	ll_machine->exit_args[1] = strlen(message);
	for (;;)
		ll_exit(LL_EXIT_PANIC);
	return NOTIFY_STOP;
}

static struct notifier_block panic_block = {
	.notifier_call = leave_for_good,
	.priority = INT_MIN, /* after all who have something to write */
};

static int __init fault_init(void)
{
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
	return 0;
}
/* As early as can be: before that a panic spins, and the host sees it spin. */
pure_initcall(fault_init);

asmlinkage int ll_fault_on_stack(const struct ll_fault *fault)
{
	struct pt_regs regs = { .pc = fault->pc, .sp = fault->sp, .fp = fault->fp };
	unsigned long stack = current->thread.stack;
	const char *what = "fault";

	ll_irq_enabled = ARCH_IRQ_DISABLED;
	switch (fault->signal) {
	case 11: /* SIGSEGV */
	case 7: /* SIGBUS */
		what = fault->address < PAGE_SIZE ? "NULL pointer dereference" :
						    "unable to handle kernel access";
		if (stack && fault->address >= stack - PAGE_SIZE &&
		    fault->address < stack + PAGE_SIZE)
			what = "kernel stack overflow";
		break;
	case 8:
		what = "divide error";
		break;
	case 4:
		what = "invalid opcode";
		break;
	}
	console_verbose();
	pr_emerg("BUG: %s at address %016llx, signal %u\n", what, fault->address, fault->signal);
	show_regs(&regs);
	fault_reported = true;
	panic("%s at %pS", what, (void *)regs.pc);
}

void show_regs(struct pt_regs *regs)
{
	show_regs_print_info(KERN_EMERG);
	pr_emerg("pc %pS sp %016lx fp %016lx\n", (void *)regs->pc, regs->sp, regs->fp);
	show_stack(current, (unsigned long *)regs->fp, KERN_EMERG);
}
