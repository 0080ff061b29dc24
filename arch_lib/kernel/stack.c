// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stacks that tasks run on.  They lie in an area of their own, larger than
 * task->stack could be and with a guard page each, which the host sets up when
 * a stack is used for the first time.  Freed ones are used again, last first,
 * so that few of them are ever touched.
 */
#include <linux/kasan.h>
#include <linux/printk.h>
#include "kernel.h"

static unsigned long free_stacks; /* list through the word at the top of each */
static unsigned long used_stacks = 2; /* 0: boot and idle, 1: fault reports */

static unsigned long *next_free(unsigned long stack)
{
	return (unsigned long *)ll_stack_top(stack) - 1;
}

unsigned long ll_stack_get(void)
{
	unsigned long stack = free_stacks;

	if (stack) {
		free_stacks = *next_free(stack);
		/* Whoever died on it has left the marks of its frames. */
		kasan_unpoison_range((void *)stack, ll_machine->stack_bytes);
		return stack;
	}
	if (used_stacks == ll_machine->stack_count) {
		pr_warn_ratelimited("liblinux: all %lu kernel stacks are in use\n", used_stacks);
		return 0;
	}
	ll_machine->exit_args[0] = used_stacks;
	ll_exit(LL_EXIT_STACK);
	if (ll_machine->exit_ret)
		return 0;
	return ll_machine->stacks + used_stacks++ * ll_machine->stack_bytes;
}

void ll_stack_put(unsigned long stack)
{
	*next_free(stack) = free_stacks;
	free_stacks = stack;
}
