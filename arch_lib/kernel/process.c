// SPDX-License-Identifier: GPL-2.0-only
/* What generic code wants of an architecture and a library has little to say to. */
#include <linux/elf.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/reboot.h>
#include <linux/regset.h>
#include "kernel.h"

static void __noreturn halt(int how)
{
	ll_machine->exit_args[0] = how;
	for (;;)
		ll_exit(LL_EXIT_HALT);
}

void machine_halt(void)
{
	halt(0);
}

void machine_power_off(void)
{
	halt(1);
}

void machine_restart(char *command)
{
	halt(2);
}

void (*pm_power_off)(void);

/* The host reports what a task's registers are; nobody traces it from inside. */
void ptrace_disable(struct task_struct *child)
{
}

long arch_ptrace(struct task_struct *child, long request, unsigned long addr, unsigned long data)
{
	return ptrace_request(child, request, addr, data);
}

static const struct user_regset_view regsets = { .name = "liblinux" };

const struct user_regset_view *task_user_regset_view(struct task_struct *task)
{
	return &regsets;
}
